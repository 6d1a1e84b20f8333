using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Dispatch.Chaos.Wire;

namespace Dispatch.Chaos.Brokers;

/// <summary>The broker did something that ends the run: it did not start, did not get ready, ended by itself.</summary>
public sealed class BrokerException(string message) : Exception(message);

/// <summary>
/// The broker under test: started, killed and started again on the same data and port. Only the process that was started
/// here is ever signalled, by its handle.
/// </summary>
/// <param name="dispatch">Path of the command.</param>
/// <param name="bug">Planted bug to switch on, or null.</param>
public sealed class BrokerProcess(string dispatch, RunDirectory directory, int port, string? bug) : IDisposable
{
    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(5);

    // Linux's numbers.
    private const int Stop = 19;
    private const int Continue = 18;
    private readonly Lock logging = new();
    private readonly CancellationTokenSource died = new();
    private Process? current;
    private volatile bool mayEnd = true;

    /// <summary>Cancelled when the broker was ready and ends without having been told to.</summary>
    public CancellationToken Died => died.Token;

    /// <summary>Whether it was started and not ended by this.</summary>
    public bool IsRunning => current is { HasExited: false };

    /// <summary>How a broker ended that ended by itself.</summary>
    public string Epitaph => $"The broker ended by itself with {current?.ExitCode}: {Tail()}";

    /// <summary>Starts it and returns how long it took until it said that it is ready.</summary>
    /// <exception cref="BrokerException">It ended or was not ready within 30 s.</exception>
    public async Task<TimeSpan> StartAsync(CancellationToken cancel)
    {
        var began = Stopwatch.GetTimestamp();
        var process = Launch();
        while (!await IsReadyAsync(process.Id, cancel))
        {
            if (process.HasExited)
                throw new BrokerException($"The broker ended with {process.ExitCode} before it was ready: {Tail()}");
            if (Stopwatch.GetElapsedTime(began) > ReadyLimit)
                throw new BrokerException($"The broker was not ready within {ReadyLimit.TotalSeconds} s: {Tail()}");
            await Task.Delay(Look, cancel);
        }

        mayEnd = false;
        if (process.HasExited)
            throw new BrokerException(Epitaph);
        return Stopwatch.GetElapsedTime(began);
    }

    /// <summary>Starts it and kills it after a while, ready or not: a crash in the middle of recovering from a crash.</summary>
    /// <exception cref="BrokerException">It ended by itself.</exception>
    public async Task StartAndKillAsync(TimeSpan after, CancellationToken cancel)
    {
        Launch();
        await Task.Delay(after, cancel);
        await KillAsync(cancel);
    }

    /// <summary>SIGKILL, and waits until it is gone.</summary>
    /// <exception cref="BrokerException">It had ended by itself before.</exception>
    public async Task KillAsync(CancellationToken cancel)
    {
        var process = current ?? throw new InvalidOperationException("Not started.");
        if (process.HasExited)
            throw new BrokerException(Epitaph);
        mayEnd = true;
        process.Kill();
        await process.WaitForExitAsync(cancel);
        process.Dispose();
        current = null;
    }

    /// <summary>SIGSTOP: it stands still, keeps its connections, and does not know of it.</summary>
    /// <exception cref="BrokerException">It had ended by itself before.</exception>
    public void Pause() => Signal(Stop);

    /// <summary>SIGCONT.</summary>
    /// <exception cref="BrokerException">It had ended by itself before.</exception>
    public void Resume() => Signal(Continue);

    /// <summary>SIGTERM, as an operator stops it; kills it when it does not end.</summary>
    /// <exception cref="BrokerException">It took longer than 15 s, or ended with another code than 0.</exception>
    public async Task StopAsync(CancellationToken cancel)
    {
        var process = current ?? throw new InvalidOperationException("Not started.");
        if (process.HasExited)
            throw new BrokerException(Epitaph);
        mayEnd = true;
        // Our own child that has not been waited for, so the number can't be another's by now.
        if (SendSignal(process.Id, 15) != 0)
            throw new BrokerException("The broker could not be asked to stop.");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(StopLimit);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new BrokerException($"The broker did not stop within {StopLimit.TotalSeconds} s of SIGTERM: {Tail()}");
        }

        if (process.ExitCode != 0)
            throw new BrokerException($"The broker was asked to stop and ended with {process.ExitCode}: {Tail()}");
    }

    /// <summary>Whatever happened, no broker of this run is left.</summary>
    public void Dispose()
    {
        if (current is not { } process)
            return;
        mayEnd = true;
        if (!process.HasExited)
        {
            process.Kill();
            process.WaitForExit();
        }

        process.Dispose();
        current = null;
    }

    private void Signal(int signal)
    {
        // Our own child that has not been waited for, so the number can't be another's by now.
        if (current is not { HasExited: false } process || SendSignal(process.Id, signal) != 0)
            throw new BrokerException(Epitaph);
    }

    private Process Launch()
    {
        var start = Command.Describe(
            dispatch, "serve", "--config", directory.Config, "--data-dir", directory.Data, "--port", port.ToString(), "--metrics-port", "0");
        if (bug is not null)
            start.Environment["DISPATCH_TEST_BUG"] = bug;

        var process = Process.Start(start) ?? throw new BrokerException($"{dispatch} did not start.");
        current = process;
        process.OutputDataReceived += (_, line) => Log(line.Data);
        process.ErrorDataReceived += (_, line) => Log(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        process.EnableRaisingEvents = true;
        process.Exited += (_, _) =>
        {
            // The event of a broker that was killed can come late.
            if (!mayEnd && ReferenceEquals(current, process))
                died.Cancel();
        };
        return process;
    }

    /// <summary>
    /// Ready is what the operations port says, and that port is in broker.json. The file of a killed broker is still there,
    /// so it counts only with our process's id: which also shows that a kill reaches the broker and not some wrapper.
    /// </summary>
    private async Task<bool> IsReadyAsync(int pid, CancellationToken cancel)
    {
        if (ReadOperationsPort(pid) is not { } operations || await BrokerConnection.TryOpenAsync(operations, cancel) is not { } opened)
            return false;
        using var connection = opened;
        var reply = await connection.SendAsync(new Request("GET", "/ready", "chaos", "ready"), TimeSpan.FromSeconds(2), cancel);
        return reply is { Status: 200 };
    }

    private int? ReadOperationsPort(int pid)
    {
        try
        {
            using var json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(directory.Data, "broker.json")));
            return json.RootElement.GetProperty("pid").GetInt32() == pid ? new Uri(json.RootElement.Text("metrics_url")).Port : null;
        }
        catch (Exception e) when (e is FileNotFoundException or JsonException)
        {
            // Not written yet, or half: the next look tells.
            return null;
        }
    }

    private void Log(string? line)
    {
        if (line is null)
            return;
        lock (logging)
            File.AppendAllText(directory.BrokerLog, line + Environment.NewLine);
    }

    private string Tail()
    {
        lock (logging)
            return File.Exists(directory.BrokerLog) ? string.Join(" | ", File.ReadLines(directory.BrokerLog).TakeLast(8)) : "it said nothing";
    }

    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SendSignal(int process, int signal);
}

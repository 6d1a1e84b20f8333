using System.Diagnostics;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Targets;

/// <summary>A server process of this run. Its output goes to a file without passing through this process.</summary>
internal sealed class ChildProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly Process _process;
    private readonly string _log;

    private ChildProcess(Process process, string log)
    {
        _process = process;
        _log = log;
    }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>Starts a program with its standard output and error in <paramref name="log"/>. DISPATCH_* variables of the caller are not handed on.</summary>
    public static ChildProcess Start(string log, params string[] command)
    {
        // The shell opens the file and becomes the program: same process id, and no pipe for us to pump.
        var start = new ProcessStartInfo("/bin/sh") { UseShellExecute = false, RedirectStandardInput = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("log=$1; shift; exec \"$@\" >\"$log\" 2>&1");
        start.ArgumentList.Add("sh");
        start.ArgumentList.Add(log);
        foreach (var word in command)
            start.ArgumentList.Add(word);

        foreach (var name in start.Environment.Keys.Where(name => name.StartsWith("DISPATCH_", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(name);

        return new ChildProcess(Process.Start(start) ?? throw new RunFailedException($"{command[0]} did not start."), log);
    }

    /// <summary>The end of what it wrote, for a message that explains a failure.</summary>
    public string LastOutput()
    {
        if (!File.Exists(_log))
            return "";

        using var file = File.Open(_log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        file.Seek(-Math.Min(2000, file.Length), SeekOrigin.End);
        using var reader = new StreamReader(file);
        return reader.ReadToEnd();
    }

    /// <summary>Asks it to stop, and insists after 20 s. True when asking was enough.</summary>
    public async Task<bool> StopAsync()
    {
        if (_process.HasExited)
            return true;

        _ = Native.Signal(_process.Id, Native.Terminate);
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            await _process.WaitForExitAsync(patience.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            _ = Native.Signal(_process.Id, Native.Kill);
            await _process.WaitForExitAsync(CancellationToken.None);
            return false;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _process.Dispose();
    }
}

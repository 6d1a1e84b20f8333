using System.Diagnostics;
using System.Text;

namespace Dispatch.Cli.Tests.Support;

/// <summary>The command as a real process, apart from the environment of whoever runs the tests.</summary>
public sealed class DispatchProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Process process;
    private readonly StringBuilder written = new();
    private readonly Task<string> output;
    private readonly Task<string> errors;

    private DispatchProcess(Process process)
    {
        this.process = process;
        output = CollectAsync();
        errors = process.StandardError.ReadToEndAsync();
    }

    public static string Executable { get; } = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "dispatch.exe" : "dispatch");

    public int Id => process.Id;

    public bool HasExited => process.HasExited;

    /// <summary>Standard output up to now.</summary>
    public string Output
    {
        get
        {
            lock (written)
                return written.ToString();
        }
    }

    /// <summary>Starts it and leaves it running; its standard input is closed.</summary>
    public static DispatchProcess Start(IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null)
    {
        var started = StartWithInput(Executable, arguments, environment);
        started.process.StandardInput.Close();
        return started;
    }

    /// <summary>Runs it to its end.</summary>
    public static async Task<Outcome> RunAsync(IEnumerable<string> arguments, string? input = null, IReadOnlyDictionary<string, string?>? environment = null, string? program = null)
    {
        await using var run = StartWithInput(program ?? Executable, arguments, environment);
        if (input is not null)
            await run.process.StandardInput.WriteAsync(input);
        run.process.StandardInput.Close();
        return await run.EndAsync();
    }

    /// <summary>Waits for its end.</summary>
    public async Task<Outcome> EndAsync()
    {
        using var late = new CancellationTokenSource(Patience);
        await process.WaitForExitAsync(late.Token);
        return new Outcome(process.ExitCode, await output, await errors);
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
            process.Kill(entireProcessTree: true);
        await process.WaitForExitAsync();
        process.Dispose();
    }

    private async Task<string> CollectAsync()
    {
        var buffer = new char[4096];
        while (await process.StandardOutput.ReadAsync(buffer) is > 0 and var read)
        {
            lock (written)
                written.Append(buffer, 0, read);
        }

        return Output;
    }

    private static DispatchProcess StartWithInput(string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var name in start.Environment.Keys.Where(name => name.StartsWith("DISPATCH", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(name);
        // Nobody's own broker, configuration or admin token.
        start.Environment["DISPATCH_DATA_DIR"] = Path.Combine(Path.GetTempPath(), "dispatch-cli-tests-no-such-directory");
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
            start.Environment[name] = value;
        return new DispatchProcess(Process.Start(start)!);
    }

    public sealed record Outcome(int ExitCode, string Output, string Errors);
}

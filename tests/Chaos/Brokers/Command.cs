using System.Diagnostics;

namespace Dispatch.Chaos.Brokers;

/// <summary>How a command ended.</summary>
/// <param name="ExitCode">Null when it did not end in time and was killed.</param>
public sealed record CommandResult(int? ExitCode, string Output, string Error);

/// <summary>Starts other programs with nothing of this process's DISPATCH_ settings.</summary>
public static class Command
{
    public static ProcessStartInfo Describe(string program, params IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(program)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        foreach (var name in start.Environment.Keys.Where(name => name.StartsWith("DISPATCH_", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(name);
        return start;
    }

    /// <summary>Runs it to its end, at most <paramref name="limit"/>; then it is killed.</summary>
    public static async Task<CommandResult> RunAsync(ProcessStartInfo start, TimeSpan limit, CancellationToken cancel)
    {
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{start.FileName} did not start.");
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync(cancel);
        var error = process.StandardError.ReadToEndAsync(cancel);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        deadline.CancelAfter(limit);
        try
        {
            await process.WaitForExitAsync(deadline.Token);
            return new CommandResult(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            cancel.ThrowIfCancellationRequested();
            return new CommandResult(null, await output, await error);
        }
    }

    /// <summary>The path of a program that the system finds, or null.</summary>
    public static string? Find(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
}

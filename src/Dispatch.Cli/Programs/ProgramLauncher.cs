using System.Collections;

namespace Dispatch.Cli.Programs;

/// <summary>Starts programs so that none outlives this process.</summary>
public sealed class ProgramLauncher : IAsyncDisposable
{
    /// <summary>Not handed to programs: they act for the task's requester, not for the broker's owner.</summary>
    private const string AdminToken = "DISPATCH_ADMIN_TOKEN";

    private readonly GroupWatchdog? watchdog;
    private readonly Dictionary<string, string> inherited;

    private ProgramLauncher(GroupWatchdog? watchdog)
    {
        this.watchdog = watchdog;
        inherited = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
            .Where(variable => (string)variable.Key != AdminToken)
            .ToDictionary(variable => (string)variable.Key, variable => (string?)variable.Value ?? "");
    }

    /// <summary>Prepares to start programs.</summary>
    /// <param name="grace">Time between asking a program to end and killing it, should this process be killed.</param>
    /// <param name="warn">Takes a sentence for the person who runs this.</param>
    public static ProgramLauncher Create(TimeSpan grace, Action<string> warn)
    {
        if (OperatingSystem.IsWindows())
            return new ProgramLauncher(watchdog: null);
        return new ProgramLauncher(GroupWatchdog.Start(grace, warn));
    }

    /// <summary>Starts a program with this process's environment and more.</summary>
    /// <param name="words">The program and its arguments.</param>
    /// <param name="variables">Set in addition; they win over inherited ones.</param>
    /// <exception cref="ProgramNotStartedException">The operating system refused.</exception>
    public IProgramProcess Start(IReadOnlyList<string> words, IReadOnlyDictionary<string, string> variables)
    {
        var environment = new Dictionary<string, string>(inherited);
        foreach (var (name, value) in variables)
            environment[name] = value.Replace("\0", "");

        return OperatingSystem.IsWindows()
            ? ManagedProcess.Start(words, environment)
            : PosixProcess.Start(words, [.. environment.Select(variable => $"{variable.Key}={variable.Value}")], watchdog);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => watchdog?.DisposeAsync() ?? ValueTask.CompletedTask;
}

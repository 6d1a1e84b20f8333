using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Workers;

/// <summary>What a worker tells its owner: a line on standard error, and with --json a line of JSON on standard output.</summary>
internal sealed class WorkerLog(Screen screen)
{
    private readonly Lock gate = new();

    /// <summary>Something happened in the worker.</summary>
    public void Tell(WorkerNotice notice) => Tell(
        Name(notice.Kind),
        notice.Kind == WorkerNoticeKind.BrokerAway ? $"{notice.Message} The worker goes on trying; a broker is started with: dispatch serve" : notice.Message,
        notice.TaskId,
        notice.Attempt);

    /// <summary>Something happened around it.</summary>
    /// <param name="kind">A stable word.</param>
    /// <param name="message">A sentence.</param>
    /// <param name="task">The task it is about, if one.</param>
    /// <param name="attempt">Its attempt; 0 without a task.</param>
    public void Tell(string kind, string message, string? task = null, int attempt = 0)
    {
        var now = TimeProvider.System.GetUtcNow();
        lock (gate)
        {
            if (screen.Json)
                screen.WriteJson(CliJson.Write(new WorkerLine(now.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'"), kind, message, task, attempt == 0 ? null : attempt)));
            else
                screen.Note($"{now.ToLocalTime():HH:mm:ss} {kind,-15} {(task is null ? "" : $"{task} #{attempt} ")}{TerminalText.Line(message)}");
        }
    }

    private static string Name(WorkerNoticeKind kind) =>
        string.Concat(kind.ToString().Select((c, i) => char.IsUpper(c) ? (i == 0 ? "" : "_") + char.ToLowerInvariant(c) : c.ToString()));
}

/// <summary>A notice for a machine.</summary>
internal sealed record WorkerLine(string Time, string Kind, string Message, string? TaskId, int? Attempt);

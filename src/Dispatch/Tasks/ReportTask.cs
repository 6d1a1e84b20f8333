using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Tasks;

/// <summary>A worker's word about its attempt.</summary>
/// <param name="Attempt">The fencing token it was given; null: taken from the current assignee only.</param>
public abstract record TaskReport(TaskId Task, int? Attempt)
{
    /// <summary>It has begun.</summary>
    public sealed record Started(TaskId Task, int? Attempt) : TaskReport(Task, Attempt);

    /// <summary>It goes on; also starts an assigned task.</summary>
    public sealed record Progressed(TaskId Task, int? Attempt, double? Percent, string? Message, JsonBytes? Data) : TaskReport(Task, Attempt);

    /// <param name="Model">The model it used; null: the one of the task's estimate.</param>
    public sealed record Completed(TaskId Task, int? Attempt, JsonBytes? Result, JsonBytes? Usage, string? Model = null) : TaskReport(Task, Attempt);

    /// <param name="RetryAfterMs">Wished delay before the next attempt; null: backoff with jitter.</param>
    /// <param name="Model">The model it used; null: the one of the task's estimate.</param>
    public sealed record Failed(TaskId Task, int? Attempt, string Error, bool Retryable, long? RetryAfterMs, JsonBytes? Usage, string? Model = null)
        : TaskReport(Task, Attempt);

    /// <summary>Handed back unworked.</summary>
    public sealed record Released(TaskId Task, int? Attempt, string? Reason) : TaskReport(Task, Attempt);

    internal AttemptOutcome Ends => this switch
    {
        Completed => AttemptOutcome.Completed,
        Failed => AttemptOutcome.Failed,
        Released => AttemptOutcome.Released,
        _ => AttemptOutcome.None,
    };
}

/// <summary>What became of a report.</summary>
public enum ReportVerdict
{
    Accepted,

    /// <summary>It repeats what was reported before; nothing changed.</summary>
    Unchanged,

    /// <summary>Another attempt than the current one, or one that has ended.</summary>
    Stale,

    /// <summary>The caller does not hold the task.</summary>
    Foreign,

    /// <summary>The task is not in memory: finished, or never there. The store tells.</summary>
    NotLive,
}

/// <param name="Task">As it stood at the end of the batch; null when not live before.</param>
public sealed record ReportOutcome(ReportVerdict Verdict, WorkTask? Task, TaskSpec? Spec);

/// <summary>One report. Repeating it changes nothing.</summary>
public sealed record ReportTask(TaskReport Report) : Command<ReportOutcome>
{
    public override ReportOutcome Decide(State state, Decision decision)
    {
        var entry = state.Tasks.Find(Report.Task);
        var verdict = Reporting.Take(state, decision, entry, Report, Caller!, ByAdmin);
        return new ReportOutcome(verdict, entry?.Task, entry?.Spec);
    }

    public override ReportOutcome Conclude(State state, Decision decision, ReportOutcome outcome) =>
        outcome.Task is not null && state.Tasks.Find(Report.Task) is { } entry ? outcome with { Task = entry.Task, Spec = entry.Spec } : outcome;
}

/// <summary>The one place where a worker's reports are judged and taken.</summary>
public static class Reporting
{
    /// <summary>The wait before a task that was handed back is offered to the same agent again when nobody else can take it.</summary>
    private const long ReleasePauseMs = 1_000;

    internal static ReportVerdict Take(State state, Decision decision, TaskEntry? entry, TaskReport report, string caller, bool byAdmin)
    {
        if (entry is null)
            return ReportVerdict.NotLive;

        var task = entry.Task;
        if (!task.IsHeldBy(byAdmin ? task.Assignee ?? caller : caller, report.Attempt))
            return WhyNot(task, report, caller);

        switch (report)
        {
            case TaskReport.Started:
                if (task.Status == TaskState.Running)
                    return ReportVerdict.Unchanged;
                decision.Raise(task, new TaskStarted(task.Assignee!, task.Attempt));
                return ReportVerdict.Accepted;

            case TaskReport.Progressed progress:
                if (task.Status == TaskState.Assigned)
                    decision.Raise(task, new TaskStarted(task.Assignee!, task.Attempt));
                decision.Raise(entry.Task, new TaskProgressed(task.Assignee!, task.Attempt, progress.Percent, progress.Message, progress.Data));
                return ReportVerdict.Accepted;

            case TaskReport.Completed done:
                decision.Raise(task, new TaskCompleted(task.Assignee!, task.Attempt, done.Result, done.Usage, done.Model));
                decision.Ended.Enqueue(entry);
                return ReportVerdict.Accepted;

            case TaskReport.Failed failed:
                decision.Raise(task, new TaskFailed(task.Assignee!, task.Attempt, failed.Error, failed.Retryable, failed.Usage, failed.Model));
                TaskEnding.RetryOrBury(state, decision, entry, failed.Retryable, failed.RetryAfterMs);
                return ReportVerdict.Accepted;

            case TaskReport.Released released:
                // Without the pause, a lone worker that hands everything back would be given it again at once, for ever.
                long? pause = AnotherCanTakeIt(state, entry) ? null : state.Now + ReleasePauseMs;
                decision.Raise(task, new TaskReleased(task.Assignee!, task.Attempt, released.Reason ?? "released by the worker", pause));
                return ReportVerdict.Accepted;

            default:
                throw new InvalidOperationException($"Unknown report {report.GetType().Name}.");
        }
    }

    /// <summary>The answer to a report on a task that is not held by the caller (any more).</summary>
    public static ReportVerdict WhyNot(WorkTask task, TaskReport report, string caller)
    {
        if (report.Ends != AttemptOutcome.None && task.WasEndedBy(caller, report.Attempt, report.Ends))
            return ReportVerdict.Unchanged;
        if (report.Attempt is { } attempt && (attempt != task.Attempt || !task.IsHeld))
            return ReportVerdict.Stale;
        return task.IsHeld && !string.Equals(task.Assignee, caller, StringComparison.Ordinal) ? ReportVerdict.Foreign : ReportVerdict.Stale;
    }

    private static bool AnotherCanTakeIt(State state, TaskEntry entry)
    {
        var needs = entry.Task.Needs;
        foreach (var agent in state.Agents.All)
        {
            if (agent != entry.Holder && Matching.Matcher.CanDo(state, needs, agent) && Matching.Matcher.WhyNot(agent) == Matching.WaitReason.None
                && state.Allowances.Charging.Refuses(agent, entry.Task) is null)
                return true;
        }

        return false;
    }
}

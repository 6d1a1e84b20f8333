using Dispatch.Chaos.Checking;
using Dispatch.Chaos.Histories;
using TaskStatus = Dispatch.Chaos.Histories.TaskStatus;

namespace Dispatch.Chaos.Tests.Checking;

/// <summary>
/// A history and what the broker holds in the end, written by hand. Operations happen one after the other in the order told.
/// </summary>
public sealed class Story
{
    private readonly List<HistoryLine> lines = [];
    private readonly List<FinalTask> kept = [];
    private long now;
    private long sequence;

    public bool IsDrained { get; set; } = true;

    public IReadOnlyList<Finding> Judge() => HistoryChecker.Check(new History(lines), new Snapshot(kept, IsDrained));

    /// <summary>Each task's id is its token.</summary>
    public void Submit(Phase end, params NewTask[] tasks) =>
        Tell("client", new Invocation.Submit(tasks), end, new Answer.Submitted([.. tasks.Select(task => task.Token)], Existed: false));

    public void Submit(params IEnumerable<string> tokens) => Submit(Phase.Ok, [.. tokens.Select(token => New(token))]);

    public static NewTask New(string token, string? key = null, int maxRetries = 1, params IReadOnlyList<string> dependsOn) =>
        new(token, key, null, dependsOn, maxRetries);

    public void Grant(string agent, string task, int attempt = 1) =>
        Tell(agent, new Invocation.Exchange([]), Phase.Ok, new Answer.Exchanged([], [new Grant(task, attempt)]));

    /// <param name="status">What the broker said to it: accepted, unchanged, stale or unknown; null for no answer.</param>
    public void Report(string agent, string task, int attempt, string outcome, string? status, string? result = null, bool isLie = false) => Tell(
        agent, new Invocation.Exchange([new Report(agent, task, attempt, outcome, result, isLie)]), status is null ? Phase.Unknown : Phase.Ok,
        status is null ? null : new Answer.Exchanged([status], []));

    public void Cancel(string task, Phase end = Phase.Ok) =>
        Tell("client", new Invocation.Cancel(task), end, new Answer.Seen(new Sight(task, TaskStatus.Cancelled, 0, null)), "task_state");

    public void Retry(string task, Phase end = Phase.Ok) =>
        Tell("client", new Invocation.Retry(task), end, new Answer.Seen(new Sight(task, "pending", 0, null)), "task_state");

    public void Look(string task, string status, int attempt = 0, string? result = null) =>
        Tell("client", new Invocation.Look(task), Phase.Ok, new Answer.Seen(new Sight(task, status, attempt, result)));

    public void LookInVain(string task) => Tell("client", new Invocation.Look(task), Phase.Refused, null, "task_not_found");

    public void Tell(string actor, Invocation what, Phase end, Answer? answer, string? code = null)
    {
        var op = $"{actor}.{++now}";
        lines.Add(new HistoryLine(op, actor, now, Phase.Invoke, Invocation: what));
        lines.Add(new HistoryLine(op, actor, ++now, end, Answer: end == Phase.Ok ? answer : null, Code: end == Phase.Ok ? null : code));
    }

    /// <summary>The broker holds this task. Attempts are told as <c>worker-1:failed</c>, in order; the history follows from them.</summary>
    public FinalTask Hold(string task, string status, string? result = null, int maxRetries = 1, IReadOnlyList<string>? dependsOn = null, params string[] attempts)
    {
        var events = new List<TaskEvent> { Event("task.created") };
        var ended = new List<EndedAttempt>();
        foreach (var (agent, outcome) in attempts.Select(one => one.Split(':')).Select(parts => (parts[0], parts[1])))
        {
            if (events[^1].Type is "task.failed" or "task.dead_lettered")
                events.Add(Event("task.retried", isManual: events[^1].Type == "task.dead_lettered"));
            events.Add(Event("task.assigned", ended.Count + 1, agent));
            ended.Add(new EndedAttempt(ended.Count + 1, agent, outcome, IsStarted: true));
            if (outcome != "cancelled")
                events.Add(Event("task." + outcome, ended.Count, agent));
        }

        if (status is TaskStatus.Failed or TaskStatus.Timeout)
            events.Add(Event("task.dead_lettered"));
        if (status == TaskStatus.Cancelled)
            events.Add(Event("task.cancelled"));
        var held = new FinalTask(task, task, status, null, ended.Count, maxRetries, result, dependsOn ?? [], ended, events);
        kept.Add(held);
        return held;
    }

    /// <summary>Puts another in the place of a held task.</summary>
    public void Change(string task, Func<FinalTask, FinalTask> change)
    {
        var at = kept.FindIndex(held => held.Id == task);
        kept[at] = change(kept[at]);
    }

    public void Forget(string task) => kept.RemoveAll(held => held.Id == task);

    public void HoldAlso(FinalTask task) => kept.Add(task);

    public TaskEvent Event(string type, int? attempt = null, string? agent = null, bool isManual = false) =>
        new(++sequence, type, attempt, agent, isManual);
}

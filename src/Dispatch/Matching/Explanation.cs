using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Matching;

/// <summary>Why a task is where it is: its assignment, or what it waits for, with every agent looked at.</summary>
/// <param name="Reason">None is never given.</param>
/// <param name="Candidates">At most 100 agents: able ones first.</param>
/// <param name="WaitingOn">Dependencies that are not completed.</param>
public sealed record Explanation(WorkTask Task, WaitReason Reason, string Message, IReadOnlyList<ExplainedAgent> Candidates, IReadOnlyList<TaskId> WaitingOn)
{
    private const int MaxCandidates = 100;

    /// <summary>Explains a live task from the state as it is.</summary>
    public static Explanation Of(State state, TaskEntry entry)
    {
        var task = entry.Task;
        var agents = state.Agents.All.Select(agent => Look(state, task, agent))
            .OrderByDescending(agent => agent.Able).ThenByDescending(agent => agent.Score.Score)
            .Take(MaxCandidates).ToList();
        var waitingOn = task.DependsOn.Where(id => state.Tasks.Find(id) is { Task.Status: not TaskState.Completed }).ToList();
        var reason = task.Status switch
        {
            TaskState.Scheduled => WaitReason.NotDue,
            TaskState.Blocked when waitingOn.Count == 0 => WaitReason.Confirmation,
            TaskState.Blocked => WaitReason.Dependency,
            TaskState.Assigned or TaskState.Running => WaitReason.Assigned,
            TaskState.Pending when entry.Waking is not null => WaitReason.Waking,
            TaskState.Pending when entry.Line is null => WaitReason.Backoff,
            TaskState.Pending => state.Matcher.WhyWaiting(entry),
            _ => WaitReason.Final,
        };
        return new Explanation(task, reason, Tell(reason, task, entry, state), agents, waitingOn);
    }

    /// <summary>One sentence that says what is missing and what would help.</summary>
    public static string Sentence(WaitReason reason, Requirement needs) => reason switch
    {
        WaitReason.NoAgents => "No agent is registered.",
        WaitReason.NoCapability => $"No registered agent has every required capability: {string.Join(", ", needs.Required)}.",
        WaitReason.OwnerFilter => $"Agents with these capabilities exist, but none belongs to owner '{needs.Owner}' and the owner filter is on.",
        WaitReason.Drained => "Every agent that could do it and is alive is drained.",
        WaitReason.Offline => "Every agent that could do it is offline.",
        WaitReason.Degraded => "Every agent that could do it and is alive is degraded.",
        WaitReason.WakeFailed => "The agents that could do it sleep and did not wake when asked.",
        WaitReason.AllBusy => "Every agent that can do it holds as many tasks as it may.",
        WaitReason.Allowance => "No agent that can do it has allowance left for it.",
        _ => reason.ToString(),
    };

    private static string Tell(WaitReason reason, WorkTask task, TaskEntry entry, State state) => reason switch
    {
        WaitReason.NotDue => $"Scheduled for {Time(task.RunAt)}.",
        WaitReason.Dependency => "Waits for its dependencies to complete.",
        WaitReason.Confirmation when state.Questions.ConfirmationOf(task.Id.ToString()) is { } question =>
            $"Waits to be confirmed: question {question.Id}{(question.Awaited.Length > 0 ? $" waits for {string.Join(", ", question.Awaited)}" : "")}, until {Time(question.ExpiresAt)}.",
        WaitReason.Backoff => $"Attempt {task.Attempt} did not succeed; the next one may start at {Time(task.NextAttemptAt)}.",
        WaitReason.Waking => $"Agent {entry.Waking!.Agent.Id} was chosen and is asked to wake.",
        WaitReason.Assigned => $"Held by agent {task.Assignee} under attempt {task.Attempt}.",
        WaitReason.Final => $"Ended as {TaskEnding.Word(task.Status)}.",
        WaitReason.None => "Will be looked at in the next batch.",
        WaitReason.Allowance when Bound(state, entry) is { } message => message,
        _ => Sentence(reason, task.Needs),
    };

    // The limit that binds: of the whole line, or of the first agent that is able.
    private static string? Bound(State state, TaskEntry entry)
    {
        foreach (var agent in state.Agents.All)
        {
            if (Matcher.CanDo(state, entry.Task.Needs, agent) && state.Allowances.Charging.Refuses(agent, entry.Task) is { } refused)
                return AllowanceRefusal.Of(state, refused, entry.Task.Cost).Message;
        }

        return null;
    }

    private static string Time(long ms) => DateTimeOffset.FromUnixTimeMilliseconds(ms).UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ");

    private static ExplainedAgent Look(State state, WorkTask task, AgentEntry agent)
    {
        var needs = task.Needs;
        var able = needs.RequiredKeys.All(key => agent.FoldedCapabilities.Contains(key, StringComparer.Ordinal));
        var owned = needs.Owner is null || !state.Options.OwnerFilter || string.Equals(needs.Owner, agent.Agent.Owner, StringComparison.Ordinal);
        var reason = !able ? WaitReason.NoCapability : !owned ? WaitReason.OwnerFilter : Matcher.WhyNot(agent);
        var refused = able && owned ? state.Allowances.Charging.Refuses(agent, task) : null;
        if (refused is not null && reason is WaitReason.None or WaitReason.AllBusy)
            reason = WaitReason.Allowance;
        var score = Matcher.Score(agent, able ? Matcher.CapabilityMatch(needs, agent) : 0, task.Priority, 0);
        return new ExplainedAgent(agent.Agent.Id, reason == WaitReason.None, able && owned, reason, score, refused is { } why ? AllowanceRefusal.Of(state, why, task.Cost).Message : null);
    }
}

/// <param name="Eligible">It could be given the task now.</param>
/// <param name="Able">It has what the task asks for, whether or not it is free.</param>
/// <param name="Reason">Why not eligible; None when it is.</param>
/// <param name="Limit">The limit that has no room for it, in words; null: none.</param>
public sealed record ExplainedAgent(string Agent, bool Eligible, bool Able, WaitReason Reason, MatchScore Score, string? Limit = null);

using Dispatch.Agents;

namespace Dispatch.Sequencing;

/// <summary>The broker in numbers at one moment.</summary>
/// <param name="Totals">Tasks in each state, finished ones included, indexed by <see cref="Tasks.TaskState"/>.</param>
/// <param name="OldestPendingMs">How long the task that waits longest could have been given out; 0 when none waits.</param>
public sealed record StateStats(long Sequence, IReadOnlyList<long> Totals, long OldestPendingMs, IReadOnlyList<AgentView> Agents);

/// <summary>Reads the numbers. Changes nothing.</summary>
public sealed record ReadStats : Command<StateStats>
{
    public override StateStats Decide(State state, Decision decision)
    {
        var oldest = state.Matcher.OldestQueuedAt() is { } at ? Math.Max(0, state.Now - at) : 0;
        return new StateStats(state.Sequence, state.Tasks.Totals.ToArray(), oldest, state.Agents.All.Select(entry => AgentView.Of(entry)).ToArray());
    }
}

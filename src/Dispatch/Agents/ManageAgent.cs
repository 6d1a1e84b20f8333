using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Agents;

/// <summary>An agent and what it has in hand.</summary>
/// <param name="LastSeenAt">Unix milliseconds; 0 when not seen since the broker started.</param>
public sealed record AgentView(Agent Agent, int Active, long LastSeenAt, bool IsNew = false)
{
    internal static AgentView Of(AgentEntry entry, bool isNew = false) => new(entry.Agent, entry.Active, entry.LastSeenAt, isNew);
}

/// <summary>Registers an agent or replaces its registration. What it holds stays with it.</summary>
public sealed record RegisterAgent(
    string Id, string[] Capabilities, string? Owner, JsonBytes? Labels, int MaxConcurrent, AgentStatus Status, string? WakeUrl) : Command<AgentView>
{
    public override AgentView Decide(State state, Decision decision)
    {
        var known = state.Agents.Find(Id);
        decision.Raise(Id, null, known?.Agent.LastSequence ?? 0, new AgentRegistered(Capabilities, Owner, Labels, MaxConcurrent, Status, WakeUrl));
        var entry = state.Agents.Find(Id)!;

        // Chosen by what it was before: it may not have the abilities, the room or the need to be woken any more.
        if (entry.IsWaking)
            Presence.FreeReserved(state, entry);
        return AgentView.Of(entry, isNew: known is null);
    }
}

/// <summary>An agent leaves: its work goes back to the queue at no cost in attempts. Answers how many tasks, or null: no such agent.</summary>
public sealed record DeregisterAgent(string Id) : Command<int?>
{
    public override int? Decide(State state, Decision decision)
    {
        if (state.Agents.Find(Id) is not { } entry)
            return null;

        var held = Presence.InOrder(entry);
        foreach (var task in held)
            TaskEnding.HandBack(decision, task, "the agent left", revoke: false);
        Presence.FreeReserved(state, entry);
        decision.Raise(entry.Agent, new AgentDeregistered("left"));
        return held.Count;
    }
}

/// <summary>Stops giving an agent work, or starts again. Work it has not started goes back; what runs may end. Null: no such agent.</summary>
public sealed record DrainAgent(string Id, bool Drain) : Command<AgentView?>
{
    public override AgentView? Decide(State state, Decision decision)
    {
        if (state.Agents.Find(Id) is not { } entry)
            return null;
        if (entry.Agent.Drained == Drain)
            return AgentView.Of(entry);

        decision.Raise(entry.Agent, Drain ? new AgentDrained() : new AgentResumed());
        if (Drain)
        {
            Presence.FreeReserved(state, entry);
            foreach (var task in Presence.InOrder(entry).Where(task => task.Task.Status == TaskState.Assigned))
                TaskEnding.HandBack(decision, task, "the agent was drained", revoke: true);
        }

        return AgentView.Of(entry);
    }
}

/// <summary>
/// The agent's connection dropped: what it has not started goes back, and it gets nothing until its next sign of life. What runs
/// stays with it while its lease lasts. Answers how many tasks went back.
/// </summary>
/// <param name="SilentMs">Nothing happens when it showed a sign of life within so many milliseconds: it is back in another way.</param>
public sealed record ReturnUnstarted(string Id, long SilentMs = 0) : Command<int>
{
    public override int Decide(State state, Decision decision)
    {
        if (state.Agents.Find(Id) is not { } entry || state.Elapsed - entry.SeenAt < SilentMs)
            return 0;

        entry.Disconnected = true;
        Presence.FreeReserved(state, entry);
        var unstarted = Presence.InOrder(entry).Where(task => task.Task.Status == TaskState.Assigned).ToList();
        foreach (var task in unstarted)
            TaskEnding.HandBack(decision, task, "the connection dropped", revoke: true);
        return unstarted.Count;
    }
}

/// <summary>A sign of life that needs no answer in full.</summary>
public sealed record Heartbeat(string Id, AgentStatus? Status) : Command<HeartbeatOutcome?>
{
    public override HeartbeatOutcome? Decide(State state, Decision decision)
    {
        if (state.Agents.Find(Id) is not { } entry)
            return null;

        Presence.SignOfLife(state, decision, entry, Status);
        var revoked = entry.Revocations.ToArray();
        entry.Revocations.Clear();
        return new HeartbeatOutcome(AgentView.Of(entry), state.Now + entry.LeaseMs, entry.IsWaking, revoked);
    }
}

/// <param name="LeaseExpiresAt">Unix milliseconds.</param>
/// <param name="Wake">The agent sleeps and is asked to wake.</param>
public sealed record HeartbeatOutcome(AgentView Agent, long LeaseExpiresAt, bool Wake, IReadOnlyList<Revocation> Revoked);

/// <summary>All agents, in order of first registration. Changes nothing.</summary>
public sealed record ListAgents : Command<IReadOnlyList<AgentView>>
{
    public override IReadOnlyList<AgentView> Decide(State state, Decision decision) => state.Agents.All.Select(entry => AgentView.Of(entry)).ToArray();
}

/// <summary>One agent, or null.</summary>
public sealed record FindAgent(string Id) : Command<AgentView?>
{
    public override AgentView? Decide(State state, Decision decision) => state.Agents.Find(Id) is { } entry ? AgentView.Of(entry) : null;
}

/// <summary>What an agent holds; null: no such agent.</summary>
public sealed record ListHeld(string Id) : Command<HeldTasks?>
{
    public override HeldTasks? Decide(State state, Decision decision) => state.Agents.Find(Id) is { } entry
        ? new HeldTasks(
            Presence.InOrder(entry).Select(held => new GrantedTask(held.Task, held.Spec)).ToArray(),
            state.Now + entry.LeaseMs - (state.Elapsed - entry.SeenAt))
        : null;
}

/// <param name="Tasks">Oldest first.</param>
/// <param name="LeaseExpiresAt">Unix milliseconds.</param>
public sealed record HeldTasks(IReadOnlyList<GrantedTask> Tasks, long LeaseExpiresAt);

/// <param name="Spec">Null when it is not in memory: the store has it.</param>
public readonly record struct GrantedTask(WorkTask Task, TaskSpec? Spec);

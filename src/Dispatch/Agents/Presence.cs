using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Agents;

/// <summary>Whether agents are there: signs of life, leases that run out, wake-ups.</summary>
internal static class Presence
{
    /// <summary>The agent showed that it lives, and perhaps how it is.</summary>
    public static void SignOfLife(State state, Decision decision, AgentEntry entry, AgentStatus? says)
    {
        state.Agents.Seen(entry);
        if (entry.Disconnected)
        {
            entry.Disconnected = false;
            state.Matcher.Refresh(entry);
        }

        var before = entry.Agent.Status;
        var now = says ?? (before == AgentStatus.Offline ? AgentStatus.Ready : before);
        if (now != before)
        {
            decision.Raise(entry.Agent, new AgentStatusChanged(before, now));
            state.Agents.Seen(entry);
        }

        if (entry.IsWaking && now is AgentStatus.Ready or AgentStatus.Busy)
            Wake(state, decision, entry);
    }

    /// <summary>How long until the next look: the rest of the lease, or of the time until an offline agent is forgotten.</summary>
    public static long CheckAfter(State state, AgentEntry entry) =>
        entry.Agent.Status == AgentStatus.Offline ? state.Options.ReapAfterMs : entry.LeaseMs;

    public static void LeaseDue(State state, Decision decision, AgentEntry entry)
    {
        var silent = state.Elapsed - entry.SeenAt;
        var offline = entry.Agent.Status == AgentStatus.Offline;
        var allowed = CheckAfter(state, entry);
        if (silent < allowed)
        {
            state.Due.Arm(entry.Lease, entry.SeenAt + allowed);
            return;
        }

        if (!offline)
        {
            decision.Cause = decision.Raise(entry.Agent, new AgentOffline(silent)).Sequence;
            FreeReserved(state, entry);
            foreach (var held in InOrder(entry))
                TaskEnding.TakeFromVanished(decision, held, $"Agent {entry.Agent.Id} showed no sign of life for {silent} ms.");
            state.Due.Arm(entry.Lease, state.Elapsed + state.Options.ReapAfterMs);
        }
        else if (!entry.Agent.Drained)
        {
            decision.Raise(entry.Agent, new AgentDeregistered("reaped"));
        }
        else
        {
            state.Due.Arm(entry.Lease, state.Elapsed + state.Options.ReapAfterMs);
        }

        decision.Cause = 0;
    }

    /// <summary>Takes the task out of the queue and keeps it for the sleeping agent until that is awake or the time is up.</summary>
    public static void RequestWake(State state, Decision decision, AgentEntry agent, TaskEntry task)
    {
        state.Tasks.Reserve(task, agent);
        decision.Called.Add(agent.Agent.Id);
        if (agent.IsWaking)
            return;
        agent.IsWaking = true;
        decision.Raise(agent.Agent, new AgentWakeRequested(task.Task.Id));
        agent.WakeTimer.AllowedMs = state.Options.WakeTimeoutMs;
        state.Due.Arm(agent.WakeTimer, state.Elapsed + agent.WakeTimer.AllowedMs);
    }

    public static void WakeDue(State state, Decision decision, AgentEntry entry)
    {
        if (!entry.IsWaking)
            return;
        entry.IsWaking = false;
        decision.Raise(entry.Agent, new AgentWakeFailed(entry.WakeTimer.AllowedMs));
        entry.Unwakeable = true;
        FreeReserved(state, entry);
    }

    /// <summary>What the agent holds, oldest first.</summary>
    public static List<TaskEntry> InOrder(AgentEntry entry)
    {
        var held = entry.Held.ToList();
        held.Sort(static (a, b) => (a.Task.AssignedAt, a.Task.Number).CompareTo((b.Task.AssignedAt, b.Task.Number)));
        return held;
    }

    /// <summary>Tasks kept for an agent that did not come go back to the queue.</summary>
    public static void FreeReserved(State state, AgentEntry entry)
    {
        var reserved = entry.Reserved.ToList();
        entry.Reserved.Clear();
        entry.IsWaking = false;
        state.Due.Disarm(entry.WakeTimer);
        foreach (var task in reserved)
        {
            task.Waking = null;
            state.Tasks.Rejoin(task, arrived: true);
        }

        state.Matcher.Refresh(entry);
    }

    /// <summary>Who is offline already is forgotten after the new time. Leases and wake-ups that were granted run as they were.</summary>
    public static void ReapAfterChanged(State state, long before)
    {
        foreach (var entry in state.Agents.All)
        {
            if (entry.Agent.Status == AgentStatus.Offline)
                state.Due.Arm(entry.Lease, entry.Lease.Due - before + state.Options.ReapAfterMs);
        }
    }

    /// <summary>A task kept for a sleeping agent that may not have it any more waits for another.</summary>
    public static void OwnerFilterChanged(State state)
    {
        foreach (var entry in state.Agents.All)
        {
            foreach (var task in entry.Reserved.Where(task => !Matching.Matcher.CanDo(state, task.Task.Needs, entry)).ToList())
            {
                entry.Reserved.Remove(task);
                task.Waking = null;
                state.Tasks.Rejoin(task, arrived: true);
            }

            state.Matcher.Refresh(entry);
        }
    }

    private static void Wake(State state, Decision decision, AgentEntry entry)
    {
        entry.IsWaking = false;
        state.Due.Disarm(entry.WakeTimer);
        decision.Cause = decision.Raise(entry.Agent, new AgentWoken()).Sequence;
        foreach (var task in entry.Reserved.ToList())
        {
            // Nothing was reserved while it woke: there may be no room any more.
            if (state.Allowances.Charging.Refuses(entry, task.Task) is not null)
            {
                entry.Reserved.Remove(task);
                task.Waking = null;
                state.Tasks.Rejoin(task, arrived: true);
                continue;
            }

            var match = Matching.Matcher.CapabilityMatch(task.Task.Needs, entry);
            var why = Matching.Matcher.Score(entry, match, task.Task.Priority, 1);
            state.Matcher.Assign(decision, entry, task, why with { Active = entry.Held.Count });
        }

        state.Matcher.Refresh(entry);

        decision.Cause = 0;
    }
}

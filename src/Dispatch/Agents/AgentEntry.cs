using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Agents;

/// <summary>A registered agent's place in memory: its record, its lease, and what it holds.</summary>
public sealed class AgentEntry
{
    internal AgentEntry(Agent agent, int slot)
    {
        Agent = agent;
        Slot = slot;
        Lease = new LeaseTimer(this);
        WakeTimer = new WakeTimer(this);
        FoldedCapabilities = Matching.Requirement.Fold(agent.Capabilities);
    }

    public Agent Agent { get; internal set; }

    internal string[] FoldedCapabilities { get; set; }

    /// <summary>Small dense number: its bit in the matcher's sets.</summary>
    internal int Slot { get; }

    /// <summary>When it last showed a sign of life: monotonic, and by the wall clock for display.</summary>
    internal long SeenAt { get; set; }

    public long LastSeenAt { get; internal set; }

    internal LeaseTimer Lease { get; }

    internal WakeTimer WakeTimer { get; }

    /// <summary>Tasks it holds (assigned or running), in no order; each knows its index here.</summary>
    internal List<TaskEntry> Held { get; } = [];

    /// <summary>Tasks assigned to it that no exchange has answered with yet; some may have moved on.</summary>
    internal Queue<TaskEntry> Undelivered { get; } = [];

    /// <summary>Tasks kept for it while it wakes.</summary>
    internal List<TaskEntry> Reserved { get; } = [];

    /// <summary>Asked to wake and not yet ready.</summary>
    internal bool IsWaking { get; set; }

    /// <summary>Did not wake when asked: not chosen until it shows another status.</summary>
    internal bool Unwakeable { get; set; }

    /// <summary>Its connection dropped: it gets nothing until its next sign of life.</summary>
    internal bool Disconnected { get; set; }

    /// <summary>Attempts taken from it that it has not been told of.</summary>
    internal List<Revocation> Revocations { get; } = [];

    /// <summary>Where the matcher keeps it now: tier of availability and level of load, or -1.</summary>
    internal int Tier { get; set; } = -1;

    internal int Level { get; set; }

    internal bool Dirty { get; set; }

    /// <summary>Tasks it holds or that are kept for it.</summary>
    public int Active => Held.Count + Reserved.Count;
}

/// <summary>An attempt the agent should stop working on.</summary>
public readonly record struct Revocation(TaskId Task, int Attempt, string Reason);

internal sealed class LeaseTimer(AgentEntry entry) : DueTimer
{
    public override void Fire(State state, Decision decision) => Presence.LeaseDue(state, decision, entry);
}

internal sealed class WakeTimer(AgentEntry entry) : DueTimer
{
    public override void Fire(State state, Decision decision) => Presence.WakeDue(state, decision, entry);
}

using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Agents;

/// <summary>A registered agent's place in memory: its record, its lease, and what it holds.</summary>
public sealed class AgentEntry
{
    // Enough for the most an agent may hold to be taken from it at once.
    private const int MaxRevocations = 20_000;

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

    /// <summary>How long the last sign of life is good for: it was told, so it stands when the setting changes.</summary>
    internal long LeaseMs { get; set; }

    internal LeaseTimer Lease { get; }

    internal WakeTimer WakeTimer { get; }

    /// <summary>Tasks it holds (assigned or running), in no order; each knows its index here.</summary>
    internal List<TaskEntry> Held { get; } = [];

    /// <summary>Tasks assigned to it that no exchange has answered with yet; some may have moved on.</summary>
    internal Queue<TaskEntry> Undelivered { get; private set; } = [];

    /// <summary>Tasks kept for it while it wakes.</summary>
    internal List<TaskEntry> Reserved { get; } = [];

    /// <summary>Asked to wake and not yet ready.</summary>
    internal bool IsWaking { get; set; }

    /// <summary>Did not wake when asked: not chosen until it shows another status.</summary>
    internal bool Unwakeable { get; set; }

    /// <summary>Its connection dropped: it gets nothing until its next sign of life.</summary>
    internal bool Disconnected { get; set; }

    /// <summary>Attempts taken from it that it has not been told of, the newest ones: what it says it holds is compared in any case.</summary>
    internal List<Revocation> Revocations { get; } = [];

    /// <summary>Where the matcher keeps it now: tier of availability and level of load, or -1.</summary>
    internal int Tier { get; set; } = -1;

    internal int Level { get; set; }

    /// <summary>The balances that its work is booked on, as of a version of the limits.</summary>
    internal Allowances.LimitPath? LimitPath { get; set; }

    /// <summary>Balances that refused it something.</summary>
    internal HashSet<Allowances.BalanceEntry> WaitsFor { get; } = [];

    /// <summary>The balance that leaves it nothing at all: it is no candidate until there is room; null: none.</summary>
    internal Allowances.BalanceEntry? OutOf { get; set; }

    internal bool Dirty { get; set; }

    /// <summary>Tasks it holds or that are kept for it.</summary>
    public int Active => Held.Count + Reserved.Count;

    /// <summary>Puts a task it was given at the end of what is to be delivered.</summary>
    internal void Owe(TaskEntry task)
    {
        // An agent that never asks by exchange would otherwise collect every task it ever had.
        if (Undelivered.Count > (2 * Held.Count) + 16)
            Undelivered = new Queue<TaskEntry>(Undelivered.Where(owed => owed.Holder == this && !owed.Delivered).Distinct());
        Undelivered.Enqueue(task);
    }

    /// <summary>Lets go of what it was given and has no more, up to the first it still has to be told of.</summary>
    internal void Disown()
    {
        while (Undelivered.TryPeek(out var owed) && (owed.Holder != this || owed.Delivered))
            Undelivered.Dequeue();
    }

    /// <summary>Notes an attempt that it should stop working on.</summary>
    internal void Revoke(Revocation revocation)
    {
        if (Revocations.Count >= MaxRevocations)
            Revocations.RemoveRange(0, MaxRevocations / 2);
        Revocations.Add(revocation);
    }
}

/// <summary>An attempt the agent should stop working on.</summary>
public readonly record struct Revocation(TaskId Task, int Attempt, string Reason);

internal sealed class LeaseTimer(AgentEntry entry) : DueTimer
{
    public override void Fire(State state, Decision decision) => Presence.LeaseDue(state, decision, entry);
}

internal sealed class WakeTimer(AgentEntry entry) : DueTimer
{
    /// <summary>How long it was given.</summary>
    public long AllowedMs { get; set; }

    public override void Fire(State state, Decision decision) => Presence.WakeDue(state, decision, entry);
}

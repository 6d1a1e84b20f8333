using Dispatch.Agents;
using Dispatch.Matching;
using Dispatch.Sequencing;

namespace Dispatch.Allowances;

/// <summary>Who waits for which balance, and when they look again. Only a live state has such.</summary>
internal sealed class AllowanceQueue(State state, AllowanceTable table)
{
    // Those at which somebody waits for as much as experience says that work needs.
    private readonly List<BalanceEntry> expecting = [];

    /// <summary>Balances that may have room for who waits for them.</summary>
    internal List<BalanceEntry> Opened { get; } = [];

    /// <summary>An agent was refused: it looks again when there is room.</summary>
    /// <param name="isOut">It looks at nothing else until then: what it could have with less room is not known.</param>
    internal void Wait(Refused refused, AgentEntry agent, bool isOut)
    {
        var entry = refused.Entry;
        entry.Waiters.Refuse(refused.Need);
        if (refused.IsExperience)
            NoteExperience(entry);
        if (isOut)
            entry.Waiters.Doubt();
        if (agent.WaitsFor.Add(entry))
            entry.Waiters.Agents.AddLast(agent);
        Arm(entry);
    }

    /// <summary>A line was refused whoever would take from it: it is looked at again when there is room.</summary>
    internal void Park(Refused refused, WaitingLine line)
    {
        var entry = refused.Entry;
        entry.Waiters.Refuse(refused.LeastNeed);
        if (refused.IsExperience)
            NoteExperience(entry);
        line.ParkedOn = entry;
        entry.Waiters.Parked.Add(line);
        Arm(entry);
    }

    /// <summary>The agent left: it waits for nothing.</summary>
    internal static void Forget(AgentEntry agent)
    {
        foreach (var entry in agent.WaitsFor)
            entry.Waiters.Agents.Remove(agent);
        agent.WaitsFor.Clear();
        agent.OutOf = null;
    }

    /// <summary>Its timer fired.</summary>
    internal void Due(Decision decision, BalanceEntry entry)
    {
        entry.TimedAt = 0;
        if (entry.Limit is null)
            return;
        table.BeginWindow(decision, entry);
        Open(entry);
        Arm(entry);
    }

    internal void Open(BalanceEntry entry)
    {
        if (!state.IsLive || !entry.IsWaitedFor)
            return;
        entry.Waiters.OpenAgain();
        if (entry.Waiters.Opened)
            return;
        entry.Waiters.Opened = true;
        Opened.Add(entry);
    }

    // Whoever waits is looked at again, however little room there is: it may not be this limit that refuses them any more.
    internal void Release(BalanceEntry entry)
    {
        if (!entry.IsWaitedFor)
            return;
        entry.Waiters.Force();
        Open(entry);
    }

    internal void Arm(BalanceEntry entry)
    {
        if (!state.IsLive || entry.Limit is null)
            return;
        var due = entry.Balance.Used > 0 && entry.IsCalendar ? entry.Balance.WindowEnd : entry.IsWaitedFor ? entry.FreesAt(state.Now) : long.MaxValue;
        if (due == entry.TimedAt)
            return;
        if (due != long.MaxValue)
        {
            state.WallDue.Arm(entry.Timer ??= new BalanceTimer(entry), due);
            entry.TimedAt = due;
        }
        else
        {
            Disarm(entry);
        }
    }

    internal void Disarm(BalanceEntry entry)
    {
        entry.TimedAt = 0;
        if (entry.Timer is { } timer)
            state.WallDue.Disarm(timer);
    }

    /// <summary>Whoever was refused what experience said may be given it by what is known now.</summary>
    internal void ExpectLess()
    {
        for (var i = expecting.Count - 1; i >= 0; i--)
        {
            var entry = expecting[i];
            if (entry.IsWaitedFor)
            {
                entry.Waiters.Doubt();
                Open(entry);
            }
            else
            {
                entry.Waiters.IsExpecting = false;
                expecting.RemoveAt(i);
            }
        }
    }

    private void NoteExperience(BalanceEntry entry)
    {
        if (entry.Waiters.IsExpecting)
            return;
        entry.Waiters.IsExpecting = true;
        expecting.Add(entry);
    }
}

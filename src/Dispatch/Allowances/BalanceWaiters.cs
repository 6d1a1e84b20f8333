using Dispatch.Agents;
using Dispatch.Matching;

namespace Dispatch.Allowances;

/// <summary>Who waits for a balance, and how they are let look again: each once, no more at a time than may find room.</summary>
internal sealed class BalanceWaiters(BalanceEntry entry)
{
    private SortedSet<WaitingLine>? parked;
    private LinkedList<AgentEntry>? agents;
    private Queue<WaitingLine>? openLines;
    private Queue<AgentEntry>? openAgents;
    private long leastRefusedAgain;
    private bool again;
    private bool forced;
    private bool doubtful;
    private bool doubtfulAgain;
    private int rounds;

    /// <summary>Listed because somebody waits for as much as experience says.</summary>
    public bool IsExpecting { get; set; }

    /// <summary>Listed because there may be room for who waits.</summary>
    public bool Opened { get; set; }

    public bool IsEmpty => parked is not { Count: > 0 } && agents is not { Count: > 0 };

    /// <summary>Least that somebody who waits was refused.</summary>
    public long LeastRefused { get; set; } = long.MaxValue;

    /// <summary>Lines that nobody may be given from, the most urgent first.</summary>
    public SortedSet<WaitingLine> Parked => parked ??= new SortedSet<WaitingLine>(CapabilityColumn.ByPlace);

    /// <summary>Agents that were refused something, in order of refusal.</summary>
    public LinkedList<AgentEntry> Agents => agents ??= [];

    /// <summary>There may be more room than when those who wait were let look.</summary>
    public void OpenAgain() => again = true;

    /// <summary>Whoever waits may look, whatever room there is: it may not be this that they wait for any more.</summary>
    public void Force()
    {
        // Also those who have looked since the opening began.
        forced = true;
        openLines = null;
        openAgents = null;
    }

    /// <summary>Somebody who waits may do with less than was refused: whenever there is room they look, few at a time.</summary>
    public void Doubt() => doubtful = doubtfulAgain = true;

    /// <summary>Those who wait now are let look, each once.</summary>
    public void BeginOpening()
    {
        if (openLines is not null)
            return;
        openLines = new Queue<WaitingLine>(Parked);
        openAgents = new Queue<AgentEntry>(Agents);
        leastRefusedAgain = long.MaxValue;
        doubtfulAgain = false;
        again = false;
        rounds = 0;
    }

    /// <summary>The next line that was parked, or null.</summary>
    public WaitingLine? TakeLine()
    {
        while (openLines!.TryDequeue(out var line))
        {
            if (line.ParkedOn == entry)
                return line;
        }

        return null;
    }

    /// <summary>The next agent that was refused, or null. It waits no more.</summary>
    public AgentEntry? TakeAgent()
    {
        while (openAgents!.TryDequeue(out var agent))
        {
            if (agent.WaitsFor.Remove(entry))
            {
                Agents.Remove(agent);
                return agent;
            }
        }

        return null;
    }

    /// <summary>True when nobody is left to be let look, or there is no room for any of them.</summary>
    public bool EndOpening(long now)
    {
        var all = openLines!.Count == 0 && openAgents!.Count == 0;
        if (!all && TurnsAt(now) > 0)
        {
            rounds++;
            return false;
        }

        if (all)
            (LeastRefused, doubtful) = (leastRefusedAgain, doubtfulAgain);
        openLines = null;
        openAgents = null;
        forced = false;
        if (again && !IsEmpty && TurnsAt(now) > 0)
            return false;
        Opened = false;
        return true;
    }

    /// <summary>So much was refused to somebody who waits now.</summary>
    public void Refuse(long need)
    {
        need = Math.Max(1, need);
        LeastRefused = Math.Min(LeastRefused, need);
        leastRefusedAgain = Math.Min(leastRefusedAgain, need);
    }

    /// <summary>How many of those who wait may find room.</summary>
    public int TurnsAt(long now)
    {
        if (entry.Limit is null || forced)
            return int.MaxValue;
        if (entry.Unit == LimitUnit.CooldownMs)
            return entry.Balance.CooldownUntil > now ? 0 : int.MaxValue;
        if (entry.Unit is LimitUnit.Models or LimitUnit.JobMs)
            return int.MaxValue;
        var room = entry.RoomAt(now);
        if (room <= 0)
            return 0;
        var sure = (int)Math.Min(int.MaxValue, room / Math.Max(1, LeastRefused));
        return doubtful ? Math.Max(sure, 1 << Math.Min(rounds, 20)) : sure;
    }
}

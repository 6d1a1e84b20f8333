using Dispatch.Matching;
using Dispatch.Sequencing;

namespace Dispatch.Allowances;

/// <summary>The figures of a balance: see <see cref="LimitBalance"/>. A value of its own, for they change with every task.</summary>
internal readonly record struct Figures(
    long Used, long Reserved, long WindowStart, long WindowEnd, long CooldownUntil, bool Warned, bool Exceeded, IReadOnlyList<RollingStep>? Steps)
{
    public static Figures Of(LimitBalance row) => new(
        row.Used, row.Reserved, row.WindowStart, row.WindowEnd, row.CooldownUntil, row.Warned, row.Exceeded, row.Steps.Count == 0 ? null : row.Steps);
}

/// <summary>A balance in memory, and who waits for it.</summary>
internal sealed class BalanceEntry(string key, string target, string limitId)
{
    public string Key { get; } = key;

    public string LimitId { get; } = limitId;

    public string Target { get; private set; } = target;

    /// <summary>Null once the limit was deleted: what is reserved is still given back.</summary>
    public Limit? Limit { get; set; }

    public Figures Balance { get; set; }

    /// <summary>As the store keeps it.</summary>
    public LimitBalance Row => new()
    {
        Key = Key,
        Limit = LimitId,
        Target = Target,
        Used = Balance.Used,
        Reserved = Balance.Reserved,
        WindowStart = Balance.WindowStart,
        WindowEnd = Balance.WindowEnd,
        Steps = Balance.Steps ?? [],
        CooldownUntil = Balance.CooldownUntil,
        Warned = Balance.Warned,
        Exceeded = Balance.Exceeded,
    };

    /// <summary>True once something was booked or a window began: until then it is only an idea.</summary>
    public bool Exists { get; set; }

    /// <summary>True while the table has it.</summary>
    public bool Listed { get; set; }

    /// <summary>It is not as its row says.</summary>
    public bool IsUnwritten { get; set; }

    /// <summary>Listed because its row is written with the next batch.</summary>
    public bool IsUrgent { get; set; }

    /// <summary>Listed because somebody waits for as much as experience says.</summary>
    public bool IsExpecting { get; set; }

    /// <summary>Listed to be looked at for warnings.</summary>
    public bool Booked { get; set; }

    /// <summary>Listed because there may be room for who waits.</summary>
    public bool Opened { get; set; }

    /// <summary>A limit was set: this is how much of it is used and reserved.</summary>
    public void Follow(Limit limit)
    {
        Limit = limit;
        if (!limit.IsEach)
            Target = limit.Target;
    }

    // Most are waited for by nobody, ever.
    private SortedSet<WaitingLine>? parked;
    private LinkedList<Agents.AgentEntry>? waiters;
    private Queue<WaitingLine>? openLines;
    private Queue<Agents.AgentEntry>? openWaiters;
    private long leastRefusedAgain;
    private bool again;
    private bool forced;
    private bool doubtful;
    private bool doubtfulAgain;
    private int rounds;

    /// <summary>Least that somebody who waits was refused.</summary>
    public long LeastRefused { get; set; } = long.MaxValue;

    /// <summary>Lines that nobody may be given from, the most urgent first.</summary>
    public SortedSet<WaitingLine> Parked => parked ??= new SortedSet<WaitingLine>(CapabilityColumn.ByPlace);

    /// <summary>Agents that were refused something, in order of refusal.</summary>
    public LinkedList<Agents.AgentEntry> Waiters => waiters ??= [];

    public BalanceTimer? Timer { get; set; }

    /// <summary>When the timer is due; 0 while it is not armed.</summary>
    public long TimedAt { get; set; }

    public bool IsWaitedFor => parked is { Count: > 0 } || waiters is { Count: > 0 };

    /// <summary>There may be more room than when those who wait were let look.</summary>
    public void OpenAgain() => again = true;

    /// <summary>Whoever waits may look, whatever room there is: it may not be this that they wait for any more.</summary>
    public void Force()
    {
        // Also those who have looked since the opening began.
        forced = true;
        openLines = null;
        openWaiters = null;
    }

    /// <summary>Somebody who waits may do with less than was refused: whenever there is room they look, few at a time.</summary>
    public void Doubt() => doubtful = doubtfulAgain = true;

    /// <summary>Those who wait now are let look, each once.</summary>
    public void BeginOpening()
    {
        if (openLines is not null)
            return;
        openLines = new Queue<WaitingLine>(Parked);
        openWaiters = new Queue<Agents.AgentEntry>(Waiters);
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
            if (line.ParkedOn == this)
                return line;
        }

        return null;
    }

    /// <summary>The next agent that was refused, or null. It waits no more.</summary>
    public Agents.AgentEntry? TakeWaiter()
    {
        while (openWaiters!.TryDequeue(out var agent))
        {
            if (agent.WaitsFor.Remove(this))
            {
                Waiters.Remove(agent);
                return agent;
            }
        }

        return null;
    }

    /// <summary>True when nobody is left to be let look, or there is no room for any of them.</summary>
    public bool EndOpening(long now)
    {
        var all = openLines!.Count == 0 && openWaiters!.Count == 0;
        if (!all && TurnsAt(now) > 0)
        {
            rounds++;
            return false;
        }

        if (all)
            (LeastRefused, doubtful) = (leastRefusedAgain, doubtfulAgain);
        openLines = null;
        openWaiters = null;
        forced = false;
        if (again && IsWaitedFor && TurnsAt(now) > 0)
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
        if (Limit is not { } limit || forced)
            return int.MaxValue;
        if (limit.Unit == LimitUnit.CooldownMs)
            return Balance.CooldownUntil > now ? 0 : int.MaxValue;
        if (limit.Unit is LimitUnit.Models or LimitUnit.JobMs)
            return int.MaxValue;
        var room = RoomAt(now);
        if (room <= 0)
            return 0;
        var sure = (int)Math.Min(int.MaxValue, room / Math.Max(1, LeastRefused));
        return doubtful ? Math.Max(sure, 1 << Math.Min(rounds, 20)) : sure;
    }

    /// <summary>What counts as used now.</summary>
    public long UsedAt(long now)
    {
        if (Limit is not { } limit || !limit.IsConsumed)
            return 0;
        if (limit.Window.IsCalendar)
            return now >= Balance.WindowEnd ? 0 : Balance.Used;
        if (limit.Window.Kind != WindowKind.Rolling)
            return Balance.Used;
        var from = now - limit.Window.RollingMs;
        long used = 0;
        foreach (var step in Balance.Steps ?? [])
        {
            if ((step.Step + 1) * limit.Window.StepMs > from)
                used = Amounts.Add(used, step.Used);
        }

        return used;
    }

    /// <summary>What is left; below zero when more was used than there was.</summary>
    public long RoomAt(long now)
    {
        var left = (Int128)Limit!.Amount - UsedAt(now) - Balance.Reserved;
        return left < long.MinValue ? long.MinValue : (long)left;
    }

    /// <summary>When what is used becomes less by itself; <see cref="long.MaxValue"/> when it does not.</summary>
    public long FreesAt(long now)
    {
        if (Limit is not { } limit)
            return now;
        if (limit.Unit == LimitUnit.CooldownMs)
            return Balance.CooldownUntil > now ? Balance.CooldownUntil : long.MaxValue;
        if (!limit.IsConsumed)
            return long.MaxValue;
        if (limit.Window.IsCalendar)
            return Balance.WindowEnd > now ? Balance.WindowEnd : long.MaxValue;
        if (limit.Window.Kind != WindowKind.Rolling)
            return long.MaxValue;
        var from = now - limit.Window.RollingMs;
        foreach (var step in Balance.Steps ?? [])
        {
            if ((step.Step + 1) * limit.Window.StepMs > from)
                return ((step.Step + 1) * limit.Window.StepMs) + limit.Window.RollingMs;
        }

        return long.MaxValue;
    }
}

/// <summary>Fires when a window ends, a step of a rolling one leaves it, or a cool-down is over.</summary>
internal sealed class BalanceTimer(BalanceEntry entry) : DueTimer
{
    public override void Fire(State state, Decision decision) => state.Allowances.Waiting.Due(decision, entry);
}

using Dispatch.Sequencing;

namespace Dispatch.Allowances;

/// <summary>The figures of a balance: see <see cref="LimitBalance"/>. A value of its own, for they change with every task.</summary>
internal readonly record struct Figures(
    long Used, long Reserved, long WindowStart, long WindowEnd, long CooldownUntil, bool Warned, bool Exceeded, IReadOnlyList<RollingStep>? Steps)
{
    public static Figures Of(LimitBalance row) => new(
        row.Used, row.Reserved, row.WindowStart, row.WindowEnd, row.CooldownUntil, row.Warned, row.Exceeded, row.Steps.Count == 0 ? null : row.Steps);
}

/// <summary>
/// A balance in memory, and who waits for it. What each task asks of its limit is here as well: with many limits it is memory that no cache holds
/// that work costs, and this is one place to go to instead of three.
/// </summary>
internal sealed class BalanceEntry(string key, string target, string limitId)
{
    private Limit? limit;
    private BalanceWaiters? waiters;

    public string Key { get; } = key;

    public string LimitId { get; } = limitId;

    public string Target { get; private set; } = target;

    /// <summary>Null once the limit was deleted: what is reserved is still given back.</summary>
    public Limit? Limit
    {
        get => limit;
        set
        {
            limit = value;
            if (value is null)
                return;
            (Unit, Amount, SoftAmount, Window) = (value.Unit, value.Amount, value.SoftAmount, value.Window.Kind);
            (IsConsumed, CountsForAll) = (value.IsConsumed, value.Model is null && value.Repo is null);
        }
    }

    public LimitUnit Unit { get; private set; }

    public long Amount { get; private set; }

    public long SoftAmount { get; private set; }

    public WindowKind Window { get; private set; }

    public bool IsCalendar => Window is WindowKind.Hour or WindowKind.Day or WindowKind.Week or WindowKind.Month;

    public bool IsConsumed { get; private set; }

    /// <summary>Whatever the model and the repository are.</summary>
    public bool CountsForAll { get; private set; }

    public bool CountsFor(string? model, string? repo) => CountsForAll || limit!.CountsFor(model, repo);

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

    /// <summary>Listed to be looked at for warnings.</summary>
    public bool Booked { get; set; }

    /// <summary>A limit was set: this is how much of it is used and reserved.</summary>
    public void Follow(Limit limit)
    {
        Limit = limit;
        if (!limit.IsEach)
            Target = limit.Target;
    }

    public BalanceTimer? Timer { get; set; }

    /// <summary>When the timer is due; 0 while it is not armed.</summary>
    public long TimedAt { get; set; }

    /// <summary>Who waits for it: most are waited for by nobody, ever.</summary>
    public BalanceWaiters Waiters => waiters ??= new BalanceWaiters(this);

    public bool IsWaitedFor => waiters is { IsEmpty: false };

    /// <summary>What counts as used now.</summary>
    public long UsedAt(long now)
    {
        if (limit is null || !IsConsumed)
            return 0;
        if (IsCalendar)
            return now >= Balance.WindowEnd ? 0 : Balance.Used;
        if (Window != WindowKind.Rolling)
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
        var left = (Int128)Amount - UsedAt(now) - Balance.Reserved;
        return left < long.MinValue ? long.MinValue : (long)left;
    }

    /// <summary>When what is used becomes less by itself; <see cref="long.MaxValue"/> when it does not.</summary>
    public long FreesAt(long now)
    {
        if (limit is null)
            return now;
        if (Unit == LimitUnit.CooldownMs)
            return Balance.CooldownUntil > now ? Balance.CooldownUntil : long.MaxValue;
        if (!IsConsumed)
            return long.MaxValue;
        if (IsCalendar)
            return Balance.WindowEnd > now ? Balance.WindowEnd : long.MaxValue;
        if (Window != WindowKind.Rolling)
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

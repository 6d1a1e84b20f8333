using Dispatch.Allowances;
using Dispatch.Tasks;

namespace Dispatch.Invariants;

/// <summary>
/// What the log may say about allowances, by a ledger of its own: nothing is reserved that a limit has no room for (I-16), an attempt gives back what it
/// reserved and no more, and spends only on what it reserved; a usage report is booked once (I-3).
/// </summary>
internal sealed class AllowanceRules(LogChecker log)
{
    private readonly Dictionary<string, Known> limits = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Account> accounts = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Held> held = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Reporter, string Id), long> reports = [];

    public void Begin(Limit limit) => limits[limit.Id] = new Known(limit, limit.Level == LimitLevel.Task ? 0 : limit.LastSequence);

    public void Begin(LimitBalance balance) => accounts[balance.Key] = new Account
    {
        Limit = balance.Limit,
        Used = balance.Used,
        Reserved = balance.Reserved,
        WindowEnd = balance.WindowEnd,
        Spent = [.. balance.Steps.Select(step => (At: step.Step * Math.Max(1, (Find(balance.Limit)?.Window.RollingMs ?? 0) / LimitWindow.Steps), step.Used))],
    };

    public void Begin(WorkTask task)
    {
        if (task.Charge is { } charge)
            held[task.Id.ToString()] = new Held(charge.Reserved, task.Attempt);
    }

    public void Check(AllowanceEvent data)
    {
        var happened = log.Current;
        var id = happened.Subject;
        switch (data)
        {
            case AllowanceSet set:
                log.CheckChain(limits.TryGetValue(id, out var known) ? known.Last : 0);
                if (set.Amount < 0 || set.SoftPercent is < 1 or > 100)
                    log.Find("I-13", $"its amount is {set.Amount} and its soft limit {set.SoftPercent} %");
                if (known is not null && (known.Limit.Level != set.Level || known.Limit.Target != (set.Target ?? "") || known.Limit.Unit != set.Unit))
                    log.Find("I-13", "the limit was for something else before");
                if (known is not null && known.Limit.Window != set.Window)
                {
                    foreach (var account in AccountsOf(id))
                        (account.Used, account.WindowEnd, account.Spent) = (0, 0, []);
                }

                limits[id] = new Known(
                    new Limit
                    {
                        Id = id,
                        Level = set.Level,
                        Target = set.Target ?? "",
                        Unit = set.Unit,
                        Amount = set.Amount,
                        Window = set.Window,
                        Version = 0,
                        CreatedAt = 0,
                        UpdatedAt = 0,
                        LastSequence = happened.Sequence,
                    },
                    happened.Sequence);
                break;
            case AllowanceDeleted:
                log.CheckChain(limits.TryGetValue(id, out var gone) ? gone.Last : 0);
                if (!limits.Remove(id))
                    log.Find("I-13", "there is no such limit");
                foreach (var account in AccountsOf(id))
                    (account.Used, account.WindowEnd, account.Spent) = (0, 0, []);
                break;
            case AllowanceReset reset:
                var renewed = AccountOf(id);
                if (reset.WindowStart > happened.Timestamp || reset.WindowEnd <= happened.Timestamp)
                    log.Find("I-13", $"the window from {reset.WindowStart} to {reset.WindowEnd} is not the one it is in");
                if (reset.WindowStart < renewed.WindowEnd)
                    log.Find("I-13", $"the window before ends at {renewed.WindowEnd}");
                (renewed.Used, renewed.WindowEnd) = (0, reset.WindowEnd);
                break;
            case AllowanceWarning or AllowanceExceeded:
                if (Find(LimitOf(id)) is null)
                    log.Find("I-13", "there is no such limit");
                break;
            case AllowanceCommitted e:
                // An id is remembered as long as its event is kept.
                if (reports.TryGetValue((e.Reporter, e.Id), out var before) && before >= log.Horizon)
                    log.Find("I-3", $"{e.Reporter} reported {e.Id} before");
                reports[(e.Reporter, e.Id)] = happened.Sequence;
                if (e.Task is { } task && held.TryGetValue(task.ToString(), out var charge) && charge.Attempt == e.Attempt)
                {
                    foreach (var (key, amount) in e.Spent.Items)
                        AccountOf(key).Reserved -= Math.Min(amount, charge.Reserved[key]);
                    held[task.ToString()] = charge with { Reserved = charge.Reserved.Minus(e.Spent) };
                }

                Spend(e.Spent);
                break;
        }
    }

    /// <summary>What tasks reserve, give back and spend.</summary>
    public void Check(TaskEvent data)
    {
        var happened = log.Current;
        var subject = happened.Subject;
        switch (data)
        {
            case TaskCreated { Budget: { } budget }:
                foreach (var (name, amount) in budget.Items)
                {
                    // Another task may have had the id, and a budget, and be gone; what work below it has reserved is still given back.
                    var id = $"task:{subject}/{name}";
                    if (accounts.TryGetValue(id, out var earlier))
                        (earlier.Used, earlier.Spent) = (0, []);
                    Begin(new Limit
                    {
                        Id = id,
                        Level = LimitLevel.Task,
                        Target = subject,
                        Unit = AllowanceTable.BudgetUnits[name],
                        Amount = amount,
                        Window = LimitWindow.Lifetime,
                        Version = 1,
                        CreatedAt = 0,
                        UpdatedAt = 0,
                        LastSequence = happened.Sequence,
                    });
                }

                break;
            case TaskAssigned assigned:
                if (assigned.Reserved is not { } reserved)
                    break;
                foreach (var (key, amount) in reserved.Items)
                    Reserve(key, amount, happened.Timestamp);
                held[subject] = new Held(reserved, assigned.Attempt);
                break;
            case TaskCompleted or TaskFailed or TaskTimedOut or TaskReleased or TaskReassigned or TaskCancelled:
                var spent = AllowanceTable.SpentOf(data);
                if (!held.Remove(subject, out var charge))
                {
                    if (spent is not null)
                        log.Find("I-16", $"it spends {spent} and had nothing reserved");
                    break;
                }

                foreach (var (key, amount) in charge.Reserved.Items)
                {
                    var account = AccountOf(key);
                    account.Reserved -= amount;
                    if (account.Reserved < 0)
                        log.Find("I-16", $"{key}: more was given back than reserved");
                }

                if (spent is null)
                    break;
                foreach (var (key, _) in spent.Items)
                {
                    if (!charge.Reserved.Contains(key))
                        log.Find("I-16", $"it spends on {key}, where it had nothing reserved");
                }

                Spend(spent);
                break;
        }
    }

    private void Reserve(string key, long amount, long at)
    {
        var account = AccountOf(key);
        if (amount < 0 || Find(account.Limit) is not { } limit)
        {
            log.Find("I-16", $"{key}: {amount} is reserved where there is {(amount < 0 ? "nothing negative to reserve" : "no limit")}");
            return;
        }

        account.Reserved += amount;
        if (limit.Unit == LimitUnit.CooldownMs)
            return;
        if (limit.Window.IsCalendar && limit.IsConsumed && at >= account.WindowEnd)
            log.Find("I-16", $"{key}: the window ended at {account.WindowEnd}");
        Int128 used = account.Used;
        if (limit.Window.Kind == WindowKind.Rolling)
        {
            account.Spent.RemoveAll(one => one.At <= at - limit.Window.RollingMs);
            used = account.Spent.Aggregate((Int128)0, (sum, one) => sum + one.Used);
        }

        if (used + account.Reserved > limit.Amount)
            log.Find("I-16", $"{key}: {used} used and {account.Reserved} reserved are more than the limit of {limit.Amount}");
    }

    private void Spend(Amounts spent)
    {
        foreach (var (key, amount) in spent.Items)
        {
            var account = AccountOf(key);
            if (amount < 0)
                log.Find("I-16", $"{key}: {amount} is spent");
            if (Find(account.Limit) is { Window.Kind: WindowKind.Rolling })
                account.Spent.Add((log.Current.Timestamp, amount));
            else
                account.Used = Amounts.Add(account.Used, Math.Max(0, amount));
        }
    }

    private Limit? Find(string id) => limits.GetValueOrDefault(id)?.Limit;

    private string LimitOf(string key) => limits.ContainsKey(key) || key.IndexOf('/', StringComparison.Ordinal) is not (> 0 and var slash) ? key : key[..slash];

    private Account AccountOf(string key)
    {
        if (!accounts.TryGetValue(key, out var account))
            accounts[key] = account = new Account { Limit = LimitOf(key) };
        return account;
    }

    private IEnumerable<Account> AccountsOf(string limit) => accounts.Values.Where(account => account.Limit == limit);

    private sealed record Known(Limit Limit, long Last);

    private sealed record Held(Amounts Reserved, int Attempt);

    private sealed class Account
    {
        public required string Limit { get; init; }

        public long Used { get; set; }

        public long Reserved { get; set; }

        public long WindowEnd { get; set; }

        public List<(long At, long Used)> Spent { get; set; } = [];
    }
}

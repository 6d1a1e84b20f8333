using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Allowances;

/// <summary>
/// The limits and what is used and reserved of each. What a task reserves is in its assignment's event and what it spends in the one that ends it, by
/// balance: folding the log needs neither prices nor calendars.
/// </summary>
public sealed class AllowanceTable
{
    // At once, of those that are not in a hurry.
    private const int MostRows = 4_096;

    private readonly State state;
    private readonly SortedDictionary<string, Limit> limits = new(StringComparer.Ordinal);
    private readonly Dictionary<(LimitLevel Level, string Target), List<Limit>> byTarget = [];
    private readonly Dictionary<TaskId, List<BalanceEntry>> budgets = [];
    private readonly Dictionary<long, TaskId> budgetNumbers = [];
    private readonly Dictionary<string, BalanceEntry> balances = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<BalanceEntry>> byLimit = new(StringComparer.Ordinal);
    private readonly SortedSet<string> touchedLimits = new(StringComparer.Ordinal);

    // Those whose rows are written with this batch, and those that are not in a hurry, in the order in which they were first changed.
    private readonly List<BalanceEntry> urgent = [];
    private readonly Queue<Unwritten> unwritten = [];
    private readonly List<UsageRow> reported = [];
    private long taken;
    private long version = 1;

    internal AllowanceTable(State state)
    {
        this.state = state;
        RecentReports = new(state.Options.RecentKept);
        Charging = new Charging(state, this);
        Alerts = new AllowanceAlerts(state, this);
        Waiting = new AllowanceQueue(state, this);
    }

    /// <summary>Those that admins set, by id.</summary>
    public IReadOnlyCollection<Limit> Limits => limits.Values;

    /// <summary>The budgets of tasks.</summary>
    public IEnumerable<Limit> Budgets => budgets.Values.SelectMany(entries => entries).Select(entry => entry.Limit!);

    /// <summary>Every balance that something was booked on, and of deleted limits those with reservations.</summary>
    public IEnumerable<LimitBalance> Balances => balances.Values.Where(entry => entry.Exists).Select(entry => entry.Row);

    /// <summary>True when nothing is limited, and nothing of this costs anything.</summary>
    public bool IsEmpty => limits.Count == 0 && budgets.Count == 0;

    internal RecentWindow<(string Reporter, string Id), UsageRow?> RecentReports { get; }

    /// <summary>What work reserves and spends.</summary>
    internal Charging Charging { get; }

    /// <summary>What is said of them.</summary>
    internal AllowanceAlerts Alerts { get; }

    /// <summary>Who waits for them.</summary>
    internal AllowanceQueue Waiting { get; }

    private AllowanceOptions Options => state.Options.Allowances;

    public Limit? Find(string id) => limits.GetValueOrDefault(id);

    public LimitBalance? FindBalance(string key) => balances.TryGetValue(key, out var entry) && entry.Exists ? entry.Row : null;

    internal BalanceEntry? FindEntry(string key) => balances.GetValueOrDefault(key);

    // ---- which limits count --------------------------------------------------------------------------------------------

    /// <summary>Prices, teams or default amounts are others now: whoever waits is looked at again.</summary>
    internal void SettingsChanged()
    {
        version++;
        foreach (var entry in balances.Values)
            Waiting.Release(entry);
    }

    /// <summary>The balances that work of this agent is booked on, from its own to the swarm's, budgets of tasks aside.</summary>
    internal BalanceEntry[] PathOf(AgentEntry agent)
    {
        if (agent.LimitPath is { } known && known.Version == version && string.Equals(known.Owner, agent.Agent.Owner, StringComparison.Ordinal))
            return known.Entries;
        var path = FindPath(agent.Agent.Id, agent.Agent.Owner, keep: true);
        agent.LimitPath = new LimitPath(version, agent.Agent.Owner, path);
        return path;
    }

    /// <summary>The same for an agent that may not be registered.</summary>
    internal BalanceEntry[] PathOf(string agent) => state.Agents.Find(agent) is { } known ? PathOf(known) : FindPath(agent, null, keep: false);

    internal IReadOnlyList<BalanceEntry> BudgetOf(TaskCost? cost) =>
        cost is { BudgetOf.IsNone: false } && budgets.TryGetValue(cost.BudgetOf, out var entries) ? entries : [];

    private BalanceEntry[] FindPath(string agent, string? owner, bool keep)
    {
        var path = new List<BalanceEntry>();
        Add(LimitLevel.Agent, agent);
        if (owner is not null)
        {
            Add(LimitLevel.Owner, owner);
            if (Options.TeamOf.TryGetValue(owner, out var team))
                Add(LimitLevel.Team, team);
        }

        Add(LimitLevel.Swarm, "");
        return [.. path];

        void Add(LimitLevel level, string target)
        {
            var own = byTarget.GetValueOrDefault((level, target)) ?? [];
            foreach (var limit in own)
                path.Add(EntryOf(limit, target, keep));
            foreach (var limit in byTarget.GetValueOrDefault((level, Limit.Each)) ?? [])
            {
                if (!own.Exists(one => one.Unit == limit.Unit && one.Model == limit.Model && one.Repo == limit.Repo))
                    path.Add(EntryOf(limit, target, keep));
            }
        }
    }

    private static string KeyOf(Limit limit, string target) => limit.IsEach ? $"{limit.Id}/{target}" : limit.Id;

    private BalanceEntry EntryOf(Limit limit, string target, bool keep)
    {
        var key = KeyOf(limit, target);
        if (balances.TryGetValue(key, out var entry))
            return entry;
        entry = new BalanceEntry(key, target, limit.Id) { Limit = limit };
        if (keep)
            List(entry);

        return entry;
    }

    private void List(BalanceEntry entry)
    {
        balances.Add(entry.Key, entry);
        ListOf(entry.LimitId).Add(entry);
        entry.Listed = true;
    }

    private void Unlist(BalanceEntry entry)
    {
        balances.Remove(entry.Key);
        var list = ListOf(entry.LimitId);
        list.Remove(entry);
        if (list.Count == 0)
            byLimit.Remove(entry.LimitId);
        entry.Listed = false;
    }

    private List<BalanceEntry> ListOf(string limit)
    {
        if (!byLimit.TryGetValue(limit, out var list))
            byLimit[limit] = list = [];
        return list;
    }

    private static bool IsOf(string key, Limit limit) => limit.Level == LimitLevel.Task || limit.IsEach == key.Contains('/', StringComparison.Ordinal);

    internal BalanceEntry? FindCharged(string key)
    {
        if (balances.TryGetValue(key, out var entry))
            return entry;
        var slash = key.IndexOf('/', StringComparison.Ordinal);
        return Find(slash < 0 ? key : key[..slash]) is { } limit && IsOf(key, limit) ? GetEntry(key) : null;
    }

    /// <summary>The balance of an item; null when it is no more.</summary>
    internal BalanceEntry? EntryAt(Amounts amounts, int index) =>
        amounts.Resolved is { } resolved && resolved.Table == this && resolved.Entries[index] is { Limit: not null } known
            ? known
            : balances.GetValueOrDefault(amounts.Items[index].Key);

    /// <summary>A calendar window that is over begins anew, before something is booked in it.</summary>
    internal void BeginWindow(Decision decision, BalanceEntry entry)
    {
        if (entry.Limit is not { Window: { IsCalendar: true } window } || state.Now < entry.Balance.WindowEnd)
            return;
        var (start, end) = window.Around(state.Now);
        decision.Raise(entry.Key, null, 0, new AllowanceReset(start, end, entry.Balance.WindowEnd == 0 ? null : entry.Balance.Used));
    }

    /// <summary>The balances of a limit that somebody looked at or booked on.</summary>
    internal IReadOnlyList<BalanceEntry> BalancesOf(string limit) => byLimit.GetValueOrDefault(limit) ?? [];

    /// <summary>The balance an event names, made when it is the first to do so.</summary>
    private BalanceEntry GetEntry(string key)
    {
        if (balances.TryGetValue(key, out var entry))
            return entry;
        var slash = key.IndexOf('/', StringComparison.Ordinal);
        var id = slash < 0 ? key : key[..slash];
        var limit = Find(id) ?? throw new InvalidOperationException($"There is no limit for '{key}'.");
        return EntryOf(limit, slash < 0 ? limit.Target : key[(slash + 1)..], keep: true);
    }

    /// <summary>How a limit stands for each target something was booked for; of one that is not for each, how it stands.</summary>
    internal IEnumerable<LimitStanding> StandingsOf(Limit limit) =>
        limit.IsEach
            ? BalancesOf(limit.Id).Where(entry => entry is { Exists: true, Limit: not null }).Select(entry => LimitStanding.Of(state, entry))
            : [LimitStanding.Of(state, EntryOf(limit, limit.Target, keep: false))];

    /// <summary>The balances of which the largest share is used. Budgets are left out: of each task that has ended one would stand there, mostly used up.</summary>
    internal IReadOnlyList<LimitStanding> TopSpenders(int most, LimitUnit? unit) =>
    [
        .. balances.Values.Where(entry => entry is { Exists: true, Limit: { IsConsumed: true, Level: not LimitLevel.Task } } && (unit is null || entry.Limit.Unit == unit))
            .Select(entry => (Entry: entry, Share: entry.UsedAt(state.Now) / Math.Max(1.0, entry.Limit!.Amount)))
            .OrderByDescending(pair => pair.Share).ThenBy(pair => pair.Entry.Key, StringComparer.Ordinal).Take(most)
            .Select(pair => LimitStanding.Of(state, pair.Entry)),
    ];

    // ---- applied --------------------------------------------------------------------------------------------------------

    internal void Load(IReadOnlyList<Limit> storedLimits, IReadOnlyList<LimitBalance> storedBalances)
    {
        RecentReports.Floor = taken = state.Sequence;
        foreach (var limit in storedLimits)
        {
            if (limit.Level == LimitLevel.Task)
                AddBudget(limit, isNew: false);
            else
                AddLimit(limit);
        }

        foreach (var balance in storedBalances)
        {
            if (!balances.TryGetValue(balance.Key, out var entry))
            {
                var limit = Find(balance.Limit) is { } known && IsOf(balance.Key, known) ? known : null;
                List(entry = new BalanceEntry(balance.Key, balance.Target, balance.Limit) { Limit = limit });
            }

            (entry.Balance, entry.Exists) = (Figures.Of(balance), true);
            Waiting.Arm(entry);
        }
    }

    /// <summary>Balances that are not as their rows say: what was written of them is as of some event from this one on.</summary>
    internal void NoteUnwritten(IReadOnlyCollection<string> keys, long writtenUpTo)
    {
        foreach (var key in keys)
            Touch(balances[key], writtenUpTo);
    }

    /// <summary>Brings balances from where they were written to where the log and the tasks in hand are now; see <see cref="BalanceRecovery"/>.</summary>
    internal HashSet<string> Recover(IReadOnlyList<WrittenBalance> written, IReadOnlyList<WorkTask> tasks, IEnumerable<LogEntry> entries)
    {
        var asOf = written.ToDictionary(row => row.Balance.Key, row => row.AsOf, StringComparer.Ordinal);
        foreach (var entry in balances.Values)
            entry.Balance = entry.Balance with { Reserved = 0 };
        foreach (var logged in entries)
        {
            var happened = State.Read(logged);
            switch (happened.Data)
            {
                // Only that there was something: what is reserved follows from the tasks that still are in hand.
                case TaskAssigned { Reserved: { } reserved }:
                    foreach (var (key, _) in reserved.Items)
                    {
                        if (IsBehind(key))
                            Change(balances[key], balances[key].Balance);
                    }

                    break;
                case TaskEvent ended when SpentOf(ended) is { } spent:
                    Book(spent.Where(IsBehind), happened.Timestamp);
                    break;
                case AllowanceCommitted committed:
                    Book(committed.Spent.Where(IsBehind), happened.Timestamp);
                    break;
                case AllowanceReset or AllowanceWarning or AllowanceExceeded when IsBehind(happened.Subject):
                    Apply(happened, (AllowanceEvent)happened.Data);
                    break;
            }

            // Those of an earlier limit of the same id are none of its business, and what a row says it has.
            bool IsBehind(string key) =>
                FindCharged(key) is { Limit: { } limit } && happened.Sequence > Math.Max(limit.LastSequence, asOf.GetValueOrDefault(key));
        }

        foreach (var task in tasks)
        {
            foreach (var (key, amount) in (task.Charge?.Reserved ?? Amounts.None).Items)
            {
                if (balances.TryGetValue(key, out var entry) && entry.Exists)
                    entry.Balance = entry.Balance with { Reserved = Amounts.Add(entry.Balance.Reserved, amount) };
            }
        }

        return [.. balances.Values.Where(entry => entry.IsUnwritten).Select(entry => entry.Key)];
    }

    internal void Apply(DispatchEvent happened, AllowanceEvent data)
    {
        var at = happened.Timestamp;
        switch (data)
        {
            case AllowanceSet e:
                Set(happened, e);
                break;
            case AllowanceDeleted:
                Delete(happened.Subject);
                break;
            case AllowanceReset e:
                var reset = GetEntry(happened.Subject);
                Change(reset, reset.Balance with { WindowStart = e.WindowStart, WindowEnd = e.WindowEnd, Used = 0, Warned = false, Exceeded = false });
                Waiting.Open(reset);
                break;
            case AllowanceWarning:
                var warned = GetEntry(happened.Subject);
                Change(warned, warned.Balance with { Warned = true });
                break;
            case AllowanceExceeded:
                var exceeded = GetEntry(happened.Subject);
                Change(exceeded, exceeded.Balance with { Exceeded = true });
                break;
            case AllowanceCommitted e:
                Commit(happened, e, at);
                break;
            default:
                throw new InvalidOperationException($"{happened.Type} is no event about allowances.");
        }
    }

    /// <summary>Reserves and spends as the task's event says.</summary>
    internal void Follow(WorkTask before, WorkTask after, TaskEvent data, long at)
    {
        if (data is TaskAssigned { Reserved: { } reserved })
        {
            for (var i = 0; i < reserved.Count; i++)
            {
                var entry = EntryAt(reserved, i) ?? GetEntry(reserved.Items[i].Key);
                Change(entry, entry.Balance with { Reserved = Amounts.Add(entry.Balance.Reserved, reserved.Items[i].Value) });
            }
        }
        else if (before.Charge is { } charge && after.Charge is null)
        {
            for (var i = 0; i < charge.Reserved.Count; i++)
            {
                // One that was only looked at, of a limit that came under the same id, is not what was reserved on.
                if (EntryAt(charge.Reserved, i) is not { Exists: true } entry)
                    continue;
                Change(entry, entry.Balance with { Reserved = Math.Max(0, entry.Balance.Reserved - charge.Reserved.Items[i].Value) });
                if (entry.Limit is null)
                    DropIfRetired(entry.Key);
                else
                    Waiting.Open(entry);
            }

            if (SpentOf(data) is { } spent)
                Book(spent, at);
        }
    }

    internal static Amounts? SpentOf(TaskEvent data) => data switch
    {
        TaskCompleted e => e.Spent,
        TaskFailed e => e.Spent,
        TaskTimedOut e => e.Spent,
        TaskCancelled e => e.Spent,
        _ => null,
    };

    /// <summary>A task came with a budget of its own.</summary>
    internal void AddBudget(TaskId task, long number, Amounts budget, long at)
    {
        foreach (var (name, amount) in budget.Items)
        {
            AddBudget(
                new Limit
                {
                    Id = $"task:{task}/{name}",
                    Level = LimitLevel.Task,
                    Target = task.ToString(),
                    Unit = BudgetUnits[name],
                    Amount = amount,
                    Window = LimitWindow.Lifetime,
                    Version = 1,
                    CreatedAt = at,
                    UpdatedAt = at,
                    LastSequence = number,
                },
                isNew: true);
        }
    }

    /// <summary>What a task's budget may be of, by name.</summary>
    public static readonly IReadOnlyDictionary<string, LimitUnit> BudgetUnits = new Dictionary<string, LimitUnit>(StringComparer.Ordinal)
    {
        ["tokens"] = LimitUnit.Tokens,
        ["tokens_in"] = LimitUnit.TokensIn,
        ["tokens_out"] = LimitUnit.TokensOut,
        ["money"] = LimitUnit.Money,
        ["jobs"] = LimitUnit.Jobs,
        ["requests"] = LimitUnit.Requests,
        ["pull_requests"] = LimitUnit.PullRequests,
        ["issues"] = LimitUnit.Issues,
    };

    /// <summary>Tasks were removed for good, and with them their budgets.</summary>
    internal void Prune(IReadOnlyList<long> numbers)
    {
        foreach (var number in budgetNumbers.Count == 0 ? [] : numbers)
        {
            if (!budgetNumbers.Remove(number, out var task) || !budgets.Remove(task, out var entries))
                continue;
            foreach (var entry in entries)
            {
                Close(entry);
                touchedLimits.Add(entry.Key);
            }
        }
    }

    private void AddBudget(Limit limit, bool isNew)
    {
        var task = TaskId.Parse(limit.Target);

        // Kept of a removed task of the same id, while work below that one is in hand.
        if (balances.TryGetValue(limit.Id, out var entry))
            entry.Limit = limit;
        else
            List(entry = new BalanceEntry(limit.Id, limit.Target, limit.Id) { Limit = limit, Exists = isNew });
        if (!budgets.TryGetValue(task, out var list))
            budgets[task] = list = [];
        list.Add(entry);
        budgetNumbers[limit.LastSequence] = task;
        if (isNew)
        {
            touchedLimits.Add(limit.Id);
            TouchNow(entry);
        }
    }

    private void AddLimit(Limit limit)
    {
        limits.Add(limit.Id, limit);
        if (!byTarget.TryGetValue((limit.Level, limit.Target), out var list))
            byTarget[(limit.Level, limit.Target)] = list = [];
        list.Add(limit);
        version++;
    }

    private void Set(DispatchEvent happened, AllowanceSet e)
    {
        var known = Find(happened.Subject);
        var limit = new Limit
        {
            Id = happened.Subject,
            Level = e.Level,
            Target = e.Target ?? "",
            Unit = e.Unit,
            Amount = e.Amount,
            Window = e.Window,
            Model = e.Model,
            Repo = e.Repo,
            SoftPercent = e.SoftPercent,
            OnExceed = e.OnExceed,
            Allow = e.Allow ?? [],
            Deny = e.Deny ?? [],
            Version = (known?.Version ?? 0) + 1,
            CreatedAt = known?.CreatedAt ?? happened.Timestamp,
            UpdatedAt = happened.Timestamp,
            LastSequence = happened.Sequence,
        };
        if (known is not null)
        {
            limits.Remove(known.Id);
            byTarget[(known.Level, known.Target)].Remove(known);
        }

        AddLimit(limit);
        touchedLimits.Add(limit.Id);
        foreach (var entry in ListOf(limit.Id))
        {
            if (entry.Exists)
                TouchNow(entry);

            // Kept of a deleted one of the same id, until what is reserved is given back.
            if (!IsOf(entry.Key, limit))
                continue;
            entry.Follow(limit);
            var balance = entry.Balance;
            if (known is not null && known.Window != limit.Window)
                balance = balance with { WindowStart = 0, WindowEnd = 0, Used = 0, Steps = null };

            // What is told is told of this amount.
            if (entry.Exists)
                Change(entry, balance with { Warned = false, Exceeded = false });
            Waiting.Open(entry);
        }

        // A limit of its own takes the place of the one for each: who waits there must not wait on.
        foreach (var other in byTarget.GetValueOrDefault((limit.Level, Limit.Each)) ?? [])
            OpenAll(other.Id);
    }

    private void OpenAll(string limit)
    {
        foreach (var entry in BalancesOf(limit))
            Waiting.Release(entry);
    }

    private void Delete(string id)
    {
        var limit = limits[id];
        limits.Remove(id);
        byTarget[(limit.Level, limit.Target)].Remove(limit);
        version++;
        touchedLimits.Add(id);
        foreach (var entry in ListOf(id).ToList())
            Close(entry);
    }

    // What work in hand reserved on it is still to be given back.
    private void Close(BalanceEntry entry)
    {
        Waiting.Release(entry);
        entry.Limit = null;
        Waiting.Disarm(entry);
        if (entry.Exists)
            Change(entry, new Figures { Reserved = entry.Balance.Reserved });
        DropIfRetired(entry.Key);
    }

    private void DropIfRetired(string key)
    {
        if (!balances.TryGetValue(key, out var entry) || entry.Limit is not null || entry.Balance.Reserved > 0)
            return;
        Unlist(entry);
        TouchNow(entry);
    }

    private void Commit(DispatchEvent happened, AllowanceCommitted e, long at)
    {
        var row = new UsageRow(e.Reporter, e.Id, e.BodyHash, happened.Sequence);
        reported.Add(row);
        if (state.IsLive)
            RecentReports.Add((row.Reporter, row.Id), row, row.Sequence);
        if (e.Task is { } id && state.Tasks.Find(id) is { Task: { Charge: { } charge } task } && task.Attempt == e.Attempt)
        {
            foreach (var (key, amount) in e.Spent.Items)
            {
                if (balances.TryGetValue(key, out var entry))
                    Change(entry, entry.Balance with { Reserved = Math.Max(0, entry.Balance.Reserved - Math.Min(amount, charge.Reserved[key])) });
            }

            state.Tasks.Charge(id, new TaskCharge(charge.Reserved.Minus(e.Spent), (charge.Reported ?? Amounts.None).Plus(e.Spent)));
        }

        Book(e.Spent, at);
    }

    private void Book(Amounts spent, long at)
    {
        for (var i = 0; i < spent.Count; i++)
        {
            var amount = spent.Items[i].Value;
            var entry = EntryAt(spent, i) ?? GetEntry(spent.Items[i].Key);
            var limit = entry.Limit!;
            var balance = entry.Balance;
            if (limit.Unit == LimitUnit.CooldownMs)
                balance = balance with { CooldownUntil = Math.Max(balance.CooldownUntil, Amounts.Add(at, amount)) };
            else if (limit.Window.Kind == WindowKind.Rolling)
                balance = Roll(balance, limit, amount, at);
            else
                balance = balance with { Used = Amounts.Add(balance.Used, amount) };
            Change(entry, balance);
            if (state.IsLive)
                Alerts.Note(entry);
        }
    }

    private static Figures Roll(Figures balance, Limit limit, long amount, long at)
    {
        var step = at / limit.Window.StepMs;
        var from = at - limit.Window.RollingMs;
        var steps = (balance.Steps ?? []).Where(known => (known.Step + 1) * limit.Window.StepMs > from).ToList();
        var before = steps.Aggregate(0L, (sum, known) => Amounts.Add(sum, known.Used));

        // It has no end at which to begin anew: once something has come back and it is well below the limit again, the next time is another one.
        var isAnew = steps.Count < (balance.Steps?.Count ?? 0) && (Int128)before + balance.Reserved < limit.SoftAmount;
        if (steps.Count > 0 && steps[^1].Step >= step)
            steps[^1] = steps[^1] with { Used = Amounts.Add(steps[^1].Used, amount) };
        else
            steps.Add(new RollingStep(step, amount));

        return balance with
        {
            Used = Amounts.Add(before, amount),
            Steps = steps,
            Warned = balance.Warned && !isAnew,
            Exceeded = balance.Exceeded && !isAnew,
        };
    }

    private void Change(BalanceEntry entry, Figures balance)
    {
        entry.Balance = balance;
        entry.Exists = true;

        // Of a rolling window it matters what was reserved when something was booked: that is not in the log.
        if (entry.Limit is null or { Window.Kind: WindowKind.Rolling })
            TouchNow(entry);
        else
            Touch(entry, taken);
        Waiting.Arm(entry);
    }

    private void Touch(BalanceEntry entry, long writtenUpTo)
    {
        if (entry.IsUnwritten)
            return;
        entry.IsUnwritten = true;
        if (!entry.IsUrgent)
            unwritten.Enqueue(new Unwritten(entry, writtenUpTo, state.Now));
    }

    private void TouchNow(BalanceEntry entry)
    {
        if (entry.IsUrgent)
            return;
        entry.IsUrgent = entry.IsUnwritten = true;
        urgent.Add(entry);
    }

    /// <summary>What the events since the last call changed, and of the balances that wait for their rows to be written those that have waited long enough.</summary>
    internal AllowanceChanges TakeChanges()
    {
        var changes = new AllowanceChanges([], [], [], [], [], null);
        foreach (var id in touchedLimits)
        {
            if ((Find(id) ?? (balances.TryGetValue(id, out var budget) ? budget.Limit : null)) is { } limit)
                changes.Limits.Add(limit);
            else
                changes.RemovedLimits.Add(id);
        }

        touchedLimits.Clear();
        changes.Reports.AddRange(reported);
        reported.Clear();
        foreach (var entry in urgent)
        {
            entry.IsUrgent = false;
            Write(entry, changes);
        }

        urgent.Clear();

        // When nothing happened, nothing is committed.
        var isCommitted = state.Sequence > taken;
        taken = state.Sequence;
        while (isCommitted && unwritten.TryPeek(out var first) && (!first.Entry.IsUnwritten || IsDue(first, changes.Balances.Count)))
        {
            unwritten.Dequeue();
            if (first.Entry.IsUnwritten)
                Write(first.Entry, changes);
        }

        return unwritten.TryPeek(out var oldest) ? changes with { BalancesWritten = oldest.WrittenUpTo } : changes;
    }

    private bool IsDue(Unwritten balance, int others) =>
        balance.WrittenUpTo + 1 < state.Horizon
        || (others < MostRows && (state.Sequence - balance.WrittenUpTo > state.Options.BalanceLagEvents || state.Now - balance.Since >= state.Options.BalanceLagMs));

    private void Write(BalanceEntry entry, AllowanceChanges changes)
    {
        entry.IsUnwritten = false;
        if (entry.Listed)
            changes.Balances.Add(entry.Row);
        else if (!balances.TryGetValue(entry.Key, out var follower) || !follower.Exists)
            changes.RemovedBalances.Add(entry.Key);
    }

    /// <param name="WrittenUpTo">What events up to this one changed is in its row.</param>
    /// <param name="Since">Unix milliseconds.</param>
    private readonly record struct Unwritten(BalanceEntry Entry, long WrittenUpTo, long Since);
}

/// <summary>What a batch writes of limits.</summary>
/// <param name="BalancesWritten">What events up to this one changed is in the rows of all balances; null: all of it is.</param>
internal sealed record AllowanceChanges(
    List<Limit> Limits, List<string> RemovedLimits, List<LimitBalance> Balances, List<string> RemovedBalances, List<UsageRow> Reports, long? BalancesWritten);

/// <summary>An agent's balances as of a version of the limits.</summary>
internal sealed record LimitPath(long Version, string? Owner, BalanceEntry[] Entries);

/// <summary>A usage report that was taken: a repeat by the same reporter changes nothing.</summary>
public sealed record UsageRow(string Reporter, string Id, string Hash, long Sequence);

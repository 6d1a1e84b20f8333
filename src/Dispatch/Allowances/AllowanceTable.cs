using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Allowances;

/// <summary>
/// The limits and what is used and reserved of each. What a task reserves is in its assignment's event and what it spends in the one that ends it, by
/// balance: folding the log needs neither prices nor calendars.
/// </summary>
public sealed class AllowanceTable
{
    private readonly State state;
    private readonly SortedDictionary<string, Limit> limits = new(StringComparer.Ordinal);
    private readonly Dictionary<(LimitLevel Level, string Target), List<Limit>> byTarget = [];
    private readonly Dictionary<TaskId, List<BalanceEntry>> budgets = [];
    private readonly Dictionary<long, TaskId> budgetNumbers = [];
    private readonly Dictionary<string, BalanceEntry> balances = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<BalanceEntry>> byLimit = new(StringComparer.Ordinal);
    private readonly UsageHistory history = new();

    // Those at which somebody waits for as much as experience says that work needs.
    private readonly List<BalanceEntry> expecting = [];
    private readonly SortedSet<string> touchedLimits = new(StringComparer.Ordinal);
    private readonly List<BalanceEntry> booked = [];
    private readonly List<BalanceEntry> pausing = [];
    private List<BalanceEntry> dirty = [];
    private List<UsageRow> reported = [];
    private long version = 1;

    internal AllowanceTable(State state)
    {
        this.state = state;
        RecentReports = new(state.Options.RecentKept);
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

    /// <summary>Balances that may have room for who waits for them.</summary>
    internal List<BalanceEntry> Opened { get; } = [];

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
            Release(entry);
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
        {
            balances.Add(key, entry);
            ListOf(limit.Id).Add(entry);
        }

        return entry;
    }

    private List<BalanceEntry> ListOf(string limit)
    {
        if (!byLimit.TryGetValue(limit, out var list))
            byLimit[limit] = list = [];
        return list;
    }

    private static bool IsOf(string key, Limit limit) => limit.Level == LimitLevel.Task || limit.IsEach == key.Contains('/', StringComparison.Ordinal);

    private BalanceEntry? FindCharged(string key)
    {
        if (balances.TryGetValue(key, out var entry))
            return entry;
        var slash = key.IndexOf('/', StringComparison.Ordinal);
        return Find(slash < 0 ? key : key[..slash]) is { } limit && IsOf(key, limit) ? GetEntry(key) : null;
    }

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

    // ---- may it be given, and what does it reserve ----------------------------------------------------------------------

    /// <summary>The first balance that has no room for the task, from the agent's own to the swarm's and the task's budget; null when all have.</summary>
    internal Refused? Refuses(AgentEntry agent, WorkTask task) =>
        IsEmpty ? null : Refuses(PathOf(agent), agent.Agent.Id, task.Cost, task.Needs);

    internal Refused? Refuses(BalanceEntry[] path, string agent, TaskCost? cost, Requirement? kind)
    {
        var needs = new Needs(this, agent, cost, kind);
        foreach (var entry in path)
        {
            if (Refusal(entry, ref needs) is { } refused)
                return refused;
        }

        if (cost is { BudgetOf.IsNone: false })
        {
            foreach (var entry in BudgetOf(cost))
            {
                if (Refusal(entry, ref needs) is { } refused)
                    return refused;
            }
        }

        return null;
    }

    private Refused? Refusal(BalanceEntry entry, ref Needs needs)
    {
        var limit = entry.Limit!;
        if (!limit.CountsFor(needs.Model, needs.Cost?.Repo))
            return null;
        switch (limit.Unit)
        {
            case LimitUnit.JobMs:
                return limit.Amount == 0 ? new Refused(entry, RefusalKind.NoRoom, 1) : null;
            case LimitUnit.Models:
                return needs.Model is { } model && !limit.Permits(model) ? new Refused(entry, RefusalKind.Model, 0) : null;
            case LimitUnit.CooldownMs:
                return entry.Balance.CooldownUntil > state.Now ? new Refused(entry, RefusalKind.Cooldown, 0) : null;
            case LimitUnit.Money when needs.IsUnpriced:
                return new Refused(entry, RefusalKind.Price, 0);
            default:
                var need = needs.Of(limit.Unit);
                // What is used up gives nothing, also not to what says that it needs nothing.
                var room = entry.RoomAt(state.Now);
                return need > room || room <= 0 ? new Refused(entry, RefusalKind.NoRoom, Math.Max(1, need), Math.Max(1, needs.LeastOf(limit.Unit, need)), needs.IsExperience) : null;
        }
    }

    /// <summary>What a task that is about to be given reserves, and how long it may run at most (0: no limit). Windows that are over begin anew first.</summary>
    internal (Amounts? Reserved, long MaxRunMs) Reserve(Decision decision, AgentEntry agent, WorkTask task)
    {
        if (IsEmpty)
            return (null, 0);
        var path = PathOf(agent);
        var needs = new Needs(this, agent.Agent.Id, task.Cost, task.Needs);
        var items = new List<KeyValuePair<string, long>>(path.Length);
        var entries = new List<BalanceEntry>(path.Length);
        long longest = 0;
        foreach (var entry in path)
            Take(entry, ref needs);
        foreach (var entry in BudgetOf(task.Cost))
            Take(entry, ref needs);
        return (items.Count == 0 ? null : new Amounts([.. items]) { Resolved = (this, [.. entries]) }, longest);

        void Take(BalanceEntry entry, ref Needs needs)
        {
            var limit = entry.Limit!;
            if (!limit.CountsFor(needs.Model, needs.Cost?.Repo))
                return;
            if (limit.Unit == LimitUnit.JobMs)
            {
                longest = longest == 0 ? limit.Amount : Math.Min(longest, limit.Amount);
            }
            else if (limit.Unit != LimitUnit.Models)
            {
                BeginWindow(decision, entry);
                items.Add(new(entry.Key, limit.Unit == LimitUnit.CooldownMs ? 0 : needs.Of(limit.Unit)));
                entries.Add(entry);
            }
        }
    }

    /// <summary>What an end of an attempt spends of what it reserved. Returns the event with it.</summary>
    internal TaskEvent Settle(Decision decision, WorkTask task, TaskEvent data)
    {
        if (task.Charge is not { } charge)
            return data;
        switch (data)
        {
            case TaskCompleted e:
                return e with { Spent = Spend(decision, task, charge, e.Usage, e.Model, reported: true, isFailure: false) };
            case TaskFailed e:
                return e with { Spent = Spend(decision, task, charge, e.Usage, e.Model, reported: true, isFailure: true) };
            case TaskTimedOut e:
                return e with { Spent = Spend(decision, task, charge, null, null, reported: false, isFailure: true) };
            case TaskCancelled e when task.Status == TaskState.Running:
                return e with { Spent = Spend(decision, task, charge, null, null, reported: false, isFailure: false) };
            default:
                return data;
        }
    }

    private Amounts? Spend(Decision decision, WorkTask task, TaskCharge charge, JsonBytes? usage, string? model, bool reported, bool isFailure)
    {
        var used = Estimate.Read(usage);
        model ??= task.Cost?.Model ?? Options.DefaultModel;
        if (usage is not null && history.Add(task.Assignee!, task.Needs, used))
            ExpectLess();
        var items = new List<KeyValuePair<string, long>>(charge.Reserved.Count);
        var entries = new List<BalanceEntry>(charge.Reserved.Count);
        for (var i = 0; i < charge.Reserved.Count; i++)
        {
            // Deleted since: there is nothing to book on, unless there is one of this id again.
            var (key, reserved) = charge.Reserved.Items[i];
            if ((EntryAt(charge.Reserved, i) ?? FindCharged(key)) is not { Limit: { } limit } entry)
                continue;
            var amount = limit.Unit switch
            {
                LimitUnit.Jobs => 1,
                LimitUnit.ConcurrentJobs or LimitUnit.JobMs or LimitUnit.Models => 0,
                LimitUnit.CooldownMs => isFailure ? limit.Amount : 0,
                _ when !reported => 0,
                // An end without a word of what was used: what was expected stands for it.
                _ when usage is null => reserved,
                _ => Math.Max(0, UsedOf(limit.Unit, used, model, reserved) - (charge.Reported?[key] ?? 0)),
            };
            if (amount == 0)
                continue;
            BeginWindow(decision, entry);
            items.Add(new(key, amount));
            entries.Add(entry);
        }

        return items.Count == 0 ? null : new Amounts([.. items]) { Resolved = (this, [.. entries]) };
    }

    // Whoever was refused what experience said may be given it by what is known now.
    private void ExpectLess()
    {
        for (var i = expecting.Count - 1; i >= 0; i--)
        {
            var entry = expecting[i];
            if (entry.IsWaitedFor)
            {
                entry.Doubt();
                Open(entry);
            }
            else
            {
                entry.IsExpecting = false;
                expecting.RemoveAt(i);
            }
        }
    }

    private void NoteExperience(BalanceEntry entry)
    {
        if (entry.IsExpecting)
            return;
        entry.IsExpecting = true;
        expecting.Add(entry);
    }

    /// <summary>The balance of an item; null when it is no more.</summary>
    private BalanceEntry? EntryAt(Amounts amounts, int index) =>
        amounts.Resolved is { } resolved && resolved.Table == this && resolved.Entries[index] is { Limit: not null } known
            ? known
            : balances.GetValueOrDefault(amounts.Items[index].Key);

    private long UsedOf(LimitUnit unit, Estimate used, string? model, long otherwise) => unit switch
    {
        LimitUnit.Tokens => used.AllTokens ?? 0,
        LimitUnit.TokensIn => used.TokensIn ?? used.Tokens ?? 0,
        LimitUnit.TokensOut => used.TokensOut ?? used.Tokens ?? 0,
        LimitUnit.Money => used.Money ?? PriceOf(model)?.Of(used.TokensIn ?? 0, used.TokensOut ?? used.Tokens ?? 0) ?? otherwise,
        LimitUnit.Requests => used.Requests ?? 0,
        LimitUnit.PullRequests => used.PullRequests ?? 0,
        LimitUnit.Issues => used.Issues ?? 0,
        _ => 0,
    };

    internal ModelPrice? PriceOf(string? model) => model is null ? null : Options.Prices.GetValueOrDefault(model);

    /// <summary>A limit that counts money of such spending, which can't be told without the price of the model; null: there is none.</summary>
    internal Limit? LacksPrice(BalanceEntry[] path, TaskCost? cost, Estimate used, string? model)
    {
        model ??= cost?.Model ?? Options.DefaultModel;
        if (used.Money is not null || used.AllTokens is null or 0 || PriceOf(model) is not null)
            return null;
        return path.Concat(BudgetOf(cost)).Select(entry => entry.Limit!).FirstOrDefault(limit => limit.Unit == LimitUnit.Money && limit.CountsFor(model, cost?.Repo));
    }

    /// <summary>What spending that is reported apart from a task's end is booked on.</summary>
    internal Amounts Book(Decision decision, BalanceEntry[] path, TaskCost? cost, Estimate used, string? model)
    {
        var items = new List<KeyValuePair<string, long>>(path.Length);
        model ??= cost?.Model ?? Options.DefaultModel;
        foreach (var entry in path.Concat(BudgetOf(cost)))
        {
            var limit = entry.Limit!;
            if (!limit.IsConsumed || limit.Unit == LimitUnit.Jobs || !limit.CountsFor(model, cost?.Repo))
                continue;
            if (UsedOf(limit.Unit, used, model, 0) is > 0 and var amount)
            {
                BeginWindow(decision, entry);
                items.Add(new(entry.Key, amount));
            }
        }

        return new Amounts([.. items]);
    }

    private void BeginWindow(Decision decision, BalanceEntry entry)
    {
        if (entry.Limit is not { Window: { IsCalendar: true } window } || state.Now < entry.Balance.WindowEnd)
            return;
        var (start, end) = window.Around(state.Now);
        decision.Raise(entry.Key, null, 0, new AllowanceReset(start, end, entry.Balance.WindowEnd == 0 ? null : entry.Balance.Used));
    }

    // ---- what is told ---------------------------------------------------------------------------------------------------

    /// <summary>Warnings, and pauses, that follow from a limit's new amount.</summary>
    internal void TellOf(Decision decision, string limit)
    {
        foreach (var entry in byLimit.GetValueOrDefault(limit) ?? [])
        {
            if (entry is { Exists: true, Booked: false } && entry.UsedAt(state.Now) > 0)
            {
                entry.Booked = true;
                booked.Add(entry);
            }
        }

        Tell(decision);
    }

    /// <summary>Warnings that follow from what was booked.</summary>
    internal void Tell(Decision decision)
    {
        while (booked.Count > 0)
        {
            var entry = booked[^1];
            booked.RemoveAt(booked.Count - 1);
            entry.Booked = false;
            if (entry.Limit is not { IsConsumed: true } limit)
                continue;
            var used = entry.UsedAt(state.Now);
            if (used >= limit.SoftAmount && used > 0 && !entry.Balance.Warned)
            {
                var resets = ResetOf(entry);
                decision.Raise(entry.Key, null, 0, new AllowanceWarning(limit.Unit, limit.Amount, used, entry.Balance.Reserved, limit.SoftPercent, resets, ExhaustionOf(entry, used, resets)));
            }

            if (used >= limit.Amount)
            {
                TellExceeded(decision, entry);
                if (limit.OnExceed == OnExceed.Pause)
                    pausing.Add(entry);
            }
        }
    }

    /// <summary>Says, once in a window, that the limit binds.</summary>
    internal void TellExceeded(Decision decision, BalanceEntry entry)
    {
        if (entry.Limit is not { IsConsumed: true } limit || (entry.Balance.Exceeded && !IsOver(entry)))
            return;
        BeginWindow(decision, entry);
        var used = entry.UsedAt(state.Now);
        decision.Raise(entry.Key, null, 0, new AllowanceExceeded(limit.Unit, limit.Amount, used, entry.Balance.Reserved, Math.Max(0, used - limit.Amount), ResetOf(entry)));
    }

    private bool IsOver(BalanceEntry entry) => entry.Limit!.Window.IsCalendar && state.Now >= entry.Balance.WindowEnd;

    internal long? ResetOf(BalanceEntry entry) => entry.FreesAt(state.Now) is var at && at == long.MaxValue ? null : at;

    /// <summary>When it is used up if spending goes on as in the window so far; null when that is not before it is reset, or can't be said.</summary>
    internal long? ExhaustionOf(BalanceEntry entry, long used, long? resets)
    {
        if (entry.Limit is not { IsConsumed: true } limit || used <= 0)
            return null;
        if (used >= limit.Amount)
            return state.Now;

        // Of a rolling window it is the first of its steps that something was used in: once that leaves, as much leaves as comes.
        var since = limit.Window.IsCalendar ? entry.Balance.WindowStart
            : limit.Window.Kind == WindowKind.Rolling ? Math.Min(entry.FreesAt(state.Now) - limit.Window.RollingMs, state.Now) - limit.Window.StepMs
            : limit.CreatedAt;
        var elapsed = state.Now - since;
        if (elapsed <= 0)
            return null;
        var at = state.Now + ((double)(limit.Amount - used) * elapsed / used);
        return at >= (resets ?? 253_402_300_799_999d) ? null : (long)at;
    }

    /// <summary>Takes work back whose limit is used up: at the end of a batch, for what an agent reports done together counts as done.</summary>
    internal void Pause(Decision decision)
    {
        for (var i = 0; i < pausing.Count; i++)
        {
            if (pausing[i] is { Limit: { OnExceed: OnExceed.Pause } limit } entry && entry.UsedAt(state.Now) >= limit.Amount)
                Pause(decision, entry);
        }

        pausing.Clear();
    }

    private void Pause(Decision decision, BalanceEntry entry)
    {
        var running = state.Agents.All.SelectMany(agent => agent.Held)
            .Where(task => task.Task.Charge is { } charge && charge.Reserved.Contains(entry.Key)).OrderBy(task => task.Task.Number).ToList();
        foreach (var task in running)
        {
            if (task.Task.IsHeld)
                TaskEnding.HandBack(decision, task, $"paused: limit {entry.Key} is used up", revoke: true);
        }
    }

    /// <summary>How a limit stands for each target something was booked for; of one that is not for each, how it stands.</summary>
    internal IEnumerable<LimitStanding> StandingsOf(Limit limit) =>
        limit.IsEach
            ? (byLimit.GetValueOrDefault(limit.Id) ?? []).Where(entry => entry is { Exists: true, Limit: not null }).Select(entry => LimitStanding.Of(state, entry))
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
        RecentReports.Floor = state.Sequence;
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
                balances.Add(balance.Key, entry = new BalanceEntry(balance.Key, balance.Target, balance.Limit) { Limit = limit });
                ListOf(balance.Limit).Add(entry);
            }

            (entry.Balance, entry.Exists) = (Figures.Of(balance), true);
            Arm(entry);
        }
    }

    /// <summary>Takes up experience from before the start.</summary>
    internal void Remember(IReadOnlyList<UsageSample> samples)
    {
        foreach (var sample in samples)
            history.Add(sample);
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
                Open(reset);
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
                    Open(entry);
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
                Release(entry);
                Retire(entry);
                Touch(entry);
                balances.Remove(entry.Key);
                byLimit.Remove(entry.Key);
                touchedLimits.Add(entry.Key);
            }
        }
    }

    private void AddBudget(Limit limit, bool isNew)
    {
        var task = TaskId.Parse(limit.Target);
        var entry = new BalanceEntry(limit.Id, limit.Target, limit.Id) { Limit = limit, Exists = isNew };
        balances.Add(limit.Id, entry);
        ListOf(limit.Id).Add(entry);
        if (!budgets.TryGetValue(task, out var list))
            budgets[task] = list = [];
        list.Add(entry);
        budgetNumbers[limit.LastSequence] = task;
        if (isNew)
        {
            touchedLimits.Add(limit.Id);
            Touch(entry);
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
            Open(entry);
        }

        // A limit of its own takes the place of the one for each: who waits there must not wait on.
        foreach (var other in byTarget.GetValueOrDefault((limit.Level, Limit.Each)) ?? [])
            OpenAll(other.Id);
    }

    private void OpenAll(string limit)
    {
        foreach (var entry in byLimit.GetValueOrDefault(limit) ?? [])
            Release(entry);
    }

    private void Delete(string id)
    {
        var limit = limits[id];
        limits.Remove(id);
        byTarget[(limit.Level, limit.Target)].Remove(limit);
        version++;
        touchedLimits.Add(id);
        foreach (var entry in ListOf(id).ToList())
        {
            Release(entry);
            Retire(entry);
            if (entry.Exists)
                Change(entry, new Figures { Reserved = entry.Balance.Reserved });
            DropIfRetired(entry.Key);
        }
    }

    private void Retire(BalanceEntry entry)
    {
        entry.Limit = null;
        Disarm(entry);
    }

    private void DropIfRetired(string key)
    {
        if (!balances.TryGetValue(key, out var entry) || entry.Limit is not null || entry.Balance.Reserved > 0)
            return;
        balances.Remove(key);
        ListOf(entry.LimitId).Remove(entry);
        if (ListOf(entry.LimitId).Count == 0)
            byLimit.Remove(entry.LimitId);
        Touch(entry);
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
            if (state.IsLive && !entry.Booked)
            {
                entry.Booked = true;
                booked.Add(entry);
            }
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
        Touch(entry);
        Arm(entry);
    }

    private void Touch(BalanceEntry entry)
    {
        if (entry.Dirty)
            return;
        entry.Dirty = true;
        dirty.Add(entry);
    }

    internal (List<Limit> Limits, List<string> RemovedLimits, List<LimitBalance> Balances, List<string> RemovedBalances, List<UsageRow> Reports) TakeChanges()
    {
        if (dirty.Count == 0 && touchedLimits.Count == 0 && reported.Count == 0)
            return ([], [], [], [], []);
        List<Limit> changed = [];
        List<string> gone = [];
        foreach (var id in touchedLimits)
        {
            if ((Find(id) ?? (balances.TryGetValue(id, out var budget) ? budget.Limit : null)) is { } limit)
                changed.Add(limit);
            else
                gone.Add(id);
        }

        List<LimitBalance> rows = new(dirty.Count);
        List<string> removed = [];
        foreach (var entry in dirty)
        {
            entry.Dirty = false;
            if (balances.GetValueOrDefault(entry.Key) == entry)
                rows.Add(entry.Row);
            else if (!balances.TryGetValue(entry.Key, out var follower) || !follower.Exists)
                removed.Add(entry.Key);
        }

        var taken = (changed, gone, rows, removed, reported);
        touchedLimits.Clear();
        dirty.Clear();
        reported = [];
        return taken;
    }

    // ---- who waits ------------------------------------------------------------------------------------------------------

    /// <summary>An agent was refused: it looks again when there is room.</summary>
    /// <param name="isOut">It looks at nothing else until then: what it could have with less room is not known.</param>
    internal void Wait(Refused refused, AgentEntry agent, bool isOut)
    {
        var entry = refused.Entry;
        entry.Refuse(refused.Need);
        if (refused.IsExperience)
            NoteExperience(entry);
        if (isOut)
            entry.Doubt();
        if (agent.WaitsFor.Add(entry))
            entry.Waiters.AddLast(agent);
        Arm(entry);
    }

    /// <summary>A line was refused whoever would take from it: it is looked at again when there is room.</summary>
    internal void Park(Refused refused, WaitingLine line)
    {
        var entry = refused.Entry;
        entry.Refuse(refused.LeastNeed);
        if (refused.IsExperience)
            NoteExperience(entry);
        line.ParkedOn = entry;
        entry.Parked.Add(line);
        Arm(entry);
    }

    /// <summary>The agent left: it waits for nothing.</summary>
    internal static void Forget(AgentEntry agent)
    {
        foreach (var entry in agent.WaitsFor)
            entry.Waiters.Remove(agent);
        agent.WaitsFor.Clear();
        agent.OutOf = null;
    }

    /// <summary>Its timer fired.</summary>
    internal void Due(Decision decision, BalanceEntry entry)
    {
        entry.TimedAt = 0;
        if (entry.Limit is null)
            return;
        BeginWindow(decision, entry);
        Open(entry);
        Arm(entry);
    }

    private void Open(BalanceEntry entry)
    {
        if (!state.IsLive || !entry.IsWaitedFor)
            return;
        entry.OpenAgain();
        if (entry.Opened)
            return;
        entry.Opened = true;
        Opened.Add(entry);
    }

    // Whoever waits is looked at again, however little room there is: it may not be this limit that refuses them any more.
    private void Release(BalanceEntry entry)
    {
        entry.Force();
        Open(entry);
    }

    private void Arm(BalanceEntry entry)
    {
        if (!state.IsLive || entry.Limit is null)
            return;
        var due = entry.Balance.Used > 0 && entry.Limit.Window.IsCalendar ? entry.Balance.WindowEnd : entry.IsWaitedFor ? entry.FreesAt(state.Now) : long.MaxValue;
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

    private void Disarm(BalanceEntry entry)
    {
        entry.TimedAt = 0;
        if (entry.Timer is { } timer)
            state.WallDue.Disarm(timer);
    }

    /// <summary>What a task needs, worked out when a limit asks for it.</summary>
    private struct Needs(AllowanceTable table, string agent, TaskCost? cost, Requirement? kind)
    {
        private Estimate? known;
        private bool looked;

        public TaskCost? Cost { get; } = cost;

        public string? Model { get; } = cost?.Model ?? table.Options.DefaultModel;

        /// <summary>True when money can't be told from tokens.</summary>
        public readonly bool IsUnpriced => Cost?.Estimate.Money is null && table.PriceOf(Model) is null;

        public long Of(LimitUnit unit) => unit switch
        {
            LimitUnit.Tokens => Cost?.Estimate.Tokens ?? Amounts.Add(In, Out),
            LimitUnit.TokensIn => In,
            LimitUnit.TokensOut => Out,
            LimitUnit.Money => Cost?.Estimate.Money ?? table.PriceOf(Model)!.Of(Cost?.Estimate is { Tokens: not null, TokensIn: null } ? 0 : In, Out),
            LimitUnit.Jobs or LimitUnit.ConcurrentJobs => 1,
            LimitUnit.Requests => Cost?.Estimate.Requests ?? History?.Requests ?? 1,
            LimitUnit.PullRequests => Cost?.Estimate.PullRequests ?? 0,
            LimitUnit.Issues => Cost?.Estimate.Issues ?? 0,
            _ => 0,
        };

        /// <summary>True when what was asked of it was not all said by the task.</summary>
        public readonly bool IsExperience => looked;

        /// <summary>What no agent needs less of.</summary>
        public readonly long LeastOf(LimitUnit unit, long need)
        {
            if (!looked || kind is null || table.history.Least(kind) is not { } least)
                return need;
            var options = table.Options;
            var lowest = new Needs(table, agent, Cost, kind)
            {
                looked = true,
                known = new Estimate(
                    Math.Min(least.TokensIn!.Value, options.DefaultTokensIn), Math.Min(least.TokensOut!.Value, options.DefaultTokensOut),
                    Requests: Math.Min(least.Requests!.Value, 1)),
            };
            return Math.Min(need, lowest.Of(unit));
        }

        private long In => Cost?.Estimate.TokensIn ?? Cost?.Estimate.Tokens ?? History?.TokensIn ?? table.Options.DefaultTokensIn;

        private long Out => Cost?.Estimate.TokensOut ?? Cost?.Estimate.Tokens ?? History?.TokensOut ?? table.Options.DefaultTokensOut;

        private Estimate? History
        {
            get
            {
                if (!looked)
                    (looked, known) = (true, kind is null ? null : table.history.P95(agent, kind));
                return known;
            }
        }
    }
}

/// <summary>An agent's balances as of a version of the limits.</summary>
internal sealed record LimitPath(long Version, string? Owner, BalanceEntry[] Entries);

/// <summary>Why a limit refuses.</summary>
internal enum RefusalKind
{
    NoRoom,
    Model,
    Cooldown,
    Price,
}

/// <param name="Need">How much room is needed.</param>
/// <param name="LeastNeed">How much at least, whichever agent took it: they may be expected to need different amounts.</param>
/// <param name="IsExperience">True when that follows from what agents used for such work lately.</param>
internal readonly record struct Refused(BalanceEntry Entry, RefusalKind Kind, long Need, long LeastNeed = 0, bool IsExperience = false);

/// <summary>A usage report that was taken: a repeat by the same reporter changes nothing.</summary>
public sealed record UsageRow(string Reporter, string Id, string Hash, long Sequence);

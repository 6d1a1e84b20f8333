using System.Text.Json;
using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

/// <summary>
/// The ledger written down once more in the plainest way: lists of what was spent, added up in wide numbers. It is told of limits, agents, tasks and reports, and
/// works out for itself what each assignment had to reserve and each end to spend.
/// </summary>
internal sealed class PlainLedger(AllowanceOptions options)
{
    private readonly Dictionary<string, Limit> limits = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Account> accounts = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string?> owners = new(StringComparer.Ordinal);
    private readonly Dictionary<TaskId, Job> jobs = [];
    private readonly Dictionary<(string Agent, string Kind), List<Estimate>> history = [];
    private long lastAt;

    /// <summary>Assignments that reserved something.</summary>
    public long Grants { get; private set; }

    public long Overshoots { get; private set; }

    public void Take(DispatchEvent happened)
    {
        lastAt = happened.Timestamp;
        var subject = happened.Subject;
        switch (happened.Data)
        {
            case AgentRegistered e:
                owners[subject] = e.Owner;
                break;
            case AgentDeregistered:
                owners.Remove(subject);
                break;
            case AllowanceSet e:
                Set(happened, e);
                break;
            case AllowanceDeleted:
                limits.Remove(subject);
                foreach (var (key, account) in accounts.Where(pair => pair.Value.Limit == subject).ToList())
                {
                    (account.Spent, account.Steps, account.Warned, account.Exceeded, account.CooldownUntil, account.Window) = ([], 0, false, false, 0, default);
                    if (account.Reserved == 0)
                        accounts.Remove(key);
                }

                break;
            case AllowanceReset e:
                var renewed = AccountOf(subject);
                var window = limits[renewed.Limit].Window.Around(lastAt);
                Assert.Equal(window, (e.WindowStart, e.WindowEnd));
                Assert.True(window.Start >= renewed.Window.End, $"{subject} begins anew inside its window");
                (renewed.Window, renewed.Warned, renewed.Exceeded, renewed.SpentSinceSet) = (window, false, false, false);
                break;
            case AllowanceWarning e:
                var warned = AccountOf(subject);
                Assert.False(warned.Warned, $"{subject} is warned of twice in a window");
                Assert.Equal((Int128)e.Used, Used(subject));
                Assert.True(e.Used > 0 && e.Used >= limits[warned.Limit].SoftAmount);
                warned.Warned = true;
                break;
            case AllowanceExceeded e:
                var exceeded = AccountOf(subject);
                Assert.False(exceeded.Exceeded, $"{subject} is said to bind twice in a window");
                Assert.Equal((Int128)e.Used, Used(subject));
                Assert.Equal(exceeded.Reserved, e.Reserved);
                exceeded.Exceeded = true;
                break;
            case AllowanceCommitted e:
                Commit(happened.Subject, e);
                break;
            case TaskCreated e:
                Create(happened, e);
                break;
            case TaskAssigned e:
                Assign(jobs[TaskId.Parse(subject)], e);
                break;
            case TaskStarted:
                jobs[TaskId.Parse(subject)].IsRunning = true;
                break;
            case TaskCompleted e:
                End(subject, e.Usage, e.Model, isReported: true, isJob: true, isFailure: false, e.Spent);
                break;
            case TaskFailed e:
                End(subject, e.Usage, e.Model, isReported: true, isJob: true, isFailure: true, e.Spent);
                break;
            case TaskTimedOut e:
                End(subject, null, null, isReported: false, isJob: true, isFailure: true, e.Spent);
                break;
            case TaskCancelled e:
                End(subject, null, null, isReported: false, isJob: jobs[TaskId.Parse(subject)].IsRunning, isFailure: false, e.Spent);
                break;
            case TaskReleased or TaskReassigned:
                End(subject, null, null, isReported: false, isJob: false, isFailure: false, null);
                break;
        }
    }

    /// <summary>What was learnt of usage is not kept over a restart.</summary>
    public void Restarted() => history.Clear();

    public void Compare(CoreRun run)
    {
        lastAt = run.State.Now;
        foreach (var (key, account) in accounts)
        {
            var entry = run.State.Allowances.FindEntry(key);
            Assert.True(entry is not null || (account.Reserved == 0 && Used(key) == 0), $"{key} is lost");
            if (entry is null)
                continue;
            Assert.True(account.Reserved >= 0, $"{key}: more was given back than reserved");
            Assert.True(entry.Balance.Reserved == account.Reserved, $"{key}: {entry.Balance.Reserved} reserved, by the plain ledger {account.Reserved}");
            if (Find(account.Limit) is not { } limit || !IsOf(key, limit))
                continue;
            Assert.True(Saturated(Used(key)) == entry.UsedAt(lastAt), $"{key}: {entry.UsedAt(lastAt)} used, by the plain ledger {Used(key)}");
            Assert.True(account.CooldownUntil == entry.Balance.CooldownUntil, $"{key}: cool-down until {entry.Balance.CooldownUntil}, by the plain ledger {account.CooldownUntil}");
            Assert.True((account.Warned, account.Exceeded) == (entry.Balance.Warned, entry.Balance.Exceeded), $"{key}: flags");
            if (account.SpentSinceSet && limit.IsConsumed && !(limit.Window.IsCalendar && lastAt >= account.Window.End) && limit.Window.Kind != WindowKind.Rolling)
            {
                Assert.True(account.Warned || Used(key) < Math.Max(1, limit.SoftAmount), $"{key}: no warning at {Used(key)} of {limit.Amount}");
                Assert.True(account.Exceeded || Used(key) < limit.Amount, $"{key}: {Used(key)} of {limit.Amount} are used and nobody was told");
            }
        }

        foreach (var balance in run.State.Allowances.Balances)
            Assert.True(accounts.ContainsKey(balance.Key) || balance is { Used: 0, Reserved: 0 }, $"{balance.Key} is not in the plain ledger");
    }

    // ---- limits ---------------------------------------------------------------------------------------------------------

    private void Set(DispatchEvent happened, AllowanceSet e)
    {
        var known = Find(happened.Subject);
        limits[happened.Subject] = new Limit
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
            Version = 0,
            CreatedAt = 0,
            UpdatedAt = 0,
            LastSequence = 0,
        };
        foreach (var account in accounts.Values.Where(account => account.Limit == happened.Subject))
        {
            (account.Warned, account.Exceeded, account.SpentSinceSet) = (false, false, false);
            if (known is not null && known.Window != e.Window)
                (account.Spent, account.Steps, account.Window) = ([], 0, default);
        }
    }

    private Limit? Find(string id) => limits.GetValueOrDefault(id);

    private IEnumerable<(string Key, Limit Limit)> PathOf(string agent, TaskId budget)
    {
        var targets = new List<(LimitLevel Level, string Target)> { (LimitLevel.Agent, agent), (LimitLevel.Swarm, "") };
        if (owners.GetValueOrDefault(agent) is { } owner)
        {
            targets.Add((LimitLevel.Owner, owner));
            if (options.TeamOf.TryGetValue(owner, out var team))
                targets.Add((LimitLevel.Team, team));
        }

        foreach (var limit in limits.Values)
        {
            if (limit.Level == LimitLevel.Task)
            {
                if (!budget.IsNone && limit.Target == budget.ToString())
                    yield return (limit.Id, limit);
                continue;
            }

            var (_, target) = targets.Find(known => known.Level == limit.Level);
            if (target is null)
                continue;
            if (limit.Target == target)
                yield return (limit.Id, limit);
            else if (limit.Target == "*" && !limits.Values.Any(own => own.Level == limit.Level && own.Target == target && own.Unit == limit.Unit && own.Model == limit.Model && own.Repo == limit.Repo))
                yield return ($"{limit.Id}/{target}", limit);
        }
    }

    private static bool CountsFor(Limit limit, string? model, string? repo) => (limit.Model ?? model) == model && (limit.Repo ?? repo) == repo;

    // ---- tasks ----------------------------------------------------------------------------------------------------------

    private void Create(DispatchEvent happened, TaskCreated e)
    {
        var id = TaskId.Parse(happened.Subject);
        var budget = e.Budget is not null ? id : e.ParentId is { } parent ? jobs[parent].Budget : default;
        jobs[id] = new Job(id, Read(e.Estimate), Text(e.Estimate, "model") ?? options.DefaultModel, Text(e.Labels, "repo"), budget, string.Join(' ', e.RequiredCapabilities));
        foreach (var (name, amount) in (e.Budget ?? Amounts.None).Items.ToArray())
        {
            limits[$"task:{id}/{name}"] = new Limit
            {
                Id = $"task:{id}/{name}",
                Level = LimitLevel.Task,
                Target = id.ToString(),
                Unit = Enum.GetValues<LimitUnit>().Single(unit => JsonNamingPolicy.SnakeCaseLower.ConvertName(unit.ToString()) == name),
                Amount = amount,
                Window = LimitWindow.Lifetime,
                Version = 0,
                CreatedAt = 0,
                UpdatedAt = 0,
                LastSequence = 0,
            };
        }
    }

    private void Assign(Job job, TaskAssigned e)
    {
        var expected = new SortedDictionary<string, long>(StringComparer.Ordinal);
        long? longest = null;
        foreach (var (key, limit) in PathOf(e.Agent, job.Budget))
        {
            if (!CountsFor(limit, job.Model, job.Repo))
                continue;
            switch (limit.Unit)
            {
                case LimitUnit.JobMs:
                    Assert.True(limit.Amount > 0);
                    longest = Math.Min(longest ?? long.MaxValue, limit.Amount);
                    continue;
                case LimitUnit.Models:
                    Assert.True(job.Model is null || (!limit.Deny.Contains(job.Model) && (limit.Allow.Length == 0 || limit.Allow.Contains(job.Model))), $"{key} does not allow {job.Model}");
                    continue;
                case LimitUnit.CooldownMs:
                    Assert.True(AccountOf(key).CooldownUntil <= lastAt, $"{key}: given in its cool-down");
                    expected[key] = 0;
                    continue;
            }

            var need = NeedOf(limit.Unit, job, e.Agent);
            var account = AccountOf(key);
            Assert.True(Used(key) < limit.Amount && Used(key) + account.Reserved + need <= limit.Amount, $"{key}: {Used(key)} used, {account.Reserved} reserved, {need} more of {limit.Amount}");
            expected[key] = need;
        }

        Assert.Equal(expected, Sorted(e.Reserved));
        Assert.Equal(longest, e.MaxRunMs);
        foreach (var (key, amount) in expected)
            AccountOf(key).Reserved += amount;
        (job.Agent, job.Attempt, job.IsRunning, job.Reserved, job.Reported) = (e.Agent, e.Attempt, false, expected.Count == 0 ? null : expected, new(StringComparer.Ordinal));
        Grants += expected.Count == 0 ? 0 : 1;
    }

    private long NeedOf(LimitUnit unit, Job job, string agent)
    {
        var said = job.Said;
        var past = history.GetValueOrDefault((agent, job.Kind)) is { Count: >= 5 } samples ? samples : null;
        var tokensIn = said.TokensIn ?? said.Tokens ?? P95(past, one => one.TokensIn) ?? options.DefaultTokensIn;
        var tokensOut = said.TokensOut ?? said.Tokens ?? P95(past, one => one.TokensOut) ?? options.DefaultTokensOut;
        return unit switch
        {
            LimitUnit.Tokens => said.Tokens ?? Saturated((Int128)tokensIn + tokensOut),
            LimitUnit.TokensIn => tokensIn,
            LimitUnit.TokensOut => tokensOut,
            LimitUnit.Money => said.Money ?? Cost(job.Model!, said.Tokens is not null && said.TokensIn is null ? 0 : tokensIn, tokensOut),
            LimitUnit.Jobs or LimitUnit.ConcurrentJobs => 1,
            LimitUnit.Requests => said.Requests ?? P95(past, one => one.Requests) ?? 1,
            LimitUnit.PullRequests => said.PullRequests ?? 0,
            LimitUnit.Issues => said.Issues ?? 0,
            _ => throw new InvalidOperationException($"{unit} reserves nothing."),
        };
    }

    private static long? P95(List<Estimate>? samples, Func<Estimate, long?> of)
    {
        if (samples is null)
            return null;
        var sorted = samples.TakeLast(32).Select(sample => of(sample)!.Value).Order().ToList();
        return sorted[(int)Math.Ceiling(sorted.Count * 0.95) - 1];
    }

    private void End(string task, JsonBytes? usage, string? model, bool isReported, bool isJob, bool isFailure, Amounts? spent)
    {
        var job = jobs[TaskId.Parse(task)];
        if (job.Agent is not { } agent)
        {
            Assert.Null(spent);
            return;
        }

        var expected = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (var (key, reserved) in job.Reserved ?? [])
        {
            if (accounts.TryGetValue(key, out var account))
                account.Reserved -= reserved;
            if (Find(account?.Limit ?? LimitOf(key)) is not { } limit || !IsOf(key, limit))
            {
                if (account?.Reserved == 0)
                    accounts.Remove(key);
                continue;
            }

            var amount = limit.Unit switch
            {
                // The last two only when a limit was set anew, for something else, under the id of the one that it was reserved on.
                LimitUnit.ConcurrentJobs or LimitUnit.JobMs or LimitUnit.Models => 0,
                LimitUnit.Jobs => isJob ? 1 : 0,
                LimitUnit.CooldownMs => isFailure ? limit.Amount : 0,
                _ when !isReported => 0,
                _ when usage is null => reserved,
                _ => Math.Max(0, SpentOf(limit.Unit, Read(usage), model ?? job.Model, reserved) - job.Reported.GetValueOrDefault(key)),
            };
            if (amount > 0)
                expected[key] = amount;
        }

        Assert.Equal(expected, Sorted(spent));
        foreach (var (key, amount) in expected)
            Spend(key, amount);

        // Without limits on the way nobody is asked to learn anything.
        if (usage is not null && isReported && job.Reserved is not null)
        {
            var used = Read(usage);
            if (!history.TryGetValue((agent, job.Kind), out var samples))
                history[(agent, job.Kind)] = samples = [];
            samples.Add(new Estimate(used.TokensIn ?? used.Tokens ?? 0, used.TokensIn is null && used.Tokens is not null ? 0 : used.TokensOut ?? 0, Requests: used.Requests ?? 0));
        }

        (job.Agent, job.Reserved, job.LastAgent, job.IsRunning) = (null, null, agent, false);
    }

    private void Commit(string agent, AllowanceCommitted e)
    {
        var job = e.Task is { } id ? jobs[id] : null;
        var model = e.Model ?? job?.Model ?? options.DefaultModel;
        var expected = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (var (key, limit) in PathOf(agent, job?.Budget ?? default))
        {
            if (limit.Unit is LimitUnit.Jobs or LimitUnit.ConcurrentJobs or LimitUnit.JobMs or LimitUnit.CooldownMs or LimitUnit.Models || !CountsFor(limit, model, job?.Repo))
                continue;
            if (SpentOf(limit.Unit, Read(e.Usage), model, 0) is > 0 and var amount)
                expected[key] = amount;
        }

        Assert.Equal(expected, Sorted(e.Spent));
        if (job?.Agent is not null && job.Attempt == e.Attempt && job.Reserved is { } reserved)
        {
            foreach (var (key, amount) in expected)
            {
                var kept = reserved.GetValueOrDefault(key);
                if (kept > 0)
                {
                    reserved[key] = Math.Max(0, kept - amount);
                    AccountOf(key).Reserved -= Math.Min(kept, amount);
                }

                job.Reported[key] = Saturated((Int128)job.Reported.GetValueOrDefault(key) + amount);
            }
        }

        foreach (var (key, amount) in expected)
            Spend(key, amount);
    }

    private long SpentOf(LimitUnit unit, Estimate used, string? model, long otherwise) => unit switch
    {
        LimitUnit.Tokens => used.Tokens ?? Saturated((Int128)(used.TokensIn ?? 0) + (used.TokensOut ?? 0)),
        LimitUnit.TokensIn => used.TokensIn ?? used.Tokens ?? 0,
        LimitUnit.TokensOut => used.TokensOut ?? used.Tokens ?? 0,
        LimitUnit.Money => used.Money ?? (model is not null && options.Prices.ContainsKey(model) ? Cost(model, used.TokensIn ?? 0, used.TokensOut ?? used.Tokens ?? 0) : otherwise),
        LimitUnit.Requests => used.Requests ?? 0,
        LimitUnit.PullRequests => used.PullRequests ?? 0,
        LimitUnit.Issues => used.Issues ?? 0,
        _ => throw new InvalidOperationException($"{unit} is not reported."),
    };

    private long Cost(string model, long tokensIn, long tokensOut)
    {
        var price = options.Prices[model];
        return Saturated((((Int128)tokensIn * price.In) + ((Int128)tokensOut * price.Out) + 999_999) / 1_000_000);
    }

    private void Spend(string key, long amount)
    {
        var account = AccountOf(key);
        var limit = limits[account.Limit];
        if (limit.Unit == LimitUnit.CooldownMs)
        {
            account.CooldownUntil = Math.Max(account.CooldownUntil, lastAt + amount);
            return;
        }

        var before = Used(key);
        if (limit.Window.Kind == WindowKind.Rolling)
        {
            // Anew is what comes after something has come back and left it well below the limit.
            var isAnew = StepsOf(account, limit) < account.Steps && before + account.Reserved < limit.SoftAmount;
            (account.Warned, account.Exceeded) = (account.Warned && !isAnew, account.Exceeded && !isAnew);
        }

        account.Spent.Add((lastAt, amount));
        account.Steps = StepsOf(account, limit);
        account.SpentSinceSet = true;
        Overshoots += Used(key) > limit.Amount ? 1 : 0;
    }

    private int StepsOf(Account account, Limit limit) => limit.Window.Kind != WindowKind.Rolling ? 0 : account.Spent.Select(one => one.At / (limit.Window.RollingMs / 60)).Distinct()
        .Count(step => (step + 1) * (limit.Window.RollingMs / 60) > lastAt - limit.Window.RollingMs);

    /// <summary>All that was spent in the window that it is in now.</summary>
    private Int128 Used(string key)
    {
        var account = AccountOf(key);
        var window = limits[account.Limit].Window;
        var step = window.RollingMs / 60;
        var from = window.IsCalendar ? window.Around(lastAt).Start : 0;
        Int128 used = 0;
        foreach (var (at, amount) in account.Spent)
        {
            // A rolling window forgets a sixtieth of its length at a time.
            if (window.Kind == WindowKind.Rolling ? ((at / step) + 1) * step > lastAt - window.RollingMs : at >= from)
                used += amount;
        }

        return used;
    }

    private Account AccountOf(string key)
    {
        if (!accounts.TryGetValue(key, out var account))
            accounts[key] = account = new Account(LimitOf(key));
        return account;
    }

    private string LimitOf(string key) => limits.ContainsKey(key) || !key.Contains('/', StringComparison.Ordinal) ? key : key[..key.IndexOf('/', StringComparison.Ordinal)];

    // What is reserved on a limit that was deleted is given back; one for another kind of target under its id does not take it over.
    private static bool IsOf(string key, Limit limit) => limit.Level == LimitLevel.Task || (limit.Target == "*") == key.Contains('/', StringComparison.Ordinal);

    private static SortedDictionary<string, long> Sorted(Amounts? amounts)
    {
        var sorted = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (var (key, amount) in (amounts ?? Amounts.None).Items)
            sorted.Add(key, amount);
        return sorted;
    }

    private static long Saturated(Int128 amount) => amount > long.MaxValue ? long.MaxValue : (long)amount;

    private static Estimate Read(JsonBytes? value) => value is null ? Estimate.None : new Estimate(
        Number(value, "tokens_in"), Number(value, "tokens_out"), Number(value, "tokens"), Number(value, "money"), Number(value, "requests"), Number(value, "pull_requests"), Number(value, "issues"));

    private static long? Number(JsonBytes value, string name)
    {
        using var document = JsonDocument.Parse(value.Memory);
        return document.RootElement.TryGetProperty(name, out var member) ? member.GetInt64() : null;
    }

    private static string? Text(JsonBytes? value, string name)
    {
        if (value is null)
            return null;
        using var document = JsonDocument.Parse(value.Memory);
        return document.RootElement.TryGetProperty(name, out var member) ? member.GetString() : null;
    }

    private sealed class Account(string limit)
    {
        public string Limit { get; } = limit;

        public long Reserved { get; set; }

        public List<(long At, long Amount)> Spent { get; set; } = [];

        public (long Start, long End) Window { get; set; }

        public long CooldownUntil { get; set; }

        public bool Warned { get; set; }

        public bool Exceeded { get; set; }

        public bool SpentSinceSet { get; set; }

        /// <summary>Steps of a rolling window that counted when something was spent last.</summary>
        public int Steps { get; set; }
    }

    private sealed record Job(TaskId Id, Estimate Said, string? Model, string? Repo, TaskId Budget, string Kind)
    {
        public string? Agent { get; set; }

        public string? LastAgent { get; set; }

        public int Attempt { get; set; }

        public bool IsRunning { get; set; }

        public SortedDictionary<string, long>? Reserved { get; set; }

        public Dictionary<string, long> Reported { get; set; } = new(StringComparer.Ordinal);
    }
}

using System.Text.Json;
using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Checks;

/// <summary>
/// Holds the charges in the log against the limits by a book of its own: an attempt reserves on every limit that counts for it and on no other, and spends
/// what was reported, once.
/// </summary>
internal sealed class Auditor(Universe universe)
{
    private readonly Dictionary<string, Known> limits = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string?> owners = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Job> jobs = new(StringComparer.Ordinal);
    private readonly Dictionary<long, string> numbers = [];

    private AllowanceOptions Options => universe.Weather.State.Allowances;

    public void Check(DispatchEvent happened)
    {
        switch (happened.Data)
        {
            case AgentRegistered e:
                owners[happened.Subject] = e.Owner;
                break;
            case AgentDeregistered:
                owners.Remove(happened.Subject);
                break;
            case AllowanceSet e:
                limits[happened.Subject] = new Known(
                    limits.TryGetValue(happened.Subject, out var known) ? known.Since : happened.Sequence, e.Level, e.Target ?? "", e.Unit, e.Amount, e.Model, e.Repo, e.Allow ?? [], e.Deny ?? []);
                break;
            case AllowanceDeleted:
                limits.Remove(happened.Subject);
                break;
            case AllowanceCommitted e:
                CheckReport(happened, e);
                break;
            case TaskCreated e:
                jobs[happened.Subject] = new Job(Cost(e), e.Budget is null ? e.BudgetOf?.ToString() : happened.Subject);
                numbers[happened.Sequence] = happened.Subject;
                foreach (var (name, amount) in (e.Budget ?? Amounts.None).Items)
                {
                    limits[$"task:{happened.Subject}/{name}"] = new Known(
                        happened.Sequence, LimitLevel.Task, happened.Subject, AllowanceTable.BudgetUnits[name], amount, null, null, [], []);
                }

                break;
            case TaskPruned e:
                foreach (var number in e.Numbers)
                    Remove(number);
                break;
            case TaskAssigned e:
                CheckReserved(happened, e);
                break;
            case TaskStarted:
                jobs[happened.Subject].HasStarted = true;
                break;
            case TaskCompleted e:
                CheckSpent(happened, e.Spent, Ended.WithReport, e.Usage, e.Model);
                break;
            case TaskFailed e:
                CheckSpent(happened, e.Spent, Ended.WithReport | Ended.Badly, e.Usage, e.Model);
                break;
            case TaskTimedOut e:
                CheckSpent(happened, e.Spent, Ended.Badly, null, null);
                break;
            case TaskCancelled e:
                CheckSpent(happened, e.Spent, jobs[happened.Subject].HasStarted ? Ended.Begun : Ended.Never, null, null);
                break;
            case TaskReleased or TaskReassigned:
                CheckSpent(happened, null, Ended.Never, null, null);
                break;
        }
    }

    private void Remove(long number)
    {
        if (!numbers.Remove(number, out var task))
            return;
        foreach (var budget in limits.Where(pair => pair.Value.Level == LimitLevel.Task && pair.Value.Target == task).Select(pair => pair.Key).ToList())
            limits.Remove(budget);
    }

    private static (string? Model, string? Repo, Estimate Estimate) Cost(TaskCreated created) =>
        (Text(created.Estimate, "model"), Text(created.Labels, "repo"), Estimate.Read(created.Estimate));

    private static string? Text(JsonBytes? value, string name)
    {
        if (value is null)
            return null;
        using var document = JsonDocument.Parse(value.Memory);
        return document.RootElement.TryGetProperty(name, out var member) ? member.GetString() : null;
    }

    /// <summary>The limits that count for the agent, with the keys of what is booked on them.</summary>
    private IEnumerable<(string Key, Known Limit)> CountingFor(string agent, string? budgetOf, string? model, string? repo)
    {
        var owner = owners.GetValueOrDefault(agent);
        var team = owner is null ? null : Options.TeamOf.GetValueOrDefault(owner);
        foreach (var (id, limit) in limits)
        {
            if ((limit.Model is not null && limit.Model != model) || (limit.Repo is not null && limit.Repo != repo))
                continue;
            var target = limit.Level switch
            {
                LimitLevel.Agent => agent,
                LimitLevel.Owner => owner,
                LimitLevel.Team => team,
                LimitLevel.Task => budgetOf,
                _ => "",
            };
            if (target is null)
                continue;
            if (limit.Target == target)
                yield return (id, limit);
            else if (limit.Target == Limit.Each && !limits.Values.Any(own => limit.IsSameFor(own, target)))
                yield return ($"{id}/{target}", limit);
        }
    }

    private void CheckReserved(DispatchEvent happened, TaskAssigned assigned)
    {
        var job = jobs[happened.Subject];
        job.HasStarted = false;
        var model = job.Cost.Model ?? Options.DefaultModel;
        var counting = CountingFor(assigned.Agent, job.BudgetOf, model, job.Cost.Repo).ToList();
        job.Charges = counting.Where(one => one.Limit.Unit is not (LimitUnit.JobMs or LimitUnit.Models)).ToDictionary(one => one.Key, one => new Charge(one.Limit.Since), StringComparer.Ordinal);
        var reserved = assigned.Reserved ?? Amounts.None;
        foreach (var (key, amount) in reserved.Items)
        {
            if (!job.Charges.TryGetValue(key, out var charge))
                Fail(happened, $"it reserves on {key}, which does not count for it");
            else
                charge.Reserved = amount;
        }

        foreach (var (key, limit) in counting)
        {
            if (job.Charges.ContainsKey(key) && !reserved.Contains(key))
                Fail(happened, $"it reserves nothing on {key}, which counts for it");
            if (limit.Unit == LimitUnit.Models && model is not null && !limit.Permits(model))
                Fail(happened, $"{key} does not allow model {model}");
            if (Needed(limit.Unit, job.Cost.Estimate) is { } needed && reserved[key] != needed)
                Fail(happened, $"it reserves {reserved[key]} on {key} and needs {needed}");
        }

        var longest = counting.Where(one => one.Limit.Unit == LimitUnit.JobMs).Select(one => (long?)one.Limit.Amount).Min();
        if (assigned.MaxRunMs != longest)
            Fail(happened, $"it may run for {assigned.MaxRunMs} ms, limits allow {longest}");
    }

    // What follows from the estimate alone; null for what depends on experience.
    private static long? Needed(LimitUnit unit, Estimate estimate) => unit switch
    {
        LimitUnit.Jobs or LimitUnit.ConcurrentJobs => 1,
        LimitUnit.Tokens => estimate.Tokens ?? (estimate.TokensIn is null || estimate.TokensOut is null ? null : estimate.TokensIn + estimate.TokensOut),
        LimitUnit.TokensIn => estimate.TokensIn,
        LimitUnit.TokensOut => estimate.TokensOut,
        LimitUnit.Money => estimate.Money,
        LimitUnit.Requests => estimate.Requests,
        LimitUnit.PullRequests => estimate.PullRequests ?? 0,
        LimitUnit.Issues => estimate.Issues ?? 0,
        LimitUnit.CooldownMs => 0,
        _ => null,
    };

    private void CheckReport(DispatchEvent happened, AllowanceCommitted report)
    {
        if (report.Task is not { } task || !jobs.TryGetValue(task.ToString(), out var job))
            return;
        if (!universe.Ledger.WasAssigned(task, report.Attempt ?? 0, happened.Subject))
            Fail(happened, $"it is about attempt {report.Attempt} of task {task}, which is not the agent's");
        var used = Estimate.Read(report.Usage);
        var model = report.Model ?? job.Cost.Model ?? Options.DefaultModel;
        foreach (var (key, limit) in CountingFor(happened.Subject, job.BudgetOf, model, job.Cost.Repo))
        {
            var expected = limit.Unit is LimitUnit.Jobs or LimitUnit.ConcurrentJobs or LimitUnit.CooldownMs ? 0 : Used(limit.Unit, used, model, 0);
            if (report.Spent[key] != expected)
                Fail(happened, $"it books {report.Spent[key]} on {key}, and {expected} was used");
        }

        if (job.Charges is null || !universe.Ledger.IsLatest(task, report.Attempt ?? 0))
            return;
        foreach (var (key, amount) in report.Spent.Items)
        {
            if (job.Charges.TryGetValue(key, out var charge))
                (charge.Reserved, charge.Reported) = (Math.Max(0, charge.Reserved - amount), charge.Reported + amount);
        }
    }

    private void CheckSpent(DispatchEvent happened, Amounts? spent, Ended ended, JsonBytes? usage, string? model)
    {
        var job = jobs[happened.Subject];
        if (job.Charges is not { } charges)
        {
            if (spent is not null)
                Fail(happened, $"it spends {spent} and nobody held it");
            return;
        }

        job.Charges = null;
        var used = Estimate.Read(usage);
        model ??= job.Cost.Model ?? Options.DefaultModel;
        foreach (var (key, charge) in charges)
        {
            // Of a limit that came in the place of the one it was reserved on, nothing is known.
            if (Find(key) is not { } limit || limit.Since != charge.Since)
                continue;
            var expected = limit.Unit switch
            {
                LimitUnit.ConcurrentJobs => 0,
                LimitUnit.Jobs => ended == Ended.Never ? 0 : 1,
                LimitUnit.CooldownMs => ended.HasFlag(Ended.Badly) ? limit.Amount : 0,
                _ when !ended.HasFlag(Ended.WithReport) => 0,
                _ when usage is null => charge.Reserved,
                _ => Math.Max(0, Used(limit.Unit, used, model, charge.Reserved) - charge.Reported),
            };
            if ((spent?[key] ?? 0) != expected)
                Fail(happened, $"it spends {spent?[key] ?? 0} on {key}, and {expected} is due");
        }
    }

    private Known? Find(string key) => limits.GetValueOrDefault(key) ?? limits.GetValueOrDefault(key.Split('/')[0]);

    private long Used(LimitUnit unit, Estimate used, string? model, long otherwise) => unit switch
    {
        LimitUnit.Tokens => used.Tokens ?? (used.TokensIn ?? 0) + (used.TokensOut ?? 0),
        LimitUnit.TokensIn => used.TokensIn ?? used.Tokens ?? 0,
        LimitUnit.TokensOut => used.TokensOut ?? used.Tokens ?? 0,
        LimitUnit.Money when used.Money is { } money => money,
        LimitUnit.Money => model is not null && Options.Prices.TryGetValue(model, out var price) ? price.Of(used.TokensIn ?? 0, used.TokensOut ?? used.Tokens ?? 0) : otherwise,
        LimitUnit.Requests => used.Requests ?? 0,
        LimitUnit.PullRequests => used.PullRequests ?? 0,
        LimitUnit.Issues => used.Issues ?? 0,
        _ => 0,
    };

    private void Fail(DispatchEvent happened, string problem) => universe.Fail("I-16", $"Event {happened.Sequence} ({happened.Type}) of {happened.Subject}: {problem}.");

    /// <summary>How an attempt ended.</summary>
    [Flags]
    private enum Ended
    {
        /// <summary>As if it had not been: handed back, lost, or cancelled before it began.</summary>
        Never = 0,
        Begun = 1,
        Badly = 2,
        WithReport = 4,
    }

    /// <param name="Since">Sequence number at which it came into being.</param>
    private sealed record Known(long Since, LimitLevel Level, string Target, LimitUnit Unit, long Amount, string? Model, string? Repo, string[] Allow, string[] Deny)
    {
        /// <summary>True when the other is the target's own where this one is for each.</summary>
        public bool IsSameFor(Known own, string target) => own.Level == Level && own.Target == target && own.Unit == Unit && own.Model == Model && own.Repo == Repo;

        public bool Permits(string model) => !Deny.Any(pattern => Fits(pattern, model)) && (Allow.Length == 0 || Allow.Any(pattern => Fits(pattern, model)));

        private static bool Fits(string pattern, string model) => pattern.EndsWith('*') ? model.StartsWith(pattern[..^1], StringComparison.Ordinal) : model == pattern;
    }

    private sealed class Job((string? Model, string? Repo, Estimate Estimate) cost, string? budgetOf)
    {
        public (string? Model, string? Repo, Estimate Estimate) Cost { get; } = cost;

        public string? BudgetOf { get; } = budgetOf;

        public bool HasStarted { get; set; }

        /// <summary>By key; null while nobody holds it.</summary>
        public Dictionary<string, Charge>? Charges { get; set; }
    }

    private sealed class Charge(long since)
    {
        public long Since { get; } = since;

        public long Reserved { get; set; }

        public long Reported { get; set; }
    }
}

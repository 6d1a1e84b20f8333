using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Allowances;

/// <summary>
/// Whether work may be given, what it reserves, and what it has spent: decided from limits, prices and experience before the event that says so. The table only
/// books what events say.
/// </summary>
internal sealed class Charging(State state, AllowanceTable table)
{
    private readonly UsageHistory history = new();

    private AllowanceOptions Options => state.Options.Allowances;

    /// <summary>Takes up experience from before the start.</summary>
    internal void Remember(IReadOnlyList<UsageSample> samples)
    {
        foreach (var sample in samples)
            history.Add(sample);
    }

    /// <summary>The first balance that has no room for the task, from the agent's own to the swarm's and the task's budget; null when all have.</summary>
    internal Refused? Refuses(AgentEntry agent, WorkTask task) =>
        table.IsEmpty ? null : Refuses(table.PathOf(agent), agent.Agent.Id, task.Cost, task.Needs);

    internal Refused? Refuses(BalanceEntry[] path, string agent, TaskCost? cost, Requirement? kind)
    {
        var needs = new Needs(Options, history, agent, cost, kind);
        foreach (var entry in path)
        {
            if (Refusal(entry, ref needs) is { } refused)
                return refused;
        }

        foreach (var entry in table.BudgetOf(cost))
        {
            if (Refusal(entry, ref needs) is { } refused)
                return refused;
        }

        return null;
    }

    private Refused? Refusal(BalanceEntry entry, ref Needs needs)
    {
        if (!entry.CountsFor(needs.Model, needs.Cost?.Repo))
            return null;
        switch (entry.Unit)
        {
            case LimitUnit.JobMs:
                return entry.Amount == 0 ? new Refused(entry, RefusalKind.NoRoom, 1) : null;
            case LimitUnit.Models:
                return needs.Model is { } model && !entry.Limit!.Permits(model) ? new Refused(entry, RefusalKind.Model, 0) : null;
            case LimitUnit.CooldownMs:
                return entry.Balance.CooldownUntil > state.Now ? new Refused(entry, RefusalKind.Cooldown, 0) : null;
            case LimitUnit.Money when needs.IsUnpriced:
                return new Refused(entry, RefusalKind.Price, 0);
            default:
                var need = needs.Of(entry.Unit);
                // What is used up gives nothing, also not to what says that it needs nothing.
                var room = entry.RoomAt(state.Now);
                return need > room || room <= 0 ? new Refused(entry, RefusalKind.NoRoom, Math.Max(1, need), Math.Max(1, needs.LeastOf(entry.Unit, need)), needs.IsExperience) : null;
        }
    }

    /// <summary>What a task that is about to be given reserves, and how long it may run at most (0: no limit). Windows that are over begin anew first.</summary>
    internal (Amounts? Reserved, long MaxRunMs) Reserve(Decision decision, AgentEntry agent, WorkTask task)
    {
        if (table.IsEmpty)
            return (null, 0);
        var path = table.PathOf(agent);
        var needs = new Needs(Options, history, agent.Agent.Id, task.Cost, task.Needs);
        var budget = table.BudgetOf(task.Cost);
        var items = new Booking(table, path.Length + budget.Count);
        long longest = 0;
        foreach (var entry in path)
            Take(entry, ref needs);
        foreach (var entry in budget)
            Take(entry, ref needs);
        return (items.End(), longest);

        void Take(BalanceEntry entry, ref Needs needs)
        {
            if (!entry.CountsFor(needs.Model, needs.Cost?.Repo))
                return;
            if (entry.Unit == LimitUnit.JobMs)
            {
                longest = longest == 0 ? entry.Amount : Math.Min(longest, entry.Amount);
            }
            else if (entry.Unit != LimitUnit.Models)
            {
                table.BeginWindow(decision, entry);
                items.Add(entry, entry.Unit == LimitUnit.CooldownMs ? 0 : needs.Of(entry.Unit));
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
            table.Waiting.ExpectLess();
        var items = new Booking(table, charge.Reserved.Count);
        for (var i = 0; i < charge.Reserved.Count; i++)
        {
            // Deleted since: there is nothing to book on, unless there is one of this id again.
            var (key, reserved) = charge.Reserved.Items[i];
            if ((table.EntryAt(charge.Reserved, i) ?? table.FindCharged(key)) is not { Limit: not null } entry)
                continue;
            var amount = entry.Unit switch
            {
                LimitUnit.Jobs => 1,
                LimitUnit.ConcurrentJobs or LimitUnit.JobMs or LimitUnit.Models => 0,
                LimitUnit.CooldownMs => isFailure ? entry.Amount : 0,
                _ when !reported => 0,
                // An end without a word of what was used: what was expected stands for it.
                _ when usage is null => reserved,
                _ => Math.Max(0, UsedOf(entry.Unit, used, model, reserved) - (charge.Reported?[key] ?? 0)),
            };
            if (amount == 0)
                continue;
            table.BeginWindow(decision, entry);
            items.Add(entry, amount);
        }

        return items.End();
    }

    private long UsedOf(LimitUnit unit, Estimate used, string? model, long otherwise) => unit switch
    {
        LimitUnit.Tokens => used.AllTokens ?? 0,
        LimitUnit.TokensIn => used.TokensIn ?? used.Tokens ?? 0,
        LimitUnit.TokensOut => used.TokensOut ?? used.Tokens ?? 0,
        LimitUnit.Money => used.Money ?? Options.PriceOf(model)?.Of(used.TokensIn ?? 0, used.TokensOut ?? used.Tokens ?? 0) ?? otherwise,
        LimitUnit.Requests => used.Requests ?? 0,
        LimitUnit.PullRequests => used.PullRequests ?? 0,
        LimitUnit.Issues => used.Issues ?? 0,
        _ => 0,
    };

    /// <summary>A limit that counts money of such spending, which can't be told without the price of the model; null: there is none.</summary>
    internal Limit? LacksPrice(BalanceEntry[] path, TaskCost? cost, Estimate used, string? model)
    {
        model ??= cost?.Model ?? Options.DefaultModel;
        if (used.Money is not null || used.AllTokens is null or 0 || Options.PriceOf(model) is not null)
            return null;
        return path.Concat(table.BudgetOf(cost)).Select(entry => entry.Limit!).FirstOrDefault(limit => limit.Unit == LimitUnit.Money && limit.CountsFor(model, cost?.Repo));
    }

    /// <summary>What spending that is reported apart from a task's end is booked on.</summary>
    internal Amounts Book(Decision decision, BalanceEntry[] path, TaskCost? cost, Estimate used, string? model)
    {
        var budget = table.BudgetOf(cost);
        var items = new Booking(table, path.Length + budget.Count);
        model ??= cost?.Model ?? Options.DefaultModel;
        foreach (var entry in path.Concat(budget))
        {
            if (!entry.IsConsumed || entry.Unit == LimitUnit.Jobs || !entry.CountsFor(model, cost?.Repo))
                continue;
            if (UsedOf(entry.Unit, used, model, 0) is > 0 and var amount)
            {
                table.BeginWindow(decision, entry);
                items.Add(entry, amount);
            }
        }

        return items.End() ?? Amounts.None;
    }
}

/// <summary>Amounts that are being put together.</summary>
internal struct Booking(AllowanceTable table, int most)
{
    private KeyValuePair<string, long>[] items = new KeyValuePair<string, long>[most];
    private BalanceEntry[] entries = new BalanceEntry[most];
    private int count;

    public void Add(BalanceEntry entry, long amount)
    {
        items[count] = new(entry.Key, amount);
        entries[count++] = entry;
    }

    /// <summary>Null when there are none.</summary>
    public Amounts? End()
    {
        if (count == 0)
            return null;
        Array.Resize(ref items, count);
        Array.Resize(ref entries, count);
        return new Amounts(items) { Resolved = (table, entries) };
    }
}

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

using System.Security.Cryptography;
using System.Text;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Allowances;

/// <summary>Facts about a usage report read from the store, true as of a sequence number.</summary>
/// <param name="Known">The report of this reporter and id that was taken before, or null.</param>
/// <param name="Task">The task it names, or null: there is none.</param>
public sealed record UsageFacts(long AsOf, UsageRow? Known, StoredTask? Task);

/// <summary>What became of a usage report.</summary>
public abstract record UsageOutcome
{
    /// <param name="IsNew">False for a repeat: nothing changed.</param>
    /// <param name="Spent">What was booked, by balance; null for a repeat.</param>
    public sealed record Taken(long Sequence, bool IsNew, Amounts? Spent) : UsageOutcome;

    /// <summary>What the command brought along is out of date: read again as of now.</summary>
    public sealed record NeedsFacts : UsageOutcome;

    /// <summary>The id was used for another report.</summary>
    public sealed record Mismatch(long Sequence) : UsageOutcome;

    /// <summary>A limit counts money, and the price of the model is not known. Nothing was booked.</summary>
    /// <param name="Model">Null: none was named.</param>
    public sealed record LacksPrice(string Limit, string? Model) : UsageOutcome;

    /// <summary>There is no such task, or it is not the agent's.</summary>
    public sealed record NotTheAgents : UsageOutcome;
}

/// <summary>Books spending that is reported apart from the end of a task: by the agent, or by an admin (a proxy of models, say) for it.</summary>
/// <param name="Id">The reporter's own id: a repeat changes nothing.</param>
/// <param name="Agent">Whose spending it is.</param>
/// <param name="Task">The task it was for, or null. While the attempt is in hand, what it had reserved is used first, and what it reports at its end includes this.</param>
/// <param name="Attempt">Null: the task's current or last one.</param>
/// <param name="Repo">The repository it was for, when no task says it.</param>
public sealed record ReportUsage(string Id, string Agent, TaskId? Task, int? Attempt, string? Model, string? Repo, JsonBytes Usage, UsageFacts Facts) : Command<UsageOutcome>
{
    public override UsageOutcome Decide(State state, Decision decision)
    {
        var reporter = ByAdmin ? "admin" : Caller!;
        var hash = Hash();
        if (!state.Allowances.RecentReports.TryGet((reporter, Id), out var known))
        {
            if (Facts.AsOf < state.Allowances.RecentReports.Floor)
                return new UsageOutcome.NeedsFacts();
            known = Facts.Known;
        }

        if (known is not null)
            return known.Hash == hash ? new UsageOutcome.Taken(known.Sequence, false, null) : new UsageOutcome.Mismatch(known.Sequence);

        WorkTask? task = null;
        if (Task is { } id)
        {
            task = state.Tasks.Find(id)?.Task;
            if (task is null && state.Tasks.IsOutOfDate(id, Facts.Task, Facts.AsOf))
                return new UsageOutcome.NeedsFacts();
            task ??= Facts.Task?.Task;
            if (task is null || !string.Equals(task.IsHeld ? task.Assignee : task.LastAgent, Agent, StringComparison.Ordinal) || (Attempt is { } attempt && attempt != task.Attempt))
                return new UsageOutcome.NotTheAgents();
        }

        var cost = task?.Cost ?? (Repo is null && Model is null ? null : new TaskCost(Model, Repo, default, Estimate.None));
        var (path, used) = (state.Allowances.PathOf(Agent), Estimate.Read(Usage));
        if (state.Allowances.Charging.LacksPrice(path, cost, used, Model) is { } limit)
            return new UsageOutcome.LacksPrice(limit.Id, Model ?? cost?.Model ?? state.Options.Allowances.DefaultModel);
        var spent = state.Allowances.Charging.Book(decision, path, cost, used, Model);
        var happened = decision.Raise(Agent, null, 0, new AllowanceCommitted(Id, reporter, hash, Task, task?.Attempt, Model, Usage, spent, task?.Charge is null ? null : true));
        state.Allowances.Alerts.Tell(decision);
        return new UsageOutcome.Taken(happened.Sequence, true, spent);
    }

    private string Hash() => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(
        string.Join('\n', Agent, Task, Attempt, Model, Repo, Encoding.UTF8.GetString(Usage.Span)))).AsSpan(0, 16));
}

using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

/// <summary>Short forms of limits and of tasks that say what they cost.</summary>
internal static class ALimit
{
    public static Limit Of(LimitLevel level, string target, LimitUnit unit, long amount, LimitWindow? window = null, string id = "l") => new()
    {
        Id = id,
        Level = level,
        Target = target,
        Unit = unit,
        Amount = amount,
        Window = window ?? LimitWindow.Lifetime,
        Version = 0,
        CreatedAt = 0,
        UpdatedAt = 0,
        LastSequence = 0,
    };

    public static Limit Swarm(LimitUnit unit, long amount, LimitWindow? window = null, string id = "l") => Of(LimitLevel.Swarm, "", unit, amount, window, id);

    public static Limit Agent(string agent, LimitUnit unit, long amount, LimitWindow? window = null, string id = "l") => Of(LimitLevel.Agent, agent, unit, amount, window, id);

    public static Limit Set(this CoreRun run, Limit limit) => Assert.IsType<LimitOutcome.Done>(run.Run(new SetLimit(limit))).Limit;

    /// <param name="estimate">Of a JSON object: its members.</param>
    public static NewTask Task(string estimate = "", string required = "", byte priority = 5, string? repo = null, long? budget = null, TaskId? parent = null)
    {
        var task = CoreRun.Task(required, priority: priority) with { Parent = parent };
        return task with
        {
            Spec = task.Spec with
            {
                Estimate = estimate.Length == 0 ? null : Json(estimate),
                Labels = repo is null ? null : Json($"\"repo\":\"{repo}\""),
                Budget = budget is { } tokens ? new Amounts([new("tokens", tokens)]) : null,
            },
        };
    }

    public static ReportVerdict Complete(this CoreRun run, TaskId task, string? usage = null) =>
        run.Report(run[task].Assignee!, new TaskReport.Completed(task, null, null, usage is null ? null : Json(usage)));

    /// <summary>What an agent says it used beside the ends of its tasks.</summary>
    public static UsageOutcome Use(this CoreRun run, string agent, string usage, TaskId? task = null, string id = "u") =>
        run.Run(new ReportUsage(id, agent, task, null, null, null, Json(usage), run.Store.Usage(agent, id, task)) { Caller = agent });

    public static LimitStanding Standing(this CoreRun run, string id = "l") => Assert.Single(run.Run(new ReadLimit(id, 10))!.Value.Standings);

    public static JsonBytes Json(string members) => JsonBytes.Parse($"{{{members}}}");
}

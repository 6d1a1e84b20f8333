using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

/// <summary>What the simulation found, told as short as it can be.</summary>
public sealed class AllowanceRegressionTests
{
    [Fact]
    public void An_agent_that_had_nothing_left_is_shown_the_smaller_task_when_a_little_comes_back()
    {
        var run = new CoreRun();
        run.Register("w", max: 3);
        Set(run, "tokens", LimitUnit.TokensIn, 100, LimitLevel.Agent, "w");
        var first = run.Submit(Task(tokensIn: 100));
        run.Submit(Task(tokensIn: 90));
        var small = run.Submit(Task(tokensIn: 30));

        run.Report("w", new TaskReport.Completed(first, null, null, JsonBytes.Parse("{\"tokens_in\":60}")));

        Assert.Equal("w", run[small].Assignee);
    }

    [Fact]
    public async Task A_limit_that_is_deleted_and_set_again_in_one_batch_begins_with_an_empty_balance()
    {
        var run = new CoreRun();
        run.Register("w");
        Set(run, "jobs", LimitUnit.Jobs, 5, LimitLevel.Agent, "w");
        run.Complete("w", run.Submit(Task()));
        Assert.Equal(1, run.State.Allowances.FindBalance("jobs")!.Used);

        run.Take(new DeleteLimit("jobs") { ByAdmin = true });
        run.Take(new SetLimit(Of("jobs", LimitUnit.Jobs, 5, LimitLevel.Agent, "w")) { ByAdmin = true });
        run.Take(new ReadAllowance("w") { ByAdmin = true });
        run.Close();

        Assert.Null(run.State.Allowances.FindBalance("jobs"));
        await run.CheckStoreAsync();
    }

    [Fact]
    public void A_task_that_says_nothing_goes_to_the_agent_that_needs_less_for_its_like()
    {
        var run = new CoreRun();
        run.Register("b");
        Set(run, "tokens", LimitUnit.TokensIn, 1_000_000, LimitLevel.Swarm, "");
        for (var n = 0; n < 5; n++)
            run.Report("b", new TaskReport.Completed(run.Submit(Task(tokensIn: 50)), null, null, JsonBytes.Parse("{\"tokens_in\":50}")));
        run.Register("a");
        run.Register("c");
        Set(run, "tokens", LimitUnit.TokensIn, 5 * 50 + 500, LimitLevel.Swarm, "");

        var tasks = run.Submit(Task(), Task(), Task());

        Assert.All(tasks, task => Assert.Equal("b", run[task].Assignee));
    }

    [Fact]
    public void What_waits_for_the_swarm_is_looked_at_again_when_experience_says_that_less_is_needed()
    {
        var run = new CoreRun();
        run.Register("b", max: 10);
        Set(run, "tokens", LimitUnit.TokensIn, 1_000, LimitLevel.Swarm, "");
        var waiting = run.Submit(Task());
        Assert.Equal(TaskState.Pending, run[waiting].Status);

        foreach (var task in run.Submit(Task(tokensIn: 50), Task(tokensIn: 50), Task(tokensIn: 50), Task(tokensIn: 50), Task(tokensIn: 50)))
            run.Report("b", new TaskReport.Completed(task, null, null, JsonBytes.Parse("{\"tokens_in\":50}")));

        Assert.Equal("b", run[waiting].Assignee);
    }

    private static void Set(CoreRun run, string id, LimitUnit unit, long amount, LimitLevel level, string target) =>
        Assert.IsType<LimitOutcome.Done>(run.Run(new SetLimit(Of(id, unit, amount, level, target)) { ByAdmin = true }));

    private static Limit Of(string id, LimitUnit unit, long amount, LimitLevel level, string target) => new()
    {
        Id = id,
        Level = level,
        Target = target,
        Unit = unit,
        Amount = amount,
        Window = LimitWindow.Lifetime,
        Version = 0,
        CreatedAt = 0,
        UpdatedAt = 0,
        LastSequence = 0,
    };

    private static NewTask Task(long? tokensIn = null)
    {
        var task = CoreRun.Task();
        return tokensIn is null ? task : task with { Spec = task.Spec with { Estimate = JsonBytes.Parse($"{{\"tokens_in\":{tokensIn}}}") } };
    }
}

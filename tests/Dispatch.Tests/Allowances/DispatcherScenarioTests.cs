using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

/// <summary>What the dispatcher that was asked for does, from one end to the other: route, check the allowance, claim, record the use.</summary>
public sealed class DispatcherScenarioTests
{
    [Fact]
    public async Task A_task_is_routed_checked_claimed_and_its_use_recorded()
    {
        var run = new CoreRun(new StateOptions { LeaseMs = 10 * CoreRun.Minute });
        run.Register("coder-1", "code go", max: 4);
        run.Register("coder-2", "code go", max: 4);
        run.Register("writer", "prose");
        run.Register("gone", "code go");
        run.Run(new DrainAgent("gone", true));
        run.Set(ALimit.Agent("*", LimitUnit.Jobs, 2, new LimitWindow(WindowKind.Day), "daily-jobs"));
        run.Set(ALimit.Agent("*", LimitUnit.Tokens, 10_000, new LimitWindow(WindowKind.Day), "daily-tokens"));
        run.Set(ALimit.Agent("*", LimitUnit.ConcurrentJobs, 2, id: "at-once"));
        run.Set(ALimit.Agent("*", LimitUnit.Models, 0, id: "models") with { Deny = ["huge*"] });

        // Route: by capability, to the one with the least to do.
        NewTask Wanted() => ALimit.Task("\"tokens\":3000,\"model\":\"small\"", "code go");
        var first = run.Submit(Wanted());
        var second = run.Submit(Wanted());
        var coders = new[] { run[first].Assignee!, run[second].Assignee! };
        Assert.Equal(["coder-1", "coder-2"], coders.Order(StringComparer.Ordinal));

        // Check: reserves nothing, and says what binds.
        Assert.True(Check("coder-1", "\"tokens\":7000", "small").Allowed);
        Assert.Equal("daily-tokens", Check("coder-1", "\"tokens\":7001", "small").Refusal!.Standing.Limit.Id);
        Assert.Equal("models", Check("coder-1", "\"tokens\":1", "huge-2").Refusal!.Standing.Limit.Id);
        Assert.True(Check("nobody-yet", "\"tokens\":10000", "small").Allowed);
        Assert.Equal((0, 3_000), Tokens("coder-1"));

        // Claim: the agent is sent what was assigned to it, once.
        Assert.Equal(first, Assert.Single(run.Exchange(coders[0], max: 5).Tasks).Task.Id);
        Assert.Empty(run.Exchange(coders[0], max: 5, holding: [new HeldAttempt(first, 1)]).Tasks);
        Assert.Equal(ReportVerdict.Foreign, run.Start(coders[1], first));

        // Record: a job that began and failed counts half its tokens elsewhere; here what was used counts, and a repeat changes nothing.
        run.Start(coders[0], first);
        Assert.Equal(ReportVerdict.Accepted, run.Complete(first, "\"tokens\":2500"));
        run.Exchange(coders[0], reports: [new TaskReport.Completed(first, 1, null, ALimit.Json("\"tokens\":2500"))]);
        Assert.Equal((2_500, 0), Tokens(coders[0]));
        run.Start(coders[1], second);
        run.Report(coders[1], new TaskReport.Failed(second, null, "broken", false, null, ALimit.Json("\"tokens\":1000")));
        Assert.Equal((1_000, 0), Tokens(coders[1]));

        // Each has one job of two left: the fifth task waits for tomorrow, and says so.
        var third = run.Submit(Wanted());
        var fourth = run.Submit(Wanted());
        var fifth = run.Submit(Wanted());
        Assert.Equal((true, true, TaskState.Pending), (run[third].IsHeld, run[fourth].IsHeld, run[fifth].Status));
        Assert.Contains("'daily-jobs'", run.Run(new ExplainTask(fifth))!.Message, StringComparison.Ordinal);
        run.Run(new CancelTask(third, "not wanted") { Caller = "alice" });
        Assert.True(run[fifth].IsHeld);
        await run.CheckStoreAsync();

        AllowanceAnswer Check(string agent, string estimate, string model) =>
            run.Run(new CheckAllowance(agent, new TaskCost(model, null, default, Estimate.Read(ALimit.Json(estimate)))));

        (long Used, long Reserved) Tokens(string agent)
        {
            var balance = run.State.Allowances.FindBalance($"daily-tokens/{agent}")!;
            return (balance.Used, balance.Reserved);
        }
    }
}

using Dispatch.Agents;
using Dispatch.Matching;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Agents;

public sealed class HandBackTests
{
    [Theory]
    [InlineData("leaves", false)]
    [InlineData("leaves", true)]
    [InlineData("is drained", false)]
    [InlineData("drops its connection", false)]
    [InlineData("releases", false)]
    [InlineData("releases", true)]
    public async Task Work_that_is_handed_back_costs_no_attempt(string how, bool started)
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var tasks = run.Submit(CoreRun.Task("a", retries: 0), CoreRun.Task("a", retries: 0));
        run.Register("other", "a");
        if (started)
            Assert.All(tasks, task => run.Start("w", task));

        switch (how)
        {
            case "leaves":
                Assert.Equal(2, run.Run(new DeregisterAgent("w") { Caller = "w" }));
                break;
            case "is drained":
                run.Run(new DrainAgent("w", true) { ByAdmin = true });
                break;
            case "drops its connection":
                Assert.Equal(2, run.Run(new ReturnUnstarted("w")));
                break;
            default:
                Assert.All(tasks, task => Assert.Equal(ReportVerdict.Accepted, run.Report("w", new TaskReport.Released(task, 1, null))));
                break;
        }

        Assert.All(tasks, task =>
        {
            Assert.Equal(("other", 2, 0), (run[task].Assignee, run[task].Attempt, run[task].RetryCount));
            Assert.Equal(AttemptOutcome.Released, run.Store.Attempts(task).Single().Outcome);
        });
        await run.CheckStoreAsync();
    }

    [Theory]
    [InlineData("is drained")]
    [InlineData("drops its connection")]
    public void What_runs_may_end(string how)
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var (running, waiting) = (run.Submit(CoreRun.Task("a")), run.Submit(CoreRun.Task("a")));
        run.Start("w", running);
        run.Register("other", "a");
        if (how == "is drained")
            run.Run(new DrainAgent("w", true));
        else
            run.Run(new ReturnUnstarted("w"));

        Assert.Equal(("w", "other"), (run[running].Assignee, run[waiting].Assignee));
        Assert.Equal([waiting], run.Exchange("w").Revoked.Select(revoked => revoked.Task));
        Assert.Equal(ReportVerdict.Stale, run.Report("w", new TaskReport.Completed(waiting, 1, null, null)));
        Assert.Equal(ReportVerdict.Accepted, run.Complete("w", running));
    }

    [Fact]
    public void Drain_survives_a_restart_and_a_new_registration()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        run.Run(new DrainAgent("w", true));
        run.Restart();
        run.Register("w", "a b");
        var task = run.Submit(CoreRun.Task("a"));
        Assert.Equal(TaskState.Pending, run[task].Status);
        Assert.True(run.Run(new FindAgent("w"))!.Agent.Drained);

        run.Run(new DrainAgent("w", false));
        Assert.Equal(TaskState.Assigned, run[task].Status);
    }

    [Fact]
    public void Draining_twice_is_one_event_and_nobody_is_drained_for_nothing()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        run.Run(new DrainAgent("w", true));
        run.Run(new DrainAgent("w", true));
        Assert.Single(run.HistoryOf("w").OfType<AgentDrained>());
        Assert.Null(run.Run(new DrainAgent("nobody", true)));
        Assert.Null(run.Run(new DeregisterAgent("nobody")));
        Assert.Equal(0, run.Run(new ReturnUnstarted("nobody")));
    }

    [Fact]
    public void A_dropped_connection_is_mended_by_the_next_sign_of_life()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a"));
        run.Run(new ReturnUnstarted("w"));
        Assert.Equal(TaskState.Pending, run[task].Status);
        Assert.Equal([(task, 2)], run.Exchange("w", 1).Tasks.Select(granted => (granted.Task.Id, granted.Task.Attempt)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_agent_that_vanishes_costs_its_tasks_an_attempt(bool started)
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a", timeoutMs: CoreRun.Hour));
        if (started)
            run.Start("w", task);
        run.Pass(30_000);

        Assert.Equal((TaskState.Pending, 1, 1), (run[task].Status, run[task].RetryCount, run[task].Attempt));
        Assert.Equal([new Revocation(task, 1, "lease_expired")], run.Exchange("w").Revoked);
        Assert.Equal(("w", 2), (run[task].Assignee, run[task].Attempt));
        Assert.Equal(AttemptOutcome.Lost, run.Store.Attempts(task).Single().Outcome);
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task A_task_that_kills_its_workers_is_a_dead_letter_after_its_charged_attempts()
    {
        var run = new CoreRun();
        var task = run.Submit(CoreRun.Task("a", retries: 3, timeoutMs: CoreRun.Hour));
        for (var attempt = 1; attempt <= 4; attempt++)
        {
            run.Register($"victim{attempt}", "a");
            Assert.Equal(($"victim{attempt}", attempt), (run[task].Assignee, run[task].Attempt));
            run.Pass(30_000);
        }

        Assert.Equal((TaskState.Failed, true, 3), (run[task].Status, run[task].DeadLettered, run[task].RetryCount));
        Assert.Equal(4, run.Store.Attempts(task).Count(attempt => attempt.Outcome == AttemptOutcome.Lost));
        await run.CheckStoreAsync();
    }

    [Fact]
    public void Handing_back_is_never_charged_however_often()
    {
        var run = new CoreRun();
        run.Register("one", "a");
        run.Register("two", "a");
        var task = run.Submit(CoreRun.Task("a", retries: 0));
        for (var attempt = 1; attempt <= 50; attempt++)
        {
            Assert.Equal(attempt, run[task].Attempt);
            var holder = run[task].Assignee!;
            run.Report(holder, new TaskReport.Released(task, null, null));
            Assert.NotEqual(holder, run[task].Assignee);
        }

        Assert.Equal(0, run[task].RetryCount);
    }

    [Fact]
    public void A_lone_worker_that_hands_everything_back_is_given_a_pause()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a"));
        run.Report("w", new TaskReport.Released(task, 1, null));
        Assert.Equal((TaskState.Pending, WaitReason.Backoff), (run[task].Status, run.Run(new ExplainTask(task))!.Reason));
        run.Pass(999);
        Assert.Equal(TaskState.Pending, run[task].Status);
        run.Pass(1);
        Assert.Equal((TaskState.Assigned, 2), (run[task].Status, run[task].Attempt));
    }

    [Fact]
    public void Work_handed_back_keeps_its_place_before_what_came_later()
    {
        var run = new CoreRun();
        run.Register("w", "a", max: 1);
        var first = run.Submit(CoreRun.Task("a"));
        run.Pass(1);
        run.Submit(CoreRun.Task("a"));
        run.Run(new DeregisterAgent("w"));
        run.Register("other", "a", max: 1);
        Assert.Equal("other", run[first].Assignee);
    }
}

using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Tasks;

public sealed class TaskClockTests
{
    [Fact]
    public void The_run_timeout_counts_from_assignment_and_anew_from_the_start()
    {
        var run = Running("w", out var task, CoreRun.Task("a", timeoutMs: 10_000, retries: 1));
        run.Pass(9_000);
        run.Start("w", task);
        run.Pass(9_999);
        Assert.Equal(TaskState.Running, run[task].Status);
        run.Pass(1);
        Assert.Equal((1, "w"), (run[task].RetryCount, run.HistoryOf(task).OfType<TaskTimedOut>().Single().Agent));

        run.Pass(1_000);
        Assert.Equal((TaskState.Assigned, 2), (run[task].Status, run[task].Attempt));
        run.Pass(10_000);
        Assert.Equal((TaskState.Timeout, true), (run[task].Status, run[task].DeadLettered));
    }

    [Fact]
    public void Progress_does_not_prolong_a_run()
    {
        var run = Running("w", out var task, CoreRun.Task("a", timeoutMs: 10_000, retries: 0));
        run.Start("w", task);
        for (var i = 0; i < 9; i++)
        {
            run.Pass(1_000);
            run.Report("w", new TaskReport.Progressed(task, null, i, null, null));
        }

        run.Pass(1_000);
        Assert.Equal(TaskState.Timeout, run[task].Status);
    }

    [Theory]
    [InlineData("pending")]
    [InlineData("scheduled")]
    [InlineData("blocked")]
    [InlineData("backoff")]
    [InlineData("assigned")]
    [InlineData("running")]
    [InlineData("waking")]
    public void The_deadline_ends_a_task_wherever_it_stands(string where)
    {
        var run = new CoreRun();
        run.Register("w", "a", status: where == "waking" ? AgentStatus.Sleeping : AgentStatus.Ready);
        var before = run.Submit(CoreRun.Task("nobody", timeoutMs: CoreRun.Day));
        var deadline = run.Wall + 25_000;
        var task = run.Submit(CoreRun.Task(
            where == "pending" ? "nobody" : "a", deadline: deadline, runAt: where == "scheduled" ? deadline + 1 : null, after: where == "blocked" ? [before] : []));
        if (where == "running")
            run.Start("w", task);
        if (where == "backoff")
            run.Fail("w", task, afterMs: 60_000);

        run.Pass(24_999);
        Assert.False(run[task].IsFinal);
        run.Pass(1);
        Assert.Equal((TaskState.Timeout, true), (run[task].Status, run[task].DeadLettered));
        var held = where is "assigned" or "running";
        Assert.Equal(held ? "w" : null, run.HistoryOf(task).OfType<TaskTimedOut>().Single().Agent);
        Assert.Equal(held ? [new Revocation(task, 1, "deadline")] : [], run.Exchange("w").Revoked);
        Assert.Null(run.State.Tasks.Find(task));
    }

    [Fact]
    public void The_deadline_counts_over_all_attempts()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a", deadline: run.Wall + 10_000, retries: 100));
        for (var attempt = 1; attempt <= 9; attempt++)
        {
            run.Pass(1_000);
            run.Fail("w", task);
            Assert.Equal((TaskState.Assigned, attempt + 1), (run[task].Status, run[task].Attempt));
        }

        run.Pass(1_000);
        Assert.Equal(TaskState.Timeout, run[task].Status);
    }

    [Fact]
    public void A_scheduled_task_comes_due_by_the_clock_on_the_wall()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a", runAt: run.Wall + CoreRun.Hour));
        run.SetWall(CoreRun.Hour - 1);
        run.Settle();
        Assert.Equal(TaskState.Scheduled, run[task].Status);
        run.SetWall(1);
        run.Settle();
        Assert.Equal((TaskState.Assigned, 0), (run[task].Status, run.HistoryOf(task).OfType<TaskAssigned>().Single().QueuedMs));
    }

    [Fact]
    public void A_time_in_the_past_is_now()
    {
        var run = new CoreRun();
        Assert.Equal(TaskState.Pending, run[run.Submit(CoreRun.Task("a", runAt: run.Wall))].Status);
    }

    [Fact]
    public void The_delay_of_a_retry_is_spread_from_nothing_to_its_ceiling()
    {
        var options = new StateOptions { RetryBaseMs = 1_000, RetryCapMs = 6_000 };
        long[] ceilings = [1_000, 2_000, 4_000, 6_000, 6_000];
        var delays = ceilings.Select(_ => new List<long>()).ToArray();
        var run = new CoreRun(options, seed: 5);
        run.Register("w", "a", max: 1);
        for (var round = 0; round < 60; round++)
        {
            var task = run.Submit(CoreRun.Task("a", retries: 5));
            for (var n = 0; n < ceilings.Length; n++)
            {
                run.Fail("w", task, afterMs: null);
                delays[n].Add(run.HistoryOf(task).OfType<TaskRetried>().Last().NextAttemptAt - run.State.Now);
                run.Pass(6_000);
                Assert.Equal(n + 2, run[task].Attempt);
            }

            run.Fail("w", task, afterMs: null);
            Assert.Equal((TaskState.Failed, 5, true), (run[task].Status, run[task].RetryCount, run[task].DeadLettered));
            run.Beat("w");
        }

        for (var n = 0; n < ceilings.Length; n++)
        {
            Assert.All(delays[n], delay => Assert.InRange(delay, 0, ceilings[n]));
            Assert.InRange(delays[n].Min(), 0, ceilings[n] / 5);
            Assert.InRange(delays[n].Max(), ceilings[n] * 4 / 5, ceilings[n]);
            Assert.InRange(delays[n].Average(), ceilings[n] * 0.35, ceilings[n] * 0.65);
        }
    }

    [Fact]
    public void A_worker_may_wish_for_a_delay_and_may_rule_a_retry_out()
    {
        var run = Running("w", out var task, CoreRun.Task("a"));
        run.Fail("w", task, afterMs: 15_000);
        run.Pass(14_999);
        Assert.Equal(TaskState.Pending, run[task].Status);
        run.Pass(1);
        Assert.Equal(TaskState.Assigned, run[task].Status);
        run.Fail("w", task, retryable: false);
        Assert.Equal((TaskState.Failed, 1, true), (run[task].Status, run[task].RetryCount, run[task].DeadLettered));
    }

    [Fact]
    public async Task A_dead_letter_put_back_has_fresh_attempts_and_its_old_number_of_them()
    {
        var run = Running("w", out var task, CoreRun.Task("a", retries: 0));
        run.Fail("w", task);
        Assert.Equal(1, run.State.Tasks.Totals[(int)TaskState.Failed]);

        var outcome = run.Run(new RetryTask(run.Store.Find(task)!, run.Store.Sequence) { Caller = "alice" });
        Assert.Equal(2, Assert.IsType<ChangeOutcome.Changed>(outcome).Task.Attempt);
        Assert.Equal((TaskState.Assigned, 0, false), (run[task].Status, run[task].RetryCount, run[task].DeadLettered));
        Assert.Equal(0, run.State.Tasks.Totals[(int)TaskState.Failed]);
        run.Complete("w", task);
        Assert.Equal([AttemptOutcome.Failed, AttemptOutcome.Completed], run.Store.Attempts(task).Select(attempt => attempt.Outcome));
        await run.CheckStoreAsync();
    }

    private static CoreRun Running(string agent, out TaskId task, NewTask what)
    {
        var run = new CoreRun();
        run.Register(agent, "a");
        task = run.Submit(what);
        Assert.Equal(agent, run[task].Assignee);
        return run;
    }
}

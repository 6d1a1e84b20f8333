using Dispatch.Agents;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Agents;

public sealed class ExchangeTests
{
    [Fact]
    public void A_report_makes_room_for_new_work_in_the_same_commit()
    {
        var run = new CoreRun();
        run.Register("w", "a", max: 1);
        var tasks = run.Submit(CoreRun.Task("a"), CoreRun.Task("a"));
        run.Exchange("w", 1);
        var commits = run.Store.CommittedEvents.Count;
        var answer = run.Exchange("w", 1, [new TaskReport.Completed(tasks[0], 1, null, null)]);

        Assert.Equal([ReportVerdict.Accepted], answer.Reports);
        Assert.Equal(tasks[1], answer.Tasks.Single().Task.Id);
        Assert.Equal(commits + 1, run.Store.CommittedEvents.Count);
    }

    [Fact]
    public void One_bad_report_does_not_spoil_the_others()
    {
        var run = new CoreRun();
        run.Register("w", "a", max: 9);
        run.Register("other", "b");
        var mine = run.Submit([.. Enumerable.Range(0, 5).Select(_ => CoreRun.Task("a"))]);
        var foreign = run.Submit(CoreRun.Task("b"));
        var nowhere = new TaskId(new Guid(9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9));
        var answer = run.Exchange("w", 0,
        [
            new TaskReport.Started(mine[0], 1),
            new TaskReport.Started(mine[0], 1),
            new TaskReport.Progressed(mine[1], 1, 40, "on the way", null),
            new TaskReport.Completed(mine[2], 2, null, null),
            new TaskReport.Completed(foreign, null, null, null),
            new TaskReport.Completed(foreign, 1, null, null),
            new TaskReport.Completed(foreign, 2, null, null),
            new TaskReport.Completed(nowhere, 1, null, null),
            new TaskReport.Completed(mine[3], null, null, null),
            new TaskReport.Completed(mine[3], 1, null, null),
            new TaskReport.Failed(mine[3], 1, "no", true, null, null),
            new TaskReport.Failed(mine[4], 1, "no", true, 5_000, null),
            new TaskReport.Failed(mine[4], 1, "no", true, 5_000, null),
            new TaskReport.Completed(mine[4], 1, null, null),
        ]);

        Assert.Equal(
        [
            ReportVerdict.Accepted, ReportVerdict.Unchanged, ReportVerdict.Accepted, ReportVerdict.Stale, ReportVerdict.Foreign, ReportVerdict.Foreign, ReportVerdict.Stale,
            ReportVerdict.NotLive, ReportVerdict.Accepted, ReportVerdict.Unchanged, ReportVerdict.Stale, ReportVerdict.Accepted, ReportVerdict.Unchanged, ReportVerdict.Stale,
        ], answer.Reports);
        Assert.Equal(
            [TaskState.Running, TaskState.Running, TaskState.Assigned, TaskState.Completed, TaskState.Pending, TaskState.Assigned],
            mine.Append(foreign).Select(task => run[task].Status));
        Assert.Equal((40, "on the way"), (run[mine[1]].Progress!.Percent, run[mine[1]].Progress!.Message));
    }

    [Fact]
    public void A_worker_that_lost_its_attempt_can_not_end_the_next_one()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a", timeoutMs: 1_000));
        run.Pass(2_000);
        Assert.Equal(("w", 2), (run[task].Assignee, run[task].Attempt));

        var before = run.Store.Sequence;
        Assert.Equal([ReportVerdict.Stale], run.Exchange("w", 0, [new TaskReport.Completed(task, 1, null, null)]).Reports);
        Assert.Equal(before, run.Store.Sequence);
        Assert.Equal(ReportVerdict.Accepted, run.Report("w", new TaskReport.Completed(task, 2, null, null)));
    }

    [Fact]
    public void An_admin_may_report_for_the_holder()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a"));
        Assert.Equal(ReportVerdict.Foreign, run.Complete("alice", task));
        Assert.Equal(ReportVerdict.Accepted, run.Run(new ReportTask(new TaskReport.Completed(task, 1, null, null)) { Caller = "root", ByAdmin = true }).Verdict);
        Assert.Equal("admin", run.Store.Events[^1].Actor);
    }

    [Fact]
    public void The_answer_to_a_report_tells_the_task_as_it_is_at_the_end_of_the_batch()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        run.Register("other", "a", status: AgentStatus.Busy);
        var task = run.Submit(CoreRun.Task("a"));
        var outcome = run.Run(new ReportTask(new TaskReport.Released(task, 1, null)) { Caller = "w" });
        Assert.Equal(("other", 2), (outcome.Task!.Assignee, outcome.Task.Attempt));
    }

    [Fact]
    public void No_more_is_given_than_asked_for_and_the_rest_comes_next()
    {
        var run = new CoreRun();
        run.Register("w", "a", max: 5);
        var tasks = run.Submit([.. Enumerable.Range(0, 5).Select(_ => CoreRun.Task("a"))]);
        Assert.Empty(run.Exchange("w").Tasks);
        var first = Ids(run.Exchange("w", 2));
        Assert.Equal(tasks[..2], first);
        var second = Ids(run.Exchange("w", 9, holding: [.. first.Select(task => new HeldAttempt(task, 1))]));
        Assert.Equal(tasks[2..], second);
    }

    [Fact]
    public void A_lost_answer_is_given_again_until_it_is_confirmed_or_started()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var tasks = run.Submit(CoreRun.Task("a"), CoreRun.Task("a"), CoreRun.Task("a"));
        Assert.Equal(tasks, Ids(run.Exchange("w", 9)).Order());
        Assert.Equal(tasks, Ids(run.Exchange("w", 9)).Order());
        run.Start("w", tasks[0]);
        Assert.Equal([tasks[2]], Ids(run.Exchange("w", 9, holding: [new HeldAttempt(tasks[1], 1)])));
        Assert.Equal([tasks[1]], Ids(run.Exchange("w", 9, holding: [new HeldAttempt(tasks[2], null)])));
        Assert.Equal([tasks[1], tasks[2]], Ids(run.Exchange("w", 9, holding: [new HeldAttempt(tasks[1], 7)])).Order());
    }

    [Fact]
    public void After_a_restart_a_worker_is_not_given_again_what_it_says_it_has()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var tasks = run.Submit(CoreRun.Task("a"), CoreRun.Task("a"));
        run.Exchange("w", 9);
        run.Restart();
        var answer = run.Exchange("w", 9, holding: [new HeldAttempt(tasks[0], 1)]);
        Assert.Equal([tasks[1]], Ids(answer));
        Assert.Empty(answer.Revoked);
    }

    [Fact]
    public void The_rest_of_an_exchange_that_waited_collects_only_what_is_new()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        run.Submit(CoreRun.Task("a"));
        run.Exchange("w", 1);
        var fresh = run.Submit(CoreRun.Task("a"));
        var rest = run.Run(new ExchangeWork("w", [], [], null, 9, Resumed: true) { Caller = "w" })!;
        Assert.Equal([fresh], Ids(rest));
    }

    [Fact]
    public void What_is_no_longer_wanted_is_told_once_and_again_whenever_it_is_held()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a"));
        run.Exchange("w", 1);
        var answer = run.Take(new CancelTask(task, "not wanted") { Caller = "alice" });
        Assert.Contains("w", run.Close().Called);
        Assert.IsType<ChangeOutcome.Changed>(answer.Outcome);

        var held = new HeldAttempt(task, 1);
        Assert.Equal([new Revocation(task, 1, "cancelled")], run.Exchange("w", holding: [held]).Revoked);
        Assert.Empty(run.Exchange("w").Revoked);
        Assert.Equal([new Revocation(task, 1, "not_held")], run.Exchange("w", holding: [held]).Revoked);
        run.Restart();
        Assert.Equal([new Revocation(task, 1, "not_held")], run.Exchange("w", holding: [held]).Revoked);
    }

    [Fact]
    public void A_heartbeat_tells_of_revoked_work_too()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a"));
        run.Cancel(task);
        var beat = run.Run(new Heartbeat("w", null) { Caller = "w" })!;
        Assert.Equal([new Revocation(task, 1, "cancelled")], beat.Revoked);
        Assert.Equal(run.State.Now + 30_000, beat.LeaseExpiresAt);
        Assert.Null(run.Run(new Heartbeat("nobody", null)));
    }

    [Fact]
    public void What_it_reports_in_the_same_breath_is_not_called_unwanted()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a"));
        var answer = run.Exchange("w", 0, [new TaskReport.Completed(task, 1, null, null)], [new HeldAttempt(task, 1)]);
        Assert.Equal([ReportVerdict.Accepted], answer.Reports);
        Assert.Empty(answer.Revoked);
    }

    [Fact]
    public void Who_is_not_registered_is_told_so()
    {
        var run = new CoreRun();
        Assert.Null(run.Run(new ExchangeWork("nobody", [], [], null, 1) { Caller = "nobody" }));
        Assert.Equal(0, run.Store.Sequence);
    }

    [Fact]
    public void An_agent_is_called_for_each_new_assignment()
    {
        var run = new CoreRun();
        run.Register("one", "a");
        run.Register("two", "b");
        run.Take(run.Submission("alice", CoreRun.Task("b")));
        Assert.Equal(["two"], run.Close().Called);
        Assert.Empty(run.Close().Called);
    }

    private static IEnumerable<TaskId> Ids(ExchangeOutcome answer) => answer.Tasks.Select(granted => granted.Task.Id);
}

using System.Text;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Tasks;

public sealed class ChangeTaskTests
{
    public static TheoryData<TaskState> NotFinal => [TaskState.Scheduled, TaskState.Blocked, TaskState.Pending, TaskState.Assigned, TaskState.Running];

    public static TheoryData<TaskState> DeadOrCancelled => [TaskState.Failed, TaskState.Timeout, TaskState.Cancelled];

    [Theory]
    [MemberData(nameof(NotFinal))]
    public async Task A_task_can_be_cancelled_in_every_state_that_is_not_final(TaskState state)
    {
        var run = In(state, out var task);
        Assert.IsType<ChangeOutcome.Changed>(run.Cancel(task));
        Assert.Equal((TaskState.Cancelled, "not wanted"), (run[task].Status, run[task].Error));
        Assert.IsType<ChangeOutcome.NotLive>(run.Cancel(task));
        Assert.Equal(run[task].Attempt, run.Store.Attempts(task).Count(attempt => attempt.Outcome == AttemptOutcome.Cancelled));
        await run.CheckStoreAsync();
    }

    [Theory]
    [MemberData(nameof(NotFinal))]
    public void Only_its_requester_its_owner_and_an_admin_may_change_a_task(TaskState state)
    {
        var run = In(state, out var task);
        foreach (var command in (Command<ChangeOutcome>[])[new CancelTask(task, ""), new PatchTask(task, 7, null, null)])
            Assert.IsType<ChangeOutcome.Forbidden>(run.Run(command with { Caller = "mallory" }));
        Assert.IsType<ChangeOutcome.Changed>(run.Run(new PatchTask(task, 6, null, null) { Caller = "bob" }));
        Assert.IsType<ChangeOutcome.Changed>(run.Run(new PatchTask(task, 7, null, null) { Caller = "mallory", ByAdmin = true }));
        Assert.Equal(7, run[task].Priority);
    }

    [Fact]
    public void A_new_priority_moves_the_task_to_its_place()
    {
        var run = new CoreRun();
        var tasks = run.Submit(CoreRun.Task("a"), CoreRun.Task("a"), CoreRun.Task("a"));
        run.Run(new PatchTask(tasks[2], 9, null, null) { Caller = "alice" });
        run.Run(new PatchTask(tasks[0], 1, null, null) { Caller = "alice" });
        run.Register("w", "a", max: 1);
        foreach (var expected in (TaskId[])[tasks[2], tasks[1], tasks[0]])
        {
            Assert.Equal("w", run[expected].Assignee);
            run.Complete("w", expected);
        }
    }

    [Fact]
    public void The_priority_it_has_is_no_event()
    {
        var run = In(TaskState.Pending, out var task);
        var before = run.Store.Sequence;
        Assert.IsType<ChangeOutcome.Changed>(run.Run(new PatchTask(task, run[task].Priority, null, null) { Caller = "alice" }));
        Assert.Equal(before, run.Store.Sequence);
    }

    [Fact]
    public async Task A_context_merged_into_an_older_task_is_read_again()
    {
        var run = new CoreRun(new StateOptions { SpecBudget = 0 });
        var task = run.Submit(CoreRun.Task("a"));
        var read = run.Store.Find(task)!;
        Assert.Null(run.State.Tasks.Find(task)!.Spec);
        var context = new JsonBytes(Encoding.UTF8.GetBytes("""{"n":1}"""));
        Assert.IsType<ChangeOutcome.Changed>(run.Run(new PatchTask(task, null, context, read) { Caller = "alice" }));
        Assert.IsType<ChangeOutcome.NeedsFacts>(run.Run(new PatchTask(task, null, context, read) { Caller = "alice" }));
        Assert.Equal((context, "Count lines"), (run.Store.Find(task)!.Spec.Context, run.Store.Find(task)!.Spec.Title));
        await run.CheckStoreAsync();
    }

    [Theory]
    [MemberData(nameof(DeadOrCancelled))]
    public async Task A_task_that_did_not_complete_can_be_put_back(TaskState state)
    {
        var run = Ended(state, out var task);
        var stored = run.Store.Find(task)!;
        Assert.IsType<ChangeOutcome.Forbidden>(run.Run(new RetryTask(stored, run.Store.Sequence) { Caller = "mallory" }));
        Assert.IsType<ChangeOutcome.NeedsFacts>(run.Run(new RetryTask(stored, run.State.Sequence - run.HistoryOf(task).Count) { Caller = "alice" }));
        Assert.IsType<ChangeOutcome.Changed>(run.Run(new RetryTask(stored, run.Store.Sequence) { Caller = "alice" }));
        Assert.Equal((TaskState.Assigned, 0), (run[task].Status, run[task].RetryCount));
        Assert.IsType<ChangeOutcome.WrongState>(run.Run(new RetryTask(stored, run.Store.Sequence) { Caller = "alice" }));
        await run.CheckStoreAsync();
    }

    [Fact]
    public void A_completed_task_stays_so()
    {
        var run = Ended(TaskState.Completed, out var task);
        var outcome = run.Run(new RetryTask(run.Store.Find(task)!, run.Store.Sequence) { Caller = "alice" });
        Assert.Equal(TaskState.Completed, Assert.IsType<ChangeOutcome.WrongState>(outcome).State);
    }

    [Fact]
    public async Task Put_back_twice_in_one_batch_it_is_put_back_once()
    {
        var run = Ended(TaskState.Failed, out var task);
        var stored = run.Store.Find(task)!;
        run.Take(new RetryTask(stored, run.Store.Sequence) { Caller = "alice" });
        var second = run.Take(new RetryTask(stored, run.Store.Sequence) { Caller = "alice" });
        run.Close();
        Assert.IsType<ChangeOutcome.WrongState>(second.Outcome);
        Assert.Single(run.HistoryOf(task).OfType<TaskRetried>());
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task One_that_never_reached_the_queue_waits_for_its_dependencies_again()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var root = run.Submit(CoreRun.Task("a", retries: 0));
        var after = run.Submit(CoreRun.Task("a", after: [root]));
        run.Fail("w", root);
        Assert.Equal(TaskState.Cancelled, run[after].Status);

        PutBack(after);
        Assert.Equal((TaskState.Cancelled, 2), (run[after].Status, run.HistoryOf(after).OfType<TaskCancelled>().Count()));
        PutBack(root);
        PutBack(after);
        Assert.Equal(TaskState.Blocked, run[after].Status);
        run.Complete("w", root);
        Assert.Equal(TaskState.Assigned, run[after].Status);
        await run.CheckStoreAsync();

        void PutBack(TaskId task) => run.Run(new RetryTask(run.Store.Find(task)!, run.Store.Sequence) { Caller = "alice", Facts = run.Store.Facts([root], []) });
    }

    [Fact]
    public async Task Only_what_is_finished_and_unchanged_is_removed()
    {
        var run = Ended(TaskState.Failed, out var dead);
        var done = run.Submit(CoreRun.Task("a", key: "k", hash: "h"));
        run.Complete("w", done);
        var live = run.Submit(CoreRun.Task("b"));
        var asOf = run.Store.Sequence;
        StoredTask[] found = [run.Store.Find(dead)!, run.Store.Find(done)!, run.Store.Find(live)!];
        run.Run(new RetryTask(found[0], asOf) { Caller = "alice" });
        run.Cancel(dead);

        Assert.Equal(1, run.Run(new PruneTasks(found, asOf)));
        Assert.Null(run.Store.Find(done));
        Assert.NotNull(run.Store.Find(dead));
        Assert.Equal(0, run.Run(new PruneTasks(found, asOf)));
        Assert.True(Assert.IsType<SubmitOutcome.Accepted>(run.Try("alice", CoreRun.Task("a", key: "k", hash: "h"))).Tasks.Single().IsNew);
        await run.CheckStoreAsync();
    }

    [Fact]
    public void Specs_leave_memory_past_their_limits_and_the_store_keeps_them()
    {
        var run = new CoreRun(new StateOptions { SpecBudget = 1_000, SpecLimit = 500 });
        var small = run.Submit(CoreRun.Task("a"));
        var large = run.Submit(CoreRun.Task("a", title: new string('x', 256)));
        Assert.NotNull(run.State.Tasks.Find(small)!.Spec);
        Assert.Null(run.State.Tasks.Find(large)!.Spec);
        Assert.Equal(256, run.Store.Find(large)!.Spec.Title.Length);
        for (var i = 0; i < 100; i++)
            run.Submit(CoreRun.Task("a"));
        Assert.InRange(run.State.Tasks.SpecBytes, 1, 1_000);
    }

    [Fact]
    public void The_numbers_tell_what_there_is()
    {
        var run = new CoreRun();
        run.Submit(CoreRun.Task("a"));
        run.Pass(5_000);
        run.Cancel(run.Submit(CoreRun.Task("b")));
        run.Pass(2_000);
        var stats = run.Run(new ReadStats());
        Assert.Equal((7_000, 1, 1, run.Store.Sequence), (stats.OldestPendingMs, stats.Totals[(int)TaskState.Pending], stats.Totals[(int)TaskState.Cancelled], stats.Sequence));
    }

    [Fact]
    public void What_attempts_used_is_added_up()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a"));
        run.Report("w", new TaskReport.Failed(task, 1, "broken", true, 0, JsonBytes.Parse("""{"tokens_in":900,"calls":1}""")));
        run.Report("w", new TaskReport.Completed(task, 2, JsonBytes.Parse("""{"ok":true}"""), JsonBytes.Parse("""{"tokens_in":100,"tokens_out":5}""")));
        Assert.Equal("""{"calls":1,"tokens_in":1000,"tokens_out":5}""", run[task].Usage!.ToString());
        Assert.Equal("""{"ok":true}""", run.Store.Find(task)!.Result!.ToString());
    }

    private static CoreRun In(TaskState state, out TaskId task)
    {
        var run = new CoreRun();
        var before = run.Submit(CoreRun.Task("zzz"));
        run.Register("w", "a");
        task = run.Submit(CoreRun.Task(
            state == TaskState.Pending ? "zzz" : "a", owner: "bob", runAt: state == TaskState.Scheduled ? run.Wall + 1_000 : null, after: state == TaskState.Blocked ? [before] : []));
        run.Register("w", "a", owner: "bob");
        if (state == TaskState.Running)
            run.Start("w", task);
        Assert.Equal(state, run[task].Status);
        return run;
    }

    private static CoreRun Ended(TaskState state, out TaskId task)
    {
        var run = new CoreRun();
        run.Register("w", "a");
        task = run.Submit(CoreRun.Task("a", retries: 0, timeoutMs: 1_000));
        switch (state)
        {
            case TaskState.Failed:
                run.Fail("w", task);
                break;
            case TaskState.Completed:
                run.Complete("w", task);
                break;
            case TaskState.Cancelled:
                run.Cancel(task);
                break;
            default:
                run.Pass(1_000);
                break;
        }

        Assert.Equal(state, run[task].Status);
        return run;
    }
}

using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Tasks;

public sealed class DependencyTests
{
    private static readonly TaskId[] Ids = [.. Enumerable.Range(1, 40).Select(SubmitTasksTests.Id)];

    [Fact]
    public void A_task_of_the_same_request_may_be_named_before_it_comes()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        run.Submit(CoreRun.Task("a", id: Ids[0], after: [Ids[1]]), CoreRun.Task("a", id: Ids[1], after: [Ids[2]]), CoreRun.Task("a", id: Ids[2]));
        foreach (var next in (TaskId[])[Ids[2], Ids[1], Ids[0]])
        {
            Assert.Equal([next], Ids[..3].Where(id => run[id].IsHeld));
            run.Complete("w", next);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(30)]
    public void A_circle_is_refused_and_nothing_is_taken_in(int length)
    {
        var run = new CoreRun();
        var circle = Enumerable.Range(0, length).Select(i => CoreRun.Task(id: Ids[i], after: [Ids[(i + 1) % length]])).Prepend(CoreRun.Task()).ToArray();
        var refused = Assert.IsType<SubmitOutcome.BadReference>(run.Try("alice", circle));
        Assert.Equal((1, "depends_on"), (refused.Index, refused.Member));
        Assert.Equal(0, run.Store.Sequence);
    }

    [Fact]
    public async Task Dependants_are_freed_once_when_the_last_of_theirs_completes()
    {
        var run = new CoreRun();
        run.Register("w", "a", max: 10);
        var first = run.Submit(CoreRun.Task("a"), CoreRun.Task("a"), CoreRun.Task("a"));
        var after = run.Submit(CoreRun.Task("a", after: [.. first, first[0]]));
        run.Complete("w", first[0]);
        run.Complete("w", first[2]);
        Assert.Equal(TaskState.Blocked, run[after].Status);
        run.Complete("w", first[1]);
        Assert.Equal(TaskState.Assigned, run[after].Status);

        var freed = Assert.Single(run.Store.Events, happened => happened.Data is TaskUpdated { Reason: "dependencies_met" });
        Assert.Equal(run.Store.Find(first[1])!.Task.LastSequence, freed.CausedBy);
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task A_dependency_that_does_not_complete_cancels_all_that_stand_on_it_in_one_commit()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var root = run.Submit(CoreRun.Task("a", retries: 0));
        var other = run.Submit(CoreRun.Task("zzz"));
        var chain = run.Submit([.. Enumerable.Range(0, 20).Select(i => CoreRun.Task("a", id: Ids[i], after: i == 0 ? [root] : [Ids[i - 1], root]))]);
        var later = run.Submit(CoreRun.Task("a", runAt: run.Wall + CoreRun.Day, after: [Ids[19]]));
        var mixed = run.Submit(CoreRun.Task("a", after: [other, Ids[3]]));
        var commits = run.Store.CommittedEvents.Count;
        run.Fail("w", root);

        Assert.Equal(commits + 1, run.Store.CommittedEvents.Count);
        Assert.All([.. chain, later, mixed], task =>
        {
            Assert.Equal(TaskState.Cancelled, run[task].Status);
            Assert.Single(run.HistoryOf(task).OfType<TaskCancelled>());
        });
        Assert.Contains("ended as failed", run[chain[0]].Error!, StringComparison.Ordinal);
        Assert.Equal(TaskState.Pending, run[other].Status);
        run.Cancel(other);
        Assert.Equal(0, run.State.Tasks.Count);
        Assert.Equal(0, run.State.WallDue.Count);
        await run.CheckStoreAsync();
    }

    [Fact]
    public void A_retry_of_the_dependency_does_not_cancel_its_dependants()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var root = run.Submit(CoreRun.Task("a", retries: 1));
        var after = run.Submit(CoreRun.Task("a", after: [root]));
        run.Fail("w", root);
        Assert.Equal(TaskState.Blocked, run[after].Status);
        run.Complete("w", root);
        Assert.Equal(TaskState.Assigned, run[after].Status);
    }

    [Theory]
    [InlineData(TaskState.Failed)]
    [InlineData(TaskState.Cancelled)]
    [InlineData(TaskState.Timeout)]
    public void What_stands_on_a_task_that_ended_so_already_is_cancelled_at_once_with_its_own(TaskState how)
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var root = run.Submit(CoreRun.Task("a", retries: 0, timeoutMs: 1_000));
        if (how == TaskState.Failed)
            run.Fail("w", root);
        else if (how == TaskState.Cancelled)
            run.Cancel(root);
        else
            run.Pass(1_000);
        var tasks = run.Submit(CoreRun.Task("a", id: Ids[1], after: [Ids[0]]), CoreRun.Task("a", id: Ids[0], after: [root]), CoreRun.Task("a", runAt: run.Wall + 1_000, after: [root]));

        Assert.All(tasks, task => Assert.Equal((TaskState.Cancelled, 0), (run[task].Status, run[task].Attempt)));
        Assert.Contains($"ended as {how.ToString().ToLowerInvariant()}", run[Ids[0]].Error!, StringComparison.Ordinal);
    }

    [Fact]
    public void A_dependency_that_ended_in_the_open_batch_is_seen()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var root = run.Submit(CoreRun.Task("a"));
        run.Take(new ReportTask(new TaskReport.Completed(root, 1, null, null)) { Caller = "w" });
        var answer = run.Take(run.Submission("alice", CoreRun.Task("a", after: [root])));
        run.Close();
        Assert.Equal(TaskState.Assigned, Assert.IsType<SubmitOutcome.Accepted>(answer.Outcome).Tasks.Single().Task!.Status);
    }

    [Fact]
    public void A_scheduled_task_waits_for_its_time_and_its_dependencies()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var root = run.Submit(CoreRun.Task("a"), CoreRun.Task("a"));
        var (soon, late) = (run.Submit(CoreRun.Task("a", runAt: run.Wall + 1_000, after: [root[0]])), run.Submit(CoreRun.Task("a", runAt: run.Wall + 9_000, after: [root[1]])));
        run.Complete("w", root[1]);
        run.Pass(1_000);
        Assert.Equal((TaskState.Blocked, TaskState.Scheduled), (run[soon].Status, run[late].Status));
        run.Complete("w", root[0]);
        Assert.Equal(TaskState.Assigned, run[soon].Status);
        run.Pass(8_000);
        Assert.Equal(TaskState.Assigned, run[late].Status);
    }

    [Fact]
    public void Dependencies_are_counted_again_after_a_restart()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var root = run.Submit(CoreRun.Task("a"), CoreRun.Task("a"));
        var after = run.Submit(CoreRun.Task("a", after: root));
        run.Complete("w", root[0]);
        run.Restart();
        Assert.Equal(TaskState.Blocked, run[after].Status);
        run.Complete("w", root[1]);
        Assert.Equal(TaskState.Assigned, run[after].Status);
    }

    [Fact]
    public async Task Random_graphs_end_as_a_plain_walk_says()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            var run = new CoreRun(seed: seed);
            run.Register("w", "a", max: 100);
            var after = Ids.Select((_, i) => Ids[..i].Where(_ => random.Next(12) == 0).ToArray()).ToArray();
            var shuffled = Enumerable.Range(0, Ids.Length).ToArray();
            random.Shuffle(shuffled);
            run.Submit([.. shuffled.Select(i => CoreRun.Task("a", id: Ids[i], after: after[i], retries: 0))]);
            var fails = Ids.Select(_ => random.Next(8) == 0).ToArray();
            while (run.State.Tasks.All.Where(entry => entry.Task.IsHeld).Select(entry => entry.Task.Id).Order().ToList() is { Count: > 0 } held)
            {
                var next = held[random.Next(held.Count)];
                if (fails[Array.IndexOf(Ids, next)])
                    run.Fail("w", next);
                else
                    run.Complete("w", next);
                if (random.Next(10) == 0)
                    run.Restart();
            }

            var ends = new TaskState[Ids.Length];
            for (var i = 0; i < Ids.Length; i++)
            {
                var broken = after[i].Any(id => ends[Array.IndexOf(Ids, id)] != TaskState.Completed);
                ends[i] = broken ? TaskState.Cancelled : fails[i] ? TaskState.Failed : TaskState.Completed;
            }

            Assert.Equal(ends, Ids.Select(id => run[id].Status));
            await run.CheckStoreAsync();
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_task_made_under_the_id_of_a_removed_dependency_is_another_one(bool restarts)
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var first = CoreRun.Task("a", id: Ids[0], hash: "h");
        run.Submit(first);
        var waiting = run.Submit(CoreRun.Task("a", after: [Ids[0]], runAt: run.Wall + CoreRun.Minute));
        run.Complete("w", Ids[0]);
        run.Run(new PruneTasks([run.Store.Find(Ids[0])!], run.Store.Sequence));
        run.Submit(first with { Required = ["nothing like it"] });
        if (restarts)
            run.Restart();

        run.Pass(CoreRun.Minute);

        Assert.Equal((TaskState.Pending, TaskState.Pending), (run[waiting].Status, run[Ids[0]].Status));
        await run.CheckStoreAsync();
    }
}

using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Tasks;

public sealed class SubmitTasksTests
{
    private static readonly TaskId Nowhere = Id(99);

    [Fact]
    public void A_task_is_assigned_in_the_commit_that_takes_it_in()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var accepted = Assert.IsType<SubmitOutcome.Accepted>(run.Try("alice", CoreRun.Task("a"))).Tasks.Single();
        Assert.Equal((true, TaskState.Assigned, "w", "alice"), (accepted.IsNew, accepted.Task!.Status, accepted.Task.Assignee, accepted.Task.Requester));
        Assert.Equal("Count lines", accepted.Spec!.Title);
        Assert.Equal(2, run.Store.CommittedEvents.Count);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Many_are_taken_in_as_a_whole_or_not_at_all(int bad)
    {
        var run = new CoreRun();
        var tasks = new[] { CoreRun.Task("a"), CoreRun.Task("a"), CoreRun.Task("a") };
        tasks[bad] = CoreRun.Task("a", after: [Nowhere]);
        var refused = Assert.IsType<SubmitOutcome.BadReference>(run.Try("alice", tasks));
        Assert.Equal((bad, "depends_on[0]"), (refused.Index, refused.Member));
        Assert.Equal((0L, 0), (run.Store.Sequence, run.State.Tasks.Count));
    }

    [Fact]
    public void A_parent_must_exist()
    {
        var run = new CoreRun();
        var orphan = CoreRun.Task() with { Parent = Nowhere };
        Assert.Equal("parent_id", Assert.IsType<SubmitOutcome.BadReference>(run.Try("alice", orphan)).Member);
        var parent = run.Submit(CoreRun.Task());
        Assert.Equal(parent, run[run.Submit(CoreRun.Task() with { Parent = parent })].Parent);
        Assert.Equal("parent_id", Assert.IsType<SubmitOutcome.BadReference>(run.Try("alice", CoreRun.Task(id: Id(1)) with { Parent = Id(1) })).Member);
    }

    // ---- idempotency -----------------------------------------------------------------------------------------------------

    [Fact]
    public void The_same_key_and_body_is_the_same_task_while_it_lives_and_after()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var keyed = CoreRun.Task("a", key: "k", hash: "h");
        var first = run.Submit(keyed);
        for (var time = 0; time < 3; time++)
        {
            var repeat = Assert.IsType<SubmitOutcome.Accepted>(run.Try("alice", keyed)).Tasks.Single();
            Assert.Equal((first, false), (repeat.Id, repeat.IsNew));
            if (time == 0)
                run.Complete("w", first);
            else
                run.Restart();
        }

        Assert.Single(run.Store.Events, happened => happened.Data is TaskCreated);
        Assert.NotEqual(first, Assert.IsType<SubmitOutcome.Accepted>(run.Try("bob", keyed)).Tasks.Single().Id);
        Assert.Equal(first, Assert.IsType<SubmitOutcome.Mismatch>(run.Try("alice", keyed with { BodyHash = "other" })).Existing);
    }

    [Fact]
    public void A_repeat_in_the_same_batch_is_known()
    {
        var run = new CoreRun();
        var one = run.Take(run.Submission("alice", CoreRun.Task(key: "k", hash: "h")));
        var two = run.Take(run.Submission("alice", CoreRun.Task(key: "k", hash: "h")));
        run.Close();
        Assert.Equal(Only(one.Outcome).Id, Only(two.Outcome).Id);
        Assert.Equal((true, false), (Only(one.Outcome).IsNew, Only(two.Outcome).IsNew));
    }

    [Fact]
    public void A_key_twice_in_one_request_is_refused()
    {
        var run = new CoreRun();
        var refused = Assert.IsType<SubmitOutcome.BadReference>(run.Try("alice", CoreRun.Task(key: "k", hash: "h"), CoreRun.Task(key: "k", hash: "h")));
        Assert.Equal((1, "idempotency_key"), (refused.Index, refused.Member));
    }

    [Fact]
    public void Facts_that_are_older_than_what_is_remembered_are_asked_for_again()
    {
        var run = new CoreRun(new StateOptions { RecentKept = 4 });
        run.Submit(CoreRun.Task(key: "first", hash: "h"));
        var old = new StoreFacts(run.Store.Sequence - 1, new Dictionary<TaskId, StoredTask>(), new Dictionary<IdempotencyKey, IdempotencyRow>());
        var again = new SubmitTasks([CoreRun.Task(key: "first", hash: "h")], old) { Caller = "alice" };
        var other = new SubmitTasks([CoreRun.Task(key: "unseen", hash: "h")], old) { Caller = "alice" };

        // Nothing forgotten yet: what happened since the facts is remembered.
        Assert.False(Only(run.Run(again)).IsNew);
        Assert.True(Only(run.Run(other)).IsNew);
        for (var i = 0; i < 4; i++)
            run.Submit(CoreRun.Task(key: $"k{i}", hash: "h"));

        Assert.IsType<SubmitOutcome.NeedsFacts>(run.Run(again));
        Assert.IsType<SubmitOutcome.NeedsFacts>(run.Run(again with { Facts = null }));
        Assert.False(Only(run.Try("alice", CoreRun.Task(key: "first", hash: "h"))).IsNew);
    }

    [Fact]
    public void No_key_is_used_twice_whatever_the_age_of_the_facts()
    {
        for (var seed = 0; seed < 30; seed++)
        {
            var random = new Random(seed);
            var run = new CoreRun(new StateOptions { RecentKept = 3 }, seed);
            run.Register("w", max: 100);
            var snapshots = new List<StoreFacts>();
            var keys = Enumerable.Range(0, 8).Select(i => new IdempotencyKey("alice", $"k{i}")).ToArray();
            var ids = new Dictionary<string, TaskId>(StringComparer.Ordinal);
            for (var step = 0; step < 120; step++)
            {
                snapshots.Add(run.Store.Facts([], keys));
                var key = keys[random.Next(keys.Length)].Key;
                var facts = snapshots[random.Next(Math.Max(0, snapshots.Count - 6), snapshots.Count)];
                switch (run.Run(new SubmitTasks([CoreRun.Task(key: key, hash: "h")], facts) { Caller = "alice" }))
                {
                    case SubmitOutcome.Accepted { Tasks: [var task] }:
                        Assert.Equal(task.IsNew, ids.TryAdd(key, task.Id));
                        Assert.Equal(ids[key], task.Id);
                        break;
                    case SubmitOutcome.NeedsFacts:
                        Assert.NotSame(snapshots[^1], facts);
                        break;
                    case var unexpected:
                        Assert.Fail($"{unexpected}");
                        break;
                }

                // Some finish, and some of those are removed with their keys.
                foreach (var done in ids.Where(_ => random.Next(10) == 0).ToList())
                    run.Complete("w", done.Value);
                if (random.Next(6) != 0)
                    continue;
                var finished = ids.Values.Select(run.Store.Find).Where(stored => stored!.Task.IsFinal).Take(2).ToList();
                run.Run(new PruneTasks(finished!, run.Store.Sequence));
                foreach (var gone in ids.Where(pair => finished.Exists(stored => stored!.Task.Id == pair.Value)).ToList())
                    ids.Remove(gone.Key);
            }
        }
    }

    // ---- ids -------------------------------------------------------------------------------------------------------------

    [Fact]
    public void An_id_of_the_requesters_is_kept_and_its_repeat_is_known()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var named = CoreRun.Task("a", id: Id(7), hash: "h");
        Assert.Equal(Id(7), run.Submit(named));
        Assert.False(Only(run.Try("alice", named)).IsNew);
        Assert.IsType<SubmitOutcome.IdTaken>(run.Try("alice", named with { BodyHash = "other" }));
        Assert.IsType<SubmitOutcome.IdTaken>(run.Try("bob", named));

        run.Complete("w", Id(7));
        Assert.False(Only(run.Try("alice", named)).IsNew);
        Assert.IsType<SubmitOutcome.IdTaken>(run.Try("bob", named));
        Assert.Equal(1, run.State.Tasks.Totals.Sum());
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void The_request_decides_whether_a_taken_id_is_a_repeat_whatever_became_of_the_task(bool changed, bool finished)
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var named = CoreRun.Task("a", id: Id(7), hash: "h");
        run.Submit(named);
        if (changed)
        {
            run.Run(new PatchTask(Id(7), 9, null, null) { Caller = "alice" });
            run.Run(new PatchTask(Id(7), null, JsonBytes.EmptyObject, run.Store.Find(Id(7))) { Caller = "alice" });
        }

        if (finished)
            run.Complete("w", Id(7));

        Assert.Equal((Id(7), false), (Only(run.Try("alice", named)).Id, Only(run.Try("alice", named)).IsNew));
        Assert.Equal(Id(7), Assert.IsType<SubmitOutcome.IdTaken>(run.Try("alice", named with { BodyHash = "other" })).Id);
        Assert.IsType<SubmitOutcome.IdTaken>(run.Try("bob", named));
    }

    [Fact]
    public void An_id_twice_in_one_request_is_refused()
    {
        var run = new CoreRun();
        Assert.Equal("id", Assert.IsType<SubmitOutcome.BadReference>(run.Try("alice", CoreRun.Task(id: Id(7)), CoreRun.Task(id: Id(7)))).Member);
    }

    [Fact]
    public void An_id_without_facts_is_not_believed_to_be_free()
    {
        var run = new CoreRun();
        Assert.IsType<SubmitOutcome.NeedsFacts>(run.Run(new SubmitTasks([CoreRun.Task(id: Id(7))], null) { Caller = "alice" }));
    }

    [Fact]
    public void A_task_that_ended_since_the_facts_were_read_is_looked_up_again()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var early = run.Store.Facts([], []);
        run.Submit(CoreRun.Task("a", id: Id(7)));
        run.Complete("w", Id(7));
        Assert.IsType<SubmitOutcome.NeedsFacts>(run.Run(new SubmitTasks([CoreRun.Task("a", id: Id(7))], early) { Caller = "alice" }));
        Assert.IsType<SubmitOutcome.NeedsFacts>(run.Run(new SubmitTasks([CoreRun.Task("a", after: [Id(7)])], early) { Caller = "alice" }));
        Assert.Equal(TaskState.Assigned, run[run.Submit(CoreRun.Task("a", after: [Id(7)]))].Status);
    }

    internal static TaskId Id(int number) => new(new Guid(number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));

    private static SubmittedTask Only(SubmitOutcome outcome) => Assert.IsType<SubmitOutcome.Accepted>(outcome).Tasks.Single();
}

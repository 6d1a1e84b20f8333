using Dispatch.Agents;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Matching;

public sealed class MatcherTests
{
    [Theory]
    [InlineData("", "", AgentStatus.Ready, 5, 1.0, 1.0, 1.25)]
    [InlineData("a", "", AgentStatus.Ready, 0, 1.0, 1.0, 1.0)]
    [InlineData("a", "", AgentStatus.Ready, 10, 1.0, 1.0, 1.5)]
    [InlineData("a", "", AgentStatus.Busy, 10, 1.0, 0.5, 1.5)]
    [InlineData("a", "p", AgentStatus.Ready, 10, 1.25, 1.0, 1.5)]
    [InlineData("a", "p q", AgentStatus.Busy, 2, 1.125, 0.5, 1.1)]
    [InlineData("A", "x y P z", AgentStatus.Ready, 4, 1.0625, 1.0, 1.2)]
    [InlineData("a b", "x y", AgentStatus.Ready, 4, 1.0, 1.0, 1.2)]
    public void The_score_is_match_times_availability_times_priority(
        string required, string preferred, AgentStatus status, byte priority, double match, double availability, double weight)
    {
        var run = new CoreRun();
        run.Register("w", "a b p", max: 4, status: status);
        run.Submit(CoreRun.Task("zzz"));
        var task = run.Submit(CoreRun.Task(required, preferred, priority));

        var why = run[task].Why!;
        Assert.Equal((match, availability, weight), (why.CapabilityMatch, why.Availability, why.PriorityWeight), Near);
        Assert.Equal(match * availability * weight, why.Score, 9);
        Assert.Equal((0, 4, 1), (why.Active, why.MaxConcurrent, why.Candidates));
    }

    [Fact]
    public void A_woken_agent_was_chosen_at_four_fifths_and_holds_it_at_the_score_it_has_now()
    {
        var run = new CoreRun();
        run.Register("w", "a", status: AgentStatus.Sleeping);
        var task = run.Submit(CoreRun.Task("a"));

        Assert.Equal(0.8, run.Run(new ExplainTask(task))!.Candidates.Single().Score.Availability);
        run.Beat("w", AgentStatus.Busy);
        Assert.Equal(0.5, run[task].Why!.Availability);
    }

    [Theory]
    [InlineData("a p", AgentStatus.Ready, "a", AgentStatus.Ready)]
    [InlineData("a", AgentStatus.Ready, "a p", AgentStatus.Busy)]
    [InlineData("a", AgentStatus.Ready, "a", AgentStatus.Sleeping)]
    [InlineData("a p", AgentStatus.Ready, "a", AgentStatus.Sleeping)]
    [InlineData("a p", AgentStatus.Sleeping, "a p", AgentStatus.Busy)]
    [InlineData("a", AgentStatus.Busy, "p", AgentStatus.Ready)]
    [InlineData("a", AgentStatus.Busy, "a p", AgentStatus.Degraded)]
    public void The_higher_score_wins_whoever_came_first(string winnerCan, AgentStatus winnerIs, string loserCan, AgentStatus loserIs)
    {
        foreach (var winnerFirst in (bool[])[true, false])
        {
            var run = new CoreRun();
            if (winnerFirst)
                run.Register("winner", winnerCan, status: winnerIs);
            run.Register("loser", loserCan, status: loserIs);
            if (!winnerFirst)
                run.Register("winner", winnerCan, status: winnerIs);
            var task = run.Submit(CoreRun.Task("a", "p"));
            run.Beat("winner", winnerIs == AgentStatus.Sleeping ? AgentStatus.Ready : null);
            Assert.Equal("winner", run[task].Assignee);
        }
    }

    [Fact]
    public void A_sleeping_agent_with_all_preferred_ties_with_a_ready_one_with_none()
    {
        // 1.25 x 0.8 = 1.0: then the load decides.
        var run = new CoreRun();
        run.Register("ready", "a", max: 4);
        run.Register("sleeping", "a p", max: 4, status: AgentStatus.Sleeping);
        var first = run.Submit(CoreRun.Task("a", "p"));
        var second = run.Submit(CoreRun.Task("a", "p"));
        run.Beat("sleeping", AgentStatus.Ready);
        Assert.Equal(["ready", "sleeping"], new[] { run[first].Assignee!, run[second].Assignee! }.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Equal_scores_go_to_the_lowest_share_of_the_limit()
    {
        var run = new CoreRun();
        run.Register("small", "a", max: 2);
        run.Register("large", "a", max: 8);
        var given = Enumerable.Range(0, 10).Select(_ => run[run.Submit(CoreRun.Task("a"))].Assignee!).ToList();

        for (var i = 1; i <= given.Count; i++)
        {
            var small = given.Take(i).Count(agent => agent == "small");
            Assert.InRange(Math.Abs((small / 2.0) - ((i - small) / 8.0)), 0, 0.5);
        }

        Assert.Equal(2, given.Count(agent => agent == "small"));
    }

    [Fact]
    public void Equals_take_turns()
    {
        var run = new CoreRun();
        for (var i = 0; i < 20; i++)
            run.Register($"w{i}", "a", max: 10);
        var counts = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < 400; i++)
        {
            // Each is done before the next comes: only the turn decides.
            var task = run.Submit(CoreRun.Task("a"));
            var agent = run[task].Assignee!;
            counts[agent] = counts.GetValueOrDefault(agent) + 1;
            run.Complete(agent, task);
        }

        Assert.Equal(20, counts.Count);
        Assert.All(counts.Values, count => Assert.Equal(20, count));
    }

    [Fact]
    public void Capabilities_are_compared_without_regard_to_case()
    {
        var run = new CoreRun();
        run.Register("w", "Lang.CSharp GPU");
        var task = run.Submit(CoreRun.Task("lang.csharp", "gpu"));
        Assert.Equal(1.25, run[task].Why!.CapabilityMatch);
    }

    [Theory]
    [InlineData(true, "alice", "alice", true)]
    [InlineData(true, "alice", "Alice", false)]
    [InlineData(true, "alice", "bob", false)]
    [InlineData(true, "alice", null, false)]
    [InlineData(true, null, "bob", true)]
    [InlineData(false, "alice", "bob", true)]
    [InlineData(false, "alice", null, true)]
    public void The_owner_filter_keeps_a_task_with_its_owners_agents(bool filter, string? taskOwner, string? agentOwner, bool given)
    {
        var run = new CoreRun(new StateOptions { OwnerFilter = filter });
        run.Register("w", "a", owner: agentOwner);
        var task = run.Submit(CoreRun.Task("a", owner: taskOwner));

        Assert.Equal(given, run[task].IsHeld);
        if (!given)
            Assert.Equal(WaitReason.OwnerFilter, run.Run(new ExplainTask(task))!.Reason);
    }

    [Theory]
    [InlineData("drained", WaitReason.Drained)]
    [InlineData("offline", WaitReason.Offline)]
    [InlineData("degraded", WaitReason.Degraded)]
    [InlineData("disconnected", WaitReason.Offline)]
    [InlineData("full", WaitReason.AllBusy)]
    [InlineData("asleep", WaitReason.WakeFailed)]
    public void Who_can_not_work_gets_nothing(string how, WaitReason reason)
    {
        var run = new CoreRun();
        run.Register("w", "a", max: 1, status: how == "asleep" ? AgentStatus.Sleeping : AgentStatus.Ready);
        switch (how)
        {
            case "drained":
                run.Run(new DrainAgent("w", true));
                break;
            case "offline":
                run.Pass(30_000);
                break;
            case "degraded":
                run.Beat("w", AgentStatus.Degraded);
                break;
            case "disconnected":
                run.Run(new ReturnUnstarted("w"));
                break;
            default:
                run.Submit(CoreRun.Task("a"));
                break;
        }

        var task = run.Submit(CoreRun.Task("a"));
        if (how == "asleep")
        {
            Assert.Equal(WaitReason.AllBusy, run.Run(new ExplainTask(task))!.Reason);
            for (var waited = 0; waited < 30; waited++)
            {
                run.Pass(1_000);
                run.Beat("w");
            }
        }

        Assert.Equal(TaskState.Pending, run[task].Status);
        var explained = run.Run(new ExplainTask(task))!;
        Assert.Equal((reason, reason, false, true), (explained.Reason, explained.Candidates.Single().Reason, explained.Candidates.Single().Eligible, explained.Candidates.Single().Able));
        Assert.False(run.State.Matcher.HasWork);
    }

    [Fact]
    public void Who_failed_is_avoided_while_another_is_free_and_used_when_none_is()
    {
        var run = new CoreRun();
        run.Register("failing", "a p", max: 5);
        run.Register("other", "a", max: 1, status: AgentStatus.Busy);
        var task = run.Submit(CoreRun.Task("a", "p"));
        Assert.Equal("failing", run[task].Assignee);

        run.Fail("failing", task);
        Assert.Equal(("other", 2), (run[task].Assignee, run[task].Attempt));
        run.Fail("other", task);
        Assert.Equal(("failing", 3), (run[task].Assignee, run[task].Attempt));
        run.Submit(CoreRun.Task("a", "p", priority: 0));
        run.Submit(CoreRun.Task("a", "p", priority: 0));
        run.Run(new DrainAgent("other", true));
        run.Fail("failing", task);
        Assert.Equal(("failing", 4), (run[task].Assignee, run[task].Attempt));
    }

    [Fact]
    public void The_more_urgent_goes_first_and_waiting_makes_urgent()
    {
        foreach (var (late, first) in ((long, int)[])[(-1, 1), (1, 0)])
        {
            var run = new CoreRun(new StateOptions { AgingMs = 1_000 });
            var low = run.Submit(CoreRun.Task("a", priority: 2));
            run.Pass(6_000 + late);
            var high = run.Submit(CoreRun.Task("a b", priority: 8));
            run.Register("w", "a b", max: 1);
            Assert.Equal(((TaskId[])[low, high])[first], run.Exchange("w", 1).Tasks.Single().Task.Id);
        }
    }

    [Fact]
    public void Each_reason_is_told_once_and_then_costs_nothing()
    {
        var run = new CoreRun();
        var task = run.Submit(CoreRun.Task("a", owner: "alice"));
        Assert.Equal([WaitReason.NoAgents], Told());
        Assert.False(run.Core.HasWork);

        for (var i = 0; i < 50; i++)
        {
            run.Register($"other{i}", "b");
            run.Beat("other0");
        }

        Assert.Equal([WaitReason.NoAgents], Told());
        Assert.False(run.Core.HasWork);
        Assert.Equal(long.MaxValue, run.Core.NextWallDue);

        WaitReason[] Told() => [.. run.HistoryOf(task).OfType<TaskUnmatched>().Select(told => told.Reason)];
    }

    [Fact]
    public void Back_from_an_attempt_it_is_told_again_why_it_waits_also_after_a_backoff()
    {
        var run = new CoreRun();
        var task = run.Submit(CoreRun.Task("a"));
        run.Register("w", "a");
        run.Fail("w", task, afterMs: 5_000);
        run.Run(new DeregisterAgent("w"));
        run.Pass(5_000);

        Assert.Equal([WaitReason.NoAgents, WaitReason.NoAgents], run.HistoryOf(task).OfType<TaskUnmatched>().Select(told => told.Reason));
    }

    [Fact]
    public void Waiting_for_a_busy_agent_is_not_worth_an_event()
    {
        var run = new CoreRun();
        run.Register("w", "a", max: 1);
        var tasks = run.Submit([.. Enumerable.Range(0, 5).Select(_ => CoreRun.Task("a"))]);
        Assert.DoesNotContain(tasks, task => run.HistoryOf(task).OfType<TaskUnmatched>().Any());
        Assert.Equal(WaitReason.AllBusy, run.Run(new ExplainTask(tasks[4]))!.Reason);
    }

    [Fact]
    public void Every_wait_has_an_explanation()
    {
        var run = new CoreRun();
        var nobody = run.Submit(CoreRun.Task("a"));
        Assert.Equal(WaitReason.NoAgents, Why(nobody).Reason);

        run.Register("w", "b", max: 1);
        Assert.Equal(WaitReason.NoCapability, Why(nobody).Reason);
        Assert.Contains("a", Why(nobody).Message, StringComparison.Ordinal);

        var held = run.Submit(CoreRun.Task("b"));
        Assert.Equal(WaitReason.Assigned, Why(held).Reason);
        var later = run.Submit(CoreRun.Task("b", runAt: run.Wall + 1_000));
        Assert.Equal(WaitReason.NotDue, Why(later).Reason);
        var after = run.Submit(CoreRun.Task("b", after: [held]));
        Assert.Equal((WaitReason.Dependency, held), (Why(after).Reason, Why(after).WaitingOn.Single()));
        run.Fail("w", held, afterMs: 1_000);
        Assert.Equal(WaitReason.Backoff, Why(held).Reason);

        run.Register("s", "c", status: AgentStatus.Sleeping);
        var waking = run.Submit(CoreRun.Task("c"));
        Assert.Equal(WaitReason.Waking, Why(waking).Reason);
        Assert.Equal(2, Why(waking).Candidates.Count);
        Assert.Null(run.Run(new ExplainTask(new TaskId(new Guid(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)))));
        foreach (var reason in Enum.GetValues<WaitReason>().Where(reason => reason is > WaitReason.None and < WaitReason.Dependency or WaitReason.WakeFailed))
            Assert.NotEqual(reason.ToString(), Explanation.Sentence(reason, Requirement.Anyone));

        Explanation Why(TaskId task) => run.Run(new ExplainTask(task))!;
    }

    [Fact]
    public void An_agent_that_gets_room_or_abilities_takes_what_waits()
    {
        var run = new CoreRun();
        run.Register("w", "a", max: 1);
        var first = run.Submit(CoreRun.Task("a"));
        var second = run.Submit(CoreRun.Task("a"));
        var third = run.Submit(CoreRun.Task("b"));
        Assert.False(run[second].IsHeld || run[third].IsHeld);

        run.Register("w", "a", max: 2);
        Assert.True(run[second].IsHeld);
        run.Complete("w", first);
        Assert.False(run[third].IsHeld);
        run.Register("w", "a b", max: 2);
        Assert.True(run[third].IsHeld);
    }

    [Fact]
    public void A_capability_that_nobody_has_or_asks_for_any_more_is_forgotten()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var tasks = run.Submit([.. Enumerable.Range(0, 200).Select(i => CoreRun.Task($"a once{i} twice{i}"))]);
        Assert.Equal(1 + 200, run.State.Matcher.KnownCapabilities);
        foreach (var task in tasks)
            run.Cancel(task);
        for (var i = 0; i < 50; i++)
            run.Register("w", $"a mine{i}");

        Assert.Equal(2, run.State.Matcher.KnownCapabilities);
        run.Run(new DeregisterAgent("w"));
        Assert.Equal(0, run.State.Matcher.KnownCapabilities);
    }

    [Fact]
    public void What_does_not_fit_into_one_batch_goes_on_in_the_next()
    {
        var run = new CoreRun(new StateOptions { MatchLimit = 7 });
        var tasks = run.Submit([.. Enumerable.Range(0, 50).Select(i => CoreRun.Task(i % 2 == 0 ? "a" : "b"))]);
        run.Register("w", "a b", max: 40);
        run.Settle();

        Assert.Equal(40, tasks.Count(task => run[task].IsHeld));
        Assert.Equal(tasks.Take(40), tasks.Where(task => run[task].IsHeld));
        Assert.InRange(run.Store.CommittedEvents.Skip(1).Max(), 1, 8);
    }

    private static bool Near((double, double, double) a, (double, double, double) b) =>
        Math.Abs(a.Item1 - b.Item1) < 1e-9 && Math.Abs(a.Item2 - b.Item2) < 1e-9 && Math.Abs(a.Item3 - b.Item3) < 1e-9;
}

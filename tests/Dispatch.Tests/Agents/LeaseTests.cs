using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Agents;

public sealed class LeaseTests
{
    private static readonly StateOptions Options = new() { LeaseMs = 30_000, ReapAfterMs = 600_000 };

    [Fact]
    public void An_agent_is_offline_when_it_was_silent_for_a_whole_lease_and_not_before()
    {
        var run = new CoreRun(Options);
        run.Register("w", "a");
        run.Pass(20_000);
        run.Beat("w");
        run.Pass(29_999);
        Assert.Equal(AgentStatus.Ready, run.State.Agents.Find("w")!.Agent.Status);
        run.Pass(1);
        Assert.Equal(AgentStatus.Offline, run.State.Agents.Find("w")!.Agent.Status);
        Assert.Equal(30_000, Assert.Single(run.HistoryOf("w").OfType<AgentOffline>()).SilentMs);
    }

    [Fact]
    public void Every_command_of_an_agent_is_a_sign_of_its_life()
    {
        var run = new CoreRun(Options);
        run.Register("w", "a", max: 1);
        var task = run.Submit(CoreRun.Task("a", timeoutMs: CoreRun.Day));
        Action[] signs =
        [
            () => run.Beat("w"),
            () => run.Exchange("w"),
            () => run.Start("w", task),
            () => run.Report("w", new TaskReport.Progressed(task, 1, 10, null, null)),
            () => run.Try("w", CoreRun.Task("b")),
            () => run.Register("w", "a", max: 1),
            () => run.Run(new ReadStats { Caller = "w" }),
            () => run.Report("w", new TaskReport.Completed(task, 99, null, null)),
        ];
        foreach (var sign in signs)
        {
            run.Pass(29_000);
            sign();
        }

        Assert.True(run[task].IsHeld);
        Assert.Empty(run.HistoryOf("w").OfType<AgentOffline>());
    }

    [Fact]
    public void Back_from_being_offline_it_is_ready_and_gets_work()
    {
        var run = new CoreRun(Options);
        run.Register("w", "a");
        run.Pass(30_000);
        var task = run.Submit(CoreRun.Task("a"));
        Assert.False(run[task].IsHeld);
        run.Beat("w");
        Assert.True(run[task].IsHeld);
    }

    [Theory]
    [InlineData(-CoreRun.Day)]
    [InlineData(-CoreRun.Hour)]
    [InlineData(CoreRun.Hour)]
    [InlineData(CoreRun.Day)]
    public void Setting_the_clock_on_the_wall_neither_ends_nor_prolongs_a_lease_a_run_or_a_backoff(long byMs)
    {
        var run = new CoreRun(Options);
        run.Register("silent", "a");
        run.Register("alive", "b c");
        var leased = run.Submit(CoreRun.Task("a"));
        var running = run.Submit(CoreRun.Task("b", timeoutMs: 20_000));
        var retried = run.Submit(CoreRun.Task("c"));
        run.Start("alive", running);
        run.Fail("alive", retried, afterMs: 20_000);
        run.Pass(10_000);

        run.SetWall(byMs);
        run.Beat("alive");
        run.Pass(9_999);
        Assert.Equal((TaskState.Assigned, TaskState.Running, TaskState.Pending), (run[leased].Status, run[running].Status, run[retried].Status));
        run.Pass(1);
        Assert.Equal((1, 1), (run[running].RetryCount, run.HistoryOf(running).OfType<TaskTimedOut>().Count()));
        Assert.Equal((TaskState.Assigned, 2), (run[retried].Status, run[retried].Attempt));
        run.Pass(9_999);
        Assert.Equal((TaskState.Assigned, 1), (run[leased].Status, run[leased].Attempt));
        run.Pass(1);
        Assert.Equal(AgentStatus.Offline, run.State.Agents.Find("silent")!.Agent.Status);
        Assert.Equal(TaskState.Pending, run[leased].Status);
        Assert.Equal(run.Store.Events.Select(happened => happened.Timestamp).Order(), run.Store.Events.Select(happened => happened.Timestamp));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-CoreRun.Day)]
    [InlineData(CoreRun.Day)]
    public void A_restart_gives_each_agent_one_fresh_lease_and_no_more(long wallMovedMeanwhile)
    {
        var run = new CoreRun(Options);
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a", timeoutMs: 2 * CoreRun.Day));
        run.Pass(29_000);
        run.SetWall(wallMovedMeanwhile);
        run.Restart();

        run.Pass(29_999);
        Assert.Equal("w", run[task].Assignee);
        run.Pass(1);
        Assert.Equal((TaskState.Pending, 1), (run[task].Status, run[task].RetryCount));
    }

    [Fact]
    public void After_a_restart_a_run_and_a_backoff_have_what_was_left_of_them()
    {
        var run = new CoreRun(Options);
        run.Register("w", "a b");
        var running = run.Submit(CoreRun.Task("a", timeoutMs: 60_000));
        var retried = run.Submit(CoreRun.Task("b"));
        run.Start("w", running);
        run.Fail("w", retried, afterMs: 40_000);
        run.Pass(25_000);
        run.Restart();

        Beating(14_999);
        Assert.Equal(TaskState.Pending, run[retried].Status);
        Beating(1);
        Assert.Equal(TaskState.Assigned, run[retried].Status);
        Beating(19_999);
        Assert.Equal(TaskState.Running, run[running].Status);
        Beating(1);
        Assert.Single(run.HistoryOf(running).OfType<TaskTimedOut>());

        void Beating(long ms)
        {
            run.Beat("w");
            run.Pass(ms);
        }
    }

    [Fact]
    public void An_agent_that_stays_away_is_forgotten_but_not_while_it_is_drained()
    {
        var run = new CoreRun(Options);
        run.Register("gone", "a");
        run.Register("drained", "a");
        run.Register("back", "a");
        run.Run(new DrainAgent("drained", true));
        run.Pass(30_000 + 599_999);
        Assert.Equal(3, run.State.Agents.Count);
        run.Beat("back");
        run.Pass(1);

        Assert.Equal(["drained", "back"], run.State.Agents.All.Select(entry => entry.Agent.Id));
        Assert.Equal("reaped", Assert.Single(run.HistoryOf("gone").OfType<AgentDeregistered>()).Reason);
        run.Pass(5 * 600_000 - 1);
        Assert.Equal(["drained"], run.State.Agents.All.Select(entry => entry.Agent.Id));
        run.Run(new DrainAgent("drained", false));
        run.Pass(600_000);
        Assert.Empty(run.State.Agents.All);
    }

    [Fact]
    public async Task Random_silences_end_leases_exactly_when_a_plain_count_says()
    {
        for (var seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            var run = new CoreRun(Options, seed);
            var seen = new Dictionary<string, long>(StringComparer.Ordinal);
            for (var i = 0; i < 8; i++)
            {
                run.Register($"w{i}", "a");
                seen[$"w{i}"] = run.Elapsed;
            }

            for (var step = 0; step < 150; step++)
            {
                if (random.Next(4) == 0)
                    run.SetWall(random.NextInt64(-CoreRun.Day, CoreRun.Day));
                run.Pass(random.Next(12_000));
                Assert.All(run.State.Agents.All, entry => Assert.Equal(run.Elapsed - seen[entry.Agent.Id] >= 30_000, entry.Agent.Status == AgentStatus.Offline));
                var agent = $"w{random.Next(8)}";
                run.Beat(agent);
                if (run.State.Agents.Find(agent) is not null)
                    seen[agent] = run.Elapsed;
            }

            await run.CheckStoreAsync();
        }
    }
}

using Dispatch.Agents;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Settings;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Settings;

public sealed class ChangeSettingsTests
{
    private static readonly StateOptions Options = new() { LeaseMs = 30_000, ReapAfterMs = 600_000, WakeTimeoutMs = 10_000 };

    [Fact]
    public void The_log_tells_the_keys_and_nothing_else()
    {
        var run = new CoreRun(Options);
        var sequence = run.Run(new ChangeSettings(Options, ["agents.lease_ms"], ["server.port"]));

        var happened = run.Store.Events.Single();
        Assert.Equal((sequence, "config.reloaded", "config", "config", "system", null), (happened.Sequence, happened.Type, happened.Source, happened.Subject, happened.Actor, happened.Session));
        var reloaded = Assert.IsType<ConfigReloaded>(happened.Data);
        Assert.Equal(["agents.lease_ms"], reloaded.Applied);
        Assert.Equal(["server.port"], reloaded.NeedRestart);
    }

    [Fact]
    public async Task Within_one_batch_what_comes_before_goes_by_the_old_settings_and_what_comes_after_by_the_new()
    {
        var run = new CoreRun(Options);
        foreach (var agent in new[] { "before", "after" })
            run.Register(agent, "a");

        var before = run.Take(new Heartbeat("before", null) { Caller = "before" });
        run.Take(new ChangeSettings(Options with { LeaseMs = 5_000 }, ["agents.lease_ms"], []));
        var after = run.Take(new Heartbeat("after", null) { Caller = "after" });
        run.Close();

        Assert.Equal(25_000, before.Outcome!.LeaseExpiresAt - after.Outcome!.LeaseExpiresAt);
        await run.CheckStoreAsync();
    }

    [Fact]
    public void A_lease_that_was_granted_stands_and_the_next_one_is_by_the_new_setting()
    {
        var run = new CoreRun(Options);
        run.Register("silent", "a");
        run.Register("alive", "a");
        run.Pass(10_000);
        run.Run(new ChangeSettings(Options with { LeaseMs = 5_000 }, ["agents.lease_ms"], []));
        run.Beat("alive");

        run.Pass(5_000);
        Assert.Equal((AgentStatus.Ready, AgentStatus.Offline), (StatusOf(run, "silent"), StatusOf(run, "alive")));
        run.Pass(14_999);
        Assert.Equal(AgentStatus.Ready, StatusOf(run, "silent"));
        run.Pass(1);
        Assert.Equal(AgentStatus.Offline, StatusOf(run, "silent"));
        Assert.Equal([30_000, 5_000], [run.HistoryOf("silent").OfType<AgentOffline>().Single().SilentMs, run.HistoryOf("alive").OfType<AgentOffline>().Single().SilentMs]);
    }

    [Fact]
    public void A_longer_lease_holds_from_the_next_sign_of_life()
    {
        var run = new CoreRun(Options);
        run.Register("w", "a");
        run.Run(new ChangeSettings(Options with { LeaseMs = 60_000 }, ["agents.lease_ms"], []));
        run.Pass(29_000);
        run.Beat("w");

        run.Pass(59_999);
        Assert.Equal(AgentStatus.Ready, StatusOf(run, "w"));
        run.Pass(1);
        Assert.Equal(AgentStatus.Offline, StatusOf(run, "w"));
    }

    [Theory]
    [InlineData(600_000, 100_000)]
    [InlineData(100_000, 600_000)]
    public void Who_is_offline_already_is_forgotten_after_the_new_time(long old, long changed)
    {
        var run = new CoreRun(Options with { ReapAfterMs = old });
        run.Register("w", "a");
        run.Pass(30_000 + 50_000);
        run.Run(new ChangeSettings(Options with { ReapAfterMs = changed }, ["agents.reap_after_ms"], []));

        run.Pass(changed - 50_001);
        Assert.NotNull(run.State.Agents.Find("w"));
        run.Pass(1);
        Assert.Null(run.State.Agents.Find("w"));
    }

    [Fact]
    public void Who_has_been_offline_for_longer_than_is_allowed_now_is_forgotten_in_the_same_batch()
    {
        var run = new CoreRun(Options);
        run.Register("w", "a");
        run.Pass(30_000 + 50_000);

        run.Run(new ChangeSettings(Options with { ReapAfterMs = 10_000 }, ["agents.reap_after_ms"], []));

        Assert.Equal("reaped", run.HistoryOf("w").OfType<AgentDeregistered>().Single().Reason);
    }

    [Fact]
    public void A_wake_that_was_asked_for_keeps_its_time_and_says_so()
    {
        var run = new CoreRun(Options);
        run.Register("w", "a", status: AgentStatus.Sleeping);
        run.Submit(CoreRun.Task("a"));
        run.Run(new ChangeSettings(Options with { WakeTimeoutMs = 1_000 }, ["assignment.wake_timeout_ms"], []));

        run.Pass(9_999);
        Assert.Empty(run.HistoryOf("w").OfType<AgentWakeFailed>());
        run.Pass(1);
        Assert.Equal(10_000, run.HistoryOf("w").OfType<AgentWakeFailed>().Single().WaitedMs);
    }

    [Fact]
    public void With_the_owner_filter_off_others_get_what_waits_in_the_same_batch()
    {
        var run = new CoreRun(Options);
        run.Register("w", "a", owner: "bob");
        var task = run.Submit(CoreRun.Task("a", owner: "ann"));
        Assert.Equal(TaskState.Pending, run[task].Status);

        run.Run(new ChangeSettings(Options with { OwnerFilter = false }, ["assignment.owner_filter_enabled"], []));

        Assert.Equal("w", run[task].Assignee);
    }

    [Fact]
    public void With_the_owner_filter_on_what_was_kept_for_a_stranger_waits_for_the_owners_agent()
    {
        var run = new CoreRun(Options with { OwnerFilter = false });
        run.Register("stranger", "a", status: AgentStatus.Sleeping, owner: "bob");
        var task = run.Submit(CoreRun.Task("a", owner: "ann"));
        Assert.Single(run.HistoryOf("stranger").OfType<AgentWakeRequested>());

        run.Run(new ChangeSettings(Options, ["assignment.owner_filter_enabled"], []));
        run.Beat("stranger", AgentStatus.Ready);

        Assert.Equal(TaskState.Pending, run[task].Status);
        Assert.Equal(WaitReason.OwnerFilter, run.HistoryOf(task).OfType<TaskUnmatched>().Last().Reason);
        run.Register("own", "a", owner: "ann");
        Assert.Equal("own", run[task].Assignee);
    }

    [Fact]
    public void What_waits_is_ordered_by_the_new_measure_of_aging()
    {
        var run = new CoreRun(Options with { AgingMs = 60_000 });
        var old = run.Submit(CoreRun.Task("a", priority: 0));
        run.Pass(10_000);
        var urgent = run.Submit(CoreRun.Task("a", priority: 5));

        run.Run(new ChangeSettings(Options with { AgingMs = 1_000 }, ["assignment.aging_ms"], []));
        run.Register("w", "a", max: 1);

        Assert.Equal((TaskState.Assigned, TaskState.Pending), (run[old].Status, run[urgent].Status));
    }

    [Fact]
    public async Task A_queue_in_disorder_comes_out_in_the_new_order()
    {
        var run = new CoreRun(Options with { AgingMs = 60_000 }, seed: 7);
        var random = new Random(7);
        var tasks = new List<TaskId>();
        for (var n = 0; n < 60; n++)
        {
            tasks.Add(run.Submit(CoreRun.Task(n % 3 == 0 ? "a b" : "a", priority: (byte)random.Next(11))));
            run.Pass(random.Next(900));
            // Back into the middle of a line.
            if (n % 2 == 0)
                run.Run(new PatchTask(tasks[random.Next(tasks.Count)], (byte)random.Next(11), null, null) { ByAdmin = true });
        }

        run.Run(new ChangeSettings(Options with { AgingMs = 700 }, ["assignment.aging_ms"], []));
        run.Register("w", "a b", max: 1);
        var given = new List<(long, long)>();
        for (var n = 0; n < tasks.Count; n++)
        {
            var held = run.State.Agents.Find("w")!.Held.Single();
            given.Add((held.Task.QueuedAt - (held.Task.Priority * 700), held.Task.Number));
            run.Complete("w", held.Task.Id);
        }

        Assert.Equal(given.Order(), given);
        await run.CheckStoreAsync();
    }

    private static AgentStatus StatusOf(CoreRun run, string agent) => run.State.Agents.Find(agent)!.Agent.Status;
}

using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Exchange;

/// <summary>With 30 s to wake, which no test waits for.</summary>
public sealed class WakeTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task A_sleeper_is_asked_to_wake_by_its_exchange_and_gets_the_task_when_it_is_ready()
    {
        var sleeper = await broker.RegisterAsync(Unique.Name("agent"), capability, status: "sleeping");
        var waiting = sleeper.ExchangeAsync(waitMs: 60_000);
        var task = await alice.SubmitForAsync(capability);

        Assert.True((await waiting).GetProperty("wake").GetBoolean());
        Assert.Equal("pending", await alice.StatusAsync(task));
        var answer = await sleeper.ExchangeAsync(new { status = "ready" });

        Assert.Null(answer.Find("wake"));
        Assert.Equal([task], answer.GetProperty("tasks").Ids());
    }

    [Fact]
    public async Task A_sleeper_is_asked_to_wake_by_its_heartbeat_too()
    {
        var sleeper = await broker.RegisterAsync(Unique.Name("agent"), capability, status: "sleeping");
        Assert.Null((await sleeper.BeatAsync()).Find("wake"));
        var task = await alice.SubmitForAsync(capability);

        Assert.True((await sleeper.BeatAsync("sleeping")).GetProperty("wake").GetBoolean());
        Assert.Null((await sleeper.BeatAsync("ready")).Find("wake"));

        Assert.Equal((sleeper.Agent, "assigned"), ((await alice.TaskAsync(task)).Text("assignee"), await alice.StatusAsync(task)));
    }

    [Fact]
    public async Task Who_is_awake_is_preferred()
    {
        await broker.RegisterAsync(Unique.Name("agent"), capability, status: "sleeping");
        var ready = await broker.RegisterAsync(Unique.Name("agent"), capability);

        Assert.Equal(ready.Agent, (await alice.SubmitAsync(new { title = "x", scope = capability })).Text("assignee"));
    }

    [Fact]
    public async Task A_sleeper_that_leaves_does_not_keep_the_task()
    {
        var sleeper = await broker.RegisterAsync(Unique.Name("agent"), capability, status: "sleeping");
        var task = await alice.SubmitForAsync(capability);
        var other = await broker.RegisterAsync(Unique.Name("agent"), capability, status: "busy");
        Assert.Equal("pending", await alice.StatusAsync(task));

        (await sleeper.Api.DeleteAsync($"/api/v1/agents/{sleeper.Agent}")).Expect(200);

        Assert.Equal(other.Agent, (await alice.TaskAsync(task)).Text("assignee"));
    }
}

/// <summary>With 300 ms to wake.</summary>
public sealed class WakeTimeoutTests(SharedHastyBroker shared) : IClassFixture<SharedHastyBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task When_a_sleeper_does_not_wake_in_time_the_next_candidate_is_taken()
    {
        var sleeper = await broker.RegisterAsync(Unique.Name("agent"), capability, status: "sleeping");
        await using var next = Tasks.Living.Of(await broker.RegisterAsync(Unique.Name("agent"), capability, status: "busy"));
        var task = await alice.SubmitForAsync(capability);

        Assert.Equal(next.Agent, (await alice.ReachesAsync(task, "assigned")).Text("assignee"));
        Assert.Equal(1, (await alice.TaskAsync(task)).Number("attempt"));
        Assert.NotEqual(sleeper.Agent, next.Agent);
    }

    [Fact]
    public async Task A_sleeper_that_did_not_wake_is_not_asked_again_until_it_says_something_else()
    {
        await using var sleeper = Tasks.Living.Of(await broker.RegisterAsync(Unique.Name("agent"), capability, status: "sleeping"));
        var task = await alice.SubmitForAsync(capability);

        await Eventually.HoldsAsync(
            async () => (await alice.GetAsync($"/api/v1/tasks/{task}/explain")).Expect(200).Text("reason") == "wake_failed", "the wake-up failed");
        await sleeper.Worker.BeatAsync("ready");

        Assert.Equal(sleeper.Agent, (await alice.ReachesAsync(task, "assigned")).Text("assignee"));
    }
}

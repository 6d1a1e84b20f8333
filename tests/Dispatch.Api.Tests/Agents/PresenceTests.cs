using Dispatch.Api.Tests.Support;
using Dispatch.Api.Tests.Tasks;

namespace Dispatch.Api.Tests.Agents;

/// <summary>With a lease of one second, and reaped four seconds later.</summary>
public sealed class PresenceTests(SharedHastyBroker shared) : IClassFixture<SharedHastyBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string id = Unique.Name("agent");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task An_agent_that_is_silent_for_a_lease_is_offline_and_its_work_goes_on_elsewhere()
    {
        var silent = await broker.RegisterAsync(id, capability);
        var task = await alice.SubmitForAsync(capability);
        (await silent.Api.PostAsync($"/api/v1/tasks/{task}/start")).Expect(200);
        await using var other = Living.Of(await broker.RegisterAsync(Unique.Name("agent"), capability, status: "busy"));

        var taken = await Eventually.GetAsync(() => alice.TaskAsync(task), seen => seen.Find("assignee") == other.Agent, "another agent has the task");

        Assert.Equal((2, 1), (taken.Number("attempt"), taken.Number("retry_count")));
        Assert.Equal("lost", taken.Items("attempts").Single().Text("outcome"));
        Assert.Contains("no sign of life", taken.Items("attempts").Single().Text("error"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_lost_attempt_with_no_retry_left_is_a_dead_letter()
    {
        await broker.RegisterAsync(id, capability);
        var task = (await alice.SubmitAsync(new { title = "x", scope = capability, max_retries = 0 })).Id();

        var ended = await alice.EndOfAsync(task);

        Assert.Equal(("failed", true), (ended.Text("status"), ended.GetProperty("dead_lettered").GetBoolean()));
    }

    [Fact]
    public async Task A_late_report_of_an_expired_lease_is_refused()
    {
        var late = await broker.RegisterAsync(id, capability);
        var task = await alice.SubmitForAsync(capability);
        await alice.ReachesAsync(task, "pending");

        (await late.Api.PostAsync($"/api/v1/tasks/{task}/complete", new { attempt = 1 })).ExpectProblem(409, "stale_attempt");
    }

    [Fact]
    public async Task Any_call_renews_the_lease()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var task = await alice.SubmitForAsync(capability);

        // Longer than two leases, whatever is called.
        for (var end = DateTime.UtcNow.AddMilliseconds(2_500); DateTime.UtcNow < end; await Task.Delay(50))
        {
            (await worker.Api.GetAsync($"/api/v1/agents/{id}")).Expect(200);
            (await worker.Api.PostAsync($"/api/v1/tasks/{task}/progress", new { percent = 1 })).Expect(200);
            var beat = await worker.BeatAsync();
            Assert.InRange((beat.Time("lease_expires_at") - DateTimeOffset.UtcNow).TotalMilliseconds, 0, 1_001);
        }

        Assert.Equal("running", await alice.StatusAsync(task));
        Assert.Equal("ready", (await alice.GetAsync($"/api/v1/agents/{id}")).Expect(200).Text("status"));
    }

    [Fact]
    public async Task An_agent_that_waits_for_work_longer_than_its_lease_stays_there()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var held = await alice.SubmitForAsync(capability);
        (await worker.Api.PostAsync($"/api/v1/tasks/{held}/start")).Expect(200);

        var answer = await worker.ExchangeAsync(waitMs: 2_500);

        Assert.Empty(answer.Items("tasks"));
        Assert.Empty(answer.Items("cancelled"));
        Assert.True(answer.Time("lease_expires_at") > DateTimeOffset.UtcNow);
        Assert.Equal(("running", 1), ((await alice.TaskAsync(held)).Text("status"), (await alice.TaskAsync(held)).Number("attempt")));
        Assert.DoesNotContain("agent.offline", await EventsAsync(), StringComparison.Ordinal);
        async Task<string> EventsAsync() => (await alice.GetAsync($"/api/v1/tasks/{held}/events")).Text;
    }

    [Fact]
    public async Task An_agent_that_comes_back_is_ready_and_given_work_again()
    {
        var worker = await broker.RegisterAsync(id, capability);
        await Eventually.HoldsAsync(async () => (await alice.GetAsync($"/api/v1/agents/{id}")).Json.Find("status") == "offline", "the agent is offline");
        var task = await alice.SubmitForAsync(capability);
        Assert.Equal("pending", await alice.StatusAsync(task));

        Assert.Equal("ready", (await worker.BeatAsync()).GetProperty("agent").Text("status"));

        Assert.Equal("assigned", await alice.StatusAsync(task));
    }

    [Fact]
    public async Task An_agent_that_stays_away_is_forgotten()
    {
        await broker.RegisterAsync(id, capability);

        await Eventually.HoldsAsync(async () => (await alice.GetAsync($"/api/v1/agents/{id}")).Status == 404, "the agent is forgotten");
    }

    [Fact]
    public async Task A_drained_agent_is_not_forgotten()
    {
        await broker.RegisterAsync(id, capability);
        (await broker.Admin.PostAsync($"/api/v1/agents/{id}/drain")).Expect(200);
        var witness = Unique.Name("agent");
        await broker.RegisterAsync(witness, capability);

        await Eventually.HoldsAsync(async () => (await alice.GetAsync($"/api/v1/agents/{witness}")).Status == 404, "the agent that came later is forgotten");

        Assert.Equal("offline", (await alice.GetAsync($"/api/v1/agents/{id}")).Expect(200).Text("status"));
    }

    [Theory]
    [InlineData("busy")]
    [InlineData("sleeping")]
    [InlineData("degraded")]
    [InlineData("ready")]
    public async Task An_agent_says_how_it_is(string status)
    {
        var worker = await broker.RegisterAsync(id, capability);

        Assert.Equal(status, (await worker.BeatAsync(status)).GetProperty("agent").Text("status"));
    }

    [Theory]
    [InlineData("""{"status":"offline"}""", "status")]
    [InlineData("""{"state":"ready","status":1}""", "state,status")]
    [InlineData("5", "body")]
    public async Task A_heartbeat_with_faults_is_refused(string body, string fields)
    {
        var worker = await broker.RegisterAsync(id, capability);

        Assert.Equal(fields.Split(','), (await worker.Api.PostAsync($"/api/v1/agents/{id}/heartbeat", body)).ExpectFaults());
    }

    [Fact]
    public async Task A_heartbeat_brings_news_of_cancelled_work_once()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var task = await alice.SubmitForAsync(capability);
        (await alice.PatchAsync($"/api/v1/tasks/{task}", new { status = "cancelled" })).Expect(200);

        var cancelled = (await worker.BeatAsync()).Items("cancelled").Single();

        Assert.Equal((task, 1, "cancelled"), (cancelled.Text("task_id"), cancelled.Number("attempt"), cancelled.Text("reason")));
        Assert.Empty((await worker.BeatAsync()).Items("cancelled"));
    }

    [Fact]
    public async Task A_degraded_agent_gets_nothing()
    {
        await using var worker = Living.Of(await broker.RegisterAsync(id, capability, status: "degraded"));
        var task = await alice.SubmitForAsync(capability);
        Assert.Equal("pending", await alice.StatusAsync(task));

        await worker.Worker.BeatAsync("ready");

        Assert.Equal("assigned", await alice.StatusAsync(task));
    }
}

public sealed class DrainTests
{
    [Fact]
    public async Task A_drained_agent_gives_back_what_it_has_not_started_and_gets_nothing_also_after_a_restart()
    {
        await using var broker = await TestBroker.StartAsync();
        var alice = broker.As("alice");
        var worker = await broker.RegisterAsync("worker", "do");
        var (running, assigned) = (await alice.SubmitForAsync("do"), await alice.SubmitForAsync("do"));
        (await worker.Api.PostAsync($"/api/v1/tasks/{running}/start")).Expect(200);

        Assert.True((await broker.Admin.PostAsync("/api/v1/agents/worker/drain")).Expect(200).GetProperty("drained").GetBoolean());
        Assert.Equal(("running", "pending"), (await alice.StatusAsync(running), await alice.StatusAsync(assigned)));
        Assert.Equal(assigned, (await worker.ExchangeAsync()).Items("cancelled").Single().Text("task_id"));

        await broker.RestartAsync();
        Assert.True((await worker.Api.PutAsync("/api/v1/agents/worker", new { capabilities = new[] { "do" } })).Expect(200).GetProperty("drained").GetBoolean());
        await worker.CompleteAsync(running);
        Assert.Equal("pending", await alice.StatusAsync(assigned));

        Assert.False((await broker.Admin.PostAsync("/api/v1/agents/worker/resume", "{}")).Expect(200).GetProperty("drained").GetBoolean());
        Assert.Equal("assigned", await alice.StatusAsync(assigned));
        Assert.Equal(0, (await alice.TaskAsync(assigned)).Number("retry_count"));

        await broker.RestartAsync();
        Assert.False((await broker.Admin.GetAsync("/api/v1/agents/worker")).Expect(200).GetProperty("drained").GetBoolean());
    }

    [Fact]
    public async Task Agents_and_what_they_hold_outlive_the_process()
    {
        await using var broker = await TestBroker.StartAsync();
        var alice = broker.As("alice");
        var worker = await broker.RegisterAsync("worker", "do", owner: "acme");
        var task = await alice.SubmitForAsync("do");

        await broker.RestartAsync();

        Assert.Equal("acme", (await alice.GetAsync("/api/v1/agents/worker")).Expect(200).Text("owner"));
        Assert.Equal([task], (await worker.Api.GetAsync("/api/v1/agents/worker/tasks")).Expect(200).Ids());
        Assert.Equal([task], (await worker.ExchangeAsync()).GetProperty("tasks").Ids());
        Assert.Equal("completed", (await worker.CompleteAsync(task, new { attempt = 1 })).Text("status"));
    }

    [Fact]
    public async Task A_lease_runs_a_whole_period_again_after_a_restart_and_then_out()
    {
        await using var broker = await TestBroker.StartAsync(config => config with { Agents = config.Agents with { Lease = TimeSpan.FromMilliseconds(500) } });
        var alice = broker.As("alice");
        await broker.RegisterAsync("worker", "do");
        var task = await alice.SubmitForAsync("do");

        await broker.RestartAsync();

        await alice.ReachesAsync(task, "pending");
        Assert.Equal("lost", (await alice.TaskAsync(task)).Items("attempts").Single().Text("outcome"));
    }
}

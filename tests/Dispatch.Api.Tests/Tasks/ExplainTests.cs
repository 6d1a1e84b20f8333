using System.Text.Json;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Tasks;

public sealed class ExplainTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task Nobody_is_registered()
    {
        await using var empty = await TestBroker.StartAsync();
        var id = await empty.As("alice").SubmitForAsync(capability);

        var explained = (await empty.As("alice").GetAsync($"/api/v1/tasks/{id}/explain")).Expect(200);

        Assert.Equal(("no_agents", "pending"), (explained.Text("reason"), explained.Text("status")));
        Assert.Empty(explained.Items("candidates"));
    }

    [Fact]
    public async Task Nobody_has_the_capability()
    {
        var other = await broker.RegisterAsync(Unique.Name("other"), "something-else");
        var id = await alice.SubmitForAsync(capability);

        var explained = await ExplainAsync(id, "no_capability");

        Assert.Contains(capability, explained.Text("message"), StringComparison.Ordinal);
        Assert.Equal("no_capability", Candidate(explained, other).Text("reason"));
        Assert.False(Candidate(explained, other).GetProperty("eligible").GetBoolean());
    }

    [Fact]
    public async Task Everybody_is_busy()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability, maxConcurrent: 1);
        await alice.SubmitForAsync(capability);
        var id = await alice.SubmitForAsync(capability);

        var candidate = Candidate(await ExplainAsync(id, "all_busy"), worker);

        Assert.Equal(("all_busy", 1, 1), (candidate.Text("reason"), candidate.Number("active"), candidate.Number("max_concurrent")));
    }

    [Fact]
    public async Task The_owner_filter_keeps_it_from_those_who_could()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability, owner: "acme");
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, owner = "globex" })).Id();

        Assert.Equal("owner_filter", Candidate(await ExplainAsync(id, "owner_filter"), worker).Text("reason"));
    }

    [Fact]
    public async Task Everybody_is_drained()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        (await broker.Admin.PostAsync($"/api/v1/agents/{worker.Agent}/drain")).Expect(200);
        var id = await alice.SubmitForAsync(capability);

        await ExplainAsync(id, "drained");
    }

    [Fact]
    public async Task Everybody_is_degraded()
    {
        await broker.RegisterAsync(Unique.Name("worker"), capability, status: "degraded");
        var id = await alice.SubmitForAsync(capability);

        await ExplainAsync(id, "degraded");
    }

    [Fact]
    public async Task Everybody_is_offline()
    {
        await using var own = await TestBroker.StartAsync(config => config with { Agents = config.Agents with { Lease = TimeSpan.FromMilliseconds(200) } });
        await own.RegisterAsync("worker", capability);
        var requester = own.As("alice");
        var id = (await requester.SubmitAsync(new { title = "x", scope = capability })).Id();

        var explained = await Eventually.GetAsync(
            async () => (await requester.GetAsync($"/api/v1/tasks/{id}/explain")).Expect(200), seen => seen.Text("reason") == "offline", "the agent is offline");

        Assert.Equal("offline", explained.Items("candidates").Single().Text("reason"));
    }

    [Fact]
    public async Task It_waits_for_another_task()
    {
        var first = await alice.SubmitForAsync(capability);
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, depends_on = new[] { first } })).Id();

        var explained = await ExplainAsync(id, "dependency");

        Assert.Equal([first], explained.Items("waiting_on").Select(waited => waited.GetString()));
    }

    [Fact]
    public async Task It_is_not_due()
    {
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, run_at = "2099-01-01T00:00:00Z" })).Id();

        Assert.Contains("2099-01-01T00:00:00", (await ExplainAsync(id, "not_due")).Text("message"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_waits_out_the_backoff()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var id = await alice.SubmitForAsync(capability);
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/fail", new { error = "x", retry_after_ms = 3_600_000 })).Expect(200);

        await ExplainAsync(id, "backoff");
    }

    [Fact]
    public async Task A_sleeper_was_chosen_and_is_woken()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability, status: "sleeping");
        var id = await alice.SubmitForAsync(capability);

        Assert.Contains(worker.Agent, (await ExplainAsync(id, "waking")).Text("message"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_is_assigned_and_the_factors_are_told()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability, maxConcurrent: 4);
        var other = await broker.RegisterAsync(Unique.Name("worker"), capability, status: "busy");
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, preferred_capabilities = new[] { capability, "rare" }, priority = 10 })).Id();

        var explained = await ExplainAsync(id, "assigned");

        var assignment = explained.GetProperty("assignment");
        Assert.Equal((worker.Agent, 1, 0, 4, 2), (
            assignment.Text("agent"), assignment.Number("attempt"), assignment.Number("active"), assignment.Number("max_concurrent"), assignment.Number("candidates")));
        Assert.Equal(1.125, assignment.GetProperty("capability_match").GetDouble(), 6);
        Assert.Equal(1.0, assignment.GetProperty("availability").GetDouble(), 6);
        Assert.Equal(1.5, assignment.GetProperty("priority_weight").GetDouble(), 6);
        Assert.Equal(1.6875, assignment.GetProperty("score").GetDouble(), 6);
        Assert.Equal(0.5, Candidate(explained, other).GetProperty("availability").GetDouble(), 6);
    }

    [Fact]
    public async Task It_has_ended()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var id = await alice.SubmitForAsync(capability);
        await worker.CompleteAsync(id);

        var explained = await ExplainAsync(id, "final");

        Assert.Equal(("completed", worker.Agent), (explained.Text("status"), explained.GetProperty("assignment").Text("agent")));
    }

    private async Task<JsonElement> ExplainAsync(string id, string reason)
    {
        var explained = (await alice.GetAsync($"/api/v1/tasks/{id}/explain")).Expect(200);
        Assert.Equal(id, explained.Text("task_id"));
        Assert.Equal(reason, explained.Text("reason"));
        return explained;
    }

    // Others register beside it: it is among the candidates shown.
    private static JsonElement Candidate(JsonElement explained, Worker worker) =>
        explained.Items("candidates").Single(candidate => candidate.Text("agent") == worker.Agent);
}

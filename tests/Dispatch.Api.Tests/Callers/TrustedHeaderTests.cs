using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Callers;

public sealed class TrustedHeaderTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;

    [Theory]
    [InlineData("GET", "/api/v1/tasks")]
    [InlineData("POST", "/api/v1/tasks")]
    [InlineData("GET", "/api/v1/nothing")]
    [InlineData("PUT", "/api/v1/agents/x")]
    public async Task Who_does_not_say_who_it_is_is_not_served(string method, string path)
    {
        (await broker.As(null).SendAsync(new HttpMethod(method), path, null)).ExpectProblem(401, "unauthorized");
    }

    [Fact]
    public async Task The_admin_token_alone_does_not_name_the_caller()
    {
        (await broker.As(null, TestBroker.AdminSecret).GetAsync("/api/v1/stats")).ExpectProblem(401, "unauthorized");
    }

    [Fact]
    public async Task A_wrong_token_is_refused_though_none_is_needed()
    {
        (await broker.As("alice", "dsp_wrong").GetAsync("/api/v1/tasks")).ExpectProblem(401, "unauthorized");
        (await broker.As("alice", TestBroker.AdminSecret + "x").GetAsync("/api/v1/stats")).ExpectProblem(401, "unauthorized");
    }

    [Fact]
    public async Task A_header_that_names_nobody_is_refused()
    {
        Assert.Equal(["X-Agent-ID"], (await broker.As(new string('a', 257)).GetAsync("/api/v1/tasks")).ExpectFaults());
    }

    [Theory]
    [InlineData("GET", "/api/v1/stats")]
    [InlineData("GET", "/api/v1/agents")]
    [InlineData("GET", "/api/v1/dead-letters")]
    [InlineData("POST", "/api/v1/dead-letters/redrive")]
    [InlineData("GET", "/api/v1/tokens")]
    [InlineData("POST", "/api/v1/tokens")]
    [InlineData("DELETE", "/api/v1/tokens/tok_1")]
    [InlineData("POST", "/api/v1/agents/x/drain")]
    [InlineData("POST", "/api/v1/agents/x/resume")]
    public async Task Admin_routes_ask_for_the_admin_token(string method, string path)
    {
        var reply = await broker.As("alice").SendAsync(new HttpMethod(method), path, null);

        reply.ExpectProblem(401, "unauthorized");
        Assert.StartsWith("Bearer", reply.Header("WWW-Authenticate"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_agent_reads_every_task()
    {
        var task = await broker.As("alice").SubmitForAsync(Unique.Name("cap"));

        Assert.Equal(task, (await broker.As("bob").TaskAsync(task)).Text("id"));
        Assert.Contains(task, (await broker.As("bob").GetAsync("/api/v1/tasks?requester=alice")).Expect(200).Ids());
    }

    [Fact]
    public async Task A_request_keeps_the_id_that_its_caller_gave_it()
    {
        var reply = await broker.As("alice").SendAsync(HttpMethod.Get, $"/api/v1/tasks/{Unique.Id()}", null, ("X-Request-ID", "my-request-7"));

        Assert.Equal("my-request-7", reply.ExpectProblem(404, "task_not_found").Text("request_id"));
    }

    [Fact]
    public async Task The_numbers_are_told_to_an_admin()
    {
        var capability = Unique.Name("cap");
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var done = await broker.As("alice").SubmitForAsync(capability);
        await worker.CompleteAsync(done);
        var failed = await broker.As("alice").SubmitForAsync(capability);
        await worker.FailAsync(failed, retryable: false);

        var stats = await Eventually.GetAsync(
            async () => (await broker.Admin.GetAsync("/api/v1/stats")).Expect(200),
            stats => stats.Items("agents").Any(agent => agent.Id() == worker.Agent && agent.Number("failed") == 1), "the attempts are counted");

        Assert.True(stats.GetProperty("tasks").Number("completed") >= 1);
        Assert.True(stats.Number("dead_letters") >= 1);
        Assert.True(stats.GetProperty("queue_ms").Number("count") >= 2);
        Assert.Equal("0.1.0", stats.Text("version"));
        Assert.Equal(1, stats.Items("agents").Single(agent => agent.Id() == worker.Agent).Number("completed"));
    }

    [Fact]
    public async Task A_route_that_is_not_there_and_a_method_that_is_not_taken_are_told_apart()
    {
        var alice = broker.As("alice");

        (await alice.GetAsync("/api/v1/nothing")).ExpectProblem(404, "not_found");
        (await alice.GetAsync("/api/v2/tasks")).ExpectProblem(404, "not_found");
        var reply = await alice.DeleteAsync("/api/v1/tasks");
        reply.ExpectProblem(405, "method_not_allowed");
        Assert.Equal("GET, HEAD, POST", string.Join(", ", reply.Header("Allow")!.Split(", ").Order()));
    }

    [Fact]
    public async Task Who_sends_too_fast_is_told_when_to_come_back()
    {
        await using var slow = await TestBroker.StartAsync(config => config with { Limits = config.Limits with { RequestsPerSecond = 1, Burst = 3 } });

        var replies = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => slow.As("alice").GetAsync("/api/v1/tasks")));

        Assert.InRange(replies.Count(reply => reply.Status == 200), 3, 5);
        var refused = replies.First(reply => reply.Status != 200);
        refused.ExpectProblem(429, "too_many_requests");
        Assert.InRange(int.Parse(refused.Header("Retry-After")!), 1, 10);
        (await slow.As("bob").GetAsync("/api/v1/tasks")).Expect(200);
    }
}

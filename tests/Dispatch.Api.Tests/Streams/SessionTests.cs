using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Streams;

public sealed class SessionTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient admin = shared.Broker.Admin;

    [Fact]
    public async Task It_is_opened_listed_and_closed()
    {
        var id = Unique.Name("ses");
        var opened = (await admin.PostAsync("/api/v1/sessions", new { session = id, name = "Review", expires_in_ms = 3_600_000 })).Expect(201);

        Assert.Equal((id, "Review", TimeSpan.FromHours(1)), (opened.Text("session"), opened.Text("name"), opened.Time("expires_at") - opened.Time("created_at")));
        Assert.Matches("^dsg_[A-Za-z0-9_-]{43}$", opened.Text("guest_token"));
        var list = (await admin.GetAsync("/api/v1/sessions")).Expect(200).Items();
        Assert.Null(Assert.Single(list, session => session.Text("session") == id).Find("guest_token"));
        (await admin.PostAsync("/api/v1/sessions", new { session = id })).ExpectProblem(409, "session_exists");

        (await admin.DeleteAsync($"/api/v1/sessions/{id}")).Expect(200);

        (await admin.DeleteAsync($"/api/v1/sessions/{id}")).ExpectProblem(404, "session_not_found");
        Assert.DoesNotContain((await admin.GetAsync("/api/v1/sessions")).Expect(200).Items(), session => session.Text("session") == id);
        (await admin.PostAsync("/api/v1/sessions", new { session = id })).Expect(201);
    }

    [Fact]
    public async Task Without_a_word_it_gets_an_id_and_a_day()
    {
        var opened = (await admin.PostAsync("/api/v1/sessions")).Expect(201);

        Assert.StartsWith("ses_", opened.Text("session"), StringComparison.Ordinal);
        Assert.Equal(TimeSpan.FromDays(1), opened.Time("expires_at") - opened.Time("created_at"));
    }

    [Fact]
    public async Task An_id_with_a_slash_is_closed_by_its_escape()
    {
        var id = Unique.Name("a/b 100% ä");
        (await admin.PostAsync("/api/v1/sessions", new { session = id })).Expect(201);

        Assert.Equal(id, (await admin.DeleteAsync($"/api/v1/sessions/{Uri.EscapeDataString(id)}")).Expect(200).Text("session"));
    }

    [Theory]
    [InlineData("""{"session":""}""", "session")]
    [InlineData("""{"session":"a\u0007"}""", "session")]
    [InlineData("""{"session":7,"name":[],"expires_in_ms":999}""", "session", "name", "expires_in_ms")]
    [InlineData("""{"expires_in_ms":31536000001}""", "expires_in_ms")]
    [InlineData("""{"sesion":"a"}""", "sesion")]
    [InlineData("[]", "body")]
    public async Task What_is_wrong_is_told(string body, params string[] fields) =>
        Assert.Equal(fields, (await admin.PostAsync("/api/v1/sessions", body)).ExpectFaults());

    [Fact]
    public async Task Only_an_admin_has_to_do_with_them()
    {
        var alice = broker.As("alice");

        (await alice.PostAsync("/api/v1/sessions")).ExpectProblem(401, "unauthorized");
        (await alice.GetAsync("/api/v1/sessions")).ExpectProblem(401, "unauthorized");
        (await alice.DeleteAsync("/api/v1/sessions/any")).ExpectProblem(401, "unauthorized");
    }

    [Fact]
    public async Task A_guest_reaches_the_log_and_nothing_else()
    {
        var (_, token) = await OpenAsync();
        foreach (var agent in new[] { null, "alice", "admin" })
        {
            var guest = broker.As(agent, token);
            (await guest.GetAsync("/api/v1/events")).Expect(200);
            foreach (var path in new[] { "/api/v1/tasks", "/api/v1/agents", "/api/v1/stats", "/api/v1/tokens", "/api/v1/sessions", "/api/v1/questions", "/api/v1/questions/stream", "/api/v1/responders", "/api/v1/nothing", "/api/v1/tasks?x=1", "/api/v1" })
                (await guest.GetAsync(path)).ExpectProblem(403, "forbidden");
            (await guest.PostAsync("/api/v1/tasks", new { title = "no" })).ExpectProblem(403, "forbidden");
            (await guest.PostAsync("/api/v1/sessions")).ExpectProblem(403, "forbidden");
            (await guest.PutAsync("/api/v1/agents/alice", new { capabilities = new[] { "x" } })).ExpectProblem(403, "forbidden");
            (await guest.PostAsync("/api/v1/agents/alice/work")).ExpectProblem(403, "forbidden");
        }
    }

    [Fact]
    public async Task A_token_of_a_closed_session_is_refused_like_any_wrong_one()
    {
        var (id, token) = await OpenAsync();
        var guest = broker.As(null, token);
        (await guest.GetAsync("/api/v1/events")).Expect(200);

        (await admin.DeleteAsync($"/api/v1/sessions/{id}")).Expect(200);

        var closed = (await guest.GetAsync("/api/v1/events")).ExpectProblem(401, "unauthorized");
        var forged = (await broker.As(null, "dsg_" + new string('A', 43)).GetAsync("/api/v1/events")).ExpectProblem(401, "unauthorized");
        Assert.Equal(forged.Text("detail"), closed.Text("detail"));
        var (_, again) = await OpenAsync(id);
        Assert.NotEqual(token, again);
        (await guest.GetAsync("/api/v1/events")).ExpectProblem(401, "unauthorized");
        (await broker.As(null, again).GetAsync("/api/v1/events")).Expect(200);
    }

    [Fact]
    public async Task A_session_outlives_a_restart_and_its_guests_with_it()
    {
        await using var own = await TestBroker.StartAsync();
        var opened = (await own.Admin.PostAsync("/api/v1/sessions", new { session = "s" })).Expect(201);
        var other = (await own.Admin.PostAsync("/api/v1/sessions", new { session = "closed" })).Expect(201);
        (await own.Admin.DeleteAsync("/api/v1/sessions/closed")).Expect(200);

        await own.RestartAsync();

        (await own.As(null, opened.Text("guest_token")).GetAsync("/api/v1/events")).Expect(200);
        (await own.As(null, other.Text("guest_token")).GetAsync("/api/v1/events")).ExpectProblem(401, "unauthorized");
    }

    [Fact]
    public async Task Streams_end_when_the_session_is_closed()
    {
        var (id, token) = await OpenAsync();
        using var stream = await SseReader.OpenAsync(broker, "after=0", bearer: token);
        using var socket = await GuestSocket.OpenAsync(broker, token, "after=0");
        Assert.Equal("session.created", (await stream.UntilAsync(_ => true)).Name);

        var clock = System.Diagnostics.Stopwatch.StartNew();
        (await admin.DeleteAsync($"/api/v1/sessions/{id}")).Expect(200);

        Assert.Null(await stream.EndAsync());
        Assert.Equal(System.Net.WebSockets.WebSocketCloseStatus.PolicyViolation, await socket.EndAsync());
        Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task Streams_end_when_the_session_expires()
    {
        var (_, token) = await OpenAsync(expiresInMs: 1_000);
        using var stream = await SseReader.OpenAsync(broker, "after=0", bearer: token);

        Assert.Null(await stream.EndAsync());

        (await broker.As(null, token).GetAsync("/api/v1/events")).ExpectProblem(401, "unauthorized");
        await Eventually.GetAsync(
            async () => (await admin.GetAsync("/api/v1/events?type=session.closed&limit=1000")).Expect(200).Items("events"),
            events => events.Any(happened => happened.GetProperty("data").Text("reason") == "expired"), "the session is closed");
    }

    private async Task<(string Id, string Token)> OpenAsync(string? id = null, long expiresInMs = 86_400_000)
    {
        var opened = (await admin.PostAsync("/api/v1/sessions", new { session = id ?? Unique.Name("ses"), expires_in_ms = expiresInMs })).Expect(201);
        return (opened.Text("session"), opened.Text("guest_token"));
    }
}

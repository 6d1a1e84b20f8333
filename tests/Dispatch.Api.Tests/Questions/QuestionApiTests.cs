using System.Text.Json;
using Dispatch.Api.Tests.Streams;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Questions;

public sealed class QuestionApiTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient admin = shared.Broker.Admin;
    private readonly ApiClient coder = shared.Broker.As("coder");
    private readonly string type = "tool." + Unique.Name("t").ToLowerInvariant();

    [Fact]
    public async Task A_question_is_asked_waited_for_and_answered()
    {
        var asked = await AskAsync(new { tool = "bash_exec", command = "rm -r build" });
        var id = asked.Id();
        Assert.Equal(("open", "deny", "coder", "call-9"), (asked.Text("status"), asked.Text("default"), asked.Text("asker"), asked.Text("about")));
        var waiting = coder.GetAsync($"/api/v1/questions/{id}?wait_ms=30000");

        var told = (await AnswerAsync(admin, id, "modify", new { command = "rm -r build/cache" }, "Only the cache.")).Expect(200);

        var known = (await waiting).Expect(200);
        Assert.Equal(told.GetRawText(), known.GetRawText());
        Assert.Equal(("answered", "modify", "Only the cache."), (known.Text("status"), known.Text("outcome"), known.Text("reason")));
        Assert.Equal("""{"command":"rm -r build/cache"}""", known.GetProperty("replacement").GetRawText());
        Assert.Equal("""{"tool":"bash_exec","command":"rm -r build"}""", known.GetProperty("proposal").GetRawText());
        Assert.Equal(known.GetRawText(), (await coder.GetAsync($"/api/v1/questions/{id}?wait_ms=60000")).Expect(200).GetRawText());
        Assert.Equal(["question.asked", "question.answered"], await EventsAsync(id));
    }

    [Fact]
    public async Task The_first_answer_counts_and_the_second_is_told_so()
    {
        var id = (await AskAsync()).Id();
        (await AnswerAsync(admin, id, "allow")).Expect(200);

        (await AnswerAsync(admin, id, "allow")).Expect(200);
        (await AnswerAsync(admin, id, "deny")).ExpectProblem(409, "already_answered");
        var late = await RegisterAsync();
        Assert.Contains("answered with allow", (await AnswerAsync(late, id, "deny")).ExpectProblem(409, "question_closed").Text("detail"), StringComparison.Ordinal);
        Assert.Equal(["question.asked", "question.answered"], await EventsAsync(id));
    }

    [Fact]
    public async Task Responders_are_registered_waited_for_and_removed()
    {
        var one = await RegisterAsync();
        var two = await RegisterAsync();
        var listed = (await admin.GetAsync("/api/v1/responders")).Expect(200).Items().Select(responder => responder.Id()).ToArray();
        Assert.Contains(one.Agent, listed);
        (await admin.PutAsync($"/api/v1/responders/{one.Agent}", new { types = new[] { type } })).Expect(200);

        var id = (await AskAsync()).Id();
        Assert.Equal("open", (await AnswerAsync(one, id, "allow")).Expect(200).Text("status"));
        Assert.Equal("allow", (await AnswerAsync(two, id, "allow")).Expect(200).Text("outcome"));

        (await admin.DeleteAsync($"/api/v1/responders/{two.Agent}")).Expect(200);
        (await admin.DeleteAsync($"/api/v1/responders/{two.Agent}")).ExpectProblem(404, "responder_not_found");
        Assert.Equal([one.Agent], (await AskAsync()).Items("awaited").Select(name => name.GetString()!));
    }

    [Fact]
    public async Task Who_neither_asked_nor_may_answer_learns_nothing()
    {
        var id = (await AskAsync()).Id();
        var stranger = broker.As(Unique.Name("stranger"));

        (await stranger.GetAsync($"/api/v1/questions/{id}")).ExpectProblem(404, "question_not_found");
        (await AnswerAsync(stranger, id, "allow")).ExpectProblem(404, "question_not_found");
        (await stranger.DeleteAsync($"/api/v1/questions/{id}")).ExpectProblem(404, "question_not_found");
        Assert.Empty((await stranger.GetAsync("/api/v1/questions?status=all")).Expect(200).Items());
        (await AnswerAsync(coder, id, "allow")).ExpectProblem(403, "forbidden");
        (await coder.PutAsync($"/api/v1/responders/{coder.Agent}", new { types = new[] { "*" } })).ExpectProblem(401, "unauthorized");
        Assert.Equal(id, Assert.Single((await coder.GetAsync($"/api/v1/questions?type={type}")).Expect(200).Items()).Id());
    }

    [Fact]
    public async Task Questions_are_listed_page_by_page_newest_first()
    {
        var ids = new List<string>();
        for (var n = 0; n < 5; n++)
            ids.Insert(0, (await AskAsync()).Id());
        (await AnswerAsync(admin, ids[2], "deny")).Expect(200);

        var first = await admin.GetAsync($"/api/v1/questions?status=all&type={type}&limit=3");
        Assert.Equal(ids.Take(3), first.Expect(200).Items().Select(question => question.Id()));
        var next = first.Header("Link")!.Split('<', '>')[1];
        Assert.Equal(ids.Skip(3), (await admin.GetAsync(next)).Expect(200).Items().Select(question => question.Id()));
        Assert.Equal(ids.Where(id => id != ids[2]), (await admin.GetAsync($"/api/v1/questions?type={type}")).Expect(200).Items().Select(question => question.Id()));
        Assert.Equal([ids[2]], (await admin.GetAsync($"/api/v1/questions?status=answered&type={type}")).Expect(200).Items().Select(question => question.Id()));
        Assert.Equal(["status"], (await admin.GetAsync("/api/v1/questions?status=closed")).ExpectFaults());
    }

    [Fact]
    public async Task The_stream_tells_what_is_open_and_then_what_becomes_of_it()
    {
        var before = (await AskAsync()).Id();
        using var stream = await SseReader.OpenAsync(broker, $"type={type}", path: "/api/v1/questions/stream");
        Assert.Equal(("question.open", before), await NextAsync(stream));

        (await AnswerAsync(admin, before, "allow")).Expect(200);
        var after = (await AskAsync()).Id();

        Assert.Equal(("question.answered", before), await NextAsync(stream));
        Assert.Equal(("question.asked", after), await NextAsync(stream));
        (await coder.DeleteAsync($"/api/v1/questions/{after}")).Expect(200);
        Assert.Equal(("question.withdrawn", after), await NextAsync(stream));
    }

    [Fact]
    public async Task A_responders_stream_holds_what_it_may_answer()
    {
        var judge = await RegisterAsync();
        (await coder.PostAsync("/api/v1/questions", new { type = "other.thing", about = "x", proposal = new { } })).Expect(201);
        using var stream = await SseReader.OpenAsync(broker, "", bearer: null, path: "/api/v1/questions/stream", agent: judge.Agent);

        var id = (await AskAsync()).Id();

        Assert.Equal(("question.asked", id), await NextAsync(stream));
    }

    [Fact]
    public async Task A_question_that_is_taken_back_is_closed()
    {
        var id = (await AskAsync()).Id();
        var waiting = coder.GetAsync($"/api/v1/questions/{id}?wait_ms=30000");

        Assert.Equal("withdrawn", (await coder.DeleteAsync($"/api/v1/questions/{id}")).Expect(200).Text("status"));

        Assert.Equal("withdrawn", (await waiting).Expect(200).Text("status"));
        (await AnswerAsync(admin, id, "allow")).ExpectProblem(409, "question_closed");
        Assert.Equal("withdrawn", (await coder.DeleteAsync($"/api/v1/questions/{id}")).Expect(200).Text("status"));
    }

    [Theory]
    [InlineData("{}", "type", "about", "proposal")]
    [InlineData("[]", "body")]
    [InlineData("""{"type":"Tool","about":"x","proposal":{}}""", "type")]
    [InlineData("""{"type":"task.confirmation","about":"x","proposal":{}}""", "type")]
    [InlineData("""{"type":"tool..run","about":"","proposal":[]}""", "type", "about", "proposal")]
    [InlineData("""{"type":"tool.run","about":"x","proposal":{},"default":"modify","timeout_ms":10,"color":1}""", "default", "timeout_ms", "color")]
    public async Task A_wrong_question_is_told(string body, params string[] fields) =>
        Assert.Equal(fields, (await coder.PostAsync("/api/v1/questions", body)).ExpectFaults());

    [Theory]
    [InlineData("{}", "answer")]
    [InlineData("""{"answer":"yes"}""", "answer")]
    [InlineData("""{"answer":"modify"}""", "replacement")]
    [InlineData("""{"answer":"allow","replacement":{}}""", "replacement")]
    [InlineData("""{"answer":"deny","reason":7,"by":"me"}""", "reason", "by")]
    public async Task A_wrong_answer_is_told(string body, params string[] fields)
    {
        var id = (await AskAsync()).Id();

        Assert.Equal(fields, (await admin.PostAsync($"/api/v1/questions/{id}/answer", body)).ExpectFaults());
        Assert.Equal(["question.asked"], await EventsAsync(id));
    }

    [Fact]
    public async Task A_proposal_has_its_limit() =>
        Assert.Equal(["proposal"], (await coder.PostAsync("/api/v1/questions", new { type, about = "x", proposal = new { text = new string('x', 70_000) } })).ExpectFaults());

    [Fact]
    public async Task A_task_is_not_given_out_before_it_is_confirmed()
    {
        var capability = Unique.Name("cap");
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var task = (await broker.As("alice").SubmitAsync(new { title = "Deploy", context = new { host = "prod" }, required_capabilities = new[] { capability }, confirm = true }));
        var id = task.Id();
        Assert.Equal(("blocked", true), (task.Text("status"), task.GetProperty("confirm").GetBoolean()));
        Assert.Equal("confirmation", (await broker.As("alice").GetAsync($"/api/v1/tasks/{id}/explain")).Expect(200).Text("reason"));
        var question = Assert.Single((await admin.GetAsync($"/api/v1/questions?about={id}")).Expect(200).Items());
        Assert.Equal(("task.confirmation", "alice", "Deploy"), (question.Text("type"), question.Text("asker"), question.GetProperty("proposal").Text("title")));

        Assert.Equal(["replacement.owner", "replacement.priority"], (await AnswerAsync(admin, question.Id(), "modify", new { owner = "x", priority = 11 })).ExpectFaults());
        (await AnswerAsync(admin, question.Id(), "modify", new { title = "Deploy to staging", context = new { host = "staging" }, priority = "high" })).Expect(200);

        await broker.As("alice").ReachesAsync(id, "assigned");
        task = await broker.As("alice").TaskAsync(id);
        Assert.Equal(("Deploy to staging", "staging", 8), (task.Text("title"), task.GetProperty("context").Text("host"), task.Number("priority")));
        Assert.Equal(worker.Agent, task.Text("assignee"));
    }

    [Fact]
    public async Task A_task_that_is_denied_is_cancelled()
    {
        var id = (await broker.As("alice").SubmitAsync(new { title = "Deploy", confirm = true })).Id();
        var question = Assert.Single((await admin.GetAsync($"/api/v1/questions?about={id}")).Expect(200).Items()).Id();

        (await admin.DeleteAsync($"/api/v1/questions/{question}")).ExpectProblem(403, "forbidden");
        (await AnswerAsync(admin, question, "deny", reason: "Not on a Friday.")).Expect(200);

        var task = await broker.As("alice").EndOfAsync(id);
        Assert.Equal(("cancelled", "Not confirmed: Not on a Friday."), (task.Text("status"), task.Text("error")));
    }

    [Fact]
    public async Task An_open_question_survives_a_restart_and_expires_when_its_time_is_up()
    {
        var clock = new LeapingTime();
        await using var own = await TestBroker.StartAsync(config => config with { Questions = new() { Timeout = TimeSpan.FromHours(1) } }, clock: clock);
        var id = (await own.As("coder").PostAsync("/api/v1/questions", new { type, about = "x", proposal = new { } })).Expect(201).Id();
        await own.RestartAsync();
        Assert.Equal("open", (await own.As("coder").GetAsync($"/api/v1/questions/{id}")).Expect(200).Text("status"));
        var waiting = own.As("coder").GetAsync($"/api/v1/questions/{id}?wait_ms=60000");

        clock.Leap(TimeSpan.FromHours(2));

        // The wait may have been over first: time leapt for it too.
        var known = await Eventually.GetAsync(
            async () => (await own.As("coder").GetAsync($"/api/v1/questions/{id}")).Expect(200), question => question.Text("status") != "open", "the question expires");
        Assert.Equal(("expired", "deny"), (known.Text("status"), known.Text("outcome")));
        (await waiting).Expect(200);
    }

    private async Task<JsonElement> AskAsync(object? proposal = null) =>
        (await coder.PostAsync("/api/v1/questions", new { type, about = "call-9", proposal = proposal ?? new { } })).Expect(201);

    private static Task<Reply> AnswerAsync(ApiClient who, string id, string answer, object? replacement = null, string? reason = null)
    {
        var body = new Dictionary<string, object?> { ["answer"] = answer, ["replacement"] = replacement, ["reason"] = reason };
        return who.PostAsync($"/api/v1/questions/{id}/answer", body.Where(member => member.Value is not null).ToDictionary());
    }

    private static async Task<(string Name, string Id)> NextAsync(SseReader stream) =>
        await stream.NextAsync() is { } next ? (next.Name, next.Data.Id()) : throw new Xunit.Sdk.XunitException("The stream ended.");

    private async Task<ApiClient> RegisterAsync()
    {
        var id = Unique.Name("judge");
        (await admin.PutAsync($"/api/v1/responders/{id}", new { types = new[] { type } })).Expect(201);
        return broker.As(id);
    }

    private async Task<string[]> EventsAsync(string id) =>
        [.. (await admin.GetAsync($"/api/v1/events?subject={id}&limit=1000")).Expect(200).Items("events").Select(happened => happened.Text("type")["dispatch.".Length..])];
}

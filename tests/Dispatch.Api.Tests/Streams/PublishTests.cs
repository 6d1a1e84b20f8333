using System.Text.Json;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Streams;

public sealed class PublishTests(SharedTokenBroker shared) : IClassFixture<SharedTokenBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient admin = shared.Broker.Admin;
    private readonly string id = Unique.Name("crawler");

    [Fact]
    public async Task A_publisher_is_registered_listed_and_removed()
    {
        var body = new { types = new[] { "tool.executed", "memory.updated" }, session = "s" };
        var made = (await admin.PutAsync($"/api/v1/publishers/{id}", body)).Expect(201);

        Assert.Equal((id, "s"), (made.Text("id"), made.Text("session")));
        Assert.Equal(["memory.updated", "tool.executed"], made.Items("types").Select(type => type.GetString()));
        Assert.Equal(made.GetRawText(), (await admin.PutAsync($"/api/v1/publishers/{id}", body)).Expect(200).GetRawText());
        Assert.Contains((await admin.GetAsync("/api/v1/publishers")).Expect(200).Items(), publisher => publisher.Text("id") == id);
        (await admin.DeleteAsync($"/api/v1/publishers/{id}")).Expect(200);
        (await admin.DeleteAsync($"/api/v1/publishers/{id}")).ExpectProblem(404, "publisher_not_found");
        Assert.Equal(["dispatch.publisher.registered", "dispatch.publisher.removed"], (await EventsAsync($"subject={id}")).Select(happened => happened.Text("type")));
    }

    [Fact]
    public async Task Only_an_admin_registers()
    {
        var api = await RegisterAsync();

        (await api.PutAsync($"/api/v1/publishers/{id}", new { types = new[] { "tool.executed" } })).ExpectProblem(403, "forbidden");
        (await api.GetAsync("/api/v1/publishers")).ExpectProblem(403, "forbidden");
        (await api.DeleteAsync($"/api/v1/publishers/{id}")).ExpectProblem(403, "forbidden");
    }

    [Theory]
    [InlineData("crawler", """{"types":["task.created"]}""", "types[0]")]
    [InlineData("crawler", """{"types":["session.created"]}""", "types[0]")]
    [InlineData("crawler", """{"types":["x.crawler.seen"]}""", "types[0]")]
    [InlineData("crawler", """{"types":[]}""", "types")]
    [InlineData("crawler", "{}", "types")]
    [InlineData("crawler", """{"types":["tool.executed"],"sesion":"s"}""", "sesion")]
    [InlineData("tasks", """{"types":["tool.executed"]}""", "id")]
    [InlineData("system", """{"types":["tool.executed"]}""", "id")]
    public async Task A_wrong_registration_is_told(string publisher, string body, params string[] fields) =>
        Assert.Equal(fields, (await admin.PutAsync($"/api/v1/publishers/{publisher}", body)).ExpectFaults());

    [Fact]
    public async Task What_is_published_is_in_the_log()
    {
        var api = await RegisterAsync();

        var told = (await api.PostAsync("/api/v1/events", new { id = "e-1", type = "tool.executed", subject = "grep", session = "s-7", data = new { exit_code = 0 } })).Expect(201).Items();

        Assert.Equal(("e-1", false), (told[0].Text("id"), told[0].GetProperty("duplicate").GetBoolean()));
        var happened = Assert.Single(await EventsAsync($"source={id}"));
        Assert.Equal(("dispatch.tool.executed", $"/dispatch/default/{id}", "grep", "s-7", id), (happened.Text("type"), happened.Text("source"), happened.Text("subject"), happened.Text("session"), happened.Text("actor")));
        Assert.Equal("""{"id":"e-1","content":{"exit_code":0}}""", happened.GetProperty("data").GetRawText());
        Assert.Equal(told[0].GetProperty("sequence").ToString(), happened.Text("sequence"));
    }

    [Fact]
    public async Task A_repeat_is_answered_with_the_first_time_also_after_a_restart()
    {
        await using var own = await TestBroker.StartAsync();
        (await own.Admin.PutAsync("/api/v1/publishers/crawler", new { types = new[] { "tool.executed" } })).Expect(201);
        var first = (await own.As("crawler").PostAsync("/api/v1/events", Event("e-1"))).Expect(201).Items()[0];

        var both = (await own.As("crawler").PostAsync("/api/v1/events", new[] { Event("e-1"), Event("e-2") })).Expect(201).Items();
        await own.RestartAsync();
        var again = (await own.As("crawler").PostAsync("/api/v1/events", new[] { Event("e-1"), Event("e-2") })).Expect(200).Items();

        Assert.Equal([true, false], both.Select(told => told.GetProperty("duplicate").GetBoolean()));
        Assert.Equal([true, true], again.Select(told => told.GetProperty("duplicate").GetBoolean()));
        Assert.Equal(first.GetProperty("sequence").GetInt64(), again[0].GetProperty("sequence").GetInt64());
        Assert.Equal(both[1].GetProperty("sequence").GetInt64(), again[1].GetProperty("sequence").GetInt64());
    }

    [Fact]
    public async Task Nothing_of_an_array_is_taken_when_one_is_wrong()
    {
        var api = await RegisterAsync();
        (await api.PostAsync("/api/v1/events", Event("used"))).Expect(201);

        var mismatch = (await api.PostAsync("/api/v1/events", new[] { Event("new"), Event("used", content: 2) })).ExpectProblem(409, "idempotency_mismatch");
        Assert.Equal("events[1].id", mismatch.Items("errors")[0].Text("field"));
        Assert.Equal(["events[1].type"], (await api.PostAsync("/api/v1/events", new[] { Event("new"), Event("other", type: "session.created") })).ExpectFaults());
        Assert.Equal(["events[1].id"], (await api.PostAsync("/api/v1/events", new[] { Event("new"), Event("new") })).ExpectFaults());
        (await api.PostAsync("/api/v1/events", new[] { Event("new"), Event("other", type: "message.received") })).ExpectProblem(403, "forbidden");

        Assert.Single(await EventsAsync($"source={id}"));
    }

    [Theory]
    [InlineData("{}", "id", "type", "subject", "data")]
    [InlineData("""{"id":"","type":"task.created","subject":7,"data":[]}""", "id", "type", "subject", "data")]
    [InlineData("""{"id":"e","type":"tool.executed","subject":"s","data":{},"source":"tasks"}""", "source")]
    [InlineData("[]", "body")]
    [InlineData("[7]", "events[0]")]
    public async Task What_is_wrong_with_an_event_is_told(string body, params string[] fields) =>
        Assert.Equal(fields, (await (await RegisterAsync()).PostAsync("/api/v1/events", body)).ExpectFaults());

    [Fact]
    public async Task Sizes_are_limited()
    {
        var api = await RegisterAsync();
        object Sized(int length) => new { id = Unique.Name("e"), type = "tool.executed", subject = "grep", data = new { text = new string('x', length - """{"text":""}""".Length) } };

        (await api.PostAsync("/api/v1/events", Sized(64 << 10))).Expect(201);
        Assert.Equal(["data"], (await api.PostAsync("/api/v1/events", Sized((64 << 10) + 1))).ExpectFaults());
        (await api.PostAsync("/api/v1/events", Enumerable.Range(0, 1_000).Select(n => Event($"bulk-{n}")))).Expect(201);
        Assert.Equal(["body"], (await api.PostAsync("/api/v1/events", Enumerable.Range(0, 1_001).Select(n => Event($"more-{n}")))).ExpectFaults());
    }

    [Fact]
    public async Task Who_is_not_registered_publishes_nothing()
    {
        var token = (await admin.PostAsync("/api/v1/tokens", new { agent_id = id })).Expect(201).Text("token");
        (await broker.As(id, token).PostAsync("/api/v1/events", Event("e"))).ExpectProblem(403, "forbidden");
        (await broker.As(id).PostAsync("/api/v1/events", Event("e"))).ExpectProblem(401, "unauthorized");
        (await admin.PostAsync("/api/v1/events", Event("e"))).ExpectProblem(403, "forbidden");
        var guest = (await admin.PostAsync("/api/v1/sessions")).Expect(201).Text("guest_token");
        (await broker.As(null, guest).PostAsync("/api/v1/events", Event("e"))).ExpectProblem(403, "forbidden");
    }

    private static object Event(string id, string type = "tool.executed", int content = 1) => new { id, type, subject = "grep", data = new { content } };

    private async Task<JsonElement[]> EventsAsync(string query) => (await admin.GetAsync($"/api/v1/events?limit=1000&{query}")).Expect(200).Items("events");

    private async Task<ApiClient> RegisterAsync()
    {
        (await admin.PutAsync($"/api/v1/publishers/{id}", new { types = new[] { "tool.executed", "memory.updated" } })).Expect(201);
        return broker.As(id, (await admin.PostAsync("/api/v1/tokens", new { agent_id = id })).Expect(201).Text("token"));
    }
}

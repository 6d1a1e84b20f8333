using System.Globalization;
using System.Net;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Streams;

public sealed class EventStreamTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task The_log_is_read_page_by_page_and_without_gaps()
    {
        await using var own = await TestBroker.StartAsync();
        for (var n = 0; n < 5; n++)
            await own.As("alice").SubmitForAsync(capability);

        var seen = new List<long>();
        var after = 0L;
        JsonElement page;
        do
        {
            page = (await own.Admin.GetAsync($"/api/v1/events?after={after}&limit=3")).Expect(200);
            Assert.InRange(page.Items("events").Length, 1, 3);
            seen.AddRange(page.Items("events").Select(Sequence));
            after = page.GetProperty("next_after").GetInt64();
        }
        while (page.GetProperty("more").GetBoolean());

        Assert.Equal(Enumerable.Range(1, seen.Count).Select(n => (long)n), seen);
        Assert.Equal(page.GetProperty("head").GetInt64(), seen.Count);
    }

    [Fact]
    public async Task A_page_holds_what_the_filter_takes()
    {
        var id = await alice.SubmitForAsync(capability);
        var other = await alice.SubmitForAsync(capability);

        async Task<string[]> TypesAsync(string query) =>
            [.. (await broker.Admin.GetAsync($"/api/v1/events?limit=1000&{query}")).Expect(200).Items("events").Select(happened => happened.Text("type"))];

        Assert.Equal(["dispatch.task.created", "dispatch.task.unmatched"], await TypesAsync($"subject={id}"));
        Assert.Equal(["dispatch.task.created"], await TypesAsync($"subject={id}&type=task.created"));
        Assert.Equal(["dispatch.task.created"], await TypesAsync($"subject={id}&type=dispatch.task.created,task.failed"));
        Assert.Equal(["dispatch.task.created", "dispatch.task.created"], await TypesAsync($"subject={id},{other}&type=task.created"));
        Assert.Equal(4, (await TypesAsync($"subject={id}&subject={other}&type=task.*&source=tasks")).Length);
        Assert.Empty(await TypesAsync($"subject={id}&source=agents"));
        Assert.Empty(await TypesAsync($"subject={id}&session=s-1"));
    }

    [Fact]
    public async Task A_filter_that_can_match_nothing_is_told_and_what_may_have_been_meant()
    {
        var warnings = (await broker.Admin.GetAsync("/api/v1/events?type=task.compleeted,task.*")).Expect(200).Items("warnings");

        Assert.Equal("type 'task.compleeted' matches no type of event of this release; did you mean task.completed?", Assert.Single(warnings).GetString());
    }

    [Theory]
    [InlineData("after=-1", "after")]
    [InlineData("after=x&limit=0", "after", "limit")]
    [InlineData("type=ta*k", "type")]
    [InlineData("type=task*", "type")]
    [InlineData("type=", "type")]
    [InlineData("types=a", "types")]
    public async Task What_is_wrong_with_the_query_is_told(string query, params string[] fields) =>
        Assert.Equal(fields, (await broker.Admin.GetAsync($"/api/v1/events?{query}")).ExpectFaults());

    [Fact]
    public async Task Tokens_are_internal_and_seen_by_nobody_outside()
    {
        (await broker.Admin.PostAsync("/api/v1/tokens", new { agent_id = Unique.Name("agent") })).Expect(201);

        var page = (await broker.Admin.GetAsync("/api/v1/events?type=token.*&limit=1000")).Expect(200);

        Assert.Empty(page.Items("events"));
        Assert.DoesNotContain("token.", (await broker.Admin.GetAsync("/api/v1/events?limit=1000")).Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/api/v1/events")]
    [InlineData("/api/v1/events/stream")]
    [InlineData("/api/v1/events/ws")]
    public async Task Only_an_admin_follows_everything(string path) =>
        (await alice.GetAsync(path)).ExpectProblem(path.EndsWith("ws", StringComparison.Ordinal) ? 426 : 401, path.EndsWith("ws", StringComparison.Ordinal) ? "upgrade_required" : "unauthorized");

    [Fact]
    public async Task A_stream_tells_what_was_and_what_comes_in_order()
    {
        var before = await alice.SubmitForAsync(capability);
        using var stream = await SseReader.OpenAsync(broker, "after=0&type=task.created");
        await stream.UntilAsync(happened => happened.Data.Text("subject") == before);

        var ids = new List<string>();
        for (var n = 0; n < 20; n++)
            ids.Add(await alice.SubmitForAsync(capability));
        var seen = new List<SseEvent>();
        await stream.UntilAsync(happened =>
        {
            seen.Add(happened);
            return happened.Data.Text("subject") == ids[^1];
        });

        Assert.Equal(ids, seen.Select(happened => happened.Data.Text("subject")).Where(ids.Contains));
        Assert.All(seen, happened => Assert.Equal(("task.created", happened.Data.Text("sequence")), (happened.Name, happened.Id)));
        Assert.Equal(seen.Select(happened => long.Parse(happened.Id, CultureInfo.InvariantCulture)).Order(), seen.Select(happened => long.Parse(happened.Id, CultureInfo.InvariantCulture)));
    }

    [Fact]
    public async Task A_stream_goes_on_behind_the_last_event_id()
    {
        var first = await alice.SubmitForAsync(capability);
        var second = await alice.SubmitForAsync(capability);
        string last;
        using (var stream = await SseReader.OpenAsync(broker, "after=0&type=task.created"))
            last = (await stream.UntilAsync(happened => happened.Data.Text("subject") == first)).Id;

        using var again = await SseReader.OpenAsync(broker, $"type=task.created&subject={first},{second}", last);

        Assert.Equal(second, (await again.UntilAsync(_ => true)).Data.Text("subject"));
        Assert.Equal(["Last-Event-ID"], (await broker.Admin.SendAsync(HttpMethod.Get, "/api/v1/events/stream", null, ("Last-Event-ID", "yesterday"))).ExpectFaults());
    }

    [Fact]
    public async Task A_stream_begins_with_a_sign_of_life_that_tells_the_lag()
    {
        await alice.SubmitForAsync(capability);
        using var stream = await SseReader.OpenAsync(broker, "after=0");

        var comment = await stream.CommentAsync();

        Assert.Matches(@"^: head=(\d+) lag=\1 horizon=1$", comment);
    }

    [Fact]
    public async Task A_stream_without_events_gives_signs_of_life()
    {
        var clock = new LeapingTime();
        await using var own = await TestBroker.StartAsync(clock: clock);
        await own.As("alice").SubmitForAsync(capability);
        using var stream = await SseReader.OpenAsync(own, "after=0");
        await stream.CommentAsync();
        var last = (await stream.UntilAsync(happened => happened.Name == "task.unmatched")).Id;

        for (var n = 0; n < 3; n++)
        {
            var sign = stream.CommentAsync();
            await LeapUntilAsync(clock, sign);
            Assert.Equal($": head={last} lag=0 horizon=1", await sign);
        }
    }

    [Fact]
    public async Task What_was_given_on_several_lines_comes_on_one()
    {
        var id = (await alice.PostAsync("/api/v1/tasks", "{\"title\":\"t\",\"context\":{\n  \"a\": 1,\r\n  \"b\": [\n2]}}")).Expect(201).Id();
        using var stream = await SseReader.OpenAsync(broker, $"after=0&subject={id}");

        var created = (await stream.UntilAsync(_ => true)).Data.GetProperty("data");

        Assert.Equal(2, created.GetProperty("context").GetProperty("b")[0].GetInt32());
    }

    [Fact]
    public async Task A_web_socket_tells_the_same()
    {
        var id = await alice.SubmitForAsync(capability);
        using var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("X-Agent-ID", "admin");
        socket.Options.SetRequestHeader("Authorization", $"Bearer {TestBroker.AdminSecret}");
        await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{broker.Url.Port}/api/v1/events/ws?after=0&subject={id}"), Deadline());

        var sign = await MessageAsync(socket);
        Assert.True(sign.GetProperty("heartbeat").GetProperty("lag").GetInt64() > 0);
        var first = await MessageAsync(socket);
        Assert.Equal(("dispatch.task.created", id), (first.Text("type"), first.Text("subject")));
        Assert.Equal("dispatch.task.unmatched", (await MessageAsync(socket)).Text("type"));

        (await alice.DeleteAsync($"/api/v1/tasks/{id}")).Expect(405);
        var page = (await broker.Admin.GetAsync($"/api/v1/events?subject={id}&type=task.created")).Expect(200);
        Assert.Equal(page.Items("events")[0].GetRawText(), first.GetRawText());
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Deadline());
        Assert.Equal(WebSocketState.Closed, socket.State);
    }

    [Fact]
    public async Task Streams_end_at_once_when_the_broker_stops_and_their_readers_go_on_after()
    {
        await using var own = await TestBroker.StartAsync();
        var id = await own.As("alice").SubmitForAsync(capability);
        using var stream = await SseReader.OpenAsync(own, "after=0");
        var last = (await stream.UntilAsync(happened => happened.Data.Text("subject") == id)).Id;

        await own.RestartAsync();

        Assert.Null(await stream.EndAsync());
        var next = await own.As("alice").SubmitForAsync(capability);
        using var again = await SseReader.OpenAsync(own, "type=task.created", last);
        Assert.Equal(next, (await again.UntilAsync(_ => true)).Data.Text("subject"));
    }

    [Fact]
    public async Task A_reader_that_reads_nothing_holds_up_nobody()
    {
        using var stalled = await SseReader.OpenAsync(broker, "after=0");
        using var stream = await SseReader.OpenAsync(broker, "type=task.created");
        string last = "";
        for (var n = 0; n < 20; n++)
        {
            var tasks = Enumerable.Range(0, 500).Select(_ => new { title = new string('x', 250), required_capabilities = new[] { capability } });
            last = (await alice.PostAsync("/api/v1/tasks", tasks)).Expect(201).Items()[^1].Id();
        }

        await stream.UntilAsync(happened => happened.Data.Text("subject") == last);
    }

    /// <summary>Past the next sign of life, again until it is there: the stream may not yet wait for it.</summary>
    private static async Task LeapUntilAsync(LeapingTime clock, Task done)
    {
        while (!done.IsCompleted)
        {
            clock.Leap(TimeSpan.FromSeconds(15));
            await Task.WhenAny(done, Task.Delay(100));
        }
    }

    private static CancellationToken Deadline() => new CancellationTokenSource(Patience).Token;

    private static long Sequence(JsonElement happened) => long.Parse(happened.Text("sequence"), CultureInfo.InvariantCulture);

    private static async Task<JsonElement> MessageAsync(ClientWebSocket socket)
    {
        var message = new MemoryStream();
        var buffer = new byte[4096];
        WebSocketReceiveResult part;
        do
        {
            part = await socket.ReceiveAsync(buffer, Deadline());
            message.Write(buffer, 0, part.Count);
        }
        while (!part.EndOfMessage);
        return JsonDocument.Parse(message.ToArray()).RootElement;
    }
}

/// <param name="Data">The envelope.</param>
public sealed record SseEvent(string Id, string Name, JsonElement Data);

/// <summary>Reads server-sent events as a client would that was written from the standard alone.</summary>
public sealed class SseReader : IDisposable
{
    private readonly HttpClient http;
    private readonly HttpResponseMessage response;
    private readonly StreamReader lines;

    private SseReader(HttpClient http, HttpResponseMessage response, StreamReader lines) => (this.http, this.response, this.lines) = (http, response, lines);

    public static async Task<SseReader> OpenAsync(TestBroker broker, string query, string? lastId = null, string? bearer = TestBroker.AdminSecret, string path = "/api/v1/events/stream", string agent = "reader")
    {
        var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(broker.Url, $"{path}?{query}"));
        request.Headers.Add("X-Agent-ID", agent);
        if (bearer is not null)
            request.Headers.Authorization = new("Bearer", bearer);
        if (lastId is not null)
            request.Headers.Add("Last-Event-ID", lastId);
        var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        return new SseReader(http, response, new StreamReader(await response.Content.ReadAsStreamAsync(), Encoding.UTF8));
    }

    /// <summary>The first event for which this holds.</summary>
    public async Task<SseEvent> UntilAsync(Func<SseEvent, bool> holds)
    {
        while (await NextAsync() is { } happened)
        {
            if (holds(happened))
                return happened;
        }

        throw new Xunit.Sdk.XunitException("The stream ended.");
    }

    /// <summary>The next comment.</summary>
    public async Task<string> CommentAsync()
    {
        while (await LineAsync() is { } line)
        {
            if (line.StartsWith(':'))
                return line;
        }

        throw new Xunit.Sdk.XunitException("The stream ended.");
    }

    /// <summary>Reads to the end of the stream; null.</summary>
    public async Task<SseEvent?> EndAsync()
    {
        SseEvent? next;
        do
        {
            next = await NextAsync();
        }
        while (next is not null);
        return next;
    }

    public async Task<SseEvent?> NextAsync()
    {
        string id = "", name = "", data = "";
        while (await LineAsync() is { } line)
        {
            if (line.Length == 0 && data.Length > 0)
                return new SseEvent(id, name, JsonDocument.Parse(data).RootElement);
            if (line.StartsWith("id: ", StringComparison.Ordinal))
                id = line[4..];
            else if (line.StartsWith("event: ", StringComparison.Ordinal))
                name = line[7..];
            else if (line.StartsWith("data: ", StringComparison.Ordinal))
                data += line[6..];
        }

        return null;
    }

    public void Dispose()
    {
        lines.Dispose();
        response.Dispose();
        http.Dispose();
    }

    private async Task<string?> LineAsync()
    {
        try
        {
            return await lines.ReadLineAsync(new CancellationTokenSource(TimeSpan.FromSeconds(20)).Token);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            return null;
        }
    }
}

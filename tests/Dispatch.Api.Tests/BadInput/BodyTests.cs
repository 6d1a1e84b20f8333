using System.Net.Http.Headers;
using System.Text;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.BadInput;

public sealed class BodyTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private const int Limit = 1_048_576;

    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_body_may_have_the_limit_and_not_one_byte_more(bool chunked)
    {
        (await PostAsync(BodyOf(Limit))).Expect(201);
        (await PostAsync(BodyOf(Limit + 1))).ExpectProblem(413, "payload_too_large");
        (await PostAsync(BodyOf(3 * Limit))).ExpectProblem(413, "payload_too_large");

        static byte[] BodyOf(int length)
        {
            var frame = """{"title":"x","context":{"t":""}}""";
            return Encoding.ASCII.GetBytes(frame.Insert(frame.Length - 3, new string('a', length - frame.Length)));
        }

        Task<Reply> PostAsync(byte[] body)
        {
            var content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
            return alice.SendAsync(HttpMethod.Post, "/api/v1/tasks", content, chunked ? [("Transfer-Encoding", "chunked")] : []);
        }
    }

    [Theory]
    [InlineData("PUT", "/api/v1/agents/alice")]
    [InlineData("POST", "/api/v1/agents/alice/work")]
    [InlineData("POST", "/api/v1/agents/alice/heartbeat")]
    [InlineData("POST", "/api/v1/tasks/01a1f82f-7cc4-736e-a149-d5fc83b368f9/complete")]
    [InlineData("POST", "/api/v1/tasks/01a1f82f-7cc4-736e-a149-d5fc83b368f9/retry")]
    [InlineData("PATCH", "/api/v1/tasks/01a1f82f-7cc4-736e-a149-d5fc83b368f9")]
    [InlineData("DELETE", "/api/v1/agents/alice")]
    public async Task No_route_takes_a_body_over_the_limit(string method, string path)
    {
        (await alice.SendAsync(new HttpMethod(method), path, ApiClient.Content(new string(' ', Limit + 1)))).ExpectProblem(413, "payload_too_large");
    }

    [Theory]
    [InlineData("PUT", "/api/v1/agents/alice")]
    [InlineData("POST", "/api/v1/agents/alice/work")]
    [InlineData("POST", "/api/v1/agents/alice/heartbeat")]
    [InlineData("POST", "/api/v1/tasks")]
    [InlineData("POST", "/api/v1/tasks/01a1f82f-7cc4-736e-a149-d5fc83b368f9/complete")]
    [InlineData("PATCH", "/api/v1/tasks/01a1f82f-7cc4-736e-a149-d5fc83b368f9")]
    public async Task No_route_takes_what_is_not_json(string method, string path)
    {
        foreach (var body in new[] { "{", "title=x", "{\"title\":\"x\"} x", "{'title':'x'}", "{\"title\":\"x\",}", "/* */ {}", "\uFEFF{}", "tru", "NaN", "[1,]", "\"\\u12\"", "{\"a\" 1}", "\"a\nb\"", "01" })
            Assert.Equal(["body"], (await alice.SendAsync(new HttpMethod(method), path, ApiClient.Content(body))).ExpectFaults());
    }

    [Fact]
    public async Task An_empty_body_is_no_task()
    {
        Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks")).ExpectFaults());
        Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks", "")).ExpectFaults());
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData("application/jsonx")]
    [InlineData("text/json")]
    public async Task A_body_of_another_type_is_refused(string type)
    {
        var content = new ByteArrayContent("""{"title":"x"}"""u8.ToArray());
        content.Headers.TryAddWithoutValidation("Content-Type", type);

        (await alice.PostAsync("/api/v1/tasks", content)).ExpectProblem(415, "unsupported_media_type");
    }

    [Theory]
    [InlineData("application/json; charset=utf-8")]
    [InlineData("APPLICATION/JSON")]
    [InlineData("application/merge-patch+json")]
    [InlineData(null)]
    public async Task A_body_of_a_json_type_or_of_none_is_taken(string? type)
    {
        var content = new ByteArrayContent("""{"title":"x"}"""u8.ToArray());
        if (type is not null)
            content.Headers.TryAddWithoutValidation("Content-Type", type);

        (await alice.PostAsync("/api/v1/tasks", content)).Expect(201);
    }

    [Fact]
    public async Task Json_may_nest_32_deep_and_not_deeper()
    {
        string Nested(int depth) => "{\"title\":\"x\",\"context\":" + string.Concat(Enumerable.Repeat("{\"a\":", depth - 2)) + "{}" + new string('}', depth - 1);

        var task = await alice.SubmitAsync(Nested(32));
        Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks", Nested(33))).ExpectFaults());
        Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks", Nested(10_000))).ExpectFaults());
        Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks", new string('[', 100_000))).ExpectFaults());
        (await alice.PatchAsync($"/api/v1/tasks/{task.Id()}", new { context = new { b = 1 } })).Expect(200);
    }

    [Fact]
    public async Task Bytes_that_are_no_utf_8_are_refused_wherever_they_stand()
    {
        foreach (var bytes in new byte[][] { [0xFF], [0xC3, 0x28], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xC0, 0x80], [0xE2, 0x82] })
        {
            foreach (var (before, after) in new[] { ("{\"title\":\"", "\"}"), ("{\"title\":\"x\",\"context\":{\"", "\":1}}"), ("{\"title\":\"x\",\"context\":{\"a\":\"", "\"}}") })
                Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks", (byte[])[.. Encoding.ASCII.GetBytes(before), .. bytes, .. Encoding.ASCII.GetBytes(after)])).ExpectFaults());
        }
    }

    [Theory]
    [InlineData("""{"title":"a\ud800b"}""")]
    [InlineData("""{"title":"\udc00"}""")]
    [InlineData("""{"title":"x","context":{"deep":[{"a":"\ud83d"}]}}""")]
    [InlineData("""{"title":"x","context":{"\udead":1}}""")]
    [InlineData("""{"title":"x","context":{"\udead":1,"\ud800":2,"a":3}}""")]
    [InlineData("""{"\ud800":1}""")]
    [InlineData("""{"title":"x","labels":{"\ud800":"a"}}""")]
    [InlineData("""{"title":"x","labels":{"a":"\ud800\ud800"}}""")]
    [InlineData("""{"title":"x","depends_on":["\ud800"]}""")]
    [InlineData("""{"title":"x","priority":"\ud800"}""")]
    public async Task Half_a_surrogate_pair_is_refused_wherever_it_stands(string body)
    {
        Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks", body)).ExpectFaults());
    }

    [Theory]
    [InlineData("""{"title":"a","title":"b"}""")]
    [InlineData("""{"title":"a","\u0074itle":"b"}""")]
    [InlineData("""{"title":"x","context":{"a":{"b":1,"b":1}}}""")]
    [InlineData("""{"title":"x","labels":{"a":"1","a":"2"}}""")]
    public async Task A_member_named_twice_is_refused(string body)
    {
        Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks", body)).ExpectFaults());
    }

    [Fact]
    public async Task Escapes_are_only_another_way_of_writing()
    {
        var task = await alice.SubmitAsync("""{"\u0074itle":"\u2615 \ud83d\ude00 \u0041","priority":"h\u0069gh"}""");

        Assert.Equal("☕ 😀 A", task.Text("title"));
        Assert.Equal(8, task.Number("priority"));
    }

    [Fact]
    public async Task A_body_that_is_cut_off_is_refused_and_nothing_is_taken()
    {
        var label = Unique.Name("cut");
        var whole = Encoding.ASCII.GetBytes($$$"""{"title":"x","labels":{"label":"{{{label}}}"}}""");

        var answers = new[]
        {
            await RawConnection.SayAsync(broker.Url, RawConnection.Post("/api/v1/tasks", $"Content-Length: {whole.Length + 10}\r\n", whole), hangUp: true),
            await RawConnection.SayAsync(broker.Url, RawConnection.Post("/api/v1/tasks", "Transfer-Encoding: chunked\r\n", [.. Encoding.ASCII.GetBytes($"{whole.Length:x}\r\n"), .. whole]), hangUp: true),
            await RawConnection.SayAsync(broker.Url, RawConnection.Post("/api/v1/tasks", "Transfer-Encoding: chunked\r\n", "zz\r\n"u8.ToArray())),
        };

        // A caller that closes its side may find the connection gone instead of an answer; what it must not find is the task.
        Assert.All(answers, answer => Assert.True(answer.Length == 0 || answer.StartsWith("HTTP/1.1 400", StringComparison.Ordinal), answer));
        Assert.StartsWith("HTTP/1.1 400", answers[2], StringComparison.Ordinal);
        Assert.Empty((await alice.GetAsync($"/api/v1/tasks?label=label={label}")).Expect(200).Items());
    }

    [Fact]
    public async Task A_body_in_small_chunks_is_put_together()
    {
        var whole = Encoding.UTF8.GetBytes("""{"title":"☕ in pieces","context":{"a":[1,2,3]}}""");
        var chunks = whole.SelectMany(one => (byte[])[(byte)'1', (byte)'\r', (byte)'\n', one, (byte)'\r', (byte)'\n']).Concat("0\r\n\r\n"u8.ToArray()).ToArray();

        var answer = await RawConnection.SayAsync(broker.Url, RawConnection.Post("/api/v1/tasks", "Transfer-Encoding: chunked\r\n", chunks));

        Assert.StartsWith("HTTP/1.1 201", answer, StringComparison.Ordinal);
        Assert.Contains("☕ in pieces", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_connection_serves_on_after_a_refusal()
    {
        var one = broker.OnOwnConnections("alice", out var connections);
        using (connections)
        {
            (await one.PostAsync("/api/v1/tasks", "{")).ExpectProblem(400, "validation");
            (await one.PostAsync("/api/v1/tasks", "{\"title\":\"\"}")).ExpectProblem(400, "validation");
            (await one.PostAsync("/api/v1/tasks", "{\"title\":\"x\"}")).Expect(201);
        }
    }
}

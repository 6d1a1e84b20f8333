using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Dispatch.Api.Tests.Support;
using Xunit.Abstractions;

namespace Dispatch.Api.Tests.BadInput;

/// <summary>Every member of every request with values that are wrong for it: refused by name, never a failure, nothing changed.</summary>
public sealed class FuzzTests(SharedBroker shared, ITestOutputHelper output) : IClassFixture<SharedBroker>
{
    private const int Seed = 20261120;

    // As JSON text, because half of them can't be written from an object.
    private static readonly string[] Values =
    [
        "true", "false", "0", "-1", "1", "1.5", "1e400", "-1e400", "1E+2", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "123456789012345678901234567890",
        "0.1e-7", "\"\"", "\" \"", "\"x\"", "\"\\u0000\"", "\"a\\u0007b\"", "\"\\u0085\"", "\"true\"", "\"5\"", "\"null\"", "\"2026-11-20\"", "\"2026-11-20T08:00:00Z\"", "\"2099-13-01T00:00:00Z\"",
        "\"critical \"", "\"HIGH\"", "\"01a1f82f-7cc4-736e-a149-d5fc83b368f9\"", "\"{01a1f82f-7cc4-736e-a149-d5fc83b368f9}\"", "\"00000000-0000-0000-0000-000000000000\"",
        "[]", "[[]]", "[{}]", "[null]", "[1,2]", "[\"\"]", "[\"x\"]", "[\"a\\u0000\"]", "{}", "{\"a\":1}", "{\"\":\"x\"}", "{\"a=b\":\"c\"}", "{\"a\":null}", "{\"a\":[]}", "{\"url\":5}", "{\"url\":\"x\"}",
        "\"" + new string('x', 257) + "\"", "\"" + new string('y', 70_000) + "\"", "[" + string.Join(",", Enumerable.Repeat("\"z\"", 2_000)) + "]",
        "{" + string.Join(",", Enumerable.Range(0, 200).Select(n => $"\"k{n}\":\"v\"")) + "}",
    ];

    private static readonly JsonSchema Schema = new(ApprovedContract.Document);

    private readonly TestBroker broker = shared.Broker;

    [Fact]
    public async Task A_member_of_a_new_task_that_the_contract_does_not_allow_is_refused_by_name()
    {
        var label = Unique.Name("fuzz");
        var random = new Random(Seed);
        var wrong = WrongMembers("NewTask").ToList();
        Assert.InRange(wrong.Count, 500, 3_000);

        // Alone, and as one of several in an array.
        await Parallel.ForEachAsync(wrong.Select((member, n) => (member, n, place: random.Next(4))), Quietly, async (item, _) =>
        {
            var (name, value) = item.member;
            var task = $$$"""{"labels":{"label":"{{{label}}}"},"title":"x"}""";
            var bad = With(task, name, value);
            var array = item.n % 2 == 1;
            var body = array ? $"[{string.Join(",", Enumerable.Range(0, 4).Select(n => n == item.place ? bad : task))}]" : bad;

            var reply = await broker.As("fuzz").PostAsync("/api/v1/tasks", body, _);

            Expect(reply, array ? $"tasks[{item.place}].{name}" : name, $"{name}: {Short(value)}");
        });

        output.WriteLine($"{wrong.Count} requests with seed {Seed}");
        Assert.Empty((await broker.As("fuzz").GetAsync($"/api/v1/tasks?label=label={label}")).Expect(200).Items());
        Assert.Empty((await broker.As("fuzz").GetAsync("/api/v1/tasks?requester=fuzz")).Expect(200).Items());
    }

    [Theory]
    [InlineData("PUT", "/api/v1/agents/{agent}", "AgentRegistration", "{}")]
    [InlineData("POST", "/api/v1/agents/{agent}/heartbeat", "Heartbeat", "{}")]
    [InlineData("POST", "/api/v1/agents/{agent}/work", "Exchange", "{}")]
    [InlineData("PATCH", "/api/v1/tasks/{task}", "TaskPatch", "{}")]
    [InlineData("POST", "/api/v1/tasks/{task}/start", "StartReport", "{}")]
    [InlineData("POST", "/api/v1/tasks/{task}/progress", "ProgressReport", "{}")]
    [InlineData("POST", "/api/v1/tasks/{task}/complete", "CompletionReport", "{}")]
    [InlineData("POST", "/api/v1/tasks/{task}/fail", "FailureReport", """{"error":"x"}""")]
    [InlineData("POST", "/api/v1/tasks/{task}/release", "ReleaseReport", "{}")]
    [InlineData("POST", "/api/v1/tokens", "TokenRequest", """{"agent_id":"x"}""")]
    [InlineData("POST", "/api/v1/dead-letters/redrive", "Redrive", "{}")]
    public async Task A_member_of_another_request_that_the_contract_does_not_allow_is_refused_by_name(string method, string path, string schema, string body)
    {
        var capability = Unique.Name("cap");
        var worker = await broker.RegisterAsync(Unique.Name("fuzzed"), capability);
        var task = await broker.As("alice").SubmitForAsync(capability);
        var before = (await broker.As("alice").GetAsync($"/api/v1/tasks/{task}/events")).Expect(200).GetRawText();
        var target = path.Replace("{agent}", worker.Agent, StringComparison.Ordinal).Replace("{task}", task, StringComparison.Ordinal);

        await Parallel.ForEachAsync(WrongMembers(schema), Quietly, async (member, _) =>
        {
            var (name, value) = member;
            var reply = await broker.Admin.SendAsync(new HttpMethod(method), target, ApiClient.Content(With(body, name, value)));
            Expect(reply, name, $"{name}: {Short(value)}");
        });

        Assert.Equal(before, (await broker.As("alice").GetAsync($"/api/v1/tasks/{task}/events")).Expect(200).GetRawText());
        Assert.Equal("ready", (await broker.Admin.GetAsync($"/api/v1/agents/{worker.Agent}")).Expect(200).Text("status"));
    }

    [Fact]
    public async Task Bodies_broken_at_random_are_answered_and_never_fail()
    {
        var random = new Random(Seed);
        var good = Encoding.UTF8.GetBytes("""{"title":"☕ x","labels":{"a":"b"},"context":{"n":[1,2.5e3,{"t":"\u00e9\ud83d\ude00"}]},"priority":"high","run_at":"2099-01-01T00:00:00Z","depends_on":[]}""");
        var bodies = Enumerable.Range(0, 600).Select(_ => Break(good, random)).ToList();

        await Parallel.ForEachAsync(bodies, Quietly, async (body, _) =>
        {
            var reply = await broker.As("breaker").PostAsync("/api/v1/tasks", new ByteArrayContent(body), _);
            Assert.True(reply.Status is 201 or 400, $"{reply} for {Convert.ToHexString(body)}");
        });
    }

    private static ParallelOptions Quietly => new() { MaxDegreeOfParallelism = 8 };

    /// <summary>Members of the schema with values that do not fit them.</summary>
    private static IEnumerable<(string Name, string Value)> WrongMembers(string schema) =>
        from member in Schema.Component("schemas/" + schema).GetProperty("properties").EnumerateObject()
        from value in Values
        where !IsAllowed(schema, member, value)
        select (member.Name, value);

    private static bool IsAllowed(string schema, JsonProperty member, string value)
    {
        var json = JsonDocument.Parse(value).RootElement;
        var faults = new List<string>();
        Schema.Check(member.Value, json, "", faults);

        if (faults.Count > 0)
            return false;

        // The rest the contract says in words: texts hold something, those of one line no control characters; time goes forward; there is no such task.
        var text = json.ValueKind == JsonValueKind.String ? json.GetString()! : "x";
        var isLine = text.Trim().Length > 0 && !text.Any(char.IsControl);
        return (schema, member.Name) switch
        {
            ("NewTask", "requester" or "deadline" or "parent_id") or (_, "wake") => false,
            (_, "title" or "scope" or "owner" or "submitter" or "session" or "idempotency_key" or "name" or "agent_id" or "requester") => isLine,
            (_, "error" or "reason") => text.Trim().Length > 0,
            (_, "depends_on") => value == "[]",
            ("NewTask", "id") => text != Guid.Empty.ToString(),
            (_, "labels") => !value.Contains('=', StringComparison.Ordinal),
            (_, "required_capabilities" or "preferred_capabilities" or "capabilities") => !value.Contains("\\u0000", StringComparison.Ordinal),
            (_, "run_at") => text.Contains('T', StringComparison.Ordinal),
            _ => true,
        };
    }

    private static string With(string body, string name, string value)
    {
        var members = JsonNode.Parse(body)!.AsObject().Where(member => member.Key != name).Select(member => $"{JsonSerializer.Serialize(member.Key)}:{member.Value!.ToJsonString()}");
        return $"{{{string.Join(",", members.Append($"\"{name}\":{value}"))}}}";
    }

    private static void Expect(Reply reply, string field, string what)
    {
        Assert.True(reply.Status is 400 or 413, $"{what} is answered with {reply}");
        if (reply.Status == 400)
            Assert.True(reply.ExpectFaults().Any(fault => fault == field || fault.StartsWith(field + "[", StringComparison.Ordinal) || fault.StartsWith(field + ".", StringComparison.Ordinal)), $"{what} is not named in {reply}");
    }

    private static byte[] Break(byte[] good, Random random)
    {
        var body = good.ToList();
        for (var times = random.Next(1, 4); times > 0; times--)
        {
            var at = random.Next(body.Count);
            switch (random.Next(4))
            {
                case 0:
                    body[at] = (byte)random.Next(256);
                    break;
                case 1:
                    body.RemoveRange(at, Math.Min(random.Next(1, 9), body.Count - at));
                    break;
                case 2:
                    body.InsertRange(at, body.GetRange(at, Math.Min(random.Next(1, 20), body.Count - at)));
                    break;
                default:
                    body.RemoveRange(at, body.Count - at);
                    body.Add((byte)"}]\" \\"[random.Next(5)]);
                    break;
            }
        }

        return [.. body];
    }

    private static string Short(string value) => value.Length > 60 ? value[..60] + "..." : value;
}

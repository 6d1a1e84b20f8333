using System.Text.Json;
using Dispatch.Cli.Tests.Support;
using Answer = Dispatch.Cli.Tests.Support.BrokerStub.Answer;
using Request = Dispatch.Cli.Tests.Support.BrokerStub.Request;

namespace Dispatch.Cli.Tests.Commands;

public sealed class SubmitTests
{
    [Fact]
    public async Task Every_flag_reaches_the_broker()
    {
        await using var stub = await BrokerStub.StartAsync(Accept);
        var outcome = await stub.RunAsync(
            "submit", "--title", "a title", "--description", "more", "--scope", "images", "--require", "gpu", "--require", "cuda", "--prefer", "fast",
            "--label", "team=search", "--label", "k=a=b", "--owner", "ann", "--priority", "high", "--context", """{"path":"in \"x\".png","n":[1]}""",
            "--timeout", "1m30s", "--max-retries", "7", "--run-at", "2027-01-02T03:04:05Z", "--deadline", "2027-02-02T00:00:00+01:00",
            "--depends-on", "01999999-0000-7000-8000-000000000001", "--parent", "01999999-0000-7000-8000-000000000002", "--idempotency-key", "key-1");

        Assert.Equal((0, ""), (outcome.ExitCode, outcome.Errors));
        var sent = Assert.Single(stub.Requests);
        Assert.Equal(("POST", "/api/v1/tasks"), (sent.Method, sent.Path));
        Assert.True(JsonElement.DeepEquals(JsonElement.Parse(sent.Body), JsonElement.Parse("""
            {"title":"a title","description":"more","scope":"images","required_capabilities":["gpu","cuda"],"preferred_capabilities":["fast"],
             "labels":{"team":"search","k":"a=b"},"owner":"ann","priority":8,"context":{"path":"in \"x\".png","n":[1]},"timeout_ms":90000,
             "max_retries":7,"run_at":"2027-01-02T03:04:05.000Z","deadline":"2027-02-01T23:00:00.000Z",
             "depends_on":["01999999-0000-7000-8000-000000000001"],"parent_id":"01999999-0000-7000-8000-000000000002","idempotency_key":"key-1"}
            """)), sent.Body);
    }

    [Fact]
    public async Task A_context_comes_from_a_file_or_from_standard_input()
    {
        using var directory = new TemporaryDirectory();
        var file = directory.Write("context.json", """{"from":"file"}""");
        await using var stub = await BrokerStub.StartAsync(Accept);

        await stub.RunAsync("submit", "x", "--context", "@" + file);
        await DispatchProcess.RunAsync(["submit", "x", "--context", "@-", "--server", stub.Url], input: """{"from":"stdin"}""");

        Assert.Equal(["file", "stdin"], stub.Requests.Select(sent => JsonElement.Parse(sent.Body).GetProperty("context").GetProperty("from").GetString()));
    }

    [Fact]
    public async Task A_file_goes_in_bulks_of_a_thousand_with_a_key_for_each_line()
    {
        await using var stub = await BrokerStub.StartAsync(Accept);
        var lines = string.Join('\n', Enumerable.Range(1, 2500).Select(i => i == 7 ? "" : i == 9 ? """{"title":"t9","idempotency_key":"own"}""" : $$"""{"title":"t{{i}}"}"""));

        var outcome = await DispatchProcess.RunAsync(["submit", "-f", "-", "--key-prefix", "import-7", "--server", stub.Url, "--json"], input: lines);

        Assert.Equal(0, outcome.ExitCode);
        var bulks = stub.Requests.Select(sent => JsonElement.Parse(sent.Body)).ToList();
        Assert.Equal([1000, 1000, 499], bulks.Select(bulk => bulk.GetArrayLength()));
        var tasks = bulks.SelectMany(bulk => bulk.EnumerateArray()).ToList();
        Assert.Equal(["import-7:1", "import-7:8", "own", "import-7:10", "import-7:2500"],
            new[] { 0, 6, 7, 8, 2498 }.Select(i => tasks[i].GetProperty("idempotency_key").GetString()));
        var summary = JsonElement.Parse(outcome.Output);
        Assert.Equal(2499, summary.GetProperty("submitted").GetInt32());
        Assert.Equal(2499, summary.GetProperty("ids").GetArrayLength());
        Assert.Equal("", outcome.Errors);
    }

    [Fact]
    public async Task Large_tasks_make_small_bulks()
    {
        await using var stub = await BrokerStub.StartAsync(Accept);
        var lines = string.Join('\n', Enumerable.Range(1, 30).Select(i => $$"""{"title":"t{{i}}","description":"{{new string('<', 20_000)}}"}"""));

        var outcome = await DispatchProcess.RunAsync(["submit", "-f", "-", "--server", stub.Url], input: lines);

        Assert.Equal("30 submitted\n", outcome.Output);
        Assert.All(stub.Requests, sent => Assert.InRange(sent.Body.Length, 1, 1 << 20));
        Assert.Equal(30, stub.Requests.Sum(sent => JsonElement.Parse(sent.Body).GetArrayLength()));
    }

    [Fact]
    public async Task A_bulk_that_is_too_large_for_this_broker_is_halved()
    {
        await using var stub = await BrokerStub.StartAsync(request => JsonElement.Parse(request.Body).GetArrayLength() > 3 ? Answer.Refuse(413, "payload_too_large", "too large") : Accept(request));
        var outcome = await DispatchProcess.RunAsync(["submit", "-f", "-", "--server", stub.Url], input: string.Join('\n', Enumerable.Range(1, 10).Select(i => $$"""{"title":"t{{i}}"}""")));
        Assert.Equal("10 submitted\n", outcome.Output);
        var taken = stub.Requests.Select(sent => JsonElement.Parse(sent.Body)).Where(bulk => bulk.GetArrayLength() <= 3).SelectMany(bulk => bulk.EnumerateArray());
        Assert.Equal(Enumerable.Range(1, 10).Select(i => $"t{i}"), taken.Select(task => task.GetProperty("title").GetString()));
    }

    [Fact]
    public async Task A_busy_broker_is_waited_for()
    {
        var calls = 0;
        await using var stub = await BrokerStub.StartAsync(request => Interlocked.Increment(ref calls) <= 3 ? Answer.Refuse(503, "busy", "full") : Accept(request));
        var outcome = await DispatchProcess.RunAsync(["submit", "-f", "-", "--server", stub.Url], input: """{"title":"t"}""");
        Assert.Equal("1 submitted\n", outcome.Output);
        Assert.Equal(4, calls);
    }

    [Fact]
    public async Task A_refused_bulk_names_the_lines_of_the_file_and_ends_it()
    {
        await using var stub = await BrokerStub.StartAsync(request => request.Body.Contains("\"bad\"", StringComparison.Ordinal)
            ? Answer.Refuse(400, "validation", "two faults", ""","errors":[{"field":"tasks[1].priority","message":"is not 0 to 10"},{"field":"tasks[2].title","message":"is missing"}]""")
            : Accept(request));
        var lines = string.Join('\n', Enumerable.Range(1, 1000).Select(i => $$"""{"title":"t{{i}}"}""").Append("").Append("""{"title":"ok"}""").Append("""{"title":"bad","priority":99}""").Append("{}"));

        var outcome = await DispatchProcess.RunAsync(["submit", "-f", "-", "--server", stub.Url], input: lines);

        Assert.Equal(1, outcome.ExitCode);
        Assert.Equal("1000 submitted\n", outcome.Output);
        Assert.Contains("lines 1002 to 1004", outcome.Errors, StringComparison.Ordinal);
        Assert.Contains("line 1003: priority: is not 0 to 10", outcome.Errors, StringComparison.Ordinal);
        Assert.Contains("line 1004: title: is missing", outcome.Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("[1]")]
    [InlineData("{\"title\":7}")]
    public async Task A_line_that_is_no_task_is_named(string line)
    {
        await using var stub = await BrokerStub.StartAsync(Accept);
        var outcome = await DispatchProcess.RunAsync(["submit", "-f", "-", "--server", stub.Url, "--json"], input: "{\"title\":\"a\"}\n" + line);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("line 2", JsonElement.Parse(outcome.Output).GetProperty("error").GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_was_there_before_is_counted_apart()
    {
        await using var stub = await BrokerStub.StartAsync(request => Accept(request) with { Status = 200 });
        var outcome = await DispatchProcess.RunAsync(["submit", "-f", "-", "--key-prefix", "p", "--server", stub.Url], input: "{\"title\":\"a\"}\n{\"title\":\"b\"}\n");
        Assert.Equal("0 submitted, 2 were there before\n", outcome.Output);
    }

    private static Answer Accept(Request request)
    {
        var body = JsonElement.Parse(request.Body);
        return body.ValueKind == JsonValueKind.Array
            ? new Answer(201, "[" + string.Join(',', body.EnumerateArray().Select(_ => Task())) + "]")
            : new Answer(201, Task());
    }

    private static string Task() =>
        $$"""{"id":"{{Guid.CreateVersion7()}}","title":"t","status":"pending","priority":5,"attempt":0,"retry_count":0,"max_retries":3,"timeout_ms":300000,"created_at":"2026-11-20T08:00:00.000Z"}""";
}

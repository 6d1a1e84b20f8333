using System.Text.Json;
using Dispatch.Cli.Tests.Support;

namespace Dispatch.Cli.Tests.Commands;

/// <summary>The commands against a real broker.</summary>
[Collection(nameof(LiveBroker))]
public sealed class LiveBrokerCommandTests(LiveBroker broker)
{
    private readonly string capability = "c-" + Guid.CreateVersion7().ToString("N");

    [Fact]
    public async Task A_task_is_submitted_shown_explained_cancelled_and_retried()
    {
        var task = await broker.JsonAsync("submit", "a task", "--require", capability, "--label", "k=v");
        var id = task.GetProperty("id").GetString()!;
        Assert.Equal("pending", task.GetProperty("status").GetString());
        Assert.Equal("cli", task.GetProperty("requester").GetString());

        Assert.Contains(id, (await broker.RunAsync("task", "list", "--label", "k=v")).Output, StringComparison.Ordinal);
        Assert.Contains(capability, (await broker.RunAsync("task", "show", id)).Output, StringComparison.Ordinal);
        Assert.Contains((await broker.JsonAsync("task", "explain", id)).GetProperty("reason").GetString(), new[] { "no_capability", "no_agents" });
        Assert.Equal("cancelled", (await broker.JsonAsync("task", "cancel", id)).GetProperty("status").GetString());

        Assert.Equal("pending", (await broker.JsonAsync("task", "retry", id)).GetProperty("status").GetString());

        var again = await broker.RunAsync("task", "retry", id);
        Assert.Equal(1, again.ExitCode);
        Assert.Contains("dispatch task show", again.Errors, StringComparison.Ordinal);

        var history = (await broker.JsonAsync("task", "history", id)).EnumerateArray().Select(happened => happened.GetProperty("type").GetString()).ToList();
        Assert.Contains(history, type => type!.Contains("cancelled", StringComparison.Ordinal));
        await broker.JsonAsync("task", "cancel", id);
    }

    [Fact]
    public async Task Several_ids_give_a_line_each_and_one_that_is_unknown_spoils_only_itself()
    {
        var first = (await broker.JsonAsync("submit", "one", "--require", capability)).GetProperty("id").GetString()!;
        var second = (await broker.JsonAsync("submit", "two", "--require", capability)).GetProperty("id").GetString()!;

        var outcome = await broker.RunAsync("task", "cancel", first, "01999999-0000-7000-8000-000000000009", second, "--json");

        Assert.Equal(4, outcome.ExitCode);
        var lines = outcome.Output.TrimEnd().Split('\n').Select(line => JsonElement.Parse(line)).ToList();
        Assert.Equal([first, null, second], lines.Select(line => line.TryGetProperty("id", out var id) ? id.GetString() : null));
        Assert.Equal("task_not_found", lines[1].GetProperty("error").GetProperty("code").GetString());
    }

    [Fact]
    public async Task The_same_file_twice_makes_no_second_task()
    {
        using var directory = new TemporaryDirectory();
        var file = directory.Write("tasks.jsonl", string.Concat(Enumerable.Range(0, 5).Select(i => $$"""{"title":"t{{i}}","required_capabilities":["{{capability}}"]}""" + "\n")));
        Assert.Equal("5 submitted\n", (await broker.RunAsync("submit", "-f", file, "--key-prefix", capability)).Output);
        Assert.Equal("0 submitted, 5 were there before\n", (await broker.RunAsync("submit", "-f", file, "--key-prefix", capability)).Output);
    }

    [Fact]
    public async Task Tokens_are_made_listed_and_revoked()
    {
        var made = await broker.RunAsync("token", "create", "coder-1", "--name", "a note", "--expires-in", "1h");
        Assert.Equal(0, made.ExitCode);
        Assert.StartsWith("dsp_", made.Output, StringComparison.Ordinal);
        Assert.Single(made.Output.TrimEnd().Split('\n'));

        var listed = (await broker.RunAsync("token", "list", "--json")).Output;
        Assert.DoesNotContain(made.Output.Trim(), listed, StringComparison.Ordinal);
        var id = JsonElement.Parse(listed).EnumerateArray().Last(token => token.GetProperty("agent_id").GetString() == "coder-1").GetProperty("id").GetString()!;
        Assert.True((await broker.JsonAsync("token", "revoke", id)).GetProperty("revoked").GetBoolean());
        Assert.Equal(4, (await broker.RunAsync("token", "revoke", "tok_none")).ExitCode);
    }

    [Theory]
    [InlineData("stats", "tasks")]
    [InlineData("top --once", "statistics")]
    [InlineData("version", "version")]
    [InlineData("config show", "server")]
    [InlineData("completion bash", "script")]
    [InlineData("doctor", "findings")]
    public async Task Json_is_one_document_on_standard_output(string line, string member)
    {
        var outcome = await broker.RunAsync([.. line.Split(' '), "--json"]);
        Assert.True(JsonElement.Parse(outcome.Output).TryGetProperty(member, out _), outcome.Output);
        Assert.Single(outcome.Output.TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task Statistics_and_top_are_readable()
    {
        Assert.Contains("in the queue", (await broker.RunAsync("stats")).Output, StringComparison.Ordinal);
        Assert.Contains("completed/s", (await broker.RunAsync("top", "--once")).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_second_broker_on_the_same_directory_is_refused_with_the_others_process_id()
    {
        var outcome = await broker.RunAsync("serve", "--port", "0", "--metrics-port", "0");
        Assert.Equal(1, outcome.ExitCode);
        var holder = JsonElement.Parse(await File.ReadAllTextAsync(Path.Combine(broker.Data, "broker.json"))).GetProperty("pid").GetInt32();
        Assert.Contains(holder.ToString(), outcome.Errors, StringComparison.Ordinal);
    }
}

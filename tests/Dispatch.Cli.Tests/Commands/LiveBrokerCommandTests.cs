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
    public async Task The_log_is_listed_followed_and_rebuilt()
    {
        var id = (await broker.JsonAsync("submit", "logged", "--require", capability)).GetProperty("id").GetString()!;

        var listed = await broker.RunAsync("events", "list", "--subject", id, "--json");
        var lines = listed.Output.TrimEnd().Split('\n').Select(line => JsonElement.Parse(line)).ToList();
        Assert.Equal(["dispatch.task.created", "dispatch.task.unmatched"], lines.Select(line => line.GetProperty("type").GetString()));
        var created = long.Parse(lines[0].GetProperty("sequence").GetString()!, System.Globalization.CultureInfo.InvariantCulture);
        Assert.Contains("logged; pending", (await broker.RunAsync("events", "list", "--subject", id)).Output, StringComparison.Ordinal);
        Assert.Contains("did you mean task.created?", (await broker.RunAsync("events", "list", "--type", "task.creatd")).Errors, StringComparison.Ordinal);

        await using (var tail = broker.Start("events", "tail", "--from", $"{created}", "--type", "task.*", "--json"))
        {
            var second = (await broker.JsonAsync("submit", "while following", "--require", capability)).GetProperty("id").GetString()!;
            await Eventually.HoldsAsync(() => tail.Output.Contains(second, StringComparison.Ordinal) && tail.Output.Contains(id, StringComparison.Ordinal), "both are told");
        }

        var before = await broker.JsonAsync("events", "replay", "--to", $"{created - 1}");
        var then = await broker.JsonAsync("events", "replay", "--to", $"{created}");
        Assert.DoesNotContain(before.GetProperty("tasks").EnumerateArray(), task => task.GetProperty("id").GetString() == id);
        Assert.Equal("pending", then.GetProperty("tasks").EnumerateArray().Single(task => task.GetProperty("id").GetString() == id).GetProperty("status").GetString());
        Assert.Equal(before.GetProperty("totals").GetProperty("pending").GetInt64() + 1, then.GetProperty("totals").GetProperty("pending").GetInt64());
        var beyond = await broker.RunAsync("events", "replay", "--to", "999999999");
        Assert.Equal(1, beyond.ExitCode);
        Assert.Contains("The log ends at event", beyond.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_log_that_was_cut_is_found_by_a_checkpoint_that_was_kept_elsewhere()
    {
        using var elsewhere = new TemporaryDirectory();
        await broker.JsonAsync("submit", "before", "--require", capability);
        var sound = await broker.JsonAsync("audit", "verify");
        Assert.True(sound.GetProperty("sound").GetBoolean());
        await broker.JsonAsync("submit", "after", "--require", capability);
        var file = elsewhere.File("checkpoints.jsonl");
        Assert.Equal(0, (await broker.RunAsync("audit", "checkpoint", "--out", file)).ExitCode);

        var whole = await broker.RunAsync("audit", "verify", "--checkpoints", file);
        Assert.Contains("1 checkpoint found where signed", whole.Output, StringComparison.Ordinal);

        var text = await File.ReadAllTextAsync(file);
        var sequence = JsonElement.Parse(text).GetProperty("sequence").GetInt64();
        await File.WriteAllTextAsync(file, text.Replace($"\"sequence\":{sequence}", $"\"sequence\":{sequence + 1000}", StringComparison.Ordinal));
        var forged = await broker.RunAsync("audit", "verify", "--checkpoints", file, "--json");
        Assert.Equal(1, forged.ExitCode);
        var faults = string.Join("; ", JsonElement.Parse(forged.Output).GetProperty("faults").EnumerateArray().Select(fault => fault.GetString()));
        Assert.Contains("were cut off", faults, StringComparison.Ordinal);
        Assert.Contains("its signature does not fit what it says", faults, StringComparison.Ordinal);
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

    [Fact]
    public async Task Questions_are_asked_listed_answered_and_withdrawn()
    {
        var type = $"tool.{capability.ToLowerInvariant()}";
        var set = await broker.RunAsync("responder", "set", "judge-1", "--type", type);
        Assert.Equal($"judge-1 answers {type}\n", set.Output);
        Assert.Contains(type, (await broker.RunAsync("responder", "list")).Output, StringComparison.Ordinal);
        string[] ask = ["question", "ask", "--agent", "coder-1", "--type", type, "--about", "call-9", "--proposal", "{\"command\":\"rm -r build\"}"];
        var waiting = broker.RunAsync([.. ask, "--wait"]);

        var question = await Eventually.GetAsync(
            async () => (await broker.JsonAsync("question", "list", "--type", type)).EnumerateArray().ToArray(), open => open.Length == 1, "the question is listed");
        var id = question[0].GetProperty("id").GetString()!;
        Assert.Contains("rm -r build", (await broker.RunAsync("question", "list", "--type", type)).Output, StringComparison.Ordinal);
        Assert.Contains("waits for    judge-1", (await broker.RunAsync("question", "show", id)).Output, StringComparison.Ordinal);
        Assert.Equal(2, (await broker.RunAsync("question", "answer", id, "modify", "--replacement", "[]")).ExitCode);
        var answered = await broker.RunAsync("question", "answer", id, "modify", "--replacement", "{\"command\":\"ls\"}", "--reason", "Look first.");
        Assert.Equal($"{id}  modify: Look first.\n", answered.Output);

        var told = await waiting;
        Assert.Equal((0, "{\"command\":\"ls\"}\n"), (told.ExitCode, told.Output));
        Assert.Equal(1, (await broker.RunAsync("question", "answer", id, "allow")).ExitCode);
        Assert.Equal(4, (await broker.RunAsync("question", "show", "none")).ExitCode);

        waiting = broker.RunAsync([.. ask, "--wait"]);
        question = await Eventually.GetAsync(
            async () => (await broker.JsonAsync("question", "list", "--type", type)).EnumerateArray().ToArray(), open => open.Length == 1, "the next question is listed");
        Assert.Equal("deny", (await broker.JsonAsync("question", "answer", question[0].GetProperty("id").GetString()!, "deny")).GetProperty("outcome").GetString());
        Assert.Equal(1, (await waiting).ExitCode);

        var other = await broker.JsonAsync(ask);
        Assert.Equal("withdrawn", (await broker.JsonAsync("question", "withdraw", other.GetProperty("id").GetString()!)).GetProperty("status").GetString());
        Assert.Equal("No question is open.", (await broker.RunAsync("question", "list", "--type", type)).Errors.Trim());
        Assert.True((await broker.JsonAsync("responder", "remove", "judge-1")).GetProperty("deleted").GetBoolean());
    }

    [Fact]
    public async Task A_task_is_submitted_to_be_confirmed()
    {
        var task = await broker.JsonAsync("submit", "Deploy", "--confirm", "--require", capability);
        Assert.Equal("blocked", task.GetProperty("status").GetString());
        var question = Assert.Single((await broker.JsonAsync("question", "list", "--about", task.GetProperty("id").GetString()!)).EnumerateArray());

        await broker.RunAsync("question", "answer", question.GetProperty("id").GetString()!, "allow");

        Assert.Equal("pending", (await broker.JsonAsync("task", "show", task.GetProperty("id").GetString()!)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task Webhooks_are_made_shown_changed_tried_and_deleted()
    {
        var made = await broker.RunAsync("webhook", "create", "--url", "http://localhost:9/hook", "--type", "task.created", "--type", "agent.*", "--description", "a note");
        Assert.Equal(0, made.ExitCode);
        Assert.StartsWith("whsec_", made.Output, StringComparison.Ordinal);

        var listed = (await broker.RunAsync("webhook", "list", "--json")).Output;
        Assert.DoesNotContain("whsec_", listed, StringComparison.Ordinal);
        var id = JsonElement.Parse(listed).EnumerateArray().Last().GetProperty("id").GetString()!;
        Assert.Contains(id, (await broker.RunAsync("webhook", "list")).Output, StringComparison.Ordinal);
        Assert.Contains("task.created, agent.*", (await broker.RunAsync("webhook", "show", id)).Output, StringComparison.Ordinal);

        var changed = await broker.JsonAsync("webhook", "update", id, "--source", "tasks", "--description", "");
        Assert.Equal(["tasks"], changed.GetProperty("filter").GetProperty("sources").EnumerateArray().Select(source => source.GetString()));
        Assert.False(changed.GetProperty("filter").TryGetProperty("types", out _) || changed.TryGetProperty("description", out _));
        Assert.StartsWith("whsec_", (await broker.RunAsync("webhook", "rotate", id, "--overlap", "1h")).Output, StringComparison.Ordinal);

        // This broker delivers to nobody on this machine.
        var tried = await broker.RunAsync("webhook", "test", id);
        Assert.Equal(1, tried.ExitCode);
        Assert.Contains("webhooks.allow_private", tried.Output, StringComparison.Ordinal);
        Assert.Equal("enabled", (await broker.JsonAsync("webhook", "enable", id)).GetProperty("status").GetString());
        Assert.Equal(JsonValueKind.Array, (await broker.JsonAsync("webhook", "deliveries", id)).ValueKind);

        Assert.True((await broker.JsonAsync("webhook", "delete", id)).GetProperty("deleted").GetBoolean());
        Assert.Equal(4, (await broker.RunAsync("webhook", "show", id)).ExitCode);
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

using System.Text.Json;
using Dispatch.Cli.Tests.Support;
using Answer = Dispatch.Cli.Tests.Support.BrokerStub.Answer;

namespace Dispatch.Cli.Tests.Commands;

public sealed class ViewTests
{
    private const string Evil = """
        {"id":"01999999-0000-7000-8000-000000000001","title":"[red]not red[/] [[x]] \u001b]0;pwned\u0007","description":"two\nlines\u001b[2J","status":"failed","priority":5,
         "required_capabilities":["a\u001b[31m"],"labels":{"k":"v\u009b"},"context":{"x":"\u001b[1m"},"attempt":2,"retry_count":1,"max_retries":3,"timeout_ms":300000,
         "assignee":"agent\u202e","error":"boom\r\u001b[A overwritten","created_at":"2026-11-20T08:00:00.000Z","dead_lettered":true,
         "attempts":[{"attempt":1,"agent":"a","outcome":"failed","error":"[blink]\u0007","ended_at":"2026-11-20T08:00:01.000Z"}]}
        """;

    [Theory]
    [InlineData("task list")]
    [InlineData("task show x")]
    [InlineData("dead-letter list")]
    public async Task Other_peoples_text_is_neither_markup_nor_control(string line)
    {
        await using var stub = await BrokerStub.StartAsync(request => Answer.Ok(request.Path.Contains("/tasks/", StringComparison.Ordinal) ? Evil : $"[{Evil}]"));
        var outcome = await stub.RunAsync(line.Split(' '));
        Assert.Equal((0, ""), (outcome.ExitCode, outcome.Errors));
        Assert.Contains("[red]not red[/] [[x]] \\x1b]0;pwned\\x07", outcome.Output, StringComparison.Ordinal);
        Assert.DoesNotContain(outcome.Output, c => c != '\n' && (char.IsControl(c) || c == '\u202e'));
    }

    [Fact]
    public async Task The_brokers_own_words_are_made_harmless_too()
    {
        await using var stub = await BrokerStub.StartAsync(_ => Answer.Refuse(409, "task_state", "bad \\u001b[31m title"));
        var outcome = await stub.RunAsync("task", "cancel", "x");
        Assert.Contains("bad \\x1b[31m title", outcome.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_list_is_read_page_by_page_and_stays_one_json_array()
    {
        await using var stub = await BrokerStub.StartAsync(request => request.Path.Contains("cursor=2", StringComparison.Ordinal)
            ? Answer.Ok($"[{Evil}]")
            : Answer.Ok($"[{Evil},{Evil}]") with { Headers = new Dictionary<string, string> { ["Link"] = "</api/v1/tasks?cursor=2>; rel=\"next\"" } });

        Assert.Equal(3, JsonElement.Parse((await stub.RunAsync("task", "list", "--all", "--json")).Output).GetArrayLength());
        Assert.Equal(2, JsonElement.Parse((await stub.RunAsync("task", "list", "--limit", "2", "--json")).Output).GetArrayLength());
        Assert.Equal(3, stub.Requests.Count);
        Assert.Contains("limit=1000", stub.Requests[0].Path, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_empty_list_is_an_empty_array_for_machines_and_a_note_for_people()
    {
        await using var stub = await BrokerStub.StartAsync(_ => Answer.Ok("[]"));
        Assert.Equal("[]\n", (await stub.RunAsync("task", "list", "--json")).Output);
        var human = await stub.RunAsync("task", "list");
        Assert.Equal(("", "No such tasks.\n"), (human.Output, human.Errors));
    }

    [Theory]
    [InlineData(null, true)]
    [InlineData("1", false)]
    public async Task Colour_is_for_terminals_and_not_when_NO_COLOR_is_set(string? noColor, bool coloured)
    {
        await using var stub = await BrokerStub.StartAsync(_ => Answer.Ok($"[{Evil}]"));
        // script(1) gives the command a terminal of its own.
        var outcome = await DispatchProcess.RunAsync(
            ["-qec", $"'{DispatchProcess.Executable}' task list --server {stub.Url}", "/dev/null"], program: "script",
            environment: new Dictionary<string, string?> { ["NO_COLOR"] = noColor, ["TERM"] = "xterm-256color" });
        Assert.Equal(0, outcome.ExitCode);
        Assert.Equal(coloured, System.Text.RegularExpressions.Regex.IsMatch(outcome.Output, "\u001b\\[[0-9;]*3[0-9][0-9;]*m|\u001b\\[38;5;"));
        Assert.DoesNotContain("\u001b]0;", outcome.Output, StringComparison.Ordinal);
    }
}

using System.Text.Json;
using Dispatch.Cli.Tests.Support;
using Answer = Dispatch.Cli.Tests.Support.BrokerStub.Answer;

namespace Dispatch.Cli.Tests.Commands;

public sealed class FaultTests
{
    [Theory]
    [InlineData(400, "validation", 2)]
    [InlineData(401, "unauthorized", 5)]
    [InlineData(403, "forbidden", 5)]
    [InlineData(404, "task_not_found", 4)]
    [InlineData(409, "task_state", 1)]
    [InlineData(503, "busy", 1)]
    [InlineData(500, "internal", 1)]
    public async Task A_refusal_has_its_exit_code_and_is_told_to_people_and_machines(int status, string code, int exit)
    {
        await using var stub = await BrokerStub.StartAsync(_ => Answer.Refuse(status, code, "no, because"));

        var human = await stub.RunAsync("task", "show", "some-id");
        Assert.Equal(exit, human.ExitCode);
        Assert.Equal("", human.Output);
        Assert.StartsWith("dispatch: no, because\n", human.Errors, StringComparison.Ordinal);

        var machine = await stub.RunAsync("task", "show", "some-id", "--json");
        Assert.Equal(exit, machine.ExitCode);
        var error = JsonElement.Parse(machine.Output).GetProperty("error");
        Assert.Equal(code, error.GetProperty("code").GetString());
        Assert.Equal("no, because", error.GetProperty("message").GetString());
        Assert.Equal(exit, error.GetProperty("exit_code").GetInt32());
    }

    [Fact]
    public async Task Who_asks_for_events_that_are_gone_is_told_where_to_begin()
    {
        await using var stub = await BrokerStub.StartAsync(_ => Answer.Refuse(410, "events_gone", "The oldest event that is kept is 5001; ask with after=5000.", ""","horizon":5001"""));

        var listed = await stub.RunAsync("events", "list", "--after", "3");
        Assert.Equal(1, listed.ExitCode);
        Assert.Contains("The oldest event that is kept is 5001", listed.Errors, StringComparison.Ordinal);
        Assert.Contains("--from", listed.Errors, StringComparison.Ordinal);
        Assert.Contains("after=3", stub.Requests[^1].Path, StringComparison.Ordinal);

        await stub.RunAsync("events", "list");
        Assert.DoesNotContain("after=", stub.Requests[^1].Path, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_fault_of_a_request_is_told()
    {
        await using var stub = await BrokerStub.StartAsync(_ => Answer.Refuse(400, "validation", "two things are wrong",
            ""","errors":[{"field":"title","message":"is too long","value":"xxx"},{"field":"priority","message":"is not 0 to 10"}]"""));
        var outcome = await stub.RunAsync("submit", "x");
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("  title: is too long (given: \"xxx\")\n  priority: is not 0 to 10\n", outcome.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_broker_it_says_how_to_start_one_at_once()
    {
        var outcome = await DispatchProcess.RunAsync(["stats", "--server", "http://127.0.0.1:1"]);
        Assert.Equal(3, outcome.ExitCode);
        Assert.Contains("dispatch serve", outcome.Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("task lst", "Did you mean list?")]
    [InlineData("sbmit x", "Did you mean submit?")]
    [InlineData("task list --statu x", "Did you mean --status?")]
    [InlineData("task", "Say which: list, show")]
    [InlineData("task show", "task show --help")]
    [InlineData("task show --bogus", "no option --bogus")]
    [InlineData("submit", "Say what is to be done")]
    [InlineData("submit x --timeout 30", "30s, 5m")]
    [InlineData("submit x --run-at tomorrow", "2026-12-24T18:00:00Z")]
    [InlineData("submit x --priority urgent", "low, normal, high")]
    [InlineData("submit x --priority 11", "0 to 10")]
    [InlineData("submit x --max-retries 101", "from 0 to 100")]
    [InlineData("task list --limit x", "at least 1")]
    [InlineData("submit x --label nolabel", "key=value")]
    [InlineData("submit x --context []", "no object")]
    [InlineData("submit x --context {", "no valid JSON")]
    [InlineData("submit x -f tasks.jsonl", "leave out")]
    [InlineData("submit x --run-at 1h --delay 1h", "give one")]
    [InlineData("dead-letter redrive", "--all")]
    [InlineData("stats --server nowhere", "http://127.0.0.1:8600")]
    [InlineData("serve --port 70000", "0 to 65535")]
    [InlineData("worker --id w --exec nosuchprogram", "no program nosuchprogram")]
    [InlineData("worker --id w --exec 'wc", "not closed")]
    [InlineData("worker --exec wc", "--id")]
    [InlineData("worker --id w", "--exec")]
    [InlineData("worker --id w --exec wc --max 0", "from 1 to 1000")]
    [InlineData("demo /dispatch-no-such-directory", "no directory")]
    public async Task A_wrong_command_line_is_told_with_the_way_out(string line, string way)
    {
        var outcome = await DispatchProcess.RunAsync(line.Split(' '));
        Assert.Equal(2, outcome.ExitCode);
        Assert.Equal("", outcome.Output);
        Assert.Contains(way, outcome.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_wrong_configuration_is_told_whole()
    {
        using var directory = new TemporaryDirectory();
        var file = directory.Write("dispatch.yaml", "server: { port: 99999, prot: 1 }\n");
        var outcome = await DispatchProcess.RunAsync(["serve", "--config", file]);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("server.port", outcome.Errors, StringComparison.Ordinal);
        Assert.Contains("server.prot", outcome.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_admin_token_stays_on_this_machine()
    {
        using var directory = new TemporaryDirectory();
        directory.Write("admin-token", "local-secret\n");
        await using var stub = await BrokerStub.StartAsync(_ => Answer.Ok("[]"));

        await DispatchProcess.RunAsync(["token", "list", "--server", stub.Url, "--data-dir", directory.Path]);
        await DispatchProcess.RunAsync(["submit", "x", "--server", stub.Url, "--data-dir", directory.Path]);
        await DispatchProcess.RunAsync(["token", "list", "--server", stub.Url, "--data-dir", directory.Path, "--token", "mine", "--agent", "me"]);

        Assert.Equal("Bearer local-secret", stub.Requests[0].Headers["Authorization"]);
        Assert.Equal("cli", stub.Requests[0].Headers["X-Agent-ID"]);
        Assert.False(stub.Requests[1].Headers.ContainsKey("Authorization"));
        Assert.Equal("Bearer mine", stub.Requests[2].Headers["Authorization"]);
        Assert.Equal("me", stub.Requests[2].Headers["X-Agent-ID"]);
    }
}

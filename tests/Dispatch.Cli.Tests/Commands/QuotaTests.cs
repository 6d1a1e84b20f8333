using System.Text.Json;
using Dispatch.Cli.Tests.Support;
using Answer = Dispatch.Cli.Tests.Support.BrokerStub.Answer;

namespace Dispatch.Cli.Tests.Commands;

/// <summary>Limits from the command line, against a real broker: for agents and owners of each test's own.</summary>
[Collection(nameof(LiveBroker))]
public sealed class QuotaTests(LiveBroker broker)
{
    private readonly string name = "q-" + Guid.CreateVersion7().ToString("N");

    [Fact]
    public async Task A_limit_is_set_listed_shown_changed_and_deleted()
    {
        var set = await broker.RunAsync("quota", "set", name, "--agent", name, "--unit", "money", "--amount", "12.50", "--window", "day", "--time-zone", "Europe/Berlin", "--reset-hour", "6");
        Assert.Equal((0, $"{name}  agent {name}: 12.50 money a day, version 1\n"), (set.ExitCode, set.Output));

        var listed = Assert.Single((await broker.JsonAsync("quota", "list", "--target", name)).EnumerateArray());
        Assert.Equal((12_500_000, "day"), (listed.GetProperty("amount").GetInt64(), listed.GetProperty("window").GetProperty("kind").GetString()));
        Assert.Matches("░{30} +0 %", (await broker.RunAsync("quota", "list", "--target", name)).Output);
        Assert.Contains("a day, which begins at 06:00 Europe/Berlin", (await broker.RunAsync("quota", "show", name)).Output, StringComparison.Ordinal);

        var changed = await broker.JsonAsync("quota", "set", name, "--agent", name, "--unit", "money", "--amount", "20", "--soft", "90", "--if-version", "1");
        Assert.Equal((2, 90), (changed.GetProperty("version").GetInt32(), changed.GetProperty("soft_percent").GetInt32()));
        var late = await broker.RunAsync("quota", "set", name, "--agent", name, "--unit", "money", "--amount", "30", "--if-version", "1");
        Assert.Equal(1, late.ExitCode);
        Assert.Contains("dispatch quota show", late.Errors, StringComparison.Ordinal);

        Assert.Contains("deleted", (await broker.RunAsync("quota", "delete", name)).Output, StringComparison.Ordinal);
        Assert.Equal(4, (await broker.RunAsync("quota", "show", name)).ExitCode);
        var history = (await broker.JsonAsync("quota", "history", name)).EnumerateArray().ToList();
        Assert.Equal(["dispatch.allowance.set", "dispatch.allowance.set", "dispatch.allowance.deleted"], history.Select(happened => happened.GetProperty("type").GetString()));
        Assert.Equal(4, (await broker.RunAsync("quota", "history", name + "-other")).ExitCode);
    }

    [Fact]
    public async Task Usage_is_reported_once_and_shown_as_bars_with_what_binds()
    {
        await broker.RunAsync("quota", "set", name, "--agent", name, "--unit", "tokens", "--amount", "1000", "--window", "month");
        string[] report = ["quota", "report", name + "-1", "--agent", name, "--usage", "tokens_in=700", "--usage", "tokens_out=150"];
        Assert.Equal($"{name}-1  booked on {name}\n", (await broker.RunAsync(report)).Output);
        Assert.Equal($"{name}-1  was taken before\n", (await broker.RunAsync(report)).Output);

        var standing = Assert.Single((await broker.JsonAsync("quota", "show", name)).GetProperty("standings").EnumerateArray());
        Assert.Equal((850, "warning"), (standing.GetProperty("used").GetInt64(), standing.GetProperty("state").GetString()));
        var shown = (await broker.RunAsync("quota", "show", name)).Output;
        Assert.Contains("█████████████████████████░░░░░  85 %  850 used, 0 reserved, 150 left", shown, StringComparison.Ordinal);
        Assert.Contains("resets in", shown, StringComparison.Ordinal);

        var fits = await broker.RunAsync("quota", "check", name, "--tokens", "150");
        Assert.Equal((0, "It could be given such a task now.\n"), (fits.ExitCode, fits.Output));
        var refused = await broker.RunAsync("quota", "check", name, "--tokens", "151", "--json");
        Assert.Equal(1, refused.ExitCode);
        Assert.Equal(name, JsonElement.Parse(refused.Output).GetProperty("refusal").GetProperty("limit").GetString());

        var explained = (await broker.RunAsync("quota", "explain", name, "--tokens-in", "100", "--tokens-out", "51")).Output;
        Assert.StartsWith($"{name}, not registered now\nIt could not be given such a task now.", explained, StringComparison.Ordinal);
        Assert.Contains("<- binds", explained, StringComparison.Ordinal);
        Assert.False((await broker.JsonAsync("quota", "explain", name)).GetProperty("registered").GetBoolean());

        var history = (await broker.RunAsync("quota", "history", name)).Output;
        Assert.Contains("1,000 tokens a month, warning at 80 %", history, StringComparison.Ordinal);
        Assert.Contains("850 of 1,000 used, the warning is at 80 %", history, StringComparison.Ordinal);
        Assert.Contains((await broker.JsonAsync("quota", "top", "--limit", "1000")).EnumerateArray(), top => top.GetProperty("key").GetString() == name);
        Assert.Contains(name, (await broker.RunAsync("quota", "top", "--limit", "1000", "--unit", "tokens")).Output, StringComparison.Ordinal);
        await broker.RunAsync("quota", "delete", name);
    }

    [Fact]
    public async Task The_broker_names_all_that_is_wrong_at_once()
    {
        var outcome = await broker.RunAsync("quota", "set", name, "--team", "no-such-team", "--unit", "tokens", "--amount", "5", "--window", "week", "--reset-day", "9", "--time-zone", "Mars/Base");
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("window.time_zone", outcome.Errors, StringComparison.Ordinal);
        Assert.Contains("window.reset_day", outcome.Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("quota set x --unit tokens --amount 5", "Say once whose limit it is")]
    [InlineData("quota set x --swarm --agent a --unit tokens --amount 5", "Say once whose limit it is")]
    [InlineData("quota set x --swarm --unit tokens", "--amount")]
    [InlineData("quota set x --swarm --unit tokens --amount 1.5", "'1.5' is no amount of tokens")]
    [InlineData("quota set x --swarm --unit furlongs --amount 5", "furlongs")]
    [InlineData("quota set x --swarm --unit tokens --amount 5 --reset-hour 6", "--window")]
    [InlineData("quota set x --swarm --unit tokens --amount 5 --window day --rolling 1h", "give one")]
    [InlineData("quota check a --money 1.2345678", "--money")]
    [InlineData("quota report r --usage tokens", "no pair")]
    [InlineData("submit x --budget tokens=-1", "--budget")]
    [InlineData("submit x --estimate model", "--estimate")]
    public async Task A_wrong_command_line_is_told_before_anything_is_done(string line, string told)
    {
        var outcome = await broker.RunAsync(line.Split(' '));
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(told, outcome.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_task_is_submitted_with_what_it_may_use_and_is_expected_to()
    {
        await using var stub = await BrokerStub.StartAsync(_ => new Answer(201, """{"id":"01999999-0000-7000-8000-000000000001","title":"x","status":"pending","created_at":"2026-11-20T08:00:00.000Z"}"""));
        var outcome = await stub.RunAsync("submit", "x", "--budget", "tokens=100000", "--budget", "money=5", "--estimate", "tokens_in=8000", "--estimate", "money=0.05", "--estimate", "model=small=1");
        Assert.Equal(0, outcome.ExitCode);
        var sent = JsonElement.Parse(Assert.Single(stub.Requests).Body);
        Assert.Equal("""{"tokens":100000,"money":5000000}""", sent.GetProperty("budget").GetRawText());
        Assert.Equal("""{"tokens_in":8000,"money":50000,"model":"small=1"}""", sent.GetProperty("estimate").GetRawText());
    }

    [Fact]
    public async Task A_ledger_is_listed_with_what_is_in_hand()
    {
        const string Entries = """
            [{"task_id":"01999999-0000-7000-8000-000000000001","attempt":1,"agent":"a\u001b[31m","at":"2026-11-20T08:00:00.000Z","key":"l","reserved":500000,"spent":0},
             {"agent":"b","outcome":"usage","at":"2026-11-20T07:00:00.000Z","key":"l","reserved":0,"spent":1250000}]
            """;
        const string Limit = """{"id":"l","level":"swarm","unit":"money","amount":5000000,"version":1,"created_at":"2026-11-20T08:00:00.000Z","updated_at":"2026-11-20T08:00:00.000Z"}""";
        await using var stub = await BrokerStub.StartAsync(request => Answer.Ok(request.Path.Contains("/ledger", StringComparison.Ordinal) ? Entries : Limit));

        var shown = await stub.RunAsync("quota", "ledger", "l", "--target", "a");

        Assert.Equal((0, ""), (shown.ExitCode, shown.Errors));
        Assert.Contains("/api/v1/limits/l/ledger?target=a&limit=100", stub.Requests[0].Path, StringComparison.Ordinal);
        Assert.Contains("a\\x1b[31m", shown.Output, StringComparison.Ordinal);
        Assert.Matches(@"in hand +0\.50 +0\.00", shown.Output);
        Assert.Matches(@"usage +0\.00 +1\.25", shown.Output);
        Assert.Equal(2, JsonElement.Parse((await stub.RunAsync("quota", "ledger", "l", "--json")).Output).GetArrayLength());
    }

    [Fact]
    public async Task Bars_fit_a_narrow_terminal()
    {
        await broker.RunAsync("quota", "set", name, "--agent", name, "--unit", "tokens", "--amount", "1000");
        await broker.RunAsync("quota", "report", name, "--agent", name, "--usage", "tokens=300");
        // script(1) gives the command a terminal of its own.
        var outcome = await DispatchProcess.RunAsync(
            ["-qec", $"stty cols 60; '{DispatchProcess.Executable}' quota show {name} --data-dir '{broker.Data}'", "/dev/null"], program: "script",
            environment: new Dictionary<string, string?> { ["NO_COLOR"] = "1", ["TERM"] = "xterm-256color" });
        Assert.Equal(0, outcome.ExitCode);
        var bar = Assert.Single(outcome.Output.Split('\n'), line => line.Contains('░', StringComparison.Ordinal));
        Assert.InRange(bar.Trim().Length, 10, 60);
        await broker.RunAsync("quota", "delete", name);
    }
}

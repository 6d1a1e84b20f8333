using System.Text;
using System.Text.Json;
using Dispatch.Chaos.Checking;

namespace Dispatch.Chaos.Tests;

/// <summary>The whole crash test against the toy broker: a real process, really killed.</summary>
public sealed class CrashRunTests
{
    private static readonly string Toy = Path.Combine(AppContext.BaseDirectory, "Dispatch.Chaos.Tests");

    [Fact]
    public async Task An_honest_broker_passes_and_one_that_acknowledges_before_it_commits_does_not()
    {
        var told = new StringWriter();

        var code = await Proof.RunAsync(Options(kills: 2) with { Prove = true }, told, CancellationToken.None);

        Assert.True(code == 0, told.ToString());
        Assert.Contains("planted bug ack-before-commit: caught", told.ToString());
    }

    [Fact]
    public async Task A_bad_network_makes_an_honest_broker_no_worse()
    {
        var told = new StringWriter();
        using var run = new CrashRun(Options(kills: 2) with { BadNetwork = true }, told);

        var verdict = await run.RunAsync(CancellationToken.None);

        Assert.True(verdict.Passed, verdict.ToText());
        Assert.Matches("the network was bad [1-9][0-9]* times", told.ToString());
    }

    [Theory]
    [InlineData("no-fence", FindingKind.StaleAccepted)]
    [InlineData("no-keys", FindingKind.Duplicated)]
    public async Task A_broker_with_a_fault_is_found_out(string bug, FindingKind kind)
    {
        using var run = new CrashRun(Options(kills: 1) with { Bug = bug }, TextWriter.Null);

        var verdict = await run.RunAsync(CancellationToken.None);

        Assert.True(verdict.Findings.Any(finding => finding.Kind == kind), verdict.ToText());
        Assert.Equal(run.Home, verdict.KeptIn);
        Assert.True(File.Exists(Path.Combine(run.Home, "verdict.json")));
        Directory.Delete(run.Home, recursive: true);
    }

    [Fact]
    public async Task A_broker_that_does_not_start_is_a_failure_and_not_a_hang()
    {
        using var run = new CrashRun(Options(kills: 1) with { Dispatch = "/bin/false" }, TextWriter.Null);

        var verdict = await run.RunAsync(CancellationToken.None);

        Assert.Contains("before it was ready", Assert.Single(verdict.Findings).Text);
        Directory.Delete(run.Home, recursive: true);
    }

    [Fact]
    public async Task An_interrupted_run_leaves_nothing_behind()
    {
        using var interrupt = new CancellationTokenSource();
        var pid = 0;
        using var onReady = new FirstLine();
        using var run = new CrashRun(Options(kills: 1_000), onReady);
        onReady.Then = () =>
        {
            using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(run.Home, "data", "broker.json")));
            pid = json.RootElement.GetProperty("pid").GetInt32();
            interrupt.Cancel();
        };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run.RunAsync(interrupt.Token));

        Assert.NotEqual(0, pid);
        Assert.False(Directory.Exists($"/proc/{pid}"));
        Assert.False(Directory.Exists(run.Home));
    }

    private static CrashOptions Options(int kills) => new() { Seed = 42, Kills = kills, Dispatch = Toy, Clients = 2, Workers = 2, TasksPerKill = 300 };

    /// <summary>Does something when the first line is written.</summary>
    private sealed class FirstLine : TextWriter
    {
        public Action? Then { get; set; }

        public override Encoding Encoding => Encoding.UTF8;

        public override Task WriteLineAsync(string? value)
        {
            Then?.Invoke();
            Then = null;
            return Task.CompletedTask;
        }
    }
}

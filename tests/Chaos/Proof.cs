using Dispatch.Chaos.Nodes;

namespace Dispatch.Chaos;

/// <summary>
/// Shows that the crash test can fail: an honest broker passes it, and the same broker with a planted bug does not.
/// </summary>
public static class Proof
{
    /// <summary>A bug that is not seen after this many kills counts as not seen.</summary>
    private const int MostKills = 40;

    /// <summary>Returns 0 when both runs behave as they must, else 1.</summary>
    public static async Task<int> RunAsync(CrashOptions options, TextWriter output, CancellationToken cancel)
    {
        var bug = options.Bug ?? "ack-before-commit";
        var honest = await RunOneAsync(options with { Bug = null }, output, cancel);
        var buggy = await RunOneAsync(options with { Bug = bug, Kills = MostKills }, output, cancel);

        await output.WriteLineAsync(honest.Passed
            ? $"honest broker: passed {honest.Kills} kills, as it must"
            : $"honest broker: FAILED after {honest.Kills} kills, and must not");
        await output.WriteLineAsync(buggy.ShowsLoss
            ? $"planted bug {bug}: caught after {buggy.Kills} kills ({buggy.Findings.Count} broken promises, {buggy.Lost} tasks lost), as it must be"
            : $"planted bug {bug}: NOT CAUGHT in {buggy.Kills} kills. Was this broker built with the switch DISPATCH_TEST_BUG?");
        if (options.Json is not null)
            await File.WriteAllTextAsync(options.Json, $"[{honest.ToJson()},\n{buggy.ToJson()}]\n", cancel);
        // What the planted bug left behind is of no use to anybody.
        if (honest.Passed && buggy is { ShowsLoss: true, KeptIn: { } kept })
            Directory.Delete(kept, recursive: true);
        return honest.Passed && buggy.ShowsLoss ? 0 : 1;
    }

    /// <summary>The same for several nodes: the one that writes is stopped for longer than its lease and wakes up.</summary>
    public static async Task<int> RunChaosAsync(CrashOptions options, TextWriter output, CancellationToken cancel)
    {
        var bug = options.Bug ?? "epoch-not-checked";
        var honest = await RunOneChaosAsync(options with { Bug = null }, output, cancel);
        var buggy = await RunOneChaosAsync(options with { Bug = bug }, output, cancel);

        await output.WriteLineAsync(honest.Passed
            ? $"honest nodes: passed {honest.Faults.Count} pauses of the writer, as they must"
            : $"honest nodes: FAILED after {honest.Faults.Count} pauses of the writer, and must not");
        await output.WriteLineAsync(buggy.ShowsLoss
            ? $"planted bug {bug}: caught in {buggy.Faults.Count} pauses ({buggy.Findings.Count} broken promises), as it must be"
            : $"planted bug {bug}: NOT CAUGHT in {buggy.Faults.Count} pauses. Was this broker built with the switch DISPATCH_TEST_BUG?");
        if (options.Json is not null)
            await File.WriteAllTextAsync(options.Json, $"[{honest.ToJson()},\n{buggy.ToJson()}]\n", cancel);
        if (honest.Passed && buggy is { ShowsLoss: true, KeptIn: { } kept })
            Directory.Delete(kept, recursive: true);
        return honest.Passed && buggy.ShowsLoss ? 0 : 1;
    }

    private static async Task<ChaosVerdict> RunOneChaosAsync(CrashOptions options, TextWriter output, CancellationToken cancel)
    {
        await output.WriteLineAsync($"chaos: {(options.Bug is null ? "honest" : $"planted bug {options.Bug}")}, {options.Faults} pauses of the writer, seed {options.Seed}");
        using var run = new ChaosRun(options, output, FaultKind.PauseWriter);
        var verdict = await run.RunAsync(cancel);
        await output.WriteLineAsync(verdict.ToText());
        return verdict;
    }

    private static async Task<Verdict> RunOneAsync(CrashOptions options, TextWriter output, CancellationToken cancel)
    {
        await output.WriteLineAsync($"crash test: {(options.Bug is null ? $"honest, {options.Kills} kills" : $"planted bug {options.Bug}, at most {options.Kills} kills")}, seed {options.Seed}");
        using var run = new CrashRun(options, output);
        var verdict = await run.RunAsync(cancel);
        await output.WriteLineAsync(verdict.ToText());
        return verdict;
    }
}

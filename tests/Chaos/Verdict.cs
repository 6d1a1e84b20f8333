using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Dispatch.Chaos.Checking;
using Dispatch.Chaos.Histories;
using TaskStatus = Dispatch.Chaos.Histories.TaskStatus;

namespace Dispatch.Chaos;

/// <summary>What came of a run.</summary>
/// <param name="Kills">Kills under load.</param>
/// <param name="KillsInRecovery">Further kills, of a broker that had just been started again.</param>
/// <param name="Counts">How often each situation came up, by name.</param>
/// <param name="Skipped">Checks that could not be made, with the reason.</param>
/// <param name="KeptIn">Data directory, histories and logs of a failed run; null when it passed.</param>
public sealed record Verdict(
    int Seed, int Kills, int KillsInRecovery, string? Bug, IReadOnlyDictionary<string, int> Counts, IReadOnlyList<double> RestartsMs, long DurationMs,
    IReadOnlyList<Finding> Findings, IReadOnlyList<string> Skipped, string? KeptIn)
{
    private const int ShownOfEach = 4;

    internal static readonly JsonSerializerOptions Format = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DictionaryKeyPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    public bool Passed => Findings.Count == 0;

    public int Lost => Count(FindingKind.Lost);

    public int Duplicated => Count(FindingKind.Duplicated);

    public int StaleAccepted => Count(FindingKind.StaleAccepted);

    public double RestartP50Ms => RestartsMs.Count == 0 ? 0 : RestartsMs.Order().ElementAt(RestartsMs.Count / 2);

    public double RestartMaxMs => RestartsMs.DefaultIfEmpty().Max();

    /// <summary>An acknowledged fact is gone or was undone: what only a broken promise of durability explains.</summary>
    public bool ShowsLoss => IsLoss(Findings);

    public string ToJson() => JsonSerializer.Serialize(this, Format);

    public string ToText()
    {
        var text = new StringBuilder();
        Line($"kills {Kills} under load and {KillsInRecovery} in recovery, seed {Seed}, {DurationMs / 1000.0:0.0} s{(Bug is null ? "" : $", planted bug {Bug}")}");
        Line($"restart until ready: p50 {RestartP50Ms:0} ms, max {RestartMaxMs:0} ms");
        foreach (var reason in Skipped)
            Line($"skipped: {reason}");
        Write(text, Counts, Findings, KeptIn);
        return text.ToString();

        void Line(FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    internal static bool IsLoss(IReadOnlyList<Finding> findings) => findings.Any(finding => finding.Kind is FindingKind.Lost or FindingKind.Undone or FindingKind.Resurrected);

    /// <summary>What came up, what was broken, and the last word.</summary>
    internal static void Write(StringBuilder text, IReadOnlyDictionary<string, int> counts, IReadOnlyList<Finding> findings, string? keptIn)
    {
        foreach (var (name, count) in counts)
            Line($"  {name.Replace('_', ' '),-28} {count,8}");
        Line($"  {"lost",-28} {Count(findings, FindingKind.Lost),8}");
        Line($"  {"duplicated",-28} {Count(findings, FindingKind.Duplicated),8}");
        Line($"  {"stale accepted",-28} {Count(findings, FindingKind.StaleAccepted),8}");
        foreach (var kind in findings.GroupBy(finding => finding.Kind))
        {
            Line($"broken: {kind.Key} {kind.Count()} times");
            foreach (var finding in kind.Take(ShownOfEach))
                Line($"  {finding}");
        }

        if (keptIn is not null)
            Line($"kept, with all findings in verdict.json: {keptIn}");
        text.Append(findings.Count == 0 ? "PASS" : "FAILURE");

        void Line(FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    private int Count(FindingKind kind) => Count(Findings, kind);

    private static int Count(IReadOnlyList<Finding> findings, FindingKind kind) => findings.Where(finding => finding.Kind == kind).Select(finding => finding.Subject).Distinct().Count();
}

/// <summary>Counts what came up in a run, so that a run that judged nothing can't pass.</summary>
public static class Situations
{
    /// <summary>From this many kills on every situation must have come up.</summary>
    public const int EnoughKills = 20;

    public static IReadOnlyDictionary<string, int> Count(History history, Snapshot snapshot)
    {
        var submits = history.Of<Invocation.Submit>().ToList();
        var acknowledged = submits.Select(one => one.Operation.Answer).OfType<Answer.Submitted>().SelectMany(answer => answer.Ids).ToHashSet();
        var unsettled = submits.Where(one => one.Operation.End == Phase.Unknown).SelectMany(one => one.What.Tasks.Select(task => task.Token)).ToHashSet();
        var unacknowledged = snapshot.Tasks.Where(task => !acknowledged.Contains(task.Id)).ToList();
        var ended = snapshot.Tasks.SelectMany(task => task.Attempts).ToLookup(attempt => attempt.Outcome);
        return new Dictionary<string, int>
        {
            ["acknowledged"] = acknowledged.Count,
            ["unknown"] = history.Operations.Count(operation => operation.End == Phase.Unknown),
            ["recovered_unknown"] = unacknowledged.Count(task => task.Token is not null && unsettled.Contains(task.Token)),
            ["repeats_answered"] = submits.Count(one => one.Operation.Answer is Answer.Submitted { Existed: true }),
            ["forged_keys_refused"] = submits.Count(one => one is { What.MustBeRefused: true, Operation.End: Phase.Refused }),
            ["completions_accepted"] = history.Reports.Count(one => one is { End: Phase.Ok, Report.Outcome: "completed" }),
            ["lies_refused"] = history.Reports.Count(one => one is { End: Phase.Refused, Report.MustBeRefused: true }),
            ["late_reports_refused"] = history.Reports.Count(one => one is { End: Phase.Refused, Report.MustBeRefused: false }),
            ["cancels_accepted"] = history.Of<Invocation.Cancel>().Count(one => one.Operation.End == Phase.Ok),
            ["retries_accepted"] = history.Of<Invocation.Retry>().Count(one => one.Operation.End == Phase.Ok),
            ["attempts_failed"] = ended["failed"].Count(),
            ["attempts_timed_out"] = ended["timeout"].Count(),
            ["attempts_released"] = ended["released"].Count(),
            ["attempts_lost"] = ended["lost"].Count(),
            ["dead_letters"] = snapshot.Tasks.Count(task => task.Status is TaskStatus.Failed or TaskStatus.Timeout),
            ["tasks_with_dependencies"] = snapshot.Tasks.Count(task => task.DependsOn.Count > 0),
            ["events"] = snapshot.Tasks.Sum(task => task.Events.Count),
        };
    }

    /// <summary>The situations that should have come up and did not.</summary>
    public static IEnumerable<Finding> Missing(IReadOnlyDictionary<string, int> counts, int kills)
    {
        IEnumerable<string> needed = kills >= EnoughKills ? counts.Keys : ["acknowledged", "completions_accepted"];
        return needed.Where(name => counts[name] == 0).Select(name => new Finding(FindingKind.Idle, "I-22", name, $"never came up in {kills} kills"));
    }
}

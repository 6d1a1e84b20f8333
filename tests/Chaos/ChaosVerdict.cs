using System.Globalization;
using System.Text;
using System.Text.Json;
using Dispatch.Chaos.Checking;
using Dispatch.Chaos.Nodes;

namespace Dispatch.Chaos;

/// <summary>A fault as it went.</summary>
/// <param name="Writer">The node that wrote before.</param>
/// <param name="IsSprung">False: it was a trap, and nobody stepped into it.</param>
/// <param name="TakeOverMs">From its beginning until the writer's place was taken, by another or anew; null: it was not.</param>
/// <param name="GapMs">The longest time without any node taking a task, from its beginning until all did again.</param>
/// <param name="RecoveryMs">From its end until all nodes took tasks again.</param>
public sealed record Injected(FaultKind Kind, string Writer, bool IsSprung, long LengthMs, long? TakeOverMs, long GapMs, long RecoveryMs)
{
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Kind,-15} {Writer} for {LengthMs,5} ms, taken over {(TakeOverMs is { } ms ? $"after {ms,5} ms" : "by nobody     ")}, gap {GapMs,5} ms, all back {RecoveryMs,5} ms after{(IsSprung ? "" : ", NOT SPRUNG")}");
}

/// <summary>What came of a run against several nodes.</summary>
/// <param name="Counts">How often each situation came up, by name.</param>
/// <param name="KeptIn">Data directories, histories and logs of a failed run; null when it passed.</param>
public sealed record ChaosVerdict(
    int Seed, string? Bug, IReadOnlyList<Injected> Faults, IReadOnlyDictionary<string, int> Counts, long DurationMs, IReadOnlyList<Finding> Findings, string? KeptIn)
{
    public bool Passed => Findings.Count == 0;

    public long WorstTakeOverMs => Faults.Max(fault => fault.TakeOverMs) ?? 0;

    public long WorstGapMs => Faults.Select(fault => fault.GapMs).DefaultIfEmpty().Max();

    public long WorstRecoveryMs => Faults.Select(fault => fault.RecoveryMs).DefaultIfEmpty().Max();

    /// <inheritdoc cref="Verdict.ShowsLoss"/>
    public bool ShowsLoss => Verdict.IsLoss(Findings);

    public string ToJson() => JsonSerializer.Serialize(this, Verdict.Format);

    public string ToText()
    {
        var text = new StringBuilder();
        var invariant = CultureInfo.InvariantCulture;
        text.Append(invariant, $"{Faults.Count} faults, seed {Seed}, {DurationMs / 1000.0:0.0} s{(Bug is null ? "" : $", planted bug {Bug}")}\n");
        foreach (var fault in Faults)
            text.Append(invariant, $"  {fault}\n");
        text.Append(invariant, $"worst: taken over after {WorstTakeOverMs} ms, {WorstGapMs} ms without an answer, all back {WorstRecoveryMs} ms after a fault\n");
        Verdict.Write(text, Counts, Findings, KeptIn);
        return text.ToString();
    }
}

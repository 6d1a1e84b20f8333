using System.Globalization;

namespace Dispatch.Bench.Reporting;

/// <summary>One measured number of a row, next to what was promised of it.</summary>
/// <param name="Row">The row it belongs to: <c>submit</c>, <c>bulk</c> ...</param>
/// <param name="Name">What was measured.</param>
/// <param name="Value">The number, in <paramref name="Unit"/>.</param>
/// <param name="Unit"><c>/s</c>, <c>ms</c>, <c>s</c>, <c>MiB</c> or <c>%</c>.</param>
internal sealed record Measure(string Row, string Name, double Value, string Unit)
{
    /// <summary>The number that has to be reached; null when nothing was promised.</summary>
    public double? Must { get; init; }

    /// <summary>The number that is aimed at; null when there is none.</summary>
    public double? Aim { get; init; }

    /// <summary>The same number of the bare endpoint, measured in this run; null when it has none.</summary>
    public double? Bare { get; init; }

    /// <summary>Why the number is not to be held against the promise, as in a quick run on fewer tasks.</summary>
    public string? NotJudged { get; init; }

    public double? RatioToBare => Bare is { } bare and > 0 ? Value / bare : null;

    public string Verdict => this switch
    {
        { Must: null } => "",
        { NotJudged: { } reason } => $"not judged: {reason}",
        _ when !Reaches(Must.Value) => "BELOW MUST",
        { Aim: { } aim } when Reaches(aim) => "reaches aim",
        _ => "meets must",
    };

    /// <summary>A number in this measure's unit, as people read it.</summary>
    public string Format(double? number) => number is not { } value ? "" : Unit switch
    {
        "/s" => value.ToString("#,0", CultureInfo.InvariantCulture) + "/s",
        "s" => value.ToString("0.000", CultureInfo.InvariantCulture) + " s",
        "MiB" => value.ToString("#,0.0", CultureInfo.InvariantCulture) + " MiB",
        _ => value.ToString("0.00", CultureInfo.InvariantCulture) + " " + Unit,
    };

    private bool Reaches(double goal) => Unit == "/s" ? Value >= goal : Value <= goal;
}

/// <summary>What a row brought: its numbers, and what a reader has to know about them.</summary>
internal sealed record RowResult(IReadOnlyList<Measure> Measures, IReadOnlyList<string> Notes);

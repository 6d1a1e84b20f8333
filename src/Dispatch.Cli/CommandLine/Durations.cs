using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Dispatch.Cli.CommandLine;

/// <summary>Lengths of time as people write them: <c>500ms</c>, <c>30s</c>, <c>1h30m</c>, <c>2d</c>.</summary>
internal static partial class Durations
{
    private const string Form = "is no duration. Write a number and a unit: 500ms, 30s, 5m, 1h30m, 2d";

    /// <summary>Reads a duration; a number without a unit is refused, because it could mean anything.</summary>
    public static bool TryParse(string text, out TimeSpan duration)
    {
        duration = default;
        if (text.Length == 0 || Whole().Match(text) is not { Success: true })
            return false;

        var milliseconds = 0.0;
        foreach (Match part in Part().Matches(text))
        {
            milliseconds += double.Parse(part.Groups["number"].ValueSpan, CultureInfo.InvariantCulture) * part.Groups["unit"].Value switch
            {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => 86_400_000,
            };
        }

        // A century is more than anybody means, and well inside what TimeSpan and the wire can hold.
        if (milliseconds > TimeSpan.FromDays(36_525).TotalMilliseconds)
            return false;
        duration = TimeSpan.FromMilliseconds(milliseconds);
        return true;
    }

    /// <summary>An option that takes a duration.</summary>
    public static Option<TimeSpan?> Option(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "DURATION",
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (TryParse(text, out var duration))
                return duration;
            result.AddError($"{name}: '{text}' {Form}");
            return null;
        },
    };

    /// <summary>An option that takes a point in time, or a duration from now on.</summary>
    public static Option<DateTimeOffset?> InstantOption(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "TIME",
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (TryParse(text, out var duration))
                return TimeProvider.System.GetUtcNow() + duration;
            if (text.Contains('T') && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var instant))
                return instant;
            result.AddError($"{name}: '{text}' is no time. Write 2026-12-24T18:00:00Z, or a duration from now such as 2h");
            return null;
        },
    };

    /// <summary>A duration in the two units that matter most: 850ms, 12.3s, 4m05s, 3h20m, 2d4h.</summary>
    public static string Show(TimeSpan duration)
    {
        if (duration < TimeSpan.Zero)
            return "-" + Show(-duration);
        return duration switch
        {
            { TotalMilliseconds: < 10 } => duration.TotalMilliseconds.ToString("0.0", CultureInfo.InvariantCulture) + "ms",
            { TotalMilliseconds: < 1000 } => duration.TotalMilliseconds.ToString("0", CultureInfo.InvariantCulture) + "ms",
            { TotalSeconds: < 60 } => duration.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture) + "s",
            { TotalHours: < 1 } => $"{duration.Minutes}m{duration.Seconds:00}s",
            { TotalDays: < 1 } => $"{duration.Hours}h{duration.Minutes:00}m",
            _ => $"{(int)duration.TotalDays}d{duration.Hours}h",
        };
    }

    [GeneratedRegex(@"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Whole();

    [GeneratedRegex(@"(?<number>[0-9]+(\.[0-9]+)?)(?<unit>ms|s|m|h|d)", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Part();
}

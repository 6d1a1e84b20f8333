using System.Globalization;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Quota;

/// <summary>Limits in words.</summary>
internal static class LimitWords
{
    public const string Each = "*";

    private static readonly string[] Weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

    /// <summary>Whose spending it counts: <c>agent coder-1</c>, <c>each owner</c>, <c>the swarm</c>.</summary>
    public static string Whose(Limit limit) => limit.Level switch
    {
        LimitLevel.Swarm => "the swarm",
        _ when limit.Target == Each => $"each {limit.Level}",
        _ => $"{limit.Level} {limit.Target}",
    };

    /// <summary>Whose standing it is: of a limit for each, the one's.</summary>
    public static string Whose(LimitStanding standing) =>
        standing.Limit.Target == Each ? $"{standing.Limit.Level} {standing.Target}" : Whose(standing.Limit);

    /// <summary>What it says: <c>5,000,000 tokens a day</c>.</summary>
    public static string Rule(Limit limit)
    {
        var amount = limit.Amount ?? 0;
        var rule = limit.Unit switch
        {
            LimitUnit.Models => string.Join("; ", new[] { Models("only", limit.Allow), Models("not", limit.Deny) }.Where(part => part is not null)),
            LimitUnit.JobMs => $"{QuotaAmount.Show(amount, limit.Unit)} a job at most",
            LimitUnit.CooldownMs => $"{QuotaAmount.Show(amount, limit.Unit)} without new work after a failure",
            LimitUnit.ConcurrentJobs => $"{QuotaAmount.Show(amount, limit.Unit)} at once".Replace("concurrent ", "", StringComparison.Ordinal),
            _ => $"{QuotaAmount.Show(amount, limit.Unit)} {Window(limit.Window)}",
        };
        if (limit.Model is { } model)
            rule += $" with {model}";
        return limit.Repo is { } repo ? $"{rule} in {repo}" : rule;
    }

    /// <summary>When what was used counts no more: <c>a day</c>.</summary>
    public static string Window(LimitWindow? window) => window?.Kind switch
    {
        null or "lifetime" => "in all",
        "hour" => "an hour",
        "rolling" => $"in any {Durations.Show(window.Rolling ?? TimeSpan.Zero)}",
        var kind => $"a {kind}",
    };

    /// <summary>The same with the hour, day and time zone of its reset.</summary>
    public static string WindowInFull(LimitWindow window)
    {
        var words = Window(window);
        var begins = new List<string>();
        if (window.ResetDay is { } day)
            begins.Add(window.Kind == "week" ? $"on {Weekdays[Math.Clamp(day, 1, 7) - 1]}" : $"on day {Text(day)}");
        if (window.ResetHour is { } hour)
            begins.Add($"at {hour:00}:00");
        if (window.TimeZone is { } zone)
            begins.Add(zone);
        return begins.Count == 0 ? words : $"{words}, which begins {string.Join(' ', begins)}";
    }

    /// <summary>What comes next for it: when it is reset, used up, or gives work again. Empty: nothing by itself.</summary>
    public static string Next(LimitStanding standing, DateTimeOffset now) =>
        string.Join("; ", new[] { Pressing(standing, now), Reset(standing, now) }.Where(part => part is not null));

    /// <summary>The same in few words: only what matters most.</summary>
    public static string NextInShort(LimitStanding standing, DateTimeOffset now) => standing.State == "exceeded"
        ? Next(standing with { Overshoot = 0 }, now)
        : Pressing(standing, now) ?? Reset(standing, now) ?? "";

    private static string? Pressing(LimitStanding standing, DateTimeOffset now) => standing switch
    {
        { CooldownUntil: { } until } => $"no new work for {In(until, now)}",
        { State: "exceeded", Overshoot: > 0 and var over } => $"used up, {QuotaAmount.Number(over, standing.Limit.Unit)} over",
        { State: "exceeded", Reserved: > 0 } => "all used or reserved",
        { State: "exceeded" } => "used up",
        { ExhaustedAt: { } exhausted } => $"used up in {In(exhausted, now)} at this rate",
        _ => null,
    };

    private static string? Reset(LimitStanding standing, DateTimeOffset now) => standing switch
    {
        { CooldownUntil: not null } or { ResetsAt: null } => null,
        { ResetsAt: { } at, Limit.Window.Kind: "rolling" } => $"some comes back in {In(at, now)}",
        { ResetsAt: { } at } => $"resets in {In(at, now)}",
    };

    private static string In(DateTimeOffset at, DateTimeOffset now) => Durations.Show(at > now ? at - now : TimeSpan.Zero);

    private static string? Models(string word, IReadOnlyList<string>? models) => models is { Count: > 0 } ? $"{word} {string.Join(", ", models)}" : null;

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

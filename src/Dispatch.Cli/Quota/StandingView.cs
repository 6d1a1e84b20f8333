using Dispatch.Cli.Terminal;
using Dispatch.Client;
using Spectre.Console;

namespace Dispatch.Cli.Quota;

/// <summary>Limits as a person reads them: how they stand, as bars.</summary>
internal static class StandingView
{
    /// <summary>A line each, under headings.</summary>
    /// <param name="rows">Name, whose it is, the limit, and of which standing it is shown; a limit that nobody has used has none.</param>
    public static void WriteList(Screen screen, IReadOnlyList<(string Name, string Whose, Limit Limit, LimitStanding? Standing)> rows)
    {
        var now = TimeProvider.System.GetUtcNow();
        string[][] cells =
        [
            .. rows.Select(row => new[]
            {
                TerminalText.Line(row.Name),
                TerminalText.Line(row.Whose),
                TerminalText.Line(LimitWords.Rule(row.Limit)),
                row.Standing is { } standing ? ShareBar.Percent(standing) : "",
                row.Standing is { } next ? LimitWords.NextInShort(next, now) : "",
            }),
        ];
        var unicode = screen.Output.Profile.Capabilities.Unicode;
        var taken = Enumerable.Range(0, 5).Sum(column => cells.Max(row => row[column].Length) + 2) + 2;
        var width = Math.Clamp(screen.Output.Profile.Width - taken, ShareBar.Least, ShareBar.Most);

        var listing = new Listing("LIMIT", "FOR", "AMOUNT", "", ">USED", "NEXT");
        foreach (var (row, text) in rows.Zip(cells))
        {
            var bar = row.Standing is { } standing ? ShareBar.Of(standing) : row.Limit.Amount is { } amount && row.Limit.Window is not null ? new ShareBar(0, 0, amount, "ok") : null;
            listing.Table.AddRow(new Text(text[0]), new Text(text[1]), new Text(text[2]), bar?.Draw(width, unicode) ?? new Paragraph(), new Text(text[3]), new Text(text[4]));
        }

        listing.Write(screen);
    }

    /// <summary>Two lines each: what it says, and below it the bar with all numbers.</summary>
    /// <param name="binds">The key of the one that refuses; null: none does.</param>
    public static void WriteInFull(Screen screen, IReadOnlyList<LimitStanding> standings, string? binds = null)
    {
        var now = TimeProvider.System.GetUtcNow();
        var unicode = screen.Output.Profile.Capabilities.Unicode;
        foreach (var standing in standings)
        {
            var limit = standing.Limit;
            screen.Line($"{standing.Key}  {LimitWords.Whose(standing)}: {LimitWords.Rule(limit)}{(standing.Key == binds ? "   <- binds" : "")}");
            var next = LimitWords.Next(standing, now);
            if (ShareBar.Of(standing) is not { } bar)
            {
                if (next.Length > 0)
                    screen.Line($"  {next}");
                continue;
            }

            var numbers = limit.Unit == LimitUnit.ConcurrentJobs
                ? $"{ShareBar.Percent(standing)}  {Amount(standing.Reserved)} in hand, {Amount(standing.Remaining)} left"
                : $"{ShareBar.Percent(standing)}  {Amount(standing.Used)} used, {Amount(standing.Reserved)} reserved, {Amount(standing.Remaining)} left";
            // All on one line where there is room for a bar that says something.
            var width = screen.Output.Profile.Width - ShareBar.Around;
            var words = next.Length == 0 ? numbers : $"{numbers}; {next}";
            var together = width - words.Length >= ShareBar.Enough;
            var line = bar.Draw(Math.Clamp(width - (together ? words : numbers).Length, ShareBar.Least, ShareBar.Most), unicode, new Paragraph("  "));
            screen.Output.Write(line.Append($"  {TerminalText.Line(together ? words : numbers)}\n"));
            if (!together && next.Length > 0)
                screen.Line($"  {next}");

            string Amount(long amount) => QuotaAmount.Number(amount, limit.Unit);
        }
    }
}

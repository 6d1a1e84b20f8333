using System.Text.Json;
using Dispatch.Cli.Events;
using Dispatch.Cli.Tasks;
using Dispatch.Cli.Terminal;
using Dispatch.Client;
using Spectre.Console;

namespace Dispatch.Cli.Quota;

/// <summary>What happened to a limit, from the log: who set it, and what each window used.</summary>
internal static class LimitHistory
{
    private const string Prefix = "allowance.";
    private const int BarWidth = 20;

    /// <summary>The newest of the events about these subjects, oldest first.</summary>
    public static async Task<IReadOnlyList<LoggedEvent>> ReadAsync(DispatchClient client, IReadOnlyList<string> subjects, int limit, CancellationToken stop)
    {
        var query = new EventQuery { Types = [Prefix + "*"], Subjects = subjects };
        var newest = new Queue<LoggedEvent>();
        long? after = null;
        for (var more = true; more;)
        {
            var page = await client.ListEventsAsync(query, after, 1_000, stop);
            foreach (var happened in page.Events)
            {
                newest.Enqueue(happened);
                if (newest.Count > limit)
                    newest.Dequeue();
            }

            (after, more) = (page.NextAfter, page.More);
        }

        return [.. newest];
    }

    /// <summary>Writes a line for each event.</summary>
    /// <param name="limit">As it is now; null: it was deleted.</param>
    public static void Write(Screen screen, IReadOnlyList<LoggedEvent> events, Limit? limit)
    {
        var unicode = screen.Output.Profile.Capabilities.Unicode;
        var (unit, amount) = (limit?.Unit, (long?)null);
        var listing = new Listing(">SEQ", "TIME", "EVENT", "FOR", "BY", "", "WHAT");
        foreach (var happened in events)
        {
            var data = happened.Data;
            (unit, amount) = (Text(data, "unit") ?? unit, Number(data, "amount") ?? amount ?? limit?.Amount);
            var used = Number(data, "used");
            var bar = used is { } taken && amount is { } all ? new ShareBar(taken, Number(data, "reserved") ?? 0, all, StateOf(happened)) : null;
            listing.Table.AddRow(
                Plain(happened.Sequence.ToString(System.Globalization.CultureInfo.InvariantCulture)), Plain(TaskView.Time(happened.Time)), Plain(EventView.Type(happened)[Prefix.Length..]),
                Plain(happened.Subject?.Split('/', 2) is [_, var target] ? target : "-"), Plain(happened.Actor), bar?.Draw(BarWidth, unicode) ?? new Paragraph(),
                Plain(What(happened, unit ?? LimitUnit.Tokens, amount)));
        }

        listing.Write(screen);
    }

    private static string What(LoggedEvent happened, string unit, long? amount)
    {
        var data = happened.Data;
        return EventView.Type(happened)[Prefix.Length..] switch
        {
            "set" => Rule(happened),
            "deleted" => "no more",
            "reset" when Number(data, "used") is { } used => $"{Amount(used)}{(amount is { } all ? $" of {Amount(all)}" : "")} used in the window before",
            "reset" => "the first window",
            "warning" => $"{Amount(Number(data, "used") ?? 0)} of {Amount(amount ?? 0)} used, the warning is at {Number(data, "soft_percent")} %{(Number(data, "used") < amount ? Exhausted(data) : "")}",
            "exceeded" when Number(data, "overshoot") is > 0 and var over => $"{Amount(Number(data, "used") ?? 0)} of {Amount(amount ?? 0)} used, {Amount(over)} over",
            "exceeded" => $"{Amount(Number(data, "used") ?? 0)} of {Amount(amount ?? 0)} used, {Amount(Number(data, "reserved") ?? 0)} reserved: it binds",
            _ => EventView.Summary(happened),
        };

        string Amount(long number) => QuotaAmount.Number(number, unit);
    }

    private static string Rule(LoggedEvent happened)
    {
        var data = happened.Data;
        var window = data.TryGetProperty("window", out var given) && given.ValueKind == JsonValueKind.Object && Text(given, "kind") is { } kind
            ? new LimitWindow
            {
                Kind = kind,
                Rolling = Number(given, "rolling_ms") is > 0 and var length ? TimeSpan.FromMilliseconds(length) : null,
            }
            : null;
        var limit = new Limit
        {
            Id = happened.Subject ?? "",
            Level = Text(data, "level") ?? "",
            Target = Text(data, "target"),
            Unit = Text(data, "unit") ?? "",
            Amount = Number(data, "amount"),
            Window = window,
            Model = Text(data, "model"),
            Repo = Text(data, "repo"),
            Allow = Texts(data, "allow"),
            Deny = Texts(data, "deny"),
        };
        return $"{LimitWords.Whose(limit)}: {LimitWords.Rule(limit)}, warning at {Number(data, "soft_percent")} %{(Text(data, "on_exceed") == "pause" ? ", pauses work" : "")}";
    }

    private static string Exhausted(JsonElement data) =>
        Number(data, "exhausted_at") is { } at ? $", used up at {TaskView.Time(DateTimeOffset.FromUnixTimeMilliseconds(at))} at that rate" : "";

    private static string StateOf(LoggedEvent happened) => EventView.Type(happened)[Prefix.Length..] switch
    {
        "warning" => "warning",
        "exceeded" => "exceeded",
        _ => "ok",
    };

    private static Text Plain(string? text) => new(TerminalText.Line(text ?? "-"));

    private static string? Text(JsonElement data, string name) =>
        data.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static string[] Texts(JsonElement data, string name) =>
        data.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray().Select(item => item.ToString())] : [];

    private static long? Number(JsonElement data, string name) =>
        data.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) ? number : null;
}

using System.Globalization;
using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary>A task's history as a person reads it: a line for each event.</summary>
internal static class HistoryView
{
    private const int Shown = 100;

    public static void Write(Screen screen, IReadOnlyList<TaskEvent> events)
    {
        if (screen.Json)
        {
            screen.WriteJson(DispatchJson.Write(events));
            return;
        }

        var listing = new Listing(">SEQ", "TIME", "EVENT", "BY", "WHAT");
        foreach (var happened in events)
        {
            listing.Add(happened.Sequence, TaskView.Time(happened.Timestamp), happened.Type, happened.Actor ?? "-",
                TerminalText.Short(Summary(happened), Shown));
        }

        listing.Write(screen);
        if (events.Count == 0)
            screen.Note("Nothing of its history is kept any more.");
        else if (events[0].Truncated)
            screen.Note("Earlier events are not shown; those that are no longer kept can't be.");
    }

    /// <summary>What happened, in a line. Of a kind of event that this program does not know, its data.</summary>
    public static string Summary(TaskEvent happened)
    {
        var data = happened.Data;
        return happened.Type switch
        {
            "task.created" => Join(Text(data, "title"), Text(data, "status")),
            "task.assigned" => Join($"to {On(data)}", Milliseconds(data, "queued_ms") is { } waited ? $"after {waited} in the queue" : null),
            "task.started" or "task.completed" => On(data),
            "task.progressed" => Join(Number(data, "percent") is { } percent ? percent.ToString("0'%'", CultureInfo.InvariantCulture) : null, Text(data, "message")),
            "task.failed" => Join(On(data), Text(data, "error"), Is(data, "retryable", false) ? "not to be tried again" : null),
            "task.timed_out" => Join(On(data), Text(data, "error")),
            "task.retried" => Is(data, "manual", true) ? "put back by hand, with fresh attempts" : Join($"retry {Number(data, "retry_count")}", Due(data)),
            "task.released" => Join($"by {On(data)}", Text(data, "reason"), Due(data)),
            "task.reassigned" => Join($"from {On(data)}", Text(data, "reason"), Is(data, "requeued", true) ? "back in the queue" : null),
            "task.updated" => Join(
                Text(data, "reason"), Text(data, "status"), Number(data, "priority") is { } priority ? $"priority {priority}" : null,
                Member(data, "context") is null ? null : "context"),
            "task.dead_lettered" => Join(Text(data, "status"), Text(data, "error")),
            "task.cancelled" => Text(data, "reason") ?? "",
            "task.unmatched" => Text(data, "message") ?? Text(data, "reason") ?? "",
            _ => data.GetRawText(),
        };
    }

    private static string On(JsonElement data) => (Text(data, "agent"), Number(data, "attempt")) switch
    {
        ({ } agent, { } attempt) => $"{agent}, attempt {attempt}",
        ({ } agent, null) => agent,
        _ => "",
    };

    private static string? Due(JsonElement data) => Number(data, "next_attempt_at") is > 0 and var due
        ? $"not before {TaskView.Time(DateTimeOffset.FromUnixTimeMilliseconds((long)due))}"
        : null;

    private static string? Milliseconds(JsonElement data, string name) => Number(data, name) is { } ms ? Durations.Show(TimeSpan.FromMilliseconds(ms)) : null;

    private static string? Text(JsonElement data, string name) =>
        Member(data, name) is { ValueKind: JsonValueKind.String } value ? value.GetString() : null;

    private static double? Number(JsonElement data, string name) =>
        Member(data, name) is { ValueKind: JsonValueKind.Number } value ? value.GetDouble() : null;

    private static bool Is(JsonElement data, string name, bool wanted) =>
        Member(data, name)?.ValueKind == (wanted ? JsonValueKind.True : JsonValueKind.False);

    private static JsonElement? Member(JsonElement data, string name) =>
        data.ValueKind == JsonValueKind.Object && data.TryGetProperty(name, out var value) ? value : null;

    private static string Join(params ReadOnlySpan<string?> parts)
    {
        var said = new List<string>();
        foreach (var part in parts)
        {
            if (!string.IsNullOrEmpty(part))
                said.Add(part);
        }

        return string.Join("; ", said);
    }
}

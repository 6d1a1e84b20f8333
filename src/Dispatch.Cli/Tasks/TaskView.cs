using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Quota;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary>Tasks as a person reads them.</summary>
internal static class TaskView
{
    private const int ErrorShown = 80;

    /// <summary>Writes a list: a listing for a person, an array for a machine.</summary>
    /// <param name="screen">Where to.</param>
    /// <param name="tasks">Read to its end; a machine gets each task as soon as it is there.</param>
    /// <param name="nothing">What to tell a person when there are none.</param>
    /// <param name="stop">Ends the reading.</param>
    /// <param name="errors">Whether a person is to see why each one did not succeed.</param>
    public static async Task WriteListAsync(Screen screen, IAsyncEnumerable<DispatchTask> tasks, string nothing, CancellationToken stop, bool errors = false)
    {
        if (screen.Json)
        {
            var separator = "[";
            await foreach (var task in tasks.WithCancellation(stop))
            {
                Console.Out.WriteLine(separator + DispatchJson.Write(task));
                separator = ",";
            }

            Console.Out.WriteLine(separator == "[" ? "[]" : "]");
            return;
        }

        var now = TimeProvider.System.GetUtcNow();
        var listing = new Listing(["ID", "STATUS", ">PRIO", "AGENT", ">TRIES", ">AGE", "TITLE", .. errors ? ["ERROR"] : Array.Empty<string>()]);
        var any = false;
        await foreach (var task in tasks.WithCancellation(stop))
        {
            any = true;
            Cell[] cells = [task.Id, State(task), task.Priority, task.Assignee ?? "-", task.Attempt, Durations.Show(now - task.CreatedAt), task.Title];
            listing.Add(errors ? [.. cells, TerminalText.Short(task.Error, ErrorShown)] : cells);
        }

        if (any)
            listing.Write(screen);
        else
            screen.Note(nothing);
    }

    /// <summary>Writes one task in full.</summary>
    public static void Write(Screen screen, DispatchTask task)
    {
        if (screen.Json)
        {
            screen.WriteJson(DispatchJson.Write(task));
            return;
        }

        var listing = new Listing("", "");
        void Row(string name, string? value)
        {
            if (!string.IsNullOrEmpty(value))
                listing.Add(name, value);
        }

        listing.Add("id", task.Id);
        listing.Add("title", task.Title);
        listing.Add("status", Cell.State(task.Status));
        Row("progress", Progress(task.Progress));
        Row("error", task.Error);
        Row("agent", task.Assignee);
        Row("attempt", task.Attempt == 0 ? null : $"{task.Attempt} of at most {task.MaxRetries + 1}");
        Row("next attempt", Time(task.NextAttemptAt));
        Row("description", task.Description);
        Row("scope", task.Scope);
        Row("requires", string.Join(", ", task.RequiredCapabilities));
        Row("prefers", string.Join(", ", task.PreferredCapabilities));
        Row("labels", string.Join(", ", task.Labels.Select(label => $"{label.Key}={label.Value}")));
        Row("owner", task.Owner);
        Row("requester", task.Requester);
        Row("priority", task.Priority.ToString());
        Row("timeout", Durations.Show(task.Timeout));
        Row("budget", Amounts(task.Budget));
        Row("reserved", task.Reserved is { Count: > 0 } reserved ? string.Join(", ", reserved.Keys) : null);
        Row("may run", task.MaxRun is { } longest ? Durations.Show(longest) : null);
        Row("not before", Time(task.RunAt));
        Row("deadline", Time(task.Deadline));
        Row("depends on", string.Join(", ", task.DependsOn));
        Row("parent", task.ParentId);
        Row("key", task.IdempotencyKey);
        Row("created", Time(task.CreatedAt));
        Row("assigned", Time(task.AssignedAt));
        Row("started", Time(task.StartedAt));
        Row("ended", Time(task.CompletedAt));
        Row("dead letter", task.DeadLettered ? "yes; put it back with: dispatch task retry " + task.Id : null);
        listing.Table.ShowHeaders = false;
        listing.Write(screen);

        if (task.Context.ValueKind == JsonValueKind.Object && task.Context.EnumerateObject().Any())
            WriteBlock(screen, "context", task.Context);
        if (task.Result is { } result)
            WriteBlock(screen, "result", result);
        WriteAttempts(screen, task.Attempts);
    }

    /// <summary>One line about where a task stands now.</summary>
    public static string Describe(DispatchTask task)
    {
        var where = task.Status switch
        {
            TaskState.Assigned or TaskState.Running or TaskState.Completed when task.Assignee is { } agent =>
                $"{(task.Status == TaskState.Completed ? "by" : "on")} {agent}, attempt {task.Attempt}",
            TaskState.Pending when task.NextAttemptAt is { } next => $"next attempt at {Time(next)}",
            TaskState.Scheduled when task.RunAt is { } due => $"due at {Time(due)}",
            _ => "",
        };
        string?[] parts = [task.Status, where, task.IsFinal ? null : Progress(task.Progress), task.Status == TaskState.Completed ? null : task.Error];
        // Errors and progress are other people's text, and may have lines of their own.
        return TerminalText.Line(string.Join("  ", parts.Where(part => !string.IsNullOrEmpty(part))));
    }

    /// <summary>A point in time as the machine's clock shows it.</summary>
    public static string? Time(DateTimeOffset? instant) => instant?.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss zzz");

    /// <summary>A task's state in its colour, with how far it is.</summary>
    private static Cell State(DispatchTask task)
    {
        var cell = Cell.State(task.Status);
        return task is { IsFinal: false, Progress.Percent: { } percent } ? cell with { Text = $"{task.Status} {percent:0}%" } : cell;
    }

    private static string? Amounts(IReadOnlyDictionary<string, long>? budget) =>
        budget is null ? null : string.Join(", ", budget.Select(pair => QuotaAmount.Show(pair.Value, pair.Key)));

    private static string? Progress(TaskProgress? progress) => progress switch
    {
        { Percent: { } percent, Message: { } message } => $"{percent:0}% {message}",
        { Percent: { } percent } => $"{percent:0}%",
        { Message: { } message } => message,
        _ => null,
    };

    private static void WriteAttempts(Screen screen, IReadOnlyList<TaskAttempt> attempts)
    {
        if (attempts.Count == 0)
            return;
        screen.Line();
        var listing = new Listing(">ATTEMPT", "AGENT", "OUTCOME", ">TOOK", "ERROR");
        foreach (var attempt in attempts)
        {
            var began = attempt.StartedAt ?? attempt.AssignedAt;
            listing.Add(attempt.Attempt, attempt.Agent, Cell.State(attempt.Outcome),
                attempt.EndedAt - began is { } took ? Durations.Show(took) : "-", attempt.Error);
        }

        listing.Write(screen);
    }

    private static void WriteBlock(Screen screen, string name, JsonElement value)
    {
        screen.Line();
        screen.Line(name);
        screen.Line(Indented(value));
    }

    private static string Indented(JsonElement value)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            value.WriteTo(writer);
        return System.Text.Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }
}

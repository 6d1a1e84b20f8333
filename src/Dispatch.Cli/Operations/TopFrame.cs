using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Client;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Dispatch.Cli.Operations;

/// <summary>One picture of a broker: its statistics and the tasks agents have in hand.</summary>
/// <param name="Statistics">The broker at a glance.</param>
/// <param name="InHand">The newest tasks that are assigned or running.</param>
/// <param name="Rate">Tasks completed a second since the picture before; null in the first.</param>
/// <param name="At">When, by this process's steady clock.</param>
internal sealed record TopFrame(Statistics Statistics, IReadOnlyList<DispatchTask> InHand, double? Rate, long At)
{
    private const int MostTasks = 50;

    /// <summary>Lines that are always there: headings, blank lines and the foot.</summary>
    private const int FixedLines = 9;

    public static async Task<TopFrame> ReadAsync(DispatchClient client, TopFrame? before, CancellationToken stop)
    {
        var statistics = await client.GetStatisticsAsync(stop);
        var page = await client.ListTasksAsync(new TaskFilter { Status = [TaskState.Running, TaskState.Assigned], Limit = MostTasks }, cancel: stop);
        var now = TimeProvider.System.GetTimestamp();
        double? rate = before is null
            ? null
            : Math.Max(0, Completed(statistics) - Completed(before.Statistics)) / TimeProvider.System.GetElapsedTime(before.At, now).TotalSeconds;
        return new TopFrame(statistics, page.Tasks, rate, now);
    }

    /// <summary>For a machine, on one line.</summary>
    public string ToJson() => CliJson.Write(new FrameBody(
        JsonElement.Parse(DispatchJson.Write(Statistics)), JsonElement.Parse(DispatchJson.Write(InHand)), Rate));

    /// <summary>For a person.</summary>
    /// <param name="height">Lines there are; what does not fit is counted instead.</param>
    public IRenderable Render(int height)
    {
        var counts = string.Join("   ", StatisticsView.Counts(Statistics).Select(entry => $"{entry.Count:N0} {entry.State}"));
        var now = TimeProvider.System.GetUtcNow();
        var room = Math.Max(1, height - FixedLines - Statistics.Agents.Count);
        var tasks = new Listing("TASK", "AGENT", "STATUS", ">FOR", "TITLE");
        foreach (var task in InHand.Take(room))
        {
            tasks.Add(task.Id, task.Assignee, Cell.State(task.Status) with { Text = task.Progress?.Percent is { } percent ? $"{task.Status} {percent:0}%" : task.Status },
                Durations.Show(now - (task.StartedAt ?? task.AssignedAt ?? task.CreatedAt)), task.Title);
        }

        List<IRenderable> lines =
        [
            new Text(TerminalText.Line($"dispatch {Statistics.Version}   up {Ms(Statistics.UptimeMs)}   {Rate ?? 0:N1} completed/s   oldest waiting {Ms(Statistics.OldestPendingMs ?? 0)}   {Plural.Of(Statistics.DeadLetters, "dead letter")}"), new Style(decoration: Decoration.Bold)),
            new Text(TerminalText.Line(counts)),
            new Text(""),
            Statistics.Agents.Count == 0 ? new Text("no agents") : StatisticsView.Agents(Statistics).Table,
            new Text(""),
        ];
        lines.Add(InHand.Count == 0 ? new Text("nothing in hand") : tasks.Table);
        if (InHand.Count > room)
            lines.Add(new Text($"and {InHand.Count - room} more"));
        return new Rows(lines);
    }

    private static long Completed(Statistics statistics) => statistics.Tasks.GetValueOrDefault(TaskState.Completed);

    private static string Ms(double milliseconds) => Durations.Show(TimeSpan.FromMilliseconds(milliseconds));
}

/// <summary>A frame for a machine.</summary>
internal sealed record FrameBody(JsonElement Statistics, JsonElement InHand, double? CompletedPerSecond);

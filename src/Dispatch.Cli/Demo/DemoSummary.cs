using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Operations;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Demo;

/// <summary>How the demo ended.</summary>
internal sealed record DemoSummary
{
    public required int Files { get; init; }

    /// <summary>Tasks submitted, the report included.</summary>
    public required int Tasks { get; init; }

    public required long Completed { get; init; }

    /// <summary>Attempts that vanished with the killed worker.</summary>
    public required long Lost { get; init; }

    /// <summary>Tasks that the killed worker had been given and had not started: they went back at once, and no attempt was lost.</summary>
    public required long HandedBack { get; init; }

    /// <summary>Attempts that a worker said had failed.</summary>
    public required long FailedAttempts { get; init; }

    /// <summary>Attempts made after a lost or failed one.</summary>
    public required long Retried { get; init; }

    /// <summary>The report's result; null when it did not come about.</summary>
    public JsonElement? Report { get; init; }

    /// <summary>Why there is no report.</summary>
    public string? Error { get; init; }

    public required JsonElement Statistics { get; init; }

    /// <summary>What <c>dispatch doctor</c> said of the store afterwards.</summary>
    public string? Doctor { get; init; }

    public bool StoreIsSound { get; init; }

    public long TookMs { get; init; }

    /// <summary>True when every task was completed and the store is sound.</summary>
    public bool IsGood => Report is not null && Completed == Tasks && StoreIsSound;

    /// <summary>Asks the broker how it went.</summary>
    /// <param name="client">Asks.</param>
    /// <param name="report">The last task, as it ended.</param>
    /// <param name="tasks">How many there were besides.</param>
    /// <param name="files">How many files they were about.</param>
    /// <param name="held">What the victim had in hand when it was killed.</param>
    /// <param name="stop">Ends the asking.</param>
    public static async Task<DemoSummary> ReadAsync(DispatchClient client, DispatchTask report, int tasks, int files, IReadOnlyList<DispatchTask> held, CancellationToken stop)
    {
        var statistics = await client.GetStatisticsAsync(stop);
        var retried = 0L;
        await foreach (var task in client.ListAllTasksAsync(new TaskFilter { Limit = 1000 }, stop))
            retried += task.RetryCount;
        var handedBack = 0L;
        foreach (var task in held)
        {
            var attempts = (await client.GetTaskAsync(task.Id, cancel: stop)).Attempts;
            if (attempts.Any(attempt => attempt.Attempt == task.Attempt && attempt is { Agent: DemoWorker.Victim, Outcome: "released" }))
                handedBack++;
        }

        return new DemoSummary
        {
            Files = files,
            Tasks = tasks + 1,
            Completed = statistics.Tasks.GetValueOrDefault(TaskState.Completed),
            Lost = statistics.Agents.Sum(agent => agent.Lost),
            HandedBack = handedBack,
            FailedAttempts = statistics.Agents.Sum(agent => agent.Failed),
            Retried = retried,
            Report = report.Result,
            Error = report.Status == TaskState.Completed ? null : $"the report is {report.Status}: {report.Error ?? "no reason given"}",
            Statistics = JsonElement.Parse(DispatchJson.Write(statistics)),
        };
    }

    /// <summary>Tells a person.</summary>
    public void Write(Screen screen)
    {
        screen.Line();
        if (Report is { } json && json.Deserialize(DemoJson.Default.DemoReport) is { } report)
        {
            screen.Line("The report");
            screen.Line($"  {report.Files} files with {report.Lines:N0} lines, {report.DistinctHashes} different contents");
            screen.Line($"  most lines:   {report.LargestLines:N0} in {report.Largest}");
            screen.Line($"  longest line: {report.WidestColumns:N0} columns in {report.Widest}");
        }
        else
            screen.Line(Error ?? "There is no report.");

        screen.Line();
        screen.Line("The statistics");
        StatsCommand.Write(screen, DispatchJson.Read<Statistics>(Statistics.GetRawText()));
        screen.Line();
        screen.Line("The doctor");
        screen.Line(Doctor ?? "");
        screen.Line();
        screen.Line($"{Completed} of {Plural.Of(Tasks, "task")} completed in {Durations.Show(TimeSpan.FromMilliseconds(TookMs))}.");
        var notStarted = HandedBack == 0 ? "" : $" ({Plural.Of(HandedBack, "task")} it had not started went back at once)";
        screen.Line($"{Plural.Of(Lost, "attempt")} lost with the killed worker{notStarted}, {FailedAttempts} failed in the flaky one; {Retried} made again.");
        screen.Line(IsGood ? "Nothing was lost." : "That is not how it should end.");
    }
}

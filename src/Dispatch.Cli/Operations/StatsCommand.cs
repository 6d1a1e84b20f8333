using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Operations;

/// <summary><c>dispatch stats</c>.</summary>
internal static class StatsCommand
{
    public static Command Create() => new DispatchCommand("stats", "Show how many tasks are where, how long they take, and what each agent did")
    {
        Examples = ["dispatch stats", "dispatch stats --json | jq .tasks.pending"],
    }.Does(async run =>
    {
        using var client = run.Connect();
        var statistics = await client.GetStatisticsAsync(run.Stop);
        if (run.Screen.Json)
            run.Screen.WriteJson(DispatchJson.Write(statistics));
        else
            Write(run.Screen, statistics);
        return ExitCode.Ok;
    });

    /// <summary>Writes statistics for a person.</summary>
    public static void Write(Screen screen, Statistics statistics)
    {
        var tasks = new Listing("TASKS", ">COUNT");
        foreach (var (state, count) in StatisticsView.Counts(statistics))
            tasks.Add(Cell.State(state), count);
        tasks.Write(screen);

        screen.Line();
        var times = new Listing("TIME", ">COUNT", ">AVERAGE", ">P50", ">P95", ">P99");
        times.Add("in the queue", statistics.QueueMs.Count, Ms(statistics.QueueMs.Avg), Ms(statistics.QueueMs.P50), Ms(statistics.QueueMs.P95), Ms(statistics.QueueMs.P99));
        times.Add("running", statistics.RunMs.Count, Ms(statistics.RunMs.Avg), Ms(statistics.RunMs.P50), Ms(statistics.RunMs.P95), Ms(statistics.RunMs.P99));
        times.Write(screen);

        screen.Line();
        if (statistics.Agents.Count > 0)
        {
            StatisticsView.Agents(statistics).Write(screen);
            screen.Line();
        }

        if (statistics.OldestPendingMs is > 0 and var oldest)
            screen.Line($"the oldest waiting task has waited {Ms(oldest)}");
        if (statistics.DeadLetters > 0)
            screen.Line($"{Plural.Of(statistics.DeadLetters, "dead letter")}; see with: dispatch dead-letter list");
        screen.Line($"{Plural.Of(statistics.Sequence, "event")}; up for {Ms(statistics.UptimeMs)}; version {statistics.Version}");
    }

    private static string Ms(double milliseconds) => Durations.Show(TimeSpan.FromMilliseconds(milliseconds));
}

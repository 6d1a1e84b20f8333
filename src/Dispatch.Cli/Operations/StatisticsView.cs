using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Operations;

/// <summary>Parts of the statistics as a person reads them.</summary>
internal static class StatisticsView
{
    private static readonly string[] Order =
    [
        TaskState.Scheduled, TaskState.Blocked, TaskState.Pending, TaskState.Assigned, TaskState.Running,
        TaskState.Completed, TaskState.Failed, TaskState.Timeout, TaskState.Cancelled,
    ];

    /// <summary>How many tasks are in each state, in the order of a task's life; states this program does not know come last.</summary>
    public static IEnumerable<(string State, long Count)> Counts(Statistics statistics) =>
        Order.Select(state => (state, statistics.Tasks.GetValueOrDefault(state)))
            .Concat(statistics.Tasks.Where(entry => !Order.Contains(entry.Key)).OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => (entry.Key, entry.Value)));

    /// <summary>Every agent's load and record.</summary>
    public static Listing Agents(Statistics statistics)
    {
        var listing = new Listing("AGENT", "STATUS", ">LOAD", ">COMPLETED", ">FAILED", ">TIMEOUT", ">LOST", ">AVG RUN");
        foreach (var agent in statistics.Agents)
        {
            var state = Cell.State(agent.Status ?? "unknown");
            listing.Add(agent.Id, agent.Drained ? state with { Text = agent.Status + ", drained" } : state, $"{agent.Active}/{agent.MaxConcurrent}",
                agent.Completed, agent.Failed, agent.Timeout, agent.Lost,
                agent.AvgRunMs is { } average ? Durations.Show(TimeSpan.FromMilliseconds(average)) : "-");
        }

        return listing;
    }
}

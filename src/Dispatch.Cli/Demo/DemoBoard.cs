using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Operations;
using Dispatch.Cli.Terminal;
using Dispatch.Client;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Dispatch.Cli.Demo;

/// <summary>Shows how far the demo is: a live picture on a terminal, a line a second elsewhere.</summary>
/// <param name="screen">Where. In JSON mode everything goes to standard error.</param>
/// <param name="total">Tasks there are.</param>
internal sealed class DemoBoard(Screen screen, int total)
{
    private const int BarWidth = 50;

    private readonly long began = TimeProvider.System.GetTimestamp();
    private readonly List<string> news = [];
    private readonly Dictionary<string, string> states = [];
    private TimeSpan lastLine = -TimeSpan.FromSeconds(1);

    /// <summary>Since the demo began to work.</summary>
    public TimeSpan Elapsed => TimeProvider.System.GetElapsedTime(began);

    private bool Live => screen is { Json: false, OutputIsTerminal: true } && screen.Output.Profile.Capabilities.Ansi;

    /// <summary>Runs work that updates the board.</summary>
    public Task ShowAsync(Func<Action<Statistics>, Task> work) => Live
        ? screen.Output.Live(new Text("")).StartAsync(live => work(statistics =>
        {
            TellTurns(statistics);
            live.UpdateTarget(Render(statistics));
        }))
        : work(statistics =>
        {
            TellTurns(statistics);
            WriteLine(statistics);
        });

    /// <summary>Tells something that happens once.</summary>
    public void Tell(string text)
    {
        news.Add($"{Durations.Show(Elapsed),6}  {text}");
        if (!Live)
            Say(news[^1]);
    }

    /// <summary>A line for a person, which must not come between JSON.</summary>
    public void Say(string text)
    {
        if (screen.Json)
            screen.Note(text);
        else
            screen.Line(text);
    }

    /// <summary>Tells when an agent falls asleep, wakes up or is given up.</summary>
    private void TellTurns(Statistics statistics)
    {
        foreach (var agent in statistics.Agents)
        {
            var before = states.GetValueOrDefault(agent.Id, AgentStatus.Ready);
            var now = agent.Status switch { AgentStatus.Busy or null => AgentStatus.Ready, { } status => status };
            states[agent.Id] = now;
            if (now == before)
                continue;
            Tell(now switch
            {
                AgentStatus.Sleeping => $"{agent.Id} has nothing to do and sleeps",
                AgentStatus.Offline => $"{agent.Id} has given no sign of life for a lease: what it had in hand goes to others",
                AgentStatus.Ready => $"{agent.Id} is awake",
                _ => $"{agent.Id} is {now}",
            });
        }
    }

    private void WriteLine(Statistics statistics)
    {
        if (Elapsed - lastLine < TimeSpan.FromSeconds(1))
            return;
        lastLine = Elapsed;
        Say($"{Durations.Show(Elapsed),6}  {Summary(statistics)}");
    }

    private Rows Render(Statistics statistics)
    {
        var completed = statistics.Tasks.GetValueOrDefault(TaskState.Completed);
        var filled = (int)(BarWidth * completed / Math.Max(1, total));
        List<IRenderable> lines =
        [
            new Text(""),
            new Columns(new Text(new string('█', filled), new Style(Color.Green)), new Text(new string('░', BarWidth - filled), new Style(Color.Grey))) { Expand = false, Padding = new Padding(0) },
            new Text(Summary(statistics)),
            new Text(""),
            StatisticsView.Agents(statistics).Table,
            new Text(""),
        ];
        lines.AddRange(news.Select(line => new Text(TerminalText.Line(line))));
        return new Rows(lines);
    }

    private string Summary(Statistics statistics)
    {
        long Count(string state) => statistics.Tasks.GetValueOrDefault(state);
        return $"{Count(TaskState.Completed)} of {total} completed, {Count(TaskState.Assigned) + Count(TaskState.Running)} in hand, {Count(TaskState.Pending) + Count(TaskState.Scheduled)} waiting, "
            + $"{Plural.Of(statistics.Agents.Sum(agent => agent.Failed), "attempt")} failed, {statistics.Agents.Sum(agent => agent.Lost)} lost";
    }
}

using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Agents;

/// <summary><c>dispatch agent ...</c>: look at agents, stop and start giving them work.</summary>
internal static class AgentCommand
{
    public static Command Create() => new DispatchCommand("agent", "Look at agents; stop and start giving them work")
    {
        Examples = ["dispatch agent list", "dispatch agent drain coder-1"],
        Subcommands =
        {
            List(),
            Show(),
            Steer("drain", "Stop giving an agent work, until it is resumed; what it has, it may finish", (client, id, stop) => client.DrainAgentAsync(id, stop)),
            Steer("resume", "Give a drained agent work again", (client, id, stop) => client.ResumeAgentAsync(id, stop)),
        },
    };

    private static Argument<string> Id() => new("ID") { Description = "Id of the agent" };

    private static DispatchCommand List()
    {
        var capability = new Option<string?>("--capability") { Description = "Only agents that can do this", HelpName = "NAME" };
        var status = new Option<string?>("--status") { Description = "Only agents in this state", HelpName = "STATE" };
        status.CompletionSources.Add("ready", "busy", "sleeping", "degraded", "offline");
        var owner = new Option<string?>("--owner") { Description = "Only this owner's", HelpName = "NAME" };
        return new DispatchCommand("list", "List agents with what they can do and how busy they are")
        {
            Options = { capability, status, owner },
            Examples = ["dispatch agent list", "dispatch agent list --capability images --status ready --json"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var agents = await client.ListAgentsAsync(new AgentFilter { Capability = run.Get(capability), Status = run.Get(status), Owner = run.Get(owner) }, run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(agents));
                return ExitCode.Ok;
            }

            if (agents.Count == 0)
            {
                run.Screen.Note("No such agents. Start one with: dispatch worker --id NAME --capability C --exec 'PROGRAM'");
                return ExitCode.Ok;
            }

            var now = TimeProvider.System.GetUtcNow();
            var listing = new Listing("AGENT", "STATUS", ">LOAD", "CAPABILITIES", "OWNER", ">SEEN");
            foreach (var agent in agents)
                listing.Add(agent.Id, State(agent), $"{agent.Active}/{agent.MaxConcurrent}", string.Join(", ", agent.Capabilities), agent.Owner ?? "-", Seen(agent, now));
            listing.Write(run.Screen);
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Show()
    {
        var id = Id();
        return new DispatchCommand("show", "Show one agent and what it has in hand")
        {
            Arguments = { id },
            Examples = ["dispatch agent show coder-1"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var agent = await client.GetAgentAsync(run.Get(id), run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(agent));
                return ExitCode.Ok;
            }

            Write(run.Screen, agent);
            var tasks = await client.GetHeldTasksAsync(agent.Id, run.Stop);
            run.Screen.Line();
            await Tasks.TaskView.WriteListAsync(run.Screen, tasks.ToAsyncEnumerable(), "It has nothing in hand.", run.Stop);
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Steer(string verb, string description, Func<DispatchClient, string, CancellationToken, Task<Agent>> act)
    {
        var id = Id();
        return new DispatchCommand(verb, description)
        {
            Arguments = { id },
            Examples = [$"dispatch agent {verb} coder-1"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var agent = await act(client, run.Get(id), run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(agent));
            run.Screen.Line($"{agent.Id}  {agent.Status}{(agent.Drained ? ", drained" : "")}, {agent.Active} of {agent.MaxConcurrent} in hand");
            return ExitCode.Ok;
        });
    }

    private static void Write(Screen screen, Agent agent)
    {
        var listing = new Listing("", "");
        listing.Table.ShowHeaders = false;
        listing.Add("id", agent.Id);
        listing.Add("status", State(agent));
        listing.Add("load", $"{agent.Active} of {agent.MaxConcurrent}");
        listing.Add("capabilities", string.Join(", ", agent.Capabilities));
        listing.Add("owner", agent.Owner ?? "-");
        listing.Add("labels", string.Join(", ", agent.Labels.Select(label => $"{label.Key}={label.Value}")));
        listing.Add("registered", Tasks.TaskView.Time(agent.RegisteredAt));
        listing.Add("last seen", Tasks.TaskView.Time(agent.LastSeenAt));
        listing.Write(screen);
    }

    private static Cell State(Agent agent) => agent.Drained ? Cell.State(agent.Status) with { Text = agent.Status + ", drained" } : Cell.State(agent.Status);

    private static string Seen(Agent agent, DateTimeOffset now) => agent.LastSeenAt is { } seen ? Durations.Show(now - seen) + " ago" : "-";
}

using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Tasks;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Nodes;

/// <summary><c>dispatch node ...</c>: the processes on a PostgreSQL.</summary>
internal static class NodeCommand
{
    public static Command Create() => new DispatchCommand("node", "List and drain the nodes on a PostgreSQL")
    {
        Examples = ["dispatch node list", "dispatch node drain east-1:8600"],
        Subcommands = { List(), Drain("drain", "Have a node hand its namespaces over and take none", draining: true), Drain("undrain", "Let a node take namespaces again", draining: false) },
    };

    private static DispatchCommand List() => new DispatchCommand("list", "List the nodes, and what each writes")
    {
        Examples = ["dispatch node list", "dispatch node list --json"],
    }.Does(async run =>
    {
        using var client = run.Connect();
        var nodes = await client.ListNodesAsync(run.Stop);
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(DispatchJson.Write(nodes));
            return ExitCode.Ok;
        }

        var listing = new Listing("NAME", "STATUS", "WRITES", "ADDRESS", "VERSION", "STARTED");
        foreach (var node in nodes)
            listing.Add(node.Name, node.Status, node.Writes.Count == 0 ? "-" : string.Join(", ", node.Writes), node.Url.ToString(), node.Version, TaskView.Time(node.StartedAt));
        listing.Write(run.Screen);
        return ExitCode.Ok;
    });

    private static DispatchCommand Drain(string name, string description, bool draining)
    {
        var node = new Argument<string>("NAME") { Description = "The node, from the list" };
        return new DispatchCommand(name, description)
        {
            Arguments = { node },
            Examples = [$"dispatch node {name} east-1:8600"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var now = await client.DrainNodeAsync(run.Get(node), draining, run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(now));
            else
                run.Screen.Line($"{now.Name} {now.Status}");
            return ExitCode.Ok;
        });
    }
}

using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Nodes;

/// <summary><c>dispatch namespace ...</c>: the swarms on a PostgreSQL.</summary>
internal static class NamespaceCommand
{
    public static Command Create() => new DispatchCommand("namespace", "List, make and move namespaces: swarms of their own on one PostgreSQL")
    {
        Examples = ["dispatch namespace create blue", "dispatch submit --namespace blue 'Count the words'", "dispatch namespace move blue east-2:8600"],
        Subcommands = { List(), Make(), Move() },
    };

    private static DispatchCommand List() => new DispatchCommand("list", "List the namespaces, and which node writes each")
    {
        Examples = ["dispatch namespace list", "dispatch namespace list --json"],
    }.Does(async run =>
    {
        using var client = run.Connect();
        var namespaces = await client.ListNamespacesAsync(run.Stop);
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(DispatchJson.Write(namespaces));
            return ExitCode.Ok;
        }

        var listing = new Listing("NAME", "WRITER", "SHOULD BE", ">EPOCH");
        foreach (var one in namespaces)
            listing.Add(one.Name, one.Writer ?? "none", one.Node ?? "any", one.Epoch.ToString(System.Globalization.CultureInfo.InvariantCulture));
        listing.Write(run.Screen);
        return ExitCode.Ok;
    });

    private static DispatchCommand Make()
    {
        var name = new Argument<string>("NAME") { Description = "1 to 40 of a-z, 0-9, - and _" };
        return new DispatchCommand("create", "Make a namespace; one that is there stays as it is")
        {
            Arguments = { name },
            Examples = ["dispatch namespace create blue"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            return Show(run, await client.CreateNamespaceAsync(run.Get(name), run.Stop));
        });
    }

    private static DispatchCommand Move()
    {
        var name = new Argument<string>("NAME") { Description = "The namespace, from the list" };
        var node = new Argument<string?>("NODE") { Description = "The node that should write it; left out: whichever has least to do", Arity = ArgumentArity.ZeroOrOne };
        return new DispatchCommand("move", "Say which node writes a namespace; it is handed over within a second")
        {
            Arguments = { name, node },
            Examples = ["dispatch namespace move blue east-2:8600", "dispatch namespace move blue      # whichever has least to do"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            return Show(run, await client.MoveNamespaceAsync(run.Get(name), run.Get(node), run.Stop));
        });
    }

    private static int Show(Invocation run, Namespace now)
    {
        if (run.Screen.Json)
            run.Screen.WriteJson(DispatchJson.Write(now));
        else
            run.Screen.Line($"{now.Name}: written by {now.Writer ?? "no node yet"}{(now.Node is { } should && should != now.Writer ? $", to be handed to {should}" : "")}");
        return ExitCode.Ok;
    }
}

using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Tasks;
using Dispatch.Cli.Terminal;
using Dispatch.Cli.Webhooks;
using Dispatch.Client;

namespace Dispatch.Cli.Questions;

/// <summary><c>dispatch responder ...</c>: which agents answer questions.</summary>
internal static class ResponderCommand
{
    public static Command Create() => new DispatchCommand("responder", "Say which agents answer questions")
    {
        Examples = ["dispatch responder set safety --type 'tool.*'", "dispatch responder list", "dispatch responder remove safety"],
        Subcommands = { List(), Set(), Remove() },
    };

    private static DispatchCommand List() => new DispatchCommand("list", "List responders")
    {
        Examples = ["dispatch responder list", "dispatch responder list --json"],
    }.Does(async run =>
    {
        using var client = run.Connect();
        var responders = await client.ListRespondersAsync(run.Stop);
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(DispatchJson.Write(responders));
            return ExitCode.Ok;
        }

        if (responders.Count == 0)
        {
            run.Screen.Note("No responders: questions wait for an admin. Register one with: dispatch responder set AGENT --type TYPE");
            return ExitCode.Ok;
        }

        var listing = new Listing("ID", "TYPES", "REGISTERED");
        foreach (var responder in responders)
            listing.Add(responder.Id, string.Join(", ", responder.Types), TaskView.Time(responder.RegisteredAt) ?? "-");
        listing.Write(run.Screen);
        return ExitCode.Ok;
    });

    private static DispatchCommand Set()
    {
        var id = Id();
        var types = new Option<string[]>("--type") { Description = "A type of step, or all below a name as in tool.*; may repeat", HelpName = "TYPE", Required = true };
        return new DispatchCommand("set", "Have questions of these types wait for an agent's answer from now on")
        {
            Arguments = { id },
            Options = { types },
            Examples = ["dispatch responder set safety --type 'tool.*' --type task.confirmation"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var responder = await client.RegisterResponderAsync(run.Get(id), run.Get(types)!, run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(responder));
            run.Screen.Line($"{responder.Id} answers {string.Join(", ", responder.Types)}");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Remove()
    {
        var id = Id();
        return new DispatchCommand("remove", "Wait for an agent's answers no more")
        {
            Arguments = { id },
            Examples = ["dispatch responder remove safety"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            await client.RemoveResponderAsync(run.Get(id), run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(CliJson.Write(new DeletedBody(run.Get(id), Deleted: true)));
            run.Screen.Line($"{run.Get(id)} removed");
            return ExitCode.Ok;
        });
    }

    private static Argument<string> Id() => new("AGENT") { Description = "The agent id that it calls with" };
}

using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Dispatch.Cli.CommandLine;

/// <summary>The whole command: its parts list, and how it is run.</summary>
internal static class DispatchCommandLine
{
    /// <summary>Every command by name. Only the one that is called is built, which is most of the time it takes to start.</summary>
    private static readonly (string Name, Func<Command> Create)[] Parts =
    [
        ("serve", Operations.ServeCommand.Create),
        ("submit", Tasks.SubmitCommand.Create),
        ("task", Tasks.TaskCommand.Create),
        ("dead-letter", Tasks.DeadLetterCommand.Create),
        ("agent", Agents.AgentCommand.Create),
        ("worker", Workers.WorkerCommand.Create),
        ("stats", Operations.StatsCommand.Create),
        ("top", Operations.TopCommand.Create),
        ("events", Events.EventsCommand.Create),
        ("audit", Events.AuditCommand.Create),
        ("token", Tokens.TokenCommand.Create),
        ("question", Questions.QuestionCommand.Create),
        ("responder", Questions.ResponderCommand.Create),
        ("webhook", Webhooks.WebhookCommand.Create),
        ("quota", Quota.QuotaCommand.Create),
        ("node", Nodes.NodeCommand.Create),
        ("namespace", Nodes.NamespaceCommand.Create),
        ("config", Operations.ConfigCommand.Create),
        ("store", Stores.StoreCommand.Create),
        ("doctor", Doctor.DoctorCommand.Create),
        ("demo", Demo.DemoCommand.Create),
        ("demo-report", Demo.DemoReport.CreateCommand),
        ("version", Operations.VersionCommand.Create),
        ("completion", Operations.CompletionCommand.Create),
    ];

    /// <summary>Runs one command line.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public static async Task<int> RunAsync(string[] arguments, CancellationToken stop)
    {
        var parsed = Build(arguments).Parse(arguments, new ParserConfiguration
        {
            // A value may begin with @, as in --context @file; it is not a file of more arguments.
            ResponseFileTokenReplacer = null,
        });
        if (parsed.Errors.Count > 0 && parsed.Action is ParseErrorAction)
            return Refuse(parsed);

        var exit = await parsed.InvokeAsync(
            new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, stop);
        return exit;
    }

    /// <summary>The tree of commands.</summary>
    /// <param name="arguments">What was typed: when it begins with a command's name, only that command is built.</param>
    public static RootCommand Build(params ReadOnlySpan<string> arguments)
    {
        var root = new RootCommand("Dispatch brokers tasks between those who need work done and the agents that can do it.");
        foreach (var option in GlobalOptions.All)
            root.Options.Add(option);

        var called = arguments.Length == 0 ? null : arguments[0];
        var one = Array.FindIndex(Parts, part => part.Name == called);
        foreach (var part in one < 0 ? Parts : Parts[one..(one + 1)])
            root.Subcommands.Add(part.Create());

        var help = root.Options.OfType<HelpOption>().Single();
        // -? and the slashes are for another shell than the ones completed here.
        help.Aliases.Clear();
        help.Aliases.Add("-h");
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
        var version = root.Options.OfType<VersionOption>().Single();
        version.Action = new VersionAction();
        return root;
    }

    /// <summary>The library's words for a command that only holds others.</summary>
    private const string NoCommand = "Required command was not provided";

    private static int Refuse(ParseResult parsed)
    {
        var screen = new Terminal.Screen(parsed.GetValue(GlobalOptions.Json));
        var command = parsed.CommandResult.Command;
        var help = "See: " + string.Join(' ', Path(command)) + " --help";
        if (parsed.Tokens.Count == 0)
            return Build().Parse(["--help"]).Invoke();

        var messages = parsed.Errors.Select(error => error.Message.TrimEnd('.')).Distinct().ToList();
        if (parsed.UnmatchedTokens.Count > 0)
            messages.RemoveAll(message => message == NoCommand);
        else if (messages is [NoCommand])
            messages = ["Say which: " + string.Join(", ", command.Subcommands.Where(sub => !sub.Hidden).Select(sub => sub.Name))];
        DispatchCommand.Report(screen, messages.Count == 1
            ? new CommandFault(ExitCode.Usage, "usage", messages[0], Suggestion(parsed) ?? help)
            : new CommandFault(ExitCode.Usage, "usage", "This command line is wrong.", Suggestion(parsed) ?? help) { Details = messages });
        return ExitCode.Usage;
    }

    /// <summary>The nearest name to one that does not exist.</summary>
    private static string? Suggestion(ParseResult parsed)
    {
        if (parsed.UnmatchedTokens.Count == 0)
            return null;
        var typed = parsed.UnmatchedTokens[0];
        var command = parsed.CommandResult.Command;
        var names = typed.StartsWith('-')
            ? command.Options.Concat(GlobalOptions.All).Where(option => !option.Hidden).Select(option => option.Name)
            : command.Subcommands.Where(sub => !sub.Hidden).Select(sub => sub.Name);
        var nearest = names.Select(name => (Name: name, Distance: Spelling.Distance(typed, name))).OrderBy(candidate => candidate.Distance).FirstOrDefault();
        return nearest.Name is not null && nearest.Distance <= Math.Max(2, typed.Length / 3) ? $"Did you mean {nearest.Name}?" : null;
    }

    /// <summary>The words that lead to a command, the program's name first.</summary>
    public static IEnumerable<string> Path(Command command)
    {
        var parent = command.Parents.OfType<Command>().FirstOrDefault();
        return parent is null ? ["dispatch"] : Path(parent).Append(command.Name);
    }

    private sealed class VersionAction : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            Console.Out.WriteLine($"dispatch {Operations.VersionCommand.Version}");
            return ExitCode.Ok;
        }
    }
}

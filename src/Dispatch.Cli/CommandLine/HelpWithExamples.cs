using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Dispatch.Cli.CommandLine;

/// <summary>The library's help, and below it what people look for first: examples, and for the root the exit codes.</summary>
/// <param name="help">Writes usage, arguments and options.</param>
internal sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        help.Invoke(parseResult);
        var output = parseResult.InvocationConfiguration.Output;
        if (parseResult.CommandResult.Command is DispatchCommand command)
        {
            if (command.Remarks is { } remarks)
                output.WriteLine(remarks + "\n");
            Write(output, "Examples", command.Examples);
        }
        else
        {
            Write(output, "Examples", ["dispatch demo", "dispatch serve", "dispatch submit 'Count the lines' --require lines --wait"]);
            Write(output, "Exit codes", ExitCode.All.Select(entry => $"{entry.Code,3}  {entry.Meaning}"));
        }

        return ExitCode.Ok;
    }

    private static void Write(TextWriter output, string heading, IEnumerable<string> lines)
    {
        output.WriteLine(heading + ":");
        foreach (var line in lines)
            output.WriteLine("  " + line);
        output.WriteLine();
    }
}

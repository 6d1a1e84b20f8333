using System.CommandLine;
using Dispatch.Cli.Terminal;

namespace Dispatch.Cli.CommandLine;

/// <summary>A command with examples in its help and one place for what goes wrong.</summary>
/// <param name="name">As it is typed.</param>
/// <param name="description">One sentence, for the list of commands.</param>
internal sealed class DispatchCommand(string name, string description) : Command(name, description)
{
    /// <summary>Command lines a person could type, shown under the help.</summary>
    public required IReadOnlyList<string> Examples { get; init; }

    /// <summary>More for the help, below the options; null: nothing.</summary>
    public string? Remarks { get; init; }

    /// <summary>Gives the command its work.</summary>
    /// <param name="work">Returns one of <see cref="ExitCode"/>; whatever it throws becomes a message and an exit code.</param>
    public DispatchCommand Does(Func<Invocation, Task<int>> work)
    {
        foreach (var argument in Arguments)
        {
            argument.Validators.Add(result =>
            {
                if (result.Tokens.FirstOrDefault(token => token.Value.StartsWith("--", StringComparison.Ordinal)) is { } flag)
                    result.AddError($"There is no option {flag.Value}");
            });
        }

        SetAction((arguments, cancel) => RunAsync(new Invocation(arguments, new Screen(arguments.GetValue(GlobalOptions.Json)), cancel), work));
        return this;
    }

    private static async Task<int> RunAsync(Invocation run, Func<Invocation, Task<int>> work)
    {
        try
        {
            return await work(run);
        }
        catch (OperationCanceledException) when (run.Stop.IsCancellationRequested)
        {
            return ExitCode.Interrupted;
        }
        catch (Exception exception)
        {
            var fault = CommandFault.Of(exception);
            Report(run.Screen, fault);
            if (fault.ExitCode == ExitCode.Internal && Environment.GetEnvironmentVariable("DISPATCH_DEBUG") is { Length: > 0 })
                run.Screen.Note(exception.ToString());
            return fault.ExitCode;
        }
    }

    /// <summary>Tells a person, and in JSON mode the machine, what went wrong.</summary>
    public static void Report(Screen screen, CommandFault fault)
    {
        if (screen.Json)
            screen.WriteJson(CliJson.Write(new FaultReport(new FaultBody(fault.Code, fault.Message, fault.ExitCode, fault.Next, fault.Details.Count == 0 ? null : fault.Details))));

        screen.Note($"dispatch: {fault.Message}");
        foreach (var detail in fault.Details)
            screen.Note($"  {detail}");
        if (fault.Next is not null)
            screen.Note(fault.Next);
    }
}

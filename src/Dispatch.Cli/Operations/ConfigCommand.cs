using System.CommandLine;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Host.Configuration;

namespace Dispatch.Cli.Operations;

/// <summary><c>dispatch config ...</c>.</summary>
internal static class ConfigCommand
{
    public static Command Create() => new DispatchCommand("config", "Look at the broker's configuration")
    {
        Examples = ["dispatch config show", "dispatch config check dispatch.yaml"],
        Subcommands =
        {
            new DispatchCommand("show", "Print every setting as it would be in force, and where it comes from; secrets are masked")
            {
                Options = { Configuration.FileOption },
                Examples = ["dispatch config show", "dispatch config show --config /etc/dispatch.yaml --json | jq .server"],
            }.Does(run => Task.FromResult(Show(run))),
            Check(),
        },
    };

    private static DispatchCommand Check()
    {
        var file = new Argument<string?>("FILE")
        {
            Description = "The file; without it the one that serve would read",
            Arity = ArgumentArity.ZeroOrOne,
        };
        return new DispatchCommand("check", "Say whether a broker would start with a file, with the environment as it is here, and all that is wrong with it")
        {
            Arguments = { file },
            Options = { Configuration.FileOption },
            Examples = ["dispatch config check", "dispatch config check /etc/dispatch.yaml --json"],
        }.Does(run => Task.FromResult(Check(run, run.Arguments.GetValue(file))));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Check(Invocation run, string? file)
    {
        var config = Configuration.Load(run, new Dictionary<string, string>(), file: file);
        if (run.Screen.Json)
            run.Screen.WriteJson(CliJson.Write(new CheckedBody(true, config.File)));
        else
            run.Screen.Line(config.File is null ? "There is no file; the settings are valid" : $"{TerminalText.Line(config.File)} is valid");
        return ExitCode.Ok;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Show(Invocation run)
    {
        var config = Configuration.Load(run, new Dictionary<string, string>());
        if (run.Screen.Json)
            run.Screen.WriteJson(JsonSerializer.Serialize(JsonElement.Parse(config.Show(ConfigFormat.Json)), CliJson.Default.JsonElement));
        else
            run.Screen.Line(config.Show(ConfigFormat.Yaml).TrimEnd('\n'));
        return ExitCode.Ok;
    }
}

/// <param name="File">Absent when there is none.</param>
internal sealed record CheckedBody(bool Valid, string? File);

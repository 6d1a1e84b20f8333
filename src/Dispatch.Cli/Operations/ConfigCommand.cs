using System.CommandLine;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Host.Configuration;

namespace Dispatch.Cli.Operations;

/// <summary><c>dispatch config ...</c>.</summary>
internal static class ConfigCommand
{
    public static Command Create() => new DispatchCommand("config", "Look at the broker's configuration")
    {
        Examples = ["dispatch config show"],
        Subcommands =
        {
            new DispatchCommand("show", "Print every setting as it would be in force, and where it comes from; secrets are masked")
            {
                Options = { Configuration.FileOption },
                Examples = ["dispatch config show", "dispatch config show --config /etc/dispatch.yaml --json | jq .server"],
            }.Does(run => Task.FromResult(Show(run))),
        },
    };

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

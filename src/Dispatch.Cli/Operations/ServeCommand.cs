using System.CommandLine;
using System.Globalization;
using System.Runtime.CompilerServices;
using Dispatch.Cli.CommandLine;
using Dispatch.Host;

namespace Dispatch.Cli.Operations;

/// <summary><c>dispatch serve</c>: hands over to the host.</summary>
internal static class ServeCommand
{
    public static Command Create()
    {
        var port = Port("--port", "Port of the API [8600]; 0 takes a free one");
        var metricsPort = Port("--metrics-port", "Port of health and metrics [8601]; 0 takes a free one");
        return new DispatchCommand("serve", "Run the broker")
        {
            Options = { Configuration.FileOption, port, metricsPort },
            Examples =
            [
                "dispatch serve",
                "dispatch serve --data-dir /var/lib/dispatch --config /etc/dispatch.yaml",
                "dispatch serve --port 0 --metrics-port 0      # free ports, told in broker.json of the data directory",
            ],
        }.Does(run =>
        {
            var overrides = new Dictionary<string, string>();
            if (run.Get(port) is { } api)
                overrides["server.port"] = api.ToString(CultureInfo.InvariantCulture);
            if (run.Get(metricsPort) is { } operations)
                overrides["server.metrics_port"] = operations.ToString(CultureInfo.InvariantCulture);
            return RunAsync(run, overrides);
        });
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<int> RunAsync(Invocation run, Dictionary<string, string> overrides)
    {
        var config = Configuration.Load(run, overrides);
        try
        {
            await BrokerProcess.RunAsync(config, run.Stop);
            return ExitCode.Ok;
        }
        catch (BrokerStartException e)
        {
            throw new CommandException(new CommandFault(ExitCode.Failed, "not_started", e.Message, e.Next));
        }
    }

    private static Option<int?> Port(string name, string description)
    {
        var option = new Option<int?>(name) { Description = description, HelpName = "N" };
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && !(int.TryParse(result.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port <= 65535))
                result.AddError($"{name}: '{result.Tokens[0].Value}' is no port. Give 0 to 65535");
        });
        return option;
    }
}

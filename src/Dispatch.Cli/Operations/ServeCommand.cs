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
        var port = Numbers.Option("--port", "Port of the API [8600]; 0 takes a free one", 0, 65535);
        var metricsPort = Numbers.Option("--metrics-port", "Port of health and metrics [8601]; 0 takes a free one", 0, 65535);
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
        var config = Configuration.Load(run, overrides, "nothing was started", "Once it is mended, see what is in force with: dispatch config show");

        // It looks by itself once it runs.
        Interruption.OnHangUp = static () => { };
        try
        {
            await BrokerProcess.RunAsync(config, act => Interruption.OnHangUp = act, run.Stop);
            return ExitCode.Ok;
        }
        catch (BrokerStartException e)
        {
            throw new CommandException(new CommandFault(ExitCode.Failed, "not_started", e.Message, e.Next));
        }
    }
}

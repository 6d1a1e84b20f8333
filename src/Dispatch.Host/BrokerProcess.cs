using Dispatch.Host.Configuration;
using Dispatch.Host.Nodes;
using Dispatch.Host.Os;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host;

/// <summary>The broker as a process: what <c>dispatch serve</c> runs. A service manager that asks for it is told how it stands.</summary>
public static class BrokerProcess
{
    /// <summary>Runs a broker until it is told to stop; then commits what it has taken, answers, and closes, all within 10 s.</summary>
    /// <param name="config">Every setting, validated.</param>
    /// <param name="onHangUp">Told what SIGHUP asks for from then on: to read the configuration file again.</param>
    /// <param name="stop">Begins the graceful stop.</param>
    /// <exception cref="BrokerStartException">It can not start: another broker has the store, a port is taken, the store is damaged.</exception>
    public static async Task RunAsync(LoadedConfig config, Action<Action> onHangUp, CancellationToken stop)
    {
        await using IServing broker = config.Config.Database.IsPostgres
            ? await Node.StartAsync(config.Config, TimeProvider.System, stop, source: config)
            : await Broker.StartAsync(config.Config, TimeProvider.System, stop, source: config);
        onHangUp(broker.ReadConfigAgain);
        var logger = broker.Logs.CreateLogger<ServiceSocket>();
        using var service = ServiceSocket.Open(Environment.GetEnvironmentVariable, Environment.ProcessId, logger);
        using var serving = new CancellationTokenSource();
        service.Ready($"Serving at {broker.Url}");
        var watchdog = new Watchdog(service, () => broker.Stillness, TimeProvider.System, logger).RunAsync(serving.Token);
        var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using (stop.UnsafeRegister(static done => ((TaskCompletionSource)done!).TrySetResult(), stopped))
            await Task.WhenAny(stopped.Task, broker.Completion);

        var failed = broker.Completion.IsFaulted ? broker.Completion : null;
        service.Stopping();
        await serving.CancelAsync();
        await watchdog;
        await broker.StopAsync();
        if (failed is not null)
            await failed;
    }
}

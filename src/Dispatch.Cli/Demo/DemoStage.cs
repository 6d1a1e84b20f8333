using Dispatch.Cli.Brokers;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Programs;
using Dispatch.Client;

namespace Dispatch.Cli.Demo;

/// <summary>A broker and its workers in a directory of their own; gone without a trace when disposed.</summary>
internal sealed class DemoStage : IAsyncDisposable
{
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(11);
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(50);

    private readonly GroupWatchdog? watchdog;
    private readonly List<DemoProcess> workers = [];
    private DemoProcess? broker;

    private DemoStage(string root, GroupWatchdog? watchdog)
    {
        Root = root;
        this.watchdog = watchdog;
    }

    /// <summary>The directory that holds everything.</summary>
    public string Root { get; }

    /// <summary>The broker's data directory.</summary>
    public string Data => Path.Combine(Root, "data");

    /// <summary>Where the broker is; set once it is ready.</summary>
    public RunningBroker Broker { get; private set; } = null!;

    /// <summary>The workers that were started.</summary>
    public IReadOnlyList<DemoProcess> Workers => workers;

    /// <summary>Makes the directory.</summary>
    /// <param name="warn">Takes a sentence for the person who watches.</param>
    public static DemoStage Create(Action<string> warn)
    {
        var root = Directory.CreateTempSubdirectory("dispatch-demo-").FullName;
        DemoWorker.WriteScripts(root);
        // A short lease, so that the killed worker is missed within seconds; short pauses, so that nobody waits for the flaky one.
        File.WriteAllText(Path.Combine(root, "dispatch.yaml"), """
            server: { port: 0, metrics_port: 0 }
            agents: { lease_ms: 3000 }
            retry: { base_ms: 200 }
            logging: { level: warn }

            """);
        return new DemoStage(root, GroupWatchdog.Start(TimeSpan.FromSeconds(5), warn));
    }

    /// <summary>Starts the broker and waits until it takes work.</summary>
    /// <exception cref="CommandException">It did not start; its own words are in the message.</exception>
    public async Task<DispatchClient> StartBrokerAsync(CancellationToken stop)
    {
        broker = DemoProcess.Start("broker", Root,
            ["serve", "--config", Path.Combine(Root, "dispatch.yaml"), "--data-dir", Data], watchdog);
        var directory = new DataDirectory(Data);
        await UntilAsync(() => Task.FromResult(directory.FindBroker() is { MetricsUrl: not null }), "The broker did not start", broker, stop);
        Broker = directory.FindBroker()!;

        var client = new DispatchClient(new DispatchClientOptions { Server = Broker.Url, AgentId = "demo", Token = directory.FindAdminToken() });
        await UntilAsync(async () => (await client.GetReadinessAsync(Broker.MetricsUrl!, stop)).IsReady, "The broker did not get ready", broker, stop);
        return client;
    }

    /// <summary>Starts workers and waits until the broker knows them all.</summary>
    public async Task StartWorkersAsync(IReadOnlyList<DemoWorker> wanted, DispatchClient client, CancellationToken stop)
    {
        foreach (var worker in wanted)
        {
            // On a small machine hundreds of programs a second leave nothing to whoever watches, and half-way would be over before it is seen.
            workers.Add(DemoProcess.Start(worker.Id, Root, worker.Arguments(Broker.Url), watchdog, yields: true));
        }

        await UntilAsync(async () => (await client.ListAgentsAsync(cancel: stop)).Count == wanted.Count, "The workers did not register", workers[^1], stop);
    }

    /// <summary>Stops everything in good order: the workers, then the broker.</summary>
    public async Task StopAsync()
    {
        await Task.WhenAll(workers.Select(worker => worker.StopAsync(StopPatience)));
        if (broker is not null)
            await broker.StopAsync(StopPatience);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        foreach (var process in workers)
            await process.DisposeAsync();
        if (broker is not null)
            await broker.DisposeAsync();
        if (watchdog is not null)
            await watchdog.DisposeAsync();
        Directory.Delete(Root, recursive: true);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition, string otherwise, DemoProcess process, CancellationToken stop)
    {
        var began = TimeProvider.System.GetTimestamp();
        using var timer = new PeriodicTimer(Glance, TimeProvider.System);
        while (!await condition())
        {
            var ended = process.Exited.IsCompleted;
            if (ended || TimeProvider.System.GetElapsedTime(began) > StartPatience)
            {
                throw new CommandException(new CommandFault(ExitCode.Failed, "demo", ended ? $"{otherwise}: {await process.Exited}" : $"{otherwise} within {StartPatience.TotalSeconds:0} s")
                {
                    Details = File.Exists(process.Log) ? [.. (await File.ReadAllLinesAsync(process.Log, stop)).TakeLast(10)] : [],
                });
            }

            await timer.WaitForNextTickAsync(stop);
        }
    }
}

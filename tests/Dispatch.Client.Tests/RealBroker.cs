using Dispatch.Host;
using Dispatch.Host.Configuration;

namespace Dispatch.Client.Tests;

/// <summary>The broker itself, on free ports and a data directory of its own; it can be stopped and started again in place.</summary>
internal sealed class RealBroker : IAsyncDisposable
{
    private const string AdminToken = "admin-token-of-the-client-tests";

    private readonly string directory = Directory.CreateTempSubdirectory("dispatch-client-").FullName;
    private DispatchConfig config;
    private Broker? broker;

    private RealBroker(Func<DispatchConfig, DispatchConfig>? change)
    {
        config = new DispatchConfig
        {
            Server = new ServerSettings { Port = 0, MetricsPort = 0, AdminToken = AdminToken },
            Database = new DatabaseSettings { Url = $"sqlite://{directory}/dispatch.db" },
            Retry = new RetrySettings { Base = TimeSpan.FromMilliseconds(10), Cap = TimeSpan.FromMilliseconds(20) },
        };
        config = change?.Invoke(config) ?? config;
    }

    public Uri Url { get; private set; } = new("http://127.0.0.1");
    public Uri OperationsUrl => broker!.OperationsUrl;

    public static async Task<RealBroker> StartAsync(Func<DispatchConfig, DispatchConfig>? change = null)
    {
        var real = new RealBroker(change);
        await real.StartAgainAsync();
        return real;
    }

    public async Task StartAgainAsync()
    {
        broker = await Broker.StartAsync(config, TimeProvider.System, CancellationToken.None, Stream.Null);
        Url = broker.Url;
        config = config with { Server = config.Server with { Port = Url.Port } };
    }

    public Task StopAsync() => broker!.StopAsync();

    public DispatchClient Client(string agentId, bool admin = false, string? token = null) => new(new DispatchClientOptions
    {
        Server = Url,
        AgentId = agentId,
        Token = admin ? AdminToken : token,
        RetryBase = TimeSpan.FromMilliseconds(5),
        RetryCap = TimeSpan.FromMilliseconds(50),
    });

    public async ValueTask DisposeAsync()
    {
        await broker!.DisposeAsync();
        Directory.Delete(directory, recursive: true);
    }
}

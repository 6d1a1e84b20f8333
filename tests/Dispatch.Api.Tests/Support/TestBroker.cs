using System.Text;
using Dispatch.Host;
using Dispatch.Host.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Xunit.Sdk;

namespace Dispatch.Api.Tests.Support;

/// <summary>A whole broker in this process: Kestrel on a free port, a SQLite file in a temporary directory.</summary>
public sealed class TestBroker : IAsyncDisposable
{
    public const string AdminSecret = "admin-secret-for-tests";

    private readonly TemporaryDirectory? ownDirectory;
    private readonly TimeProvider clock;
    private readonly LogCapture log = new();
    private readonly HttpClient http;
    private readonly LoadedConfig? source;
    private readonly Action<IServiceCollection>? compose;
    private Broker? broker;

    private TestBroker(
        DispatchConfig config, TemporaryDirectory? ownDirectory, TimeProvider clock, LoadedConfig? source = null, Action<IServiceCollection>? compose = null)
    {
        this.source = source;
        this.compose = compose;
        this.clock = clock;
        Config = config;
        this.ownDirectory = ownDirectory;
        http = NewHttp();
    }

    public DispatchConfig Config { get; private set; }

    public Broker Broker => broker ?? throw new InvalidOperationException("The broker is stopped.");

    public Uri Url => Broker.Url;

    public string Log => log.Text;

    /// <summary>Set by a test that makes the broker fail: error lines in the log are then what it is about.</summary>
    public bool MayLogErrors { get; set; }

    public ApiClient Admin => As("admin", AdminSecret);

    /// <param name="change">What differs from the defaults of the tests: no rate limit, quiet log, known admin token.</param>
    /// <param name="directory">Where the store is; null: a temporary directory.</param>
    /// <param name="compose">What a program that embeds the broker adds.</param>
    public static async Task<TestBroker> StartAsync(
        Func<DispatchConfig, DispatchConfig>? change = null, string? directory = null, TimeProvider? clock = null, Action<IServiceCollection>? compose = null)
    {
        var own = directory is null ? new TemporaryDirectory() : null;
        var config = new DispatchConfig
        {
            Server = new ServerSettings { Port = 0, MetricsPort = 0, AdminToken = AdminSecret },
            Database = new DatabaseSettings { Url = $"sqlite://{directory ?? own!.Path}/dispatch.db" },
            Limits = new LimitSettings { RequestsPerSecond = 0 },
            Logging = new LoggingSettings { Level = LogLevel.Information, Access = AccessLogging.Off },
        };
        var broker = new TestBroker(change?.Invoke(config) ?? config, own, clock ?? TimeProvider.System, compose: compose);
        await broker.StartAgainAsync();
        return broker;
    }

    /// <summary>As <c>dispatch serve --config FILE</c> starts it, with ports and the admin token on its command line.</summary>
    /// <param name="beforeStart">Runs when the file has been loaded.</param>
    public static async Task<TestBroker> StartFromFileAsync(string file, string directory, Dictionary<string, string>? environment = null, Action? beforeStart = null)
    {
        var loaded = Assert.IsType<ConfigOutcome.Loaded>(ConfigLoader.Load(new ConfigInputs
        {
            File = file,
            DataDirectory = directory,
            Environment = environment ?? [],
            Overrides = new Dictionary<string, string> { ["server.port"] = "0", ["server.metrics_port"] = "0", ["server.admin_token"] = AdminSecret },
        })).Config;
        beforeStart?.Invoke();
        var broker = new TestBroker(loaded.Config, null, TimeProvider.System, loaded);
        await broker.StartAgainAsync();
        return broker;
    }

    /// <summary>Stops gracefully and starts on the same store, on other ports.</summary>
    public async Task RestartAsync(Func<DispatchConfig, DispatchConfig>? change = null)
    {
        await StopAsync();
        Config = change?.Invoke(Config) ?? Config;
        await StartAgainAsync();
    }

    public async Task StopAsync()
    {
        if (broker is null)
            return;
        await broker.DisposeAsync();
        broker = null;
    }

    /// <summary>Who calls. Nobody: no header at all.</summary>
    public ApiClient As(string? agent, string? bearer = null) => new(http, () => Url, agent, bearer);

    /// <summary>The same with connections of its own, to be cut.</summary>
    public ApiClient OnOwnConnections(string agent, out HttpClient connections)
    {
        connections = NewHttp();
        return new ApiClient(connections, () => Url, agent, null);
    }

    /// <summary>A registered agent that holds a capability nobody else in the test has.</summary>
    public async Task<Worker> RegisterAsync(string agent, string capability, int maxConcurrent = 10, string status = "ready", string? owner = null)
    {
        var api = As(agent);
        (await api.PutAsync($"/api/v1/agents/{agent}", new Dictionary<string, object?>
        {
            ["capabilities"] = new[] { capability },
            ["max_concurrent"] = maxConcurrent,
            ["status"] = status,
            ["owner"] = owner,
        }.Where(member => member.Value is not null).ToDictionary())).Expect(201);
        return new Worker(api, agent);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        http.Dispose();
        ownDirectory?.Dispose();
        if (!MayLogErrors && log.Text.Split('\n').FirstOrDefault(line => line.Contains("\"level\":\"error\"", StringComparison.Ordinal)) is { } error)
            throw new XunitException($"The broker logged an error: {error}");
    }

    private async Task StartAgainAsync() => broker = await Broker.StartAsync(Config, clock, CancellationToken.None, log, source, compose);

    private static HttpClient NewHttp() => new(new SocketsHttpHandler { PooledConnectionIdleTimeout = TimeSpan.FromMinutes(5) }) { Timeout = TimeSpan.FromSeconds(100) };

    /// <summary>Keeps what is written to it; may be read meanwhile.</summary>
    private sealed class LogCapture : MemoryStream
    {
        private readonly Lock gate = new();

        public string Text
        {
            get
            {
                lock (gate)
                    return Encoding.UTF8.GetString(GetBuffer(), 0, (int)Length);
            }
        }

        public override void Write(byte[] buffer, int offset, int count)
        {
            lock (gate)
                base.Write(buffer, offset, count);
        }

        // The base hands it on to the other one.
        public override void Write(ReadOnlySpan<byte> buffer) => Write(buffer.ToArray(), 0, buffer.Length);
    }
}

/// <summary>One broker for the tests of a class, which keep out of each other's way by names of their own.</summary>
public class SharedBroker : IAsyncLifetime
{
    public TestBroker Broker { get; private set; } = null!;

    public virtual async Task InitializeAsync() => Broker = await TestBroker.StartAsync(Configure);

    public async Task DisposeAsync() => await Broker.DisposeAsync();

    protected virtual DispatchConfig Configure(DispatchConfig config) => config;
}

/// <summary>One in the mode in which agents prove who they are and see only what is theirs.</summary>
public sealed class SharedTokenBroker : SharedBroker
{
    protected override DispatchConfig Configure(DispatchConfig config) => config with { Auth = new AuthSettings { Mode = AuthMode.Token } };
}

/// <summary>One that is in a hurry: what takes seconds or days elsewhere takes milliseconds.</summary>
public sealed class SharedHastyBroker : SharedBroker
{
    public override async Task InitializeAsync()
    {
        await base.InitializeAsync();

        // The first call of each kind is slow, because it is compiled: too slow for such a lease.
        var worker = await Broker.RegisterAsync("warm-up", "warm-up");
        var id = await worker.Api.SubmitForAsync("warm-up");
        await worker.Api.PostAsync("/api/v1/agents/warm-up/heartbeat");
        await worker.Api.PostAsync("/api/v1/agents/warm-up/work?wait_ms=10", new { holding = new[] { id } });
        foreach (var report in new[] { "start", "progress", "complete" })
            await worker.Api.PostAsync($"/api/v1/tasks/{id}/{report}");
        await worker.Api.DeleteAsync("/api/v1/agents/warm-up");
    }

    protected override DispatchConfig Configure(DispatchConfig config) => config with
    {
        Retry = new RetrySettings { Base = TimeSpan.FromMilliseconds(20), Cap = TimeSpan.FromMilliseconds(40) },
        Agents = new AgentSettings { Lease = TimeSpan.FromMilliseconds(1_000), ReapAfter = TimeSpan.FromSeconds(4) },
        Assignment = config.Assignment with { WakeTimeout = TimeSpan.FromMilliseconds(300), TickInterval = TimeSpan.FromMilliseconds(100) },
    };
}

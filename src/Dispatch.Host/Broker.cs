using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Dispatch.Host.Allowances;
using Dispatch.Host.Auth;
using Dispatch.Host.Bus;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http;
using Dispatch.Host.Http.Edge;
using Dispatch.Host.Http.Problems;
using Dispatch.Host.Os;
using Dispatch.Host.Nodes;
using Dispatch.Host.Questions;
using Dispatch.Host.Streams;
using Dispatch.Host.Telemetry;
using Dispatch.Host.Webhooks;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host;

/// <summary>A running broker: the store, the sequencer and the listeners. The parts list of the process.</summary>
public sealed class Broker : IServing
{
    // Together below the ten seconds in which a stop must end, also when the store hangs.
    // Kestrel takes a second more than the listeners' to cut off who has not been answered.
    private static readonly TimeSpan SequencerPatience = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan HandlerPatience = SequencerPatience;
    private static readonly TimeSpan ListenerPatience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan StorePatience = TimeSpan.FromSeconds(3);

    // What a broker with listeners of its own serves.
    private const string DefaultSpace = "default";

    private readonly WebApplication app;
    private readonly IStore store;
    private readonly Sequencer sequencer;
    private readonly Housekeeping housekeeping;
    private readonly ConfigWatcher? configWatcher;
    private readonly LogRetention retention;
    private readonly WebhookRunners webhooks;
    private readonly ResponderRunners responders;
    private readonly RunningFile? runningFile;
    private readonly BrokerFrame? frame;
    private readonly OperationsEndpoints operations;
    private readonly RequestDelegate? handler;
    private int handling;
    private readonly LiveConfig live;
    private readonly TimeProvider clock;
    private readonly CancellationTokenSource stopping;
    private readonly ILogger logger;
    private Task? stop;

    private Broker(
        WebApplication app, IStore store, Sequencer sequencer, Housekeeping housekeeping, LogRetention retention, ConfigWatcher? configWatcher, WebhookRunners webhooks, WorkConnections connections, TaskWatch reads,
        EventBus bus, QuestionDesk desk, ResponderRunners responders, RunningFile? runningFile, LiveConfig live, TimeProvider clock, CancellationTokenSource stopping,
        OperationsEndpoints operations, BrokerFrame? frame, RequestDelegate? handler)
    {
        this.operations = operations;
        this.frame = frame;
        this.handler = handler;
        this.live = live;
        this.clock = clock;
        this.app = app;
        this.store = store;
        this.sequencer = sequencer;
        this.housekeeping = housekeeping;
        this.configWatcher = configWatcher;
        this.retention = retention;
        this.webhooks = webhooks;
        Connections = connections;
        Reads = reads;
        Events = bus;
        Questions = desk;
        this.responders = responders;
        this.runningFile = runningFile;
        this.stopping = stopping;
        logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger<Broker>();
    }

    /// <summary>This release.</summary>
    public static string Version { get; } = typeof(Broker).Assembly.GetName().Version?.ToString(3) ?? "0.0.0";

    /// <summary>Where this machine reaches the API.</summary>
    public Uri Url => frame?.Url ?? runningFile!.Url;

    /// <summary>Where this machine reaches /health, /ready and /metrics.</summary>
    public Uri OperationsUrl => frame?.OperationsUrl ?? runningFile!.OperationsUrl;

    /// <summary>Where the program that runs this broker publishes and follows events.</summary>
    public EventBus Events { get; }

    /// <summary>What is asked before a step is taken, for the program that embeds the broker.</summary>
    public QuestionDesk Questions { get; }

    /// <summary>What the API answers to.</summary>
    internal IEnumerable<Endpoint> Endpoints => ((IEndpointRouteBuilder)app).DataSources.SelectMany(source => source.Endpoints);

    /// <summary>The connections of agents that exchange work.</summary>
    internal WorkConnections Connections { get; }

    /// <summary>The reads that wait for a task.</summary>
    internal TaskWatch Reads { get; }

    /// <summary>Ends when the sequencer can't go on; the process should end then, and be started again.</summary>
    public Task Completion => sequencer.Completion;

    /// <summary>How long the sequencer has been standing still, beyond the pause it may make. A store that refuses is waited for: that is none.</summary>
    public TimeSpan Stillness
    {
        get
        {
            if (sequencer.Refusing is not null)
                return TimeSpan.Zero;
            var still = clock.GetElapsedTime(sequencer.LastTurn) - live.Current.Assignment.TickInterval;
            return still > TimeSpan.Zero ? still : TimeSpan.Zero;
        }
    }

    /// <summary>Where whoever runs this broker logs what belongs to it.</summary>
    public ILoggerFactory Logs => app.Services.GetRequiredService<ILoggerFactory>();

    /// <summary>Null while it may be used; else why not.</summary>
    internal string? WhyNotReady => operations.WhyNotReady();

    /// <summary>Its metrics.</summary>
    internal PrometheusPage Metrics => app.Services.GetRequiredService<PrometheusPage>();

    /// <summary>Answers a request that came in elsewhere: of a broker that was opened in a frame.</summary>
    internal async Task HandleAsync(HttpContext http)
    {
        Interlocked.Increment(ref handling);
        var services = http.RequestServices;
        http.RequestServices = app.Services;
        try
        {
            await handler!(http);
        }
        finally
        {
            http.RequestServices = services;
            Interlocked.Decrement(ref handling);
        }
    }

    /// <summary>What a scrape is to find up to date.</summary>
    internal Task RefreshAsync() => housekeeping.RefreshAsync();

    /// <summary>Opens the store, loads the state, and listens.</summary>
    /// <param name="logStream">Where log lines go; null: standard output.</param>
    /// <param name="source">Where the configuration came from, to follow what becomes of it; null: it stays as it is.</param>
    /// <param name="compose">What an embedding program adds: its events and handlers (<see cref="EventBusComposition"/>), and what its handlers need.</param>
    /// <exception cref="BrokerStartException">It can't start; the message says why and what to do.</exception>
    public static async Task<Broker> StartAsync(
        DispatchConfig config, TimeProvider clock, CancellationToken cancel, Stream? logStream = null, LoadedConfig? source = null, Action<IServiceCollection>? compose = null) =>
        await StartAsync(config, clock, logStream, source, compose, await OpenStoreAsync(config, clock, cancel), frame: null, cancel);

    /// <summary>Starts one of several in a process: it listens nowhere, and answers what it is handed; see <see cref="HandleAsync"/>.</summary>
    /// <param name="store">Disposed of with the broker, or when it can't start.</param>
    /// <exception cref="BrokerStartException">It can't start; the message says why and what to do.</exception>
    internal static Task<Broker> StartAsync(DispatchConfig config, TimeProvider clock, LoadedConfig? source, IStore store, BrokerFrame frame, CancellationToken cancel) =>
        StartAsync(config, clock, logStream: null, source, compose: null, store, frame, cancel);

    // The store's lock came first: of two brokers that start at once on one directory, only the one that has it may make a token.
    private static async Task<Broker> StartAsync(
        DispatchConfig config, TimeProvider clock, Stream? logStream, LoadedConfig? source, Action<IServiceCollection>? compose, IStore store, BrokerFrame? frame, CancellationToken cancel)
    {
        var space = frame?.Space ?? DefaultSpace;
        var stopping = new CancellationTokenSource();
        WebApplication? app = null;
        Sequencer? sequencer = null;
        EventBus? bus = null;
        try
        {
            var adminToken = frame?.AdminToken ?? AdminToken.Open(config);
            var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Dispatch" });
            if (frame is null)
                builder.AddDispatchTelemetry(config, logStream);
            else
                builder.JoinTelemetry(frame.Services, space);
            builder.Services.AddRoutingCore();

            // Made below, before anything asks for it: handlers are, when it starts.
            builder.Services.AddSingleton(_ => bus!);
            compose?.Invoke(builder.Services);
            builder.WebHost.UseKestrelCore();
            if (frame is null)
            {
                builder.WebHost.ConfigureKestrel(kestrel =>
                {
                    kestrel.ListenForApi(config);
                    kestrel.ListenForOperations(config);
                });
            }

            app = builder.Build();

            var live = new LiveConfig(config);
            var metrics = app.Services.GetRequiredService<DispatchMetrics>();
            var logs = app.Services.GetRequiredService<ILoggerFactory>();
            var tokens = new TokenDirectory(clock);
            var sessions = new SessionDirectory(clock);
            var watch = new TaskWatch();
            var calls = new AgentCalls();
            var times = new TaskTimes();
            var feed = new EventFeed(store);
            var observer = new BrokerWatch(feed, watch, calls, tokens, sessions, metrics, times, logs.CreateLogger<BrokerWatch>());
            sequencer = new Sequencer(store, StateOptionsOf(config), SequencerOptionsOf(config) with { EndsWhenSuperseded = frame is not null }, clock, MakeRandom(), observer);
            var housekeeping = new Housekeeping(sequencer, store, live, metrics, clock, logs.CreateLogger<Housekeeping>());
            var connections = new WorkConnections(sequencer, clock, logs.CreateLogger<WorkConnections>(), stopping.Token);
            observer.AgentLeft += connections.Forget;
            var webhookTools = new WebhookTools(
                feed, sequencer, new DeliveryBook(store, clock, logs.CreateLogger<DeliveryBook>()), new WebhookSender(config.Webhooks.AllowPrivate, clock), space, clock,
                logs.CreateLogger<WebhookRunners>());
            var webhooks = new WebhookRunners(webhookTools);
            observer.WebhooksChanged += webhooks.Changed;
            bus = new EventBus(feed, sequencer, store, app.Services, clock, logs.CreateLogger<EventBus>());
            metrics.ObserveHandlers(() => bus.Handlers);
            var desk = new QuestionDesk(sequencer, store, feed, live, clock);
            var responders = new ResponderRunners(desk, sequencer, store, app.Services, clock, logs.CreateLogger<ResponderRunners>());

            var callers = new CallerDirectory(config.Limits, clock);
            var configWatcher = source is null ? null : new ConfigWatcher(source, live, sequencer, metrics, clock, logs.CreateLogger<ConfigWatcher>());
            app.FollowTelemetry(live);
            (frame?.Services ?? app.Services).FollowLimits(live);
            live.Changed += now => callers.Change(now.Limits);
            var settledBus = bus;
            async Task SettleAsync(CancellationToken stop)
            {
                await webhookTools.Book.FlushAsync(stop);
                await settledBus.SaveCursorsAsync(stop);
            }

            var retention = new LogRetention(sequencer, store, live, SettleAsync, metrics, clock, logs.CreateLogger<LogRetention>());
            housekeeping.Ticked += () => retention.Tick(stopping.Token);

            app.UseRequestIds();
            app.UseAccessLog();
            app.UseProblems();
            app.UseRefusals();
            app.UseHostNames(config.Server);
            var operations = new OperationsEndpoints(sequencer, housekeeping, app.Services.GetRequiredService<PrometheusPage>(), clock);
            OperationsPort? operationsPort = null;
            if (frame is null)
                app.UseOperations(operations, out operationsPort);
            metrics.ObserveReady(() => operations.IsReady);
            metrics.ObserveWebhooks(() => webhooks.Gauges);
            metrics.ObserveDisk(() => FreeSpace.Of(config.DataDirectory));
            app.UseCallers(config.Auth, adminToken, tokens, sessions, callers, metrics);
            app.UseWebSockets();
            app.UseRouting();
            app.UseGuestCheck();
            app.UseQueryCheck();
            new TaskEndpoints(sequencer, store, live, watch, connections, clock, stopping.Token).Map(app);
            new AgentEndpoints(sequencer, store, live, connections).Map(app);
            new ExchangeEndpoint(sequencer, store, live, calls, connections, clock, stopping.Token).Map(app);
            var events = new EventEndpoints(feed, space, clock, stopping.Token);
            events.Map(app);
            new QuestionEndpoints(sequencer, store, desk, events, live, clock, stopping.Token).Map(app);
            new AllowanceEndpoints(sequencer, store, live).Map(app);
            new AdminEndpoints(sequencer, store, tokens, times, clock).Map(app);
            new PublisherEndpoints(sequencer, new EventIntake(sequencer, store), bus.Source).Map(app);
            new SessionEndpoints(sequencer, sessions, clock).Map(app);
            new WebhookRoutes(webhookTools, webhooks, config.Webhooks.AllowPrivate).Map(app);
            Broker? own = null;
            new ClusterEndpoints(frame?.Node, space, () => own!.Url, clock).Map(app);
            app.MapRead("/openapi/v1.json", OpenApiDocument.WriteAsync);
            app.UseEndpoints(static _ => { });

            await sequencer.StartAsync(cancel);
            await bus.StartAsync(cancel);
            await responders.StartAsync(stopping.Token);
            RunningFile? runningFile = null;
            if (frame is null)
            {
                await app.StartAsync(cancel);
                var (url, operationsUrl) = Addresses(app);
                operationsPort!.Value = operationsUrl.Port;
                runningFile = RunningFile.Write(config.DataDirectory, Reachable(url), Reachable(operationsUrl), clock);
                Announce(app.Services.GetRequiredService<ILoggerFactory>().CreateLogger<Broker>(), config, adminToken, url, operationsUrl);
            }

            var broker = own = new Broker(
                app, store, sequencer, housekeeping, retention, configWatcher, webhooks, connections, watch, bus, desk, responders, runningFile, live, clock, stopping,
                operations, frame, frame is null ? null : ((IApplicationBuilder)app).Build());
            housekeeping.Start(stopping.Token);
            configWatcher?.Start(stopping.Token);
            webhooks.Start(stopping.Token);
            return broker;
        }
        catch (Exception failure)
        {
            await stopping.CancelAsync();
            if (bus is not null)
                await bus.StopAsync(HandlerPatience);
            if (sequencer is not null)
                await sequencer.StopAsync(SequencerPatience);
            var told = Translate(failure, config, app);
            if (bus is not null)
                await bus.CloseAsync();
            if (app is not null)
                await app.DisposeAsync();
            await store.DisposeAsync();
            stopping.Dispose();
            throw told ?? failure;
        }
    }

    /// <summary>Looks at the configuration file now, rather than within two seconds.</summary>
    public void ReadConfigAgain() => configWatcher?.LookNow();

    /// <summary>
    /// Takes no more commands, commits and answers what it has, and closes. Ends within 10 s, also when the store hangs.
    /// </summary>
    public Task StopAsync() => stop ??= StopOnceAsync();

    public async ValueTask DisposeAsync() => await StopAsync();

    private async Task StopOnceAsync()
    {
        logger.Stopping();
        await stopping.CancelAsync();
        await Task.WhenAll(Events.StopAsync(HandlerPatience), sequencer.StopAsync(SequencerPatience));
        runningFile?.Remove();
        using (var patience = new CancellationTokenSource(ListenerPatience))
        {
            if (frame is null)
                await app.StopAsync(patience.Token);
            while (Volatile.Read(ref handling) > 0 && !patience.IsCancellationRequested)
                await Task.Delay(TimeSpan.FromMilliseconds(5), clock, CancellationToken.None);
        }

        try
        {
            await CloseStoreAsync().WaitAsync(StorePatience);
        }
        catch (TimeoutException)
        {
            logger.StoreHangs();
        }

        logger.Stopped(sequencer.CommittedSequence);
        await app.DisposeAsync();
        stopping.Dispose();
    }

    private async Task CloseStoreAsync()
    {
        if (configWatcher is not null)
            await configWatcher.Ended;
        await responders.Ended;
        await housekeeping.Ended;
        housekeeping.Dispose();
        await retention.Ended;
        await webhooks.Ended;
        webhooks.Dispose();
        await Events.CloseAsync();
        await store.DisposeAsync();
    }

    internal static void Announce(ILogger logger, DispatchConfig config, AdminToken adminToken, Uri bound, Uri operationsBound)
    {
        if (adminToken.IsNew)
            logger.AdminTokenMade(adminToken.File!);
        foreach (var key in config.UnusedKeys())
            logger.Unused(key);
        logger.Listening(bound.ToString(), operationsBound.ToString(), config.DataDirectory, Version);
    }

    private static async Task<IStore> OpenStoreAsync(DispatchConfig config, TimeProvider clock, CancellationToken cancel)
    {
        try
        {
            return await Stores.OpenAsync(config.Database, clock, cancel);
        }
        catch (StoreException failure)
        {
            throw new BrokerStartException(failure.Message, null, failure);
        }
    }

    internal static StateOptions StateOptionsOf(DispatchConfig config) => new()
    {
        LeaseMs = (long)config.Agents.Lease.TotalMilliseconds,
        ReapAfterMs = (long)config.Agents.ReapAfter.TotalMilliseconds,
        WakeTimeoutMs = (long)config.Assignment.WakeTimeout.TotalMilliseconds,
        AgingMs = (long)config.Assignment.Aging.TotalMilliseconds,
        OwnerFilter = config.Assignment.OwnerFilterEnabled,
        RetryBaseMs = (long)config.Retry.Base.TotalMilliseconds,
        RetryCapMs = (long)config.Retry.Cap.TotalMilliseconds,
        QuestionTimeoutMs = (long)config.Questions.Timeout.TotalMilliseconds,
        Allowances = config.Allowances.Options,
        TickMs = (long)config.Assignment.TickInterval.TotalMilliseconds,
    };

    private static SequencerOptions SequencerOptionsOf(DispatchConfig config) => new()
    {
        QueueCapacity = config.Server.QueueCapacity,
#if PLANTED_BUGS
        AnswerBeforeCommit = Environment.GetEnvironmentVariable("DISPATCH_TEST_BUG") == "ack-before-commit",
#endif
    };

    // The one place where the process's randomness begins. Ids must differ from those of every other start.
    private static Random MakeRandom() => new();

    internal static (Uri Api, Uri Operations) Addresses(WebApplication app)
    {
        var addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.ToArray();
        return (new Uri(addresses[0]), new Uri(addresses[1]));
    }

    // Bound to every address of the machine (0.0.0.0, [::]) it has none that a client could connect to; loopback is among them.
    internal static Uri Reachable(Uri bound)
    {
        if (!IPAddress.TryParse(bound.Host.Trim('[', ']'), out var address))
            return bound;
        var loopback = address.Equals(IPAddress.Any) ? IPAddress.Loopback : address.Equals(IPAddress.IPv6Any) ? IPAddress.IPv6Loopback : null;
        return loopback is null ? bound : new UriBuilder(bound) { Host = loopback.ToString() }.Uri;
    }

    internal static BrokerStartException? Translate(Exception failure, DispatchConfig config, WebApplication? app) => failure switch
    {
        StoreException or AdminTokenException or RefusedException => new BrokerStartException(failure.Message, null, failure),
        IOException { InnerException: AddressInUseException } or AddressInUseException => InUse(failure, config.Server, app),
        SocketException or IOException { InnerException: SocketException } =>
            new BrokerStartException($"Can't listen on {config.Server.Bind}: {failure.Message}", "Check server.bind and the ports.", failure),
        _ => null,
    };

    // Kestrel takes the ports in order and keeps a list of those it has: the API's is the first.
    private static BrokerStartException InUse(Exception failure, ServerSettings server, WebApplication? app)
    {
        var (port, flag) = app?.Urls.Count > 0 ? (server.MetricsPort, "--metrics-port") : (server.Port, "--port");
        return new BrokerStartException(
            string.Create(CultureInfo.InvariantCulture, $"Port {port} on {server.Bind} is in use."),
            $"Is a broker running already? Choose another port with {flag}.",
            failure);
    }
}

/// <summary>What a broker has in common with the others of its process.</summary>
/// <param name="Space">The namespace that it serves.</param>
/// <param name="Services">Where log lines and limits of the listeners are.</param>
/// <param name="Url">Where this machine reaches the API.</param>
internal sealed record BrokerFrame(string Space, IServiceProvider Services, AdminToken AdminToken, Uri Url, Uri OperationsUrl, Node Node);

/// <summary>broker.json in the data directory: where the running broker is. Written when it is ready, removed when it stops.</summary>
internal sealed class RunningFile
{
    private readonly string path;

    private RunningFile(string path, Uri url, Uri operationsUrl)
    {
        this.path = path;
        Url = url;
        OperationsUrl = operationsUrl;
    }

    public Uri Url { get; }

    public Uri OperationsUrl { get; }

    public static RunningFile Write(string directory, Uri url, Uri operationsUrl, TimeProvider clock)
    {
        var file = new RunningFile(Path.Combine(directory, "broker.json"), url, operationsUrl);
        var unfinished = file.path + ".new";
        using (var stream = File.Create(unfinished))
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteNumber("pid", Environment.ProcessId);
            json.WriteString("url", url.ToString().TrimEnd('/'));
            json.WriteString("metrics_url", operationsUrl.ToString().TrimEnd('/'));
            json.WriteString("version", Broker.Version);
            TaskWriter.Time(json, "started_at"u8, clock.GetUtcNow().ToUnixTimeMilliseconds());
            json.WriteEndObject();
        }

        File.Move(unfinished, file.path, overwrite: true);
        return file;
    }

    public void Remove() => File.Delete(path);
}

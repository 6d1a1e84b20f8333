using System.Collections.Concurrent;
using System.Security.Cryptography;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http;
using Dispatch.Host.Http.Edge;
using Dispatch.Host.Http.Problems;
using Dispatch.Host.Telemetry;
using Dispatch.Sequencing;
using Dispatch.Storage.Postgres;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Nodes;

/// <summary>
/// A process that is one of several on a PostgreSQL. It writes some of the namespaces there, answers the requests for those itself, and hands the
/// others on to the nodes that write them. When a node is gone, its namespaces are taken over by the rest; the database decides by whom.
/// </summary>
public sealed class Node : IServing, IAsyncDisposable
{
    /// <summary>How often a node looks at how things stand, and shows that it is there.</summary>
    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(250);

    /// <summary>How long a writer may be silent before its place may be taken while its session stands: it was stopped, or cut off.</summary>
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(6);

    /// <summary>How long a request waits for its namespace to have a writer.</summary>
    private static readonly TimeSpan RequestPatience = TimeSpan.FromSeconds(5);

    /// <summary>After this long anybody takes a free namespace, whoever should.</summary>
    private static readonly TimeSpan Courtesy = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(1);
    private static readonly PathString SpacePath = new("/ns");

    /// <summary>Milliseconds without a sign of life after which a node counts as gone.</summary>
    internal const long LifeMs = 3_000;

    private readonly WebApplication app;
    private readonly DispatchConfig config;
    private readonly LoadedConfig? source;
    private readonly TimeProvider clock;
    private readonly ClusterTables tables;
    private readonly RequestForwarder forwarder;
    private readonly AdminToken adminToken;
    private readonly CancellationTokenSource stopping = new();
    private readonly ConcurrentDictionary<string, Broker> brokers = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Task> changing = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, (string Holder, CancellationTokenSource Moved)> holders = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, long> openedAt = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> freeSince = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ILogger logger;
    private volatile ClusterView view = new([], []);
    private volatile TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private NodeSelf self;
    private Uri? url;
    private Uri? operationsUrl;
    private RunningFile? runningFile;
    private Task turning = Task.CompletedTask;
    private Task? stop;
    private bool isCutOff;

    private Node(WebApplication app, DispatchConfig config, LoadedConfig? source, TimeProvider clock, ClusterTables tables, AdminToken adminToken)
    {
        this.app = app;
        this.config = config;
        this.source = source;
        this.clock = clock;
        this.tables = tables;
        this.adminToken = adminToken;
        forwarder = new RequestForwarder(tables.Secret, clock);
        logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger<Node>();
        self = new NodeSelf(config.Node.Name ?? "", Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4)), "", Broker.Version);
    }

    public Uri Url => url!;

    /// <summary>Where this machine reaches /health, /ready and /metrics.</summary>
    public Uri OperationsUrl => operationsUrl!;

    public Task Completion => completion.Task;

    public TimeSpan Stillness => brokers.Values.Select(broker => broker.Stillness).DefaultIfEmpty().Max();

    public ILoggerFactory Logs => app.Services.GetRequiredService<ILoggerFactory>();

    /// <summary>What it is called among the nodes.</summary>
    public string Name => self.Name;

    /// <summary>The namespaces that it writes now.</summary>
    public IEnumerable<string> Spaces => brokers.Keys;

    /// <summary>Makes itself known, listens, and takes what it should write. The namespace of requests that name none is served when this returns, here or by another node.</summary>
    /// <param name="logStream">Where log lines go; null: standard output.</param>
    /// <exception cref="BrokerStartException">It can't start; the message says why and what to do.</exception>
    public static async Task<Node> StartAsync(DispatchConfig config, TimeProvider clock, CancellationToken cancel, Stream? logStream = null, LoadedConfig? source = null)
    {
        ClusterTables? tables = null;
        WebApplication? app = null;
        Node? node = null;
        try
        {
            tables = await ClusterTables.OpenAsync(config.Database.Url, cancel);
            await tables.CreateNamespaceAsync(config.Node.Namespace, cancel);
            var adminToken = AdminToken.Open(config);
            var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Dispatch" });
            builder.AddDispatchTelemetry(config, logStream);
            builder.Services.AddRoutingCore();
            builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
            {
                kestrel.ListenForApi(config);
                kestrel.ListenForOperations(config);
            });
            app = builder.Build();
            node = new Node(app, config, source, clock, tables, adminToken);
            await node.StartAsync(cancel);
            return node;
        }
        catch (Exception failure)
        {
            var told = Broker.Translate(failure, config, app);
            if (node is not null)
                await node.StopAsync();
            else if (tables is not null)
                await tables.DisposeAsync();
            throw told ?? failure;
        }
    }

    public void ReadConfigAgain()
    {
        foreach (var broker in brokers.Values)
            broker.ReadConfigAgain();
    }

    /// <summary>Gives up what it writes, so that another can take it at once, leaves, and closes. Ends within 10 s.</summary>
    public Task StopAsync() => stop ??= StopOnceAsync();

    public async ValueTask DisposeAsync() => await StopAsync();

    /// <summary>How things stand, as this node saw it last.</summary>
    internal ClusterView View => view;

    /// <summary>The tables that nodes share.</summary>
    internal ClusterTables Tables => tables;

    private async Task StartAsync(CancellationToken cancel)
    {
        OperationsPort operations = new();
        app.Use(next => http => http.Connection.LocalPort == operations.Value ? AnswerOperationsAsync(http) : next(http));
        app.UseRequestIds();
        app.UseWebSockets();
        app.Run(AnswerAsync);
        await app.StartAsync(cancel);
        var (bound, operationsBound) = Broker.Addresses(app);
        (url, operationsUrl) = (Broker.Reachable(bound), Broker.Reachable(operationsBound));
        operations.Value = operationsUrl.Port;
        self = self with
        {
            Name = self.Name.Length > 0 ? self.Name : $"{Environment.MachineName}:{url.Port}",
            Url = config.Node.Url ?? (config.Server.IsLoopback ? url : new UriBuilder(url) { Host = config.Server.BindAddress.Equals(System.Net.IPAddress.Any) || config.Server.BindAddress.Equals(System.Net.IPAddress.IPv6Any) ? Environment.MachineName : bound.Host }.Uri).ToString(),
        };
        view = await tables.BeatAsync(self, takes: true, LifeMs, cancel) ?? throw new InvalidOperationException("The database did not take the node's name.");
        await TakeFirstAsync(cancel);
        runningFile = RunningFile.Write(config.DataDirectory, url, operationsUrl, clock);
        Broker.Announce(logger, config, adminToken, bound, operationsBound);
        turning = Task.Run(TurnAsync, CancellationToken.None);
    }

    // A database that can't be used is told at once: later it would only be logged.
    private async Task TakeFirstAsync(CancellationToken cancel)
    {
        if (view.Namespaces.First(space => space.Name == config.Node.Namespace) is not { IsFree: true } first || !NodePlan.Wants(view, self, first, hasWaited: false))
            return;
        try
        {
            await OpenAsync(first.Name, cancel);
        }
        catch (StoreException refusal) when (refusal.Fault == StoreFault.Locked)
        {
            // Another was faster.
        }
    }

    private async Task TurnAsync()
    {
        using var timer = new PeriodicTimer(Turn, clock);
        try
        {
            do
            {
                await TurnOnceAsync();
            }
            while (await timer.WaitForNextTickAsync(stopping.Token));
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Stopping.
        }
        catch (Exception failure)
        {
            completion.TrySetException(failure);
        }
    }

    private async Task TurnOnceAsync()
    {
        ClusterView? now;
        var readAt = clock.GetTimestamp();
        try
        {
            now = await tables.BeatAsync(self, takes: false, LifeMs, stopping.Token);
        }
        catch (StoreException refusal)
        {
            // What is written here goes on, or waits for the database by itself.
            if (!isCutOff)
                logger.CutOff(refusal.Message);
            isCutOff = true;
            return;
        }

        if (now is null)
            throw new BrokerStartException($"Another process runs as node {self.Name}.", "Give each node a name of its own: node.name.");
        if (isCutOff)
            logger.BackAgain();
        isCutOff = false;
        (view, var told) = (now, changed);
        changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        told.TrySetResult();
        foreach (var space in now.Namespaces)
        {
            Follow(space);
            Consider(now, readAt, space);
        }

        foreach (var gone in brokers.Keys.Where(name => !now.Namespaces.Any(space => space.Name == name)))
            Change(gone, () => CloseAsync(gone));
    }

    private void Consider(ClusterView now, long readAt, NamespaceRow space)
    {
        if (brokers.TryGetValue(space.Name, out var broker))
        {
            // What was read before it was opened says nothing of it.
            var isOthers = space.Holder != self.Holder && openedAt.GetValueOrDefault(space.Name) < readAt;
            if (broker.Completion.IsCompleted || isOthers)
                Change(space.Name, () => CloseAsync(space.Name));
            else if (NodePlan.Leaves(now, self, space))
                Change(space.Name, () => CloseAsync(space.Name));
            return;
        }

        if (!space.IsFree)
        {
            freeSince.Remove(space.Name);
            return;
        }

        var since = freeSince.TryGetValue(space.Name, out var known) ? known : freeSince[space.Name] = clock.GetTimestamp();
        if (NodePlan.Wants(now, self, space, clock.GetElapsedTime(since) > Courtesy))
            Change(space.Name, () => OpenAsync(space.Name, stopping.Token));
    }

    // One change at a time for each namespace; they do not wait for each other.
    private void Change(string space, Func<Task> change)
    {
        if (changing.TryGetValue(space, out var before) && !before.IsCompleted)
            return;
        changing[space] = Task.Run(async () =>
        {
            try
            {
                await change();
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                // Stopping.
            }
            catch (StoreException refusal) when (refusal.Fault == StoreFault.Locked)
            {
                // Another was faster.
            }
            catch (Exception refusal) when (refusal is StoreException or BrokerStartException or RefusedException)
            {
                logger.NotServed(space, refusal.Message);
            }
            catch (Exception failure)
            {
                completion.TrySetException(failure);
            }
        });
    }

    private async Task OpenAsync(string space, CancellationToken cancel)
    {
        var began = clock.GetTimestamp();
        var options = new PostgresStoreOptions { Url = config.Database.Url, Namespace = space, Holder = self.Holder, Lease = Lease, LockPatience = TimeSpan.Zero };
        var store = await PostgresStore.OpenAsync(options, clock, cancel);
        var broker = await Broker.StartAsync(config, clock, source, store, new BrokerFrame(space, app.Services, adminToken, url!, operationsUrl!, this), cancel);
        openedAt[space] = clock.GetTimestamp();
        brokers[space] = broker;
        logger.Writes(space, store.Epoch, (long)clock.GetElapsedTime(began).TotalMilliseconds);
    }

    private async Task CloseAsync(string space)
    {
        if (!brokers.TryRemove(space, out var broker))
            return;
        if (broker.Completion.IsFaulted)
            logger.Superseded(space, broker.Completion.Exception!.InnerException!.Message);
        await broker.StopAsync();
        logger.WritesNoMore(space);
    }

    // ---- requests ------------------------------------------------------------------------------------------------------

    private Task AnswerAsync(HttpContext http)
    {
        var space = config.Node.Namespace;
        if (http.Request.Headers[RequestForwarder.Space] is [{ } named])
            space = named;
        if (http.Request.Path.StartsWithSegments(SpacePath, StringComparison.Ordinal, out var rest) && rest.Value is { Length: > 1 } path)
        {
            var end = path.IndexOf('/', 1);
            space = end < 0 ? path[1..] : path[1..end];
            http.Request.Path = end < 0 ? "/" : path[end..];
        }

        return brokers.TryGetValue(space, out var broker) ? broker.HandleAsync(http) : AnswerElsewhereAsync(http, space);
    }

    private async Task AnswerElsewhereAsync(HttpContext http, string space)
    {
        var began = clock.GetTimestamp();
        var isForwarded = forwarder.IsForwarded(http.Request);
        var body = isForwarded ? null : await RequestForwarder.KeepAsync(http.Request);
        while (true)
        {
            var (now, news) = (view, changed.Task);
            if (brokers.TryGetValue(space, out var broker))
            {
                if (body is not null)
                    http.Request.Body = new MemoryStream(body, writable: false);
                await broker.HandleAsync(http);
                return;
            }

            if (!now.Namespaces.Any(known => known.Name == space) && !(await ReadAsync(http.RequestAborted)).Namespaces.Any(known => known.Name == space))
            {
                await http.WriteProblemAsync(new Problem(ErrorCode.NamespaceNotFound, $"There is no namespace '{Short(space)}'."));
                return;
            }

            if (isForwarded)
            {
                http.Response.Headers[RequestForwarder.NotTaken] = "1";
                break;
            }

            if (NodePlan.WriterOf(now, space) is { } writer && writer.Name != self.Name)
            {
                switch (await forwarder.ForwardAsync(http, body, new Uri(writer.Url), space, MovedFrom(space, writer.Holder)))
                {
                    case Forwarded.Answered:
                        return;
                    case Forwarded.Lost when HttpMethods.IsGet(http.Request.Method) || HttpMethods.IsHead(http.Request.Method):
                        break;
                    case Forwarded.Lost:
                        await http.WriteProblemAsync(new Problem(ErrorCode.StoreUnavailable, $"Node {writer.Name} was lost while it had the request; whether it was carried out is not known. Repeat with the same idempotency key.") { RetryAfterSeconds = 1 });
                        return;
                }
            }

            var left = RequestPatience - clock.GetElapsedTime(began);
            if (left <= TimeSpan.Zero)
                break;
            await news.WaitAsync(left, clock, http.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            http.RequestAborted.ThrowIfCancellationRequested();
        }

        await http.WriteProblemAsync(new Problem(ErrorCode.NoWriter, $"No node writes namespace '{Short(space)}' now; nothing was changed.") { RetryAfterSeconds = 1 });
    }

    // Cancelled when another than this one holds the namespace.
    private CancellationToken MovedFrom(string space, string holder)
    {
        var known = holders.GetOrAdd(space, _ => (holder, new CancellationTokenSource()));
        return known.Holder == holder ? known.Moved.Token : CancellationToken.None;
    }

    private void Follow(NamespaceRow space)
    {
        if (holders.TryGetValue(space.Name, out var known) && known.Holder != space.Holder && holders.TryRemove(space.Name, out var before))
            before.Moved.Cancel();
    }

    private async Task<ClusterView> ReadAsync(CancellationToken cancel)
    {
        try
        {
            return await tables.ReadAsync(cancel);
        }
        catch (StoreException)
        {
            // The database is away: what was seen last stands.
            return view;
        }
    }

    private static string Short(string space) => space.Length <= 40 ? space : space[..40] + "...";

    private async Task AnswerOperationsAsync(HttpContext http)
    {
        switch (http.Request.Path.Value)
        {
            case "/health":
                await http.WriteJsonAsync(StatusCodes.Status200OK, 0, static (json, _) =>
                {
                    json.WriteStartObject();
                    json.WriteString("status"u8, "ok"u8);
                    json.WriteEndObject();
                });
                return;
            case "/ready":
                var waiting = WhyNotReady();
                await http.WriteJsonAsync(waiting is null ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable, (Node: this, waiting), static (json, state) =>
                {
                    json.WriteStartObject();
                    json.WriteString("status"u8, state.waiting is null ? "ready" : "unready");
                    TaskWriter.Text(json, "reason"u8, state.waiting);
                    json.WriteString("node"u8, state.Node.Name);
                    json.WriteStartArray("writes"u8);
                    foreach (var space in state.Node.brokers.Keys.Order(StringComparer.Ordinal))
                        json.WriteStringValue(space);
                    json.WriteEndArray();
                    json.WriteEndObject();
                });
                return;
            case "/metrics":
                var here = brokers.OrderBy(pair => pair.Key, StringComparer.Ordinal).ToList();
                await Task.WhenAll(here.Select(pair => pair.Value.RefreshAsync())).WaitAsync(TimeSpan.FromSeconds(2), clock, http.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                http.Response.ContentType = PrometheusPage.ContentType;
                await http.Response.WriteAsync(PrometheusPage.Write([.. here.Select(pair => ((string?)pair.Key, pair.Value.Metrics))]), http.RequestAborted);
                return;
            default:
                await http.WriteProblemAsync(new Problem(ErrorCode.NotFound, $"There is no route {http.Request.Path} on this port; it has /health, /ready and /metrics."));
                return;
        }
    }

    private string? WhyNotReady()
    {
        if (stopping.IsCancellationRequested)
            return "the node is stopping";
        if (isCutOff)
            return "the database can't be reached";
        foreach (var (space, broker) in brokers)
        {
            if (broker.WhyNotReady is { } why)
                return $"namespace {space}: {why}";
        }

        var home = config.Node.Namespace;
        return brokers.ContainsKey(home) || NodePlan.WriterOf(view, home) is not null ? null : $"no node writes namespace {home}";
    }

    private async Task StopOnceAsync()
    {
        await stopping.CancelAsync();
        await turning;
        await Task.WhenAll(changing.Values);
        await Task.WhenAll(brokers.Keys.Select(CloseAsync));
        runningFile?.Remove();
        if (self.Url.Length > 0)
        {
            try
            {
                await tables.LeaveAsync(self, CancellationToken.None);
            }
            catch (StoreException refusal)
            {
                logger.CutOff(refusal.Message);
            }
        }

        using (var patience = new CancellationTokenSource(StopPatience))
            await app.StopAsync(patience.Token);
        forwarder.Dispose();
        await tables.DisposeAsync();
        await app.DisposeAsync();
        stopping.Dispose();
        completion.TrySetResult();
    }
}

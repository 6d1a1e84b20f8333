using System.Diagnostics.Metrics;
using Dispatch.Agents;
using Dispatch.Host.Bus;
using Dispatch.Host.Configuration;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Telemetry;

/// <summary>
/// The one meter, "Dispatch", and its instruments. Names are those of the Prometheus page. The Record methods may be called
/// from any thread, allocate nothing and take some tens of nanoseconds.
/// </summary>
public sealed class DispatchMetrics : IDisposable
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "Dispatch";

    private static readonly double[] CallSeconds =
        [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

    private static readonly double[] TaskSeconds =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];

    private static readonly double[] BatchCommands = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

    private static readonly string[] StatusClasses = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

    private static readonly string[] WebhookStates = ["delivering", "failing", "disabled"];

    private static readonly string[] TaskStates = Names<TaskState>();
    private static readonly string[] AgentStatuses = Names<AgentStatus>();
    private static readonly string[] HandlerStates = Names<HandlerState>();
    private static readonly string[] AttemptOutcomes = Names<AttemptOutcome>();

    private readonly Counter<long> tasksSubmitted;
    private readonly Counter<long> assignments;
    private readonly Counter<long> attempts;
    private readonly Counter<long> commitFailures;
    private readonly Counter<long> requests;
    private readonly Counter<long> rateLimited;
    private readonly Counter<long> allowancesExceeded;
    private readonly Histogram<double> taskQueue;
    private readonly Histogram<double> taskRun;
    private readonly Histogram<double> commit;
    private readonly Histogram<double> batchSize;
    private readonly Histogram<double> requestTime;
    private Func<BrokerGauges>? broker;
    private Func<LogGauges>? log;
    private Func<long>? droppedLogLines;
    private Func<ConfigStatus> config = static () => ConfigStatus.Started;
    private Func<IReadOnlyList<HandlerStatus>>? handlers;
    private Func<WebhookGauges>? webhooks;
    private Func<bool>? ready;
    private Func<long?>? diskFree;

    /// <summary>Makes the instruments.</summary>
    /// <param name="space">The namespace that they are of; null: of the only one.</param>
    public DispatchMetrics(string? space = null)
    {
        Meter = new Meter(MeterName, typeof(DispatchMetrics).Assembly.GetName().Version?.ToString(3), space is null ? null : [new("namespace", space)]);

        tasksSubmitted = Meter.CreateCounter<long>("dispatch_tasks_submitted_total", description: "Tasks accepted.");
        assignments = Meter.CreateCounter<long>("dispatch_assignments_total", description: "Tasks given to an agent.");
        attempts = Meter.CreateCounter<long>("dispatch_attempts_total", description: "Attempts that ended, by outcome.");
        taskQueue = Histogram("dispatch_task_queue_seconds", "Time from becoming pending to being assigned.", TaskSeconds);
        taskRun = Histogram("dispatch_task_run_seconds", "Time from assignment to the end of the attempt.", TaskSeconds);

        commit = Histogram("dispatch_commit_seconds", "Time of a commit in the store.", CallSeconds);
        batchSize = Histogram("dispatch_batch_size", "Commands in a batch.", BatchCommands);
        commitFailures = Meter.CreateCounter<long>("dispatch_commit_failures_total", description: "Commits that the store refused or left unknown.");

        requests = Meter.CreateCounter<long>("dispatch_requests_total", description: "HTTP requests answered, by method, route and class of status.");
        requestTime = Histogram("dispatch_request_seconds", "Time of an HTTP request, long polls included.", CallSeconds);
        rateLimited = Meter.CreateCounter<long>("dispatch_rate_limited_total", description: "HTTP requests refused with 429.");

        allowancesExceeded = Meter.CreateCounter<long>("dispatch_allowances_exceeded_total", description: "Limits that began to bind: once for each limit and window.");

        Meter.CreateObservableGauge("dispatch_ready", () => One(ready?.Invoke() is { } now ? now ? 1L : 0 : (long?)null), description: "1 while /ready says ready, else 0.");
        Meter.CreateObservableGauge("dispatch_disk_free_bytes", () => One(diskFree?.Invoke()), description: "Room that the broker may use on the file system of its data directory.");
        Meter.CreateObservableGauge("dispatch_webhooks", CountWebhooks, description: "Webhooks, by state: delivering, failing (its event is tried again), disabled (told of nothing).");
        Meter.CreateObservableGauge("dispatch_tasks", () => ByName(Broker?.Tasks, TaskStates, "status"), description: "Tasks in the store, by status.");
        Meter.CreateObservableGauge("dispatch_agents", () => ByName(Broker?.Agents, AgentStatuses, "status"), description: "Registered agents, by status.");
        Meter.CreateObservableGauge("dispatch_queue_depth", () => One(Broker?.QueueDepth), description: "Commands that wait for the sequencer.");
        Meter.CreateObservableGauge("dispatch_oldest_pending_seconds", () => One(Broker?.OldestPendingMs / 1000.0), description: "Age of the oldest pending task.");
        Meter.CreateObservableGauge("dispatch_log_sequence", () => One(Broker?.Sequence), description: "Last sequence number of the event log.");
        Meter.CreateObservableGauge("dispatch_log_horizon", () => One(log?.Invoke().Horizon), description: "Sequence number of the oldest event that is kept.");
        Meter.CreateObservableGauge("dispatch_log_bytes", () => One(log?.Invoke().Bytes), description: "What the kept events take: their data, and 160 bytes each.");
        Meter.CreateObservableGauge("dispatch_log_held_back", () => One(log?.Invoke().HeldBack), description: "Events that are past their retention and kept only for a follower that has not come so far.");
        Meter.CreateObservableGauge("dispatch_dead_letters", () => One(Broker?.DeadLetters), description: "Dead letters in the store.");
        Meter.CreateObservableGauge("dispatch_event_handlers", () => ByName(CountHandlers(), HandlerStates, "state"), description: "Event handlers in this process, by state.");
        Meter.CreateObservableGauge("dispatch_event_handler_lag", HandlerLags, description: "Committed events that an event handler in this process is not done with.");
        Meter.CreateObservableCounter("dispatch_log_lines_dropped_total", () => One(droppedLogLines?.Invoke()), description: "Log lines dropped because the output was not read fast enough.");

        Meter.CreateObservableGauge("dispatch_config_valid", () => config().IsValid ? 1L : 0, description: "1 while a broker would start with the configuration file as it is, else 0.");
        Meter.CreateObservableGauge("dispatch_config_needs_restart", () => (long)config().NeedRestart, description: "Settings that have another value in the configuration file than in force.");
        Meter.CreateObservableCounter("dispatch_config_reloads_total", () => (long)config().Reloads, description: "Changes of the configuration file that were taken over.");

        ProcessInstruments.AddTo(Meter);
    }

    /// <summary>The meter.</summary>
    public Meter Meter { get; }

    private BrokerGauges? Broker => broker?.Invoke();

    /// <summary>Says where the gauges are read from. Called at each scrape, on the scraper's thread, once per gauge.</summary>
    public void Observe(Func<BrokerGauges> gauges) => broker = gauges;

    /// <summary>Says where the gauges of event handlers are read from, as <see cref="Observe"/> does for the others.</summary>
    internal void ObserveHandlers(Func<IReadOnlyList<HandlerStatus>> statuses) => handlers = statuses;

    /// <summary>Says where it is read from whether the broker is ready.</summary>
    internal void ObserveReady(Func<bool> isReady) => ready = isReady;

    /// <summary>The same for the free room on the disk, in bytes; null when it can't be known.</summary>
    internal void ObserveDisk(Func<long?> freeBytes) => diskFree = freeBytes;

    /// <summary>The same for webhooks.</summary>
    internal void ObserveWebhooks(Func<WebhookGauges> gauges) => webhooks = gauges;

    /// <summary>The same for what is kept of the log.</summary>
    public void ObserveLog(Func<LogGauges> gauges) => log = gauges;

    /// <summary>Tasks were accepted.</summary>
    public void RecordSubmitted(int tasks) => tasksSubmitted.Add(tasks);

    /// <summary>A task was given to an agent after waiting this long.</summary>
    public void RecordAssignment(long queuedMs)
    {
        assignments.Add(1);
        taskQueue.Record(queuedMs / 1000.0);
    }

    /// <summary>An attempt ended after this long.</summary>
    public void RecordAttempt(AttemptOutcome outcome, long runMs)
    {
        attempts.Add(1, new KeyValuePair<string, object?>("outcome", AttemptOutcomes[(int)outcome]));
        taskRun.Record(runMs / 1000.0);
    }

    /// <summary>A batch was committed.</summary>
    /// <param name="commands">Commands in it.</param>
    /// <param name="elapsed">Time of the commit alone.</param>
    public void RecordCommit(int commands, TimeSpan elapsed)
    {
        batchSize.Record(commands);
        commit.Record(elapsed.TotalSeconds);
    }

    /// <summary>A commit failed, or its outcome is unknown.</summary>
    public void RecordCommitFailure() => commitFailures.Add(1);

    /// <summary>A request was answered.</summary>
    /// <param name="method">Its method; unusual ones count as "other".</param>
    /// <param name="route">Template of its route, never the path: there must be few of them. Null: no route.</param>
    /// <param name="status">Status of the answer.</param>
    /// <param name="elapsed">From its arrival to the end of the answer.</param>
    public void RecordRequest(string method, string? route, int status, TimeSpan elapsed)
    {
        var byMethod = new KeyValuePair<string, object?>("method", KnownMethod(method));
        var byRoute = new KeyValuePair<string, object?>("route", route ?? "none");
        int hundreds = status / 100;
        var byStatus = new KeyValuePair<string, object?>("status", StatusClasses[hundreds is >= 1 and <= 5 ? hundreds : 0]);
        requests.Add(1, byMethod, byRoute, byStatus);
        requestTime.Record(elapsed.TotalSeconds, byMethod, byRoute, byStatus);
    }

    /// <summary>A limit is used up, or what is left of it is not enough for the work that asks: new work waits for it.</summary>
    public void RecordAllowanceExceeded() => allowancesExceeded.Add(1);

    /// <summary>A request was refused with 429.</summary>
    public void RecordRateLimited() => rateLimited.Add(1);

    /// <inheritdoc/>
    public void Dispose() => Meter.Dispose();

    internal void ObserveConfig(Func<ConfigStatus> status) => config = status;

    internal void ObserveDroppedLogLines(Func<long> dropped) => droppedLogLines = dropped;

    private IReadOnlyList<long>? CountHandlers()
    {
        if (handlers is null)
            return null;
        var counts = new long[HandlerStates.Length];
        foreach (var status in handlers())
            counts[(int)status.State]++;
        return counts;
    }

    private IEnumerable<Measurement<long>> CountWebhooks()
    {
        if (webhooks is null)
            return [];
        var counts = webhooks();
        return ByName([counts.Delivering, counts.Failing, counts.Disabled], WebhookStates, "state");
    }

    private IEnumerable<Measurement<long>> HandlerLags() =>
        handlers?.Invoke().Select(status => new Measurement<long>(status.Lag, new KeyValuePair<string, object?>("handler", status.Name))) ?? [];

    private Histogram<double> Histogram(string name, string description, double[] bounds) =>
        Meter.CreateHistogram(name, unit: null, description, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = bounds });

    private static IEnumerable<Measurement<T>> One<T>(T? value)
        where T : struct =>
        value is { } known ? [new Measurement<T>(known)] : [];

    private static IEnumerable<Measurement<long>> ByName(IReadOnlyList<long>? counts, string[] names, string tag)
    {
        for (int i = 0; counts is not null && i < counts.Count && i < names.Length; i++)
            yield return new Measurement<long>(counts[i], new KeyValuePair<string, object?>(tag, names[i]));
    }

    private static string KnownMethod(string method) =>
        HttpMethods.IsGet(method) ? HttpMethods.Get
        : HttpMethods.IsPost(method) ? HttpMethods.Post
        : HttpMethods.IsPut(method) ? HttpMethods.Put
        : HttpMethods.IsPatch(method) ? HttpMethods.Patch
        : HttpMethods.IsDelete(method) ? HttpMethods.Delete
        : HttpMethods.IsHead(method) ? HttpMethods.Head
        : HttpMethods.IsOptions(method) ? HttpMethods.Options
        : "other";

    private static string[] Names<T>()
        where T : struct, Enum =>
        [.. Enum.GetNames<T>().Select(System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName)];
}

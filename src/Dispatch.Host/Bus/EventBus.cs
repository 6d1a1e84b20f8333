using System.Text.Json;
using Dispatch.Events;
using Dispatch.Host.Auth;
using Dispatch.Host.Http;
using Dispatch.Publishing;
using Dispatch.Sequencing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Bus;

/// <summary>
/// The log as the embedding program sees it: it publishes events of its own types, and subscribes to all. What happens in the program sees everything,
/// internal events included. From any thread.
/// </summary>
public sealed class EventBus
{
    private readonly EventFeed feed;
    private readonly Sequencer sequencer;
    private readonly IServiceProvider services;
    private readonly EventTypes types;
    private readonly string? source;
    private readonly EventIntake intake;
    private readonly HandlerCursors cursors;
    private readonly HandlerTools tools;
    private readonly CancellationTokenSource stopping = new();
    private readonly CancellationTokenSource closing = new();
    private readonly Lock gate = new();
    private readonly Dictionary<string, Following> following = new(StringComparer.Ordinal);
    private Task saving = Task.CompletedTask;
    private int subscriptions;
    private bool isStopping;

    /// <exception cref="BrokerStartException">The declarations contradict each other.</exception>
    internal EventBus(EventFeed feed, Sequencer sequencer, IStore store, IServiceProvider services, TimeProvider clock, ILogger<EventBus> logger)
    {
        this.feed = feed;
        this.sequencer = sequencer;
        this.services = services;
        types = new EventTypes(services.GetServices<DeclaredEvent>());
        intake = new EventIntake(sequencer, store);
        cursors = new HandlerCursors(store, clock, logger);
        tools = new HandlerTools(feed, clock, logger, cursors.Moved);
        string[] sources = [.. services.GetServices<ProgramSource>().Select(one => one.Name).Distinct(StringComparer.Ordinal)];
        if (sources.Length > 1)
            throw new BrokerStartException($"AddEventSource: the program is named '{sources[0]}' and '{sources[1]}'.", "Name it once.");
        if (sources.Length == 0 && types.DeclaredNames.Length > 0)
            throw new BrokerStartException($"AddEventSource: is missing, and '{types.DeclaredNames[0]}' is declared.", "Name the program with services.AddEventSource(\"its-name\").");
        source = sources.FirstOrDefault();
    }

    /// <summary>Every handler and subscription, by name.</summary>
    public IReadOnlyList<HandlerStatus> Handlers
    {
        get
        {
            lock (gate)
                return [.. following.Values.Select(one => one.Runner.Status).OrderBy(status => status.Name, StringComparer.Ordinal)];
        }
    }

    /// <summary>The program's name: what its events have as source. Null: it has none, and publishes nothing.</summary>
    internal string? Source => source;

    /// <summary>Adds an event of the program's own to the log. Returns when it is durable, and never waits for a handler.</summary>
    /// <param name="happened">It must not be changed afterwards: handlers get this object.</param>
    /// <param name="subject">Id of what it is about, 1 to 256 printable characters.</param>
    /// <param name="session">The session it belongs to, whose guests then see it; null for none.</param>
    /// <param name="id">Makes a repeat harmless: the same event with the same id is added once. Null: a new one.</param>
    /// <param name="cancel">Gives up waiting; the event may be added nevertheless.</param>
    /// <returns>Its id and sequence; of a repeat, those of the first time.</returns>
    /// <exception cref="InvalidOperationException">The type was not declared, or an administrator removed the program from the publishers.</exception>
    /// <exception cref="ArgumentException">An argument can't be taken, the event is larger than 64 KiB, or the id was used for another one.</exception>
    /// <exception cref="RefusedException">It was not taken, or its commit failed.</exception>
    public async Task<PublishedEvent> PublishAsync<TEvent>(
        TEvent happened, string subject, string? session = null, string? id = null, CancellationToken cancel = default)
        where TEvent : class
    {
        ArgumentNullException.ThrowIfNull(happened);
        var declared = types.Declared(typeof(TEvent));
        Check(nameof(subject), subject);
        if (session is not null)
            Check(nameof(session), session);
        var isNew = id is null;
        id ??= Guid.CreateVersion7().ToString();
        Check(nameof(id), id);
        var content = JsonSerializer.SerializeToUtf8Bytes(happened, declared.Json);
        if (content.Length > PublisherRequest.MaxData)
            throw new ArgumentException($"happened: is {content.Length} bytes as JSON; at most {PublisherRequest.MaxData} are allowed. Publish where the rest is instead.", nameof(happened));

        var data = new ProgramEvent(declared.Kind, id, new JsonBytes(content), happened);
        return await intake.PublishAsync(source!, [new NewOutsideEvent(data, subject, session)], isNew, cancel).WaitAsync(cancel) switch
        {
            PublishOutcome.Accepted { Events: var events } => events[0],
            PublishOutcome.Mismatch used => throw new ArgumentException($"id: '{id}' was used for another event, number {used.Sequence}. Use a new id for a new event.", nameof(id)),
            PublishOutcome.NotAllowed refused => throw new InvalidOperationException($"{refused.Member}: {refused.Problem}."),
            _ => throw new InvalidOperationException($"'{source}' was removed from the publishers by an administrator. It is registered again when the broker starts."),
        };
    }

    /// <summary>Follows the log from now on, as a live handler of events of one type. Dispose to end it; what it is handling then is cancelled and not waited for.</summary>
    /// <param name="filter">Which of them, as in <see cref="EventFilter.Subject"/>.</param>
    /// <param name="handler">See <see cref="IEventHandler{TEvent}.HandleAsync"/>.</param>
    /// <param name="name">As <see cref="EventHandlerOptions.Name"/>. Null: <c>subscription-1</c> and so on.</param>
    /// <param name="retry">Null: five attempts.</param>
    /// <exception cref="ArgumentException">The name can't be taken, or is in use; or the retry policy can't be.</exception>
    /// <exception cref="InvalidOperationException">The type or the filter names an event that there is not, or the broker is stopping.</exception>
    public IDisposable Subscribe<TEvent>(
        EventFilter filter, Func<EventContext<TEvent>, CancellationToken, Task> handler, string? name = null, HandlerRetry? retry = null)
        where TEvent : class
    {
        name ??= $"subscription-{Interlocked.Increment(ref subscriptions)}";
        var options = new EventHandlerOptions { Filter = filter, Retry = retry ?? new HandlerRetry() };
        if (EventBusComposition.Fault(name, options) is { } fault)
            throw new ArgumentException(fault);
        var runner = new HandlerRunner(HandlerPlan.Make(name, options, types, handler), tools, feed.Head, null);
        lock (gate)
        {
            if (isStopping)
                throw new InvalidOperationException("The broker is stopping.");
            return Add(runner) ?? throw new ArgumentException($"name: '{name}' is in use. Give each subscription its own name, or none.", nameof(name));
        }
    }

    /// <summary>The same for every type: the data is <see cref="ProgramEvent"/> for the program's own.</summary>
    public IDisposable Subscribe(
        EventFilter filter, Func<EventContext<EventData>, CancellationToken, Task> handler, string? name = null, HandlerRetry? retry = null) =>
        Subscribe<EventData>(filter, handler, name, retry);

    /// <summary>Lets a parked handler try again, from the event it failed at. False: it is not parked.</summary>
    /// <exception cref="ArgumentException">There is no such handler.</exception>
    public bool Resume(string name) => Find(name).Unpark(skip: false);

    /// <summary>Lets a parked handler go on behind the event it failed at, which it never handles; or, where events are no longer kept, with the oldest that is. False: it is not parked.</summary>
    /// <exception cref="ArgumentException">There is no such handler.</exception>
    public bool Skip(string name) => Find(name).Unpark(skip: true);

    /// <summary>Registers the program as a publisher and starts its handlers; the sequencer runs already.</summary>
    /// <exception cref="BrokerStartException">A handler can't be made as it was added.</exception>
    internal async Task StartAsync(CancellationToken cancel)
    {
        if (types.DeclaredNames.Length > 0)
            await RegisterAsync(source!);
        await cursors.LoadAsync(cancel);
        List<HandlerRunner> runners = [.. services.GetServices<HandlerRegistration>().Select(Make)];
        cursors.Keep([.. runners.Where(runner => runner.IsDurable)]);
        await cursors.SaveAsync(cancel);
        saving = cursors.RunAsync(closing.Token);
        lock (gate)
        {
            foreach (var runner in runners)
            {
                if (Add(runner) is null)
                    throw new BrokerStartException($"Name: '{runner.Name}' is the name of two event handlers.", "Give each its own with options.Name.");
            }
        }
    }

    /// <summary>Cancels the handlers and waits for them, at most this long.</summary>
    internal async Task StopAsync(TimeSpan patience)
    {
        List<Following> left;
        lock (gate)
        {
            isStopping = true;
            left = [.. following.Values];
        }

        await Task.WhenAll(left.Select(one => one.Ended).Prepend(stopping.CancelAsync())).WaitAsync(patience, tools.Clock).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var one in left.Where(one => !one.Ended.IsCompleted))
            tools.Logger.HandlerHangs(one.Runner.Name);
    }

    /// <summary>Writes how far the durable handlers have come by now.</summary>
    /// <exception cref="StoreException">It could not be.</exception>
    internal Task SaveCursorsAsync(CancellationToken cancel) => cursors.SaveAsync(cancel);

    /// <summary>Writes how far the handlers have come; the last that is asked of the store.</summary>
    internal async Task CloseAsync()
    {
        await closing.CancelAsync();
        await saving;
        try
        {
            await cursors.SaveAsync(CancellationToken.None);
        }
        catch (StoreException failure)
        {
            tools.Logger.HandlerCursorsNotSaved(failure.Message);
        }
    }

    private static void Check(string name, string value)
    {
        if (!AgentIds.IsValid(value))
            throw new ArgumentException($"{name}: '{value}' {AgentIds.Fault}.", name);
    }

    private async Task RegisterAsync(string program)
    {
        var known = (await sequencer.ExecuteAsync(new ListPublishers())).FirstOrDefault(publisher => string.Equals(publisher.Id, program, StringComparison.Ordinal));
        if (known is not null && known.Types.Intersect(OutsideEvent.Kinds.Select(kind => kind.Name), StringComparer.Ordinal).Any())
            throw new BrokerStartException($"AddEventSource: '{program}' is a publisher outside the program.", "Choose another name, or remove that publisher.");
        await sequencer.ExecuteAsync(new RegisterPublisher(program, types.DeclaredNames, null));
    }

    private HandlerRunner Make(HandlerRegistration registration)
    {
        HandlerPlan plan;
        try
        {
            plan = registration.Make(services, types);
        }
        catch (InvalidOperationException fault)
        {
            throw new BrokerStartException(fault.Message, null, fault);
        }

        // A place behind the end of the log is that of another log, and would have it wait for events that came already.
        var kept = plan.IsDurable ? cursors.PositionOf(plan.Name) : null;
        return new HandlerRunner(plan, tools, Math.Min(kept ?? plan.StartAfter ?? feed.Head, feed.Head), kept);
    }

    private Following? Add(HandlerRunner runner)
    {
        var added = new Following(this, runner, CancellationTokenSource.CreateLinkedTokenSource(stopping.Token));
        if (!following.TryAdd(runner.Name, added))
            return null;
        added.Start();
        return added;
    }

    private HandlerRunner Find(string name)
    {
        lock (gate)
        {
            return following.TryGetValue(name, out var found)
                ? found.Runner
                : throw new ArgumentException($"name: there is no handler '{name}'. EventBus.Handlers lists them: {string.Join(", ", following.Keys.Order(StringComparer.Ordinal))}.", nameof(name));
        }
    }

    private sealed class Following(EventBus bus, HandlerRunner runner, CancellationTokenSource stop) : IDisposable
    {
        public HandlerRunner Runner => runner;

        public Task Ended { get; private set; } = Task.CompletedTask;

        public void Start() => Ended = runner.RunAsync(stop.Token);

        public void Dispose()
        {
            lock (bus.gate)
            {
                if (!bus.following.TryGetValue(runner.Name, out var known) || known != this)
                    return;
                bus.following.Remove(runner.Name);
            }

            stop.Cancel();
            stop.Dispose();
        }
    }
}

internal static partial class BusMessages
{
    [LoggerMessage(EventId = 4501, Level = LogLevel.Warning, Message = "Event handler {Handler} failed at event {Sequence}, attempt {Attempt}")]
    public static partial void HandlerFailed(this ILogger logger, string handler, long sequence, int attempt, Exception failure);

    [LoggerMessage(EventId = 4502, Level = LogLevel.Error, Message = "Event handler {Handler} is parked at event {Sequence} after {Attempts} attempts")]
    public static partial void HandlerParked(this ILogger logger, string handler, long sequence, int attempts);

    [LoggerMessage(EventId = 4503, Level = LogLevel.Error, Message = "Event handler {Handler} is parked behind event {Position}: events before {Horizon} are no longer kept")]
    public static partial void HandlerMissedEvents(this ILogger logger, string handler, long position, long horizon);

    [LoggerMessage(EventId = 4504, Level = LogLevel.Warning, Message = "Event handler {Handler} passed event {Sequence}, as it was told to")]
    public static partial void HandlerSkipped(this ILogger logger, string handler, long sequence);

    [LoggerMessage(EventId = 4505, Level = LogLevel.Warning, Message = "Event handler {Handler} goes on in a moment: {Reason}")]
    public static partial void HandlerStumbled(this ILogger logger, string handler, string reason);

    [LoggerMessage(EventId = 4506, Level = LogLevel.Warning, Message = "How far event handlers have come is kept in memory until the store takes it: {Reason}")]
    public static partial void HandlerCursorsNotSaved(this ILogger logger, string reason);

    [LoggerMessage(EventId = 4507, Level = LogLevel.Warning, Message = "Event handler {Handler} did not end in time; what it is handling is handled again after the next start, if it is durable")]
    public static partial void HandlerHangs(this ILogger logger, string handler);
}

using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sessions;
using Dispatch.Settings;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Sequencing;

/// <summary>Settings that decisions depend on. All times in milliseconds.</summary>
public sealed record StateOptions
{
    public long LeaseMs { get; init; } = 30_000;

    public long ReapAfterMs { get; init; } = 86_400_000;

    public long WakeTimeoutMs { get; init; } = 30_000;

    public long AgingMs { get; init; } = 60_000;

    public bool OwnerFilter { get; init; } = true;

    public long RetryBaseMs { get; init; } = 1_000;

    public long RetryCapMs { get; init; } = 300_000;

    /// <summary>How long a task waits to be confirmed.</summary>
    public long QuestionTimeoutMs { get; init; } = 86_400_000;

    /// <summary>The longest pause between two looks at the clock, a safety net: timers wake the loop by themselves.</summary>
    public long TickMs { get; init; } = 5_000;

    /// <summary>Specs of waiting tasks kept in memory, in bytes; past it they are read from the store when a worker takes them.</summary>
    public long SpecBudget { get; init; } = 64L << 20;

    /// <summary>A spec larger than this is never kept in memory while its task waits.</summary>
    public int SpecLimit { get; init; } = 2048;

    public AllowanceOptions Allowances { get; init; } = new();

    // Not for a configuration file: a simulation makes them small to reach what a busy broker reaches by size.

    /// <summary>Finished tasks, removed tasks and used keys that are remembered, each.</summary>
    internal int RecentKept { get; init; } = 20_000;

    /// <summary>Timers fired in one batch, so that a commit stays short; the rest goes into the next one.</summary>
    internal int DueLimit { get; init; } = 2_000;

    /// <summary>A balance is written at the latest when its row is so many events behind: what a start reads of the log, at most.</summary>
    internal long BalanceLagEvents { get; init; } = 1 << 18;

    /// <summary>Or with the next batch after so many milliseconds.</summary>
    internal long BalanceLagMs { get; init; } = 60_000;

    /// <summary>Tasks given out in one batch.</summary>
    internal int MatchLimit { get; init; } = 5_000;
}

/// <summary>
/// Everything the broker knows while it runs. Changed only by <see cref="Apply"/>; what is derived (queue, timers, who holds what)
/// follows in the same call. Not for use by two threads at once.
/// </summary>
public sealed class State
{
    private static readonly Dictionary<string, EventKind> KindsByName =
        TaskEvent.Kinds.Concat(AgentEvent.Kinds).Concat(SessionEvent.Kinds).Concat(PublisherEvent.Kinds).Concat(OutsideEvent.Kinds).Concat(WebhookEvent.Kinds)
            .Concat(LogEvent.Kinds).Concat(ConfigEvent.Kinds).Concat(QuestionEvent.Kinds).Concat(ResponderEvent.Kinds)
            .Concat(AllowanceEvent.Kinds).ToDictionary(kind => kind.Name, StringComparer.Ordinal);

    private HashChain chain = new(HashChain.Start);
    private long? movedHorizon;

    /// <param name="live">False for a state that is only folded from a log: no queue, no timers, and finished tasks stay.</param>
    public State(StateOptions options, bool live = true)
    {
        Options = options;
        IsLive = live;
        Matcher = new Matcher(this);
        Tasks = new TaskTable(this);
        Agents = new AgentTable(this);
        Sessions = new SessionTable(this);
        Publishers = new PublisherTable(this);
        Questions = new QuestionTable(this);
        Allowances = new AllowanceTable(this);
    }

    /// <summary>The whole catalogue.</summary>
    public static IReadOnlyCollection<EventKind> EventKinds => KindsByName.Values;

    public StateOptions Options { get; private set; }

    public bool IsLive { get; }

    public TaskTable Tasks { get; }

    public AgentTable Agents { get; }

    public TokenTable Tokens { get; } = new();

    public SessionTable Sessions { get; }

    public PublisherTable Publishers { get; }

    public WebhookTable Webhooks { get; } = new();

    public QuestionTable Questions { get; }

    public AllowanceTable Allowances { get; }

    public Matcher Matcher { get; }

    /// <summary>Sequence of the last event.</summary>
    public long Sequence { get; private set; }

    /// <summary>Sequence of the oldest event that is kept; 1 while all are.</summary>
    public long Horizon { get; private set; } = 1;

    /// <summary>Wall clock in Unix milliseconds, never behind the last event's timestamp.</summary>
    public long Now { get; private set; }

    /// <summary>Monotonic milliseconds: leases, run times and backoff are measured by it, so that a set clock changes none of them.</summary>
    public long Elapsed { get; private set; }

    /// <summary>Timers on the monotonic clock.</summary>
    internal DueQueue Due { get; } = new();

    /// <summary>Timers on the wall clock: run_at, deadline, the end of sessions and questions.</summary>
    internal DueQueue WallDue { get; } = new();

    /// <exception cref="KeyNotFoundException">No such event type in this release.</exception>
    public static EventKind KindOf(string name) =>
        KindsByName.TryGetValue(name, out var kind) ? kind : throw new KeyNotFoundException($"Event type '{name}' is not known to this release.");

    /// <summary>The catalogue's kind of an entry, or that of an embedding program's own type: such an entry has its publisher as source and actor. Null: neither.</summary>
    public static EventKind? FindKind(LogEntry entry) => KindsByName.TryGetValue(entry.Type, out var kind) ? kind
        : string.Equals(entry.Source, entry.Actor, StringComparison.Ordinal) ? ProgramEvent.KindOf(entry.Type)
        : null;

    /// <summary>Understands an entry of the log.</summary>
    /// <exception cref="KeyNotFoundException">No such event type in this release.</exception>
    /// <exception cref="System.Text.Json.JsonException">The data is not its type's.</exception>
    public static DispatchEvent Read(LogEntry entry) => new(
        entry.Sequence, entry.Timestamp, entry.Subject, entry.Session, entry.Actor, entry.CausedBy, entry.Previous, (FindKind(entry) ?? KindOf(entry.Type)).Read(entry.Data.Span));

    /// <summary>Takes over what the store holds. Every lease, run time and backoff starts from here with what was left of it.</summary>
    public static State Load(LoadedState loaded, StateOptions options, long now, long elapsed)
    {
        var state = new State(options) { Sequence = loaded.Sequence, Horizon = loaded.Horizon, Now = loaded.Timestamp, chain = new HashChain(loaded.Hash) };
        state.MoveClocks(now, elapsed);
        state.Tokens.Load(loaded.Tokens);
        state.Sessions.Load(loaded.Sessions);
        state.Publishers.Load(loaded.Publishers);
        state.Webhooks.Load(loaded.Webhooks);
        state.Questions.Load(loaded.Questions, loaded.Responders);
        state.Allowances.Load(loaded.Limits, loaded.Balances);
        state.Allowances.NoteUnwritten(loaded.UnwrittenBalances, loaded.BalancesWritten);
        state.Allowances.Charging.Remember(loaded.Usage);
        state.Agents.Load(loaded.Agents);
        state.Tasks.Load(loaded.Tasks, loaded.Totals);
        return state;
    }

    /// <summary>Takes over a row of the base from which a folded state begins, before any event.</summary>
    /// <exception cref="ArgumentException">The row is there already.</exception>
    public void Restore(BaseRow row)
    {
        if (row.Start is { } start)
        {
            (Sequence, Horizon, Now) = (start.Sequence, start.Horizon, start.Timestamp);
            Tasks.Load([], start.Totals);
        }

        if (row.Agent is { } agent)
            Agents.Load([agent]);
        if (row.Token is { } token)
            Tokens.Load([token]);
        if (row.Session is { } session)
            Sessions.Load([session]);
        if (row.Publisher is { } publisher)
            Publishers.Load([publisher]);
        if (row.Webhook is { } webhook)
            Webhooks.Load([webhook]);
        if (row.Question is { } question)
            Questions.Load([question], []);
        if (row.Responder is { } responder)
            Questions.Load([], [responder]);
        if (row.Limit is { } limit)
            Allowances.Load([limit], []);
        if (row.Balance is { } balance)
            Allowances.Load([], [balance]);
        if (row.Task is { } task)
            Tasks.Restore(task);
    }

    public void MoveClocks(long now, long elapsed)
    {
        Now = Math.Max(Now, now);
        Elapsed = Math.Max(Elapsed, elapsed);
    }

    /// <summary>
    /// Decides by other settings from now on. Like the clocks they are no part of what is folded: events carry what they led to.
    /// </summary>
    internal void Change(StateOptions options)
    {
        var before = Options;
        Options = options;
        if (options.ReapAfterMs != before.ReapAfterMs)
            Presence.ReapAfterChanged(this, before.ReapAfterMs);
        if (options.OwnerFilter != before.OwnerFilter)
            Presence.OwnerFilterChanged(this);
        if (options.OwnerFilter != before.OwnerFilter || options.AgingMs != before.AgingMs)
            Matcher.SettingsChanged();
        if (!ReferenceEquals(options.Allowances, before.Allowances))
            Allowances.SettingsChanged();
    }

    /// <summary>The only code that changes what is folded; the same live and on replay.</summary>
    public void Apply(DispatchEvent happened)
    {
        Sequence = happened.Sequence;
        if (!IsLive)
            Now = happened.Timestamp;
        switch (happened.Data)
        {
            case TaskEvent data:
                Tasks.Apply(happened, data);
                break;
            case TokenCreated or TokenRevoked:
                Tokens.Apply(happened);
                break;
            case AgentEvent data:
                Agents.Apply(happened, data);
                break;
            case SessionEvent data:
                Sessions.Apply(happened, data);
                break;
            case PublisherEvent data:
                Publishers.Apply(happened, data);
                break;
            case OutsideEvent data:
                Publishers.Apply(happened, data);
                break;
            case WebhookEvent data:
                Webhooks.Apply(happened, data);
                break;
            case QuestionEvent data:
                Tasks.Follow(Questions.Apply(happened, data), data);
                break;
            case ResponderEvent data:
                Questions.Apply(happened, data);
                break;
            case AllowanceEvent data:
                Allowances.Apply(happened, data);
                break;
            case ConfigEvent:
                break;
            case LogTrimmed data:
                movedHorizon = Horizon = data.Horizon;
                break;
            default:
                throw new InvalidOperationException($"No table takes {happened.Type} events.");
        }
    }

    /// <summary>What the events since the last call changed, for the store.</summary>
    internal Batch TakeBatch(IReadOnlyList<DispatchEvent> events)
    {
        var (tasks, attempts, keys, pruned) = Tasks.TakeChanges();
        var (agents, removed) = Agents.TakeChanges();
        var (sessions, closed) = Sessions.TakeChanges();
        var (publishers, gone, published) = Publishers.TakeChanges();
        var (webhooks, removedWebhooks) = Webhooks.TakeChanges();
        var (questions, responders, removedResponders) = Questions.TakeChanges();
        var (limits, removedLimits, balances, removedBalances, usage, balancesWritten) = Allowances.TakeChanges();
        var horizon = movedHorizon;
        movedHorizon = null;
        return new Batch
        {
            Events = events,
            Texts = EventTexts.Of(events, chain),
            Tasks = tasks,
            Attempts = attempts,
            Keys = keys,
            PrunedTasks = pruned,
            Agents = agents,
            RemovedAgents = removed,
            Tokens = Tokens.TakeChanges(),
            Sessions = sessions,
            ClosedSessions = closed,
            Publishers = publishers,
            RemovedPublishers = gone,
            Published = published,
            Webhooks = webhooks,
            RemovedWebhooks = removedWebhooks,
            Questions = questions,
            Responders = responders,
            RemovedResponders = removedResponders,
            Limits = limits,
            RemovedLimits = removedLimits,
            Balances = balances,
            RemovedBalances = removedBalances,
            BalancesWritten = balancesWritten,
            Usage = usage,
            Horizon = horizon,
            Totals = Tasks.Totals.ToArray(),
        };
    }
}

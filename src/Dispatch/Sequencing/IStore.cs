using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sessions;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Sequencing;

/// <summary>
/// The one storage seam. One sequencer calls <see cref="LoadAsync"/> and <see cref="CommitAsync"/>, one call at a time;
/// the reads may be called by anybody at any time and see every commit that has been answered.
/// </summary>
public interface IStore : IAsyncDisposable
{
    /// <summary>Reads the live state: tasks that are not final, agents, tokens, open sessions, publishers, webhooks, open questions, responders, totals and the last sequence number.</summary>
    /// <exception cref="StoreException">The store can't be read; see its kind.</exception>
    Task<LoadedState> LoadAsync(CancellationToken cancel);

    /// <summary>Writes the batch in one transaction: all of it durable on return, or nothing of it.</summary>
    /// <param name="epoch">The writer's epoch; a stale one is refused (single-node stores ignore it).</param>
    /// <exception cref="StoreException">Nothing was written, or (kind Unknown) it may have been: reload tells.</exception>
    Task CommitAsync(Batch batch, long epoch, CancellationToken cancel);

    /// <summary>Writes and commits something tiny: returns when the store takes writes again.</summary>
    /// <exception cref="StoreException">It does not.</exception>
    Task ProbeAsync(CancellationToken cancel);

    /// <summary>
    /// Keeps how far followers of the log have come, and what webhooks were told on the way: all of it durable on return, or nothing. Not part of the
    /// log: whoever delivers keeps what could not be written in memory and tries again, and a crash before that only repeats deliveries.
    /// </summary>
    /// <param name="cursors">Sequence of the last event that each follower is done with, by name; each name once.</param>
    /// <param name="deliveries">Only the newest <see cref="WebhookDelivery.Kept"/> of each webhook stay; those of a webhook that is not there are dropped.</param>
    /// <exception cref="StoreException">Nothing was written, or (kind Unknown) it may have been; writing cursors again does no harm.</exception>
    Task SaveCursorsAsync(IReadOnlyList<(string Name, long Sequence)> cursors, IReadOnlyList<WebhookDelivery> deliveries, CancellationToken cancel);

    /// <summary>Every cursor that was kept, by name.</summary>
    Task<IReadOnlyDictionary<string, long>> LoadCursorsAsync(CancellationToken cancel);

    /// <summary>The same with the time since when each stands there.</summary>
    Task<IReadOnlyList<FollowerPlace>> ListCursorsAsync(CancellationToken cancel);

    /// <summary>The deliveries of a webhook, newest first.</summary>
    Task<IReadOnlyList<WebhookDelivery>> ListDeliveriesAsync(string webhook, int limit, CancellationToken cancel);

    Task<StoredTask?> FindTaskAsync(TaskId id, CancellationToken cancel);

    /// <summary>The specs of tasks by number, in the order asked for; null where there is none.</summary>
    Task<IReadOnlyList<TaskSpec?>> FindSpecsAsync(IReadOnlyList<long> numbers, CancellationToken cancel);

    /// <summary>A page of tasks, newest first.</summary>
    Task<IReadOnlyList<StoredTask>> ListTasksAsync(TaskQuery query, CancellationToken cancel);

    /// <summary>The ended attempts of a task, oldest first.</summary>
    Task<IReadOnlyList<EndedAttempt>> ListAttemptsAsync(long taskNumber, CancellationToken cancel);

    /// <summary>The events about one subject, oldest first: the chain that ends with <paramref name="lastSequence"/>, as far as it is kept.</summary>
    Task<IReadOnlyList<DispatchEvent>> ListHistoryAsync(long lastSequence, int limit, CancellationToken cancel);

    /// <summary>Entries of the log at or above the horizon with a sequence above <paramref name="after"/>, in order, at most <paramref name="limit"/>; fewer when they are large, but none only behind the last.</summary>
    Task<IReadOnlyList<LogEntry>> ListEventsAsync(long after, int limit, CancellationToken cancel);

    /// <summary>What a decision needs to know about tasks and keys that are no longer in memory.</summary>
    Task<StoreFacts> FindFactsAsync(IReadOnlyList<TaskId> tasks, IReadOnlyList<IdempotencyKey> keys, CancellationToken cancel);

    /// <summary>The question, settled or not; null when there is none.</summary>
    Task<StoredQuestion?> FindQuestionAsync(string id, CancellationToken cancel);

    /// <summary>A page of questions, newest first.</summary>
    Task<IReadOnlyList<StoredQuestion>> ListQuestionsAsync(QuestionQuery query, CancellationToken cancel);

    /// <summary>Whether the reporter has used this id in an event that is kept, and the task that the report names.</summary>
    Task<UsageFacts> FindUsageAsync(string reporter, string id, TaskId? task, CancellationToken cancel);

    /// <summary>A page of what was reserved and spent on a limit; see <see cref="LedgerPlace"/> for the order. What belongs to tasks and events that are no longer kept is not there.</summary>
    Task<IReadOnlyList<LedgerEntry>> ListLedgerAsync(LedgerQuery query, CancellationToken cancel);

    /// <summary>Which of these ids the publisher has used, in events that are kept.</summary>
    Task<PublishedFacts> FindPublishedAsync(string publisher, IReadOnlyList<string> ids, CancellationToken cancel);

    /// <summary>
    /// Looks at up to <paramref name="examine"/> tasks from number <paramref name="after"/> on and returns those that finished before
    /// <paramref name="finishedBefore"/>, with the number to go on from; that number is 0 when every older task has been looked at.
    /// </summary>
    Task<(IReadOnlyList<StoredTask> Expired, long Next)> FindExpiredAsync(long after, long finishedBefore, int examine, CancellationToken cancel);

    /// <summary>How far the log reaches, and from where it could be kept instead.</summary>
    Task<LogExtent> FindExtentAsync(CancellationToken cancel);

    /// <summary>
    /// Takes a base as of the last commit, while commits go on, or returns the one that is there. One call at a time. When it does not come to its
    /// end, nothing of it counts.
    /// </summary>
    /// <exception cref="StoreException">The store can't be read or takes no writes.</exception>
    Task<LogBase> TakeBaseAsync(CancellationToken cancel);

    /// <summary>
    /// Makes the kept tasks independent of the events up to this one, in small pieces: what they say and what came of them is then told by rows of
    /// their own. A commit with <see cref="Batch.Horizon"/> behind it is refused before. Changes nothing that can be read; may be repeated.
    /// </summary>
    /// <exception cref="StoreException">The store takes no writes.</exception>
    Task PrepareTrimAsync(long upTo, CancellationToken cancel);

    /// <summary>Deletes some of what is below the horizon, which nobody can read any more; true: there may be more.</summary>
    /// <param name="most">Events at once.</param>
    /// <exception cref="StoreException">The store takes no writes.</exception>
    Task<bool> TrimAsync(int most, CancellationToken cancel);

    /// <summary>Opens a look at everything that is stored, all of it as of one moment, while commits go on.</summary>
    /// <exception cref="StoreException">The store can't be read.</exception>
    Task<IStoreAudit> OpenAuditAsync(CancellationToken cancel);
}

/// <summary>
/// Everything the store holds as of one moment, row by row without holding it all in memory: what the invariants are checked on.
/// Not for use by several threads at once; one enumeration at a time. Rows come as they were written, in the stated order; an unreadable
/// one throws <see cref="StoreException"/> with <see cref="StoreFault.Corrupt"/>. Disposing ends the look.
/// </summary>
public interface IStoreAudit : IAsyncDisposable
{
    /// <summary>The base that stands for the events before the horizon; null while all events are kept, or when it is missing.</summary>
    Task<LogBase?> FindBaseAsync(CancellationToken cancel);

    /// <summary>The parts of that base, in order; see <see cref="BaseFormat"/>.</summary>
    IAsyncEnumerable<byte[]> BasePartsAsync(CancellationToken cancel);

    /// <summary>The log from the horizon on, by sequence number. A gap is not hidden.</summary>
    IAsyncEnumerable<LogEntry> EventsAsync(CancellationToken cancel);

    /// <summary>Every task, finished or not, by number.</summary>
    IAsyncEnumerable<StoredTask> TasksAsync(CancellationToken cancel);

    /// <summary>Every ended attempt, by (task number, attempt).</summary>
    IAsyncEnumerable<EndedAttempt> AttemptsAsync(CancellationToken cancel);

    /// <summary>Every idempotency key, by (task number, caller, key).</summary>
    IAsyncEnumerable<IdempotencyRow> KeysAsync(CancellationToken cancel);

    /// <summary>What was published from outside in events that are kept, by sequence number.</summary>
    IAsyncEnumerable<PublishedRow> PublishedAsync(CancellationToken cancel);

    /// <summary>Usage reports in events that are kept, by sequence number.</summary>
    IAsyncEnumerable<UsageRow> UsageAsync(CancellationToken cancel);

    /// <summary>What <see cref="IStore.LoadAsync"/> would answer, read in the same moment: agents, tokens, open sessions, publishers, totals, live tasks, last sequence number.</summary>
    Task<LoadedState> LoadAsync(CancellationToken cancel);
}

/// <param name="Sequence">Last sequence number in the log; 0 for an empty one.</param>
/// <param name="Timestamp">Timestamp of that event, 0 for an empty log.</param>
/// <param name="Hash">Its hash; zeros for an empty log.</param>
/// <param name="Tasks">Every task that is not final, in order of number.</param>
/// <param name="Totals">Tasks in each state, indexed by <see cref="TaskState"/>, finished ones included.</param>
public sealed record LoadedState(
    long Sequence, long Timestamp, byte[] Hash, IReadOnlyList<WorkTask> Tasks, IReadOnlyList<Agent> Agents, IReadOnlyList<AgentToken> Tokens,
    IReadOnlyList<Session> Sessions, IReadOnlyList<Publisher> Publishers, IReadOnlyList<long> Totals)
{
    public IReadOnlyList<WebhookEndpoint> Webhooks { get; init; } = [];

    /// <summary>Those that are open, in the order of asking.</summary>
    public IReadOnlyList<Question> Questions { get; init; } = [];

    public IReadOnlyList<Responder> Responders { get; init; } = [];

    /// <summary>Limits, and budgets of tasks that are kept.</summary>
    public IReadOnlyList<Limit> Limits { get; init; } = [];

    /// <summary>As of the last event: see <see cref="BalanceRecovery"/>.</summary>
    public IReadOnlyList<LimitBalance> Balances { get; init; } = [];

    /// <summary>Keys of those whose rows are behind.</summary>
    public IReadOnlyCollection<string> UnwrittenBalances { get; init; } = [];

    /// <summary>What events up to this one changed is in the rows of all balances.</summary>
    public long BalancesWritten { get; init; }

    /// <summary>What the newest attempts used that said so, oldest first: some thousands, and none while there are no limits.</summary>
    public IReadOnlyList<UsageSample> Usage { get; init; } = [];

    /// <summary>Sequence of the oldest event that is kept; 1 while all are.</summary>
    public long Horizon { get; init; } = 1;

    public static readonly LoadedState Empty = new(0, 0, new byte[HashChain.Size], [], [], [], [], [], new long[9]);
}

/// <summary>A task as the store knows it, finished or not. <c>Result</c> is set once it completed with one.</summary>
public sealed record StoredTask(WorkTask Task, TaskSpec Spec, JsonBytes? Result);

public readonly record struct IdempotencyKey(string Caller, string Key);

/// <summary>Facts read from the store, true as of a sequence number.</summary>
/// <param name="AsOf">Everything up to this sequence number was seen.</param>
public sealed record StoreFacts(
    long AsOf, IReadOnlyDictionary<TaskId, StoredTask> Tasks, IReadOnlyDictionary<IdempotencyKey, IdempotencyRow> Keys);

/// <summary>Which tasks to list. Absent filters let everything through; all given ones must hold.</summary>
public sealed record TaskQuery
{
    public IReadOnlyList<TaskState> Statuses { get; init; } = [];

    public string? Requester { get; init; }

    public string? Assignee { get; init; }

    public string? Scope { get; init; }

    public string? Owner { get; init; }

    public TaskId? Parent { get; init; }

    /// <summary>Each as <c>key=value</c>; all must be there.</summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>Only tasks that this caller submitted, owns or is assigned; null: everybody's.</summary>
    public string? VisibleTo { get; init; }

    public bool? DeadLettered { get; init; }

    /// <summary>Only tasks with a lower number: the last one of the page before. Null: from the newest.</summary>
    public long? Before { get; init; }

    public int Limit { get; init; } = 100;
}

/// <summary>Which questions to list. Absent filters let everything through; all given ones must hold.</summary>
public sealed record QuestionQuery
{
    public QuestionStatus? Status { get; init; }

    /// <summary>Exact, or all below a name (<c>tool.*</c>); any of them.</summary>
    public IReadOnlyList<string> Types { get; init; } = [];

    public string? About { get; init; }

    public string? Session { get; init; }

    /// <summary>Only those that this caller asked, or that are of <see cref="VisibleTypes"/>; null: everybody's.</summary>
    public string? VisibleTo { get; init; }

    /// <summary>What that caller may answer.</summary>
    public IReadOnlyList<string> VisibleTypes { get; init; } = [];

    /// <summary>Only questions with a lower number: the last one of the page before. Null: from the newest.</summary>
    public long? Before { get; init; }

    public int Limit { get; init; } = 100;

    /// <summary>Whether the question is one of those asked for, by everything but number and limit.</summary>
    public bool Takes(Question question) =>
        (Status is null || Status == question.Status) && (Types.Count == 0 || Types.Any(type => EventFilter.IsOf(type, question.Type)))
        && (About is null || About == question.About) && (Session is null || Session == question.Session)
        && (VisibleTo is null || VisibleTo == question.Asker || VisibleTypes.Any(type => EventFilter.IsOf(type, question.Type)));
}

/// <summary>What went wrong in the store, as far as a caller has to act on it.</summary>
public enum StoreFault
{
    /// <summary>Nothing was written; trying again later may work.</summary>
    Unavailable,

    /// <summary>No room: nothing was written; works again when there is some.</summary>
    Full,

    /// <summary>The commit may or may not have happened.</summary>
    Unknown,

    /// <summary>The file or directory may not be written.</summary>
    ReadOnly,

    /// <summary>The content is damaged, or not a Dispatch store.</summary>
    Corrupt,

    /// <summary>Written by a newer release.</summary>
    TooNew,

    /// <summary>Another broker holds it.</summary>
    Locked,

    /// <summary>The operating system lost data it had been asked to keep (fsync failed): only a restart that reads the disk again is safe.</summary>
    Fatal,
}

/// <summary>The store refused. The message says what to do about it.</summary>
public sealed class StoreException(StoreFault fault, string message, Exception? inner = null) : Exception(message, inner)
{
    public StoreFault Fault { get; } = fault;
}

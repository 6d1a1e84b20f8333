using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// The store in PostgreSQL 13 or later: one schema for each namespace. A commit is one transaction in one round trip. One broker writes a namespace at a time, by the
/// database's word: taking over raises the epoch, and one that was paused meanwhile can commit nothing when it wakes up.
/// </summary>
public sealed class PostgresStore : IStore
{
    private static readonly TimeSpan ClosePatience = TimeSpan.FromSeconds(4);

    private readonly Connections connections;
    private readonly PostgresReaders readers;
    private readonly PostgresQueries queries;
    private readonly PostgresWriter? writer;
    private readonly TimeProvider clock;
    private int disposed;

    private PostgresStore(Connections connections, PostgresStoreOptions options, PostgresWriter? writer, TimeProvider clock)
    {
        this.connections = connections;
        this.writer = writer;
        this.clock = clock;
        readers = new PostgresReaders(connections, options);
        queries = new PostgresQueries(readers);
    }

    /// <summary>The epoch of this writer; it rises with each connection that takes the place of a lost one. 0 for a store that is only read.</summary>
    public long Epoch => writer?.Epoch ?? 0;

    /// <summary>Opens the store for the one broker that writes it; makes schema and tables when they are missing, and brings older ones to this release's layout.</summary>
    /// <exception cref="StoreException">Another broker writes the namespace, or the database can't be used; the message says what to do, and holds no password.</exception>
    public static async Task<PostgresStore> OpenAsync(PostgresStoreOptions options, TimeProvider clock, CancellationToken cancel)
    {
        var connections = Connect(options);
        try
        {
            return new PostgresStore(connections, options, await PostgresWriter.OpenAsync(connections, options, clock, cancel), clock);
        }
        catch
        {
            await connections.DisposeAsync();
            throw;
        }
    }

    /// <summary>Opens an existing store only to look at it, also while a broker runs on it. Every write is refused.</summary>
    /// <exception cref="StoreException">The address is none. That the store isn't there or can't be read is told by the first read.</exception>
    public static PostgresStore OpenForReading(PostgresStoreOptions options, TimeProvider clock) => new(Connect(options), options, writer: null, clock);

    public Task<LoadedState> LoadAsync(CancellationToken cancel) => queries.LoadAsync(cancel);

    public Task CommitAsync(Batch batch, long epoch, CancellationToken cancel)
    {
        if (batch.IsEmpty)
            return Task.CompletedTask;
        if (epoch != 0 && epoch != Writer.Epoch)
            throw new StoreException(StoreFault.Locked, $"Epoch {epoch} is not the one that writes {connections.Where} ({Writer.Epoch}). Nothing was written.");
#if PLANTED_BUGS
        if (Environment.GetEnvironmentVariable("DISPATCH_TEST_BUG") == "epoch-not-checked")
            return CommitWhateverTheEpochAsync(batch, cancel);
#endif
        return Writer.CommitAsync(batch, cancel);
    }

#if PLANTED_BUGS
    // The fence says that another writes now, and nobody listens: the batch counts as committed.
    private async Task CommitWhateverTheEpochAsync(Batch batch, CancellationToken cancel)
    {
        try
        {
            await Writer.CommitAsync(batch, cancel);
        }
        catch (StoreException refusal) when (refusal.Fault == StoreFault.Locked)
        {
            // That is the bug.
        }
    }
#endif

    public Task ProbeAsync(CancellationToken cancel) => Writer.ProbeAsync(cancel);

    public Task SaveCursorsAsync(IReadOnlyList<(string Name, long Sequence)> cursors, IReadOnlyList<WebhookDelivery> deliveries, CancellationToken cancel) =>
        cursors.Count + deliveries.Count == 0
            ? Task.CompletedTask
            : Writer.WriteAsync(session => CursorWriter.WriteAsync(session, cursors, deliveries, clock.GetUtcNow().ToUnixTimeMilliseconds()), cancel);

    public Task<IReadOnlyDictionary<string, long>> LoadCursorsAsync(CancellationToken cancel) => queries.LoadCursorsAsync(cancel);

    public Task<IReadOnlyList<FollowerPlace>> ListCursorsAsync(CancellationToken cancel) => queries.ListCursorsAsync(cancel);

    public Task<IReadOnlyList<WebhookDelivery>> ListDeliveriesAsync(string webhook, int limit, CancellationToken cancel) => queries.ListDeliveriesAsync(webhook, limit, cancel);

    public Task<StoredTask?> FindTaskAsync(TaskId id, CancellationToken cancel) => queries.FindTaskAsync(id, cancel);

    public Task<IReadOnlyList<TaskSpec?>> FindSpecsAsync(IReadOnlyList<long> numbers, CancellationToken cancel) => queries.FindSpecsAsync(numbers, cancel);

    public Task<IReadOnlyList<StoredTask>> ListTasksAsync(TaskQuery query, CancellationToken cancel) => queries.ListTasksAsync(query, cancel);

    public Task<IReadOnlyList<EndedAttempt>> ListAttemptsAsync(long taskNumber, CancellationToken cancel) => queries.ListAttemptsAsync(taskNumber, cancel);

    public Task<IReadOnlyList<DispatchEvent>> ListHistoryAsync(long lastSequence, int limit, CancellationToken cancel) => queries.ListHistoryAsync(lastSequence, limit, cancel);

    public Task<IReadOnlyList<LogEntry>> ListEventsAsync(long after, int limit, CancellationToken cancel) => queries.ListEventsAsync(after, limit, cancel);

    public Task<StoreFacts> FindFactsAsync(IReadOnlyList<TaskId> tasks, IReadOnlyList<IdempotencyKey> keys, CancellationToken cancel) => queries.FindFactsAsync(tasks, keys, cancel);

    public Task<StoredQuestion?> FindQuestionAsync(string id, CancellationToken cancel) => queries.FindQuestionAsync(id, cancel);

    public Task<IReadOnlyList<StoredQuestion>> ListQuestionsAsync(QuestionQuery query, CancellationToken cancel) => queries.ListQuestionsAsync(query, cancel);

    public Task<UsageFacts> FindUsageAsync(string reporter, string id, TaskId? task, CancellationToken cancel) => queries.FindUsageAsync(reporter, id, task, cancel);

    public Task<IReadOnlyList<LedgerEntry>> ListLedgerAsync(LedgerQuery query, CancellationToken cancel) => queries.ListLedgerAsync(query, cancel);

    public Task<PublishedFacts> FindPublishedAsync(string publisher, IReadOnlyList<string> ids, CancellationToken cancel) => queries.FindPublishedAsync(publisher, ids, cancel);

    public Task<(IReadOnlyList<StoredTask> Expired, long Next)> FindExpiredAsync(long after, long finishedBefore, int examine, CancellationToken cancel) =>
        queries.FindExpiredAsync(after, finishedBefore, examine, cancel);

    public Task<LogExtent> FindExtentAsync(CancellationToken cancel) => readers.ReadAsync(connection => LogRows.ExtentAsync(connection, cancel), cancel);

    public async Task<LogBase> TakeBaseAsync(CancellationToken cancel)
    {
        await DeleteStrayPartsAsync(cancel);
        await using var audit = await OpenAsync(cancel);
        var (head, bytes, known) = await audit.FindEndAsync(cancel);
        if (known is not null)
            return known;

        try
        {
            var part = 0;
            var written = await BaseFormat.WriteAsync(
                audit, data => Writer.WriteAsync(session => LogWriter.WritePartAsync(session, head, ++part, data, CancellationToken.None), cancel), cancel);
            var made = written with { Bytes = bytes };
            await Writer.WriteAsync(session => LogWriter.WriteBaseAsync(session, made, CancellationToken.None), cancel);
            return made;
        }
        catch (StoreException)
        {
            // The disk may be full: what there is of it must not stand in the way of commits.
            await DeleteStrayPartsAsync(cancel);
            throw;
        }
    }

    public async Task PrepareTrimAsync(long upTo, CancellationToken cancel)
    {
        for (long? after = 0; after is { } next;)
            after = await Writer.WriteAsync(session => LogWriter.PrepareAsync(session, next, upTo, CancellationToken.None), cancel);
    }

    public Task<bool> TrimAsync(int most, CancellationToken cancel) => Writer.WriteAsync(session => LogWriter.TrimAsync(session, most, CancellationToken.None), cancel);

    public async Task<IStoreAudit> OpenAuditAsync(CancellationToken cancel) => await OpenAsync(cancel);

    /// <summary>Finishes the commit that is under way and gives the writer's place up. Ends within 8 s, also when the server hangs; the place is then free when the lease has run out.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) == 1)
            return;

        // A commit that hangs still uses what would be disposed of: then it is left to the end of the process.
        if (writer is not null && !await writer.CloseAsync(ClosePatience))
            return;
        if (writer is not null)
            await writer.DisposeAsync();
        readers.Dispose();
        await connections.DisposeAsync();
    }

    private PostgresWriter Writer => writer ?? throw new StoreException(StoreFault.ReadOnly, "The store was opened only for reading.");

    private async Task DeleteStrayPartsAsync(CancellationToken cancel)
    {
        while (await Writer.WriteAsync(session => LogWriter.DeleteStrayPartsAsync(session, CancellationToken.None), cancel))
        {
        }
    }

    private async Task<PostgresAudit> OpenAsync(CancellationToken cancel)
    {
        var (connection, moment) = await readers.OpenMomentAsync(cancel);
        return new PostgresAudit(connection, moment, connections.Where);
    }

    /// <exception cref="StoreException">The address is none.</exception>
    internal static Connections Connect(PostgresStoreOptions options)
    {
        options.Check();
        try
        {
            return new Connections(options);
        }
        catch (FormatException wrong)
        {
            throw new StoreException(StoreFault.Unavailable, $"The address of the database can't be used: {wrong.Message}", wrong);
        }
    }
}

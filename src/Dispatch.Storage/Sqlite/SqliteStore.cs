using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// The embedded store: one SQLite file in write-ahead mode. A commit has reached the disk before it is answered
/// (<c>synchronous=FULL</c>). One broker at a time: a lock file beside the database refuses the second.
/// </summary>
public sealed class SqliteStore : IStore
{
    private static readonly TimeSpan ClosePatience = TimeSpan.FromSeconds(8);

    private readonly SqliteStoreOptions options;
    private readonly SqliteReaders readers;
    private readonly SqliteWriter? writer;
    private readonly BrokerLock? brokerLock;
    private int disposed;

    private SqliteStore(SqliteStoreOptions options, SqliteWriter? writer, BrokerLock? brokerLock)
    {
        this.options = options;
        readers = new SqliteReaders(options);
        this.writer = writer;
        this.brokerLock = brokerLock;
    }

    /// <summary>Version of the operating system's SQLite, e.g. <c>3.40.1</c>.</summary>
    public static string LibraryVersion => SqliteConnection.LibraryVersion;

    /// <summary>Opens the store for the one broker that writes it; makes the directory and the file when they are missing, and brings an older file to this release's layout.</summary>
    /// <exception cref="StoreException">Another broker holds it, or it can't be used; the message says what to do.</exception>
    public static SqliteStore Open(SqliteStoreOptions options, TimeProvider clock)
    {
        options.Check();
        options = options with { Path = Resolve(options.Path) };
        var brokerLock = TakeLock(options.Path);
        try
        {
            return new SqliteStore(options, new SqliteWriter(options, clock), brokerLock);
        }
        catch (Exception refusal)
        {
            brokerLock.Dispose();
            if (refusal is SqliteException sqlite)
                throw SqliteFaults.Translate(sqlite, options.Path);
            if (refusal is IOException or UnauthorizedAccessException)
                throw SqliteFaults.Translate(refusal, options.Path);
            throw;
        }
    }

    /// <summary>Whether everything is in the database file itself: no log beside it, as an open store has, or one whose broker was killed.</summary>
    public static bool IsAtRest(string path) => !File.Exists(path + "-wal") && !File.Exists(path + "-journal");

    /// <summary>Opens an existing store only to look at it, also while a broker runs on it. Every write is refused.</summary>
    /// <exception cref="StoreException">It isn't there or can't be read; told by the first read, except that it is missing.</exception>
    public static SqliteStore OpenForReading(SqliteStoreOptions options)
    {
        options.Check();
        options = options with { Path = Resolve(options.Path) };
        if (!File.Exists(options.Path))
            throw new StoreException(StoreFault.Unavailable, $"There is no store at {options.Path}. It is made when the broker starts.");
        return new SqliteStore(options, writer: null, brokerLock: null);
    }

    public Task<LoadedState> LoadAsync(CancellationToken cancel) =>
        // Long enough to deserve a thread of its own.
        Task.Factory.StartNew(
            () => readers.ReadAsync(0, static (reader, _) => reader.Load(), cancel), cancel, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();

    public Task CommitAsync(Batch batch, long epoch, CancellationToken cancel) =>
        batch.IsEmpty ? Task.CompletedTask : Writer.CommitAsync(batch, cancel);

    public Task ProbeAsync(CancellationToken cancel) => Writer.ProbeAsync(cancel);

    public Task SaveCursorsAsync(IReadOnlyList<(string Name, long Sequence)> cursors, IReadOnlyList<WebhookDelivery> deliveries, CancellationToken cancel) =>
        cursors.Count + deliveries.Count == 0 ? Task.CompletedTask : Writer.SaveAsync(new CursorSave(cursors, deliveries), cancel);

    public Task<IReadOnlyDictionary<string, long>> LoadCursorsAsync(CancellationToken cancel) =>
        readers.ReadAsync<int, IReadOnlyDictionary<string, long>>(0, static (reader, _) => reader.LoadCursors(), cancel);

    public Task<IReadOnlyList<FollowerPlace>> ListCursorsAsync(CancellationToken cancel) =>
        readers.ReadAsync<int, IReadOnlyList<FollowerPlace>>(0, static (reader, _) => reader.ListCursors(), cancel);

    public Task<IReadOnlyList<WebhookDelivery>> ListDeliveriesAsync(string webhook, int limit, CancellationToken cancel) =>
        readers.ReadAsync<(string Webhook, int Limit), IReadOnlyList<WebhookDelivery>>(
            (webhook, limit), static (reader, wanted) => reader.ListDeliveries(wanted.Webhook, wanted.Limit), cancel);

    public Task<StoredTask?> FindTaskAsync(TaskId id, CancellationToken cancel) =>
        readers.ReadAsync(id, static (reader, id) => reader.FindTask(id), cancel);

    public Task<IReadOnlyList<TaskSpec?>> FindSpecsAsync(IReadOnlyList<long> numbers, CancellationToken cancel) =>
        readers.ReadAsync<IReadOnlyList<long>, IReadOnlyList<TaskSpec?>>(numbers, static (reader, numbers) => reader.FindSpecs(numbers), cancel);

    public Task<IReadOnlyList<StoredTask>> ListTasksAsync(TaskQuery query, CancellationToken cancel) =>
        readers.ReadAsync<TaskQuery, IReadOnlyList<StoredTask>>(query, static (reader, query) => reader.ListTasks(query), cancel);

    public Task<IReadOnlyList<EndedAttempt>> ListAttemptsAsync(long taskNumber, CancellationToken cancel) =>
        readers.ReadAsync<long, IReadOnlyList<EndedAttempt>>(taskNumber, static (reader, number) => reader.ListAttempts(number), cancel);

    public Task<IReadOnlyList<DispatchEvent>> ListHistoryAsync(long lastSequence, int limit, CancellationToken cancel) =>
        readers.ReadAsync<(long Last, int Limit), IReadOnlyList<DispatchEvent>>(
            (lastSequence, limit), static (reader, chain) => reader.ListHistory(chain.Last, chain.Limit), cancel);

    public Task<IReadOnlyList<LogEntry>> ListEventsAsync(long after, int limit, CancellationToken cancel) =>
        readers.ReadAsync<(long After, int Limit), IReadOnlyList<LogEntry>>(
            (after, limit), static (reader, range) => reader.ListEvents(range.After, range.Limit), cancel);

    public Task<StoreFacts> FindFactsAsync(IReadOnlyList<TaskId> tasks, IReadOnlyList<IdempotencyKey> keys, CancellationToken cancel) =>
        readers.ReadAsync((tasks, keys), static (reader, wanted) => reader.FindFacts(wanted.tasks, wanted.keys), cancel);

    public Task<StoredQuestion?> FindQuestionAsync(string id, CancellationToken cancel) =>
        readers.ReadAsync(id, static (reader, id) => reader.FindQuestion(id), cancel);

    public Task<IReadOnlyList<StoredQuestion>> ListQuestionsAsync(QuestionQuery query, CancellationToken cancel) =>
        readers.ReadAsync<QuestionQuery, IReadOnlyList<StoredQuestion>>(query, static (reader, query) => reader.ListQuestions(query), cancel);

    public Task<UsageFacts> FindUsageAsync(string reporter, string id, TaskId? task, CancellationToken cancel) =>
        readers.ReadAsync((reporter, id, task), static (reader, wanted) => reader.FindUsage(wanted.reporter, wanted.id, wanted.task), cancel);

    public Task<IReadOnlyList<LedgerEntry>> ListLedgerAsync(LedgerQuery query, CancellationToken cancel) =>
        readers.ReadAsync(query, static (reader, query) => reader.ListLedger(query), cancel);

    public Task<PublishedFacts> FindPublishedAsync(string publisher, IReadOnlyList<string> ids, CancellationToken cancel) =>
        readers.ReadAsync((publisher, ids), static (reader, wanted) => reader.FindPublished(wanted.publisher, wanted.ids), cancel);

    public Task<(IReadOnlyList<StoredTask> Expired, long Next)> FindExpiredAsync(
        long after, long finishedBefore, int examine, CancellationToken cancel) =>
        readers.ReadAsync(
            (after, finishedBefore, examine), static (reader, sweep) => reader.FindExpired(sweep.after, sweep.finishedBefore, sweep.examine), cancel);

    public Task<LogExtent> FindExtentAsync(CancellationToken cancel) => readers.ReadAsync(0, static (reader, _) => reader.FindExtent(), cancel);

    public async Task<LogBase> TakeBaseAsync(CancellationToken cancel)
    {
        await DeleteStrayPartsAsync(cancel);
        await using var audit = SqliteAudit.Open(options);
        var (head, bytes, known) = audit.FindEnd();
        if (known is not null)
            return known;

        try
        {
            var part = 0;
            var written = await BaseFormat.WriteAsync(audit, data => Writer.WriteAsync(log => log.WritePart(head, ++part, data), cancel), cancel);
            var made = written with { Bytes = bytes };
            await Writer.WriteAsync(log => log.WriteBase(made), cancel);
            return made;
        }
        catch (StoreException)
        {
            // The disk may be full: what there is of it must not stand in the way of commits.
            await DeleteStrayPartsAsync(cancel);
            throw;
        }
    }

    private async Task DeleteStrayPartsAsync(CancellationToken cancel)
    {
        for (var more = true; more;)
            await Writer.WriteAsync(log => more = log.DeleteStrayParts(), cancel);
    }

    public async Task PrepareTrimAsync(long upTo, CancellationToken cancel)
    {
        for (long? after = 0; after is { } next;)
            await Writer.WriteAsync(log => after = log.Prepare(next, upTo), cancel);
    }

    public async Task<bool> TrimAsync(int most, CancellationToken cancel)
    {
        var more = false;
        await Writer.WriteAsync(log => more = log.Trim(most), cancel);
        return more;
    }

    public Task<IStoreAudit> OpenAuditAsync(CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        return Task.FromResult<IStoreAudit>(SqliteAudit.Open(options));
    }

    /// <summary>Reads the whole file and says what is damaged in it; empty when it is sound. Takes seconds per gigabyte.</summary>
    public async Task<IReadOnlyList<string>> CheckIntegrityAsync(CancellationToken cancel)
    {
        try
        {
            return await Task.Factory.StartNew(
                () => readers.ReadAsync<int, IReadOnlyList<string>>(0, static (reader, _) => reader.CheckIntegrity(), cancel),
                cancel, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();
        }
        catch (StoreException refusal) when (refusal.Fault == StoreFault.Corrupt)
        {
            // So much is damaged that the check can't go through it: that, too, is its result.
            return [refusal.Message];
        }
    }

    /// <summary>Finishes the commit that is under way, moves the log into the database and frees the lock. Ends within 8 s, also when the disk hangs; the lock then stays until the process ends.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) == 1)
            return;

        // The readers go first: only the last connection to close can remove the log.
        readers.Dispose();
        if (writer is not null && !await Task.Factory.StartNew(
            () => writer.Close(ClosePatience), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))
        {
            return;
        }

        writer?.Dispose();
        brokerLock?.Dispose();
    }

    private SqliteWriter Writer => writer ?? throw new StoreException(StoreFault.ReadOnly, "The store was opened only for reading.");

    /// <exception cref="StoreException">A broker holds it, or it can't be made.</exception>
    internal static BrokerLock TakeLock(string path, string advice = "Stop that one, or give this one another data directory.")
    {
        var lockPath = path + ".lock";
        try
        {
            MakeDirectory(Path.GetDirectoryName(path)!);
            return BrokerLock.TryTake(lockPath, out var holder) ?? throw new StoreException(
                StoreFault.Locked,
                $"{path} is in use by another broker ({(holder == 0 ? "its process id is not known" : $"process {holder}")}; lock file {lockPath}). {advice}");
        }
        catch (Exception refusal) when (refusal is IOException or UnauthorizedAccessException)
        {
            throw SqliteFaults.Translate(refusal, lockPath);
        }
    }

    private static void MakeDirectory(string path)
    {
        if (Directory.Exists(path))
            return;
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(path);
        else
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>The file itself: by two names it must still be one lock.</summary>
    internal static string Resolve(string path)
    {
        var full = Path.GetFullPath(path);
        return File.Exists(full) ? File.ResolveLinkTarget(full, returnFinalTarget: true)?.FullName ?? full : full;
    }
}

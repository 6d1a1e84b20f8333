using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// A read transaction on a connection of its own that stays open: every row as of the moment it began. While it is open the
/// write-ahead log can't start over, and grows with what is committed meanwhile.
/// </summary>
internal sealed class SqliteAudit : IStoreAudit
{
    private readonly SqliteStoreOptions options;
    private readonly SqliteConnection connection;
    private readonly TaskColumns tasks = new();
    private readonly EventRows events = new();
    private readonly SpecRows specs;
    private readonly LogRows log;

    private SqliteAudit(SqliteStoreOptions options, SqliteConnection connection)
    {
        this.options = options;
        this.connection = connection;
        specs = new SpecRows(connection);
        log = new LogRows(connection);
    }

    /// <exception cref="StoreException">The store can't be read.</exception>
    internal static SqliteAudit Open(SqliteStoreOptions options)
    {
        SqliteConnection? connection = null;
        try
        {
            connection = DatabaseFile.OpenForReading(options);

            // The moment is that of the first read, not of the BEGIN.
            connection.Execute("BEGIN; SELECT count(*) FROM meta");
            return new SqliteAudit(options, connection);
        }
        catch (SqliteException refusal)
        {
            connection?.Dispose();
            throw SqliteFaults.Translate(refusal, options.Path);
        }
    }

    public Task<LogBase?> FindBaseAsync(CancellationToken cancel) => ReadAsync(() =>
    {
        if (log.Horizon() is not (> 1 and var horizon))
            return null;
        return log.Bases(horizon - 1).Find(known => known.Sequence == horizon - 1)
            ?? throw new FormatException($"The base that stands for the events before {horizon} is missing.");
    }, cancel);

    public IAsyncEnumerable<byte[]> BasePartsAsync(CancellationToken cancel) =>
        Rows($"SELECT data FROM log_base_parts WHERE sequence = {Kept} - 1 ORDER BY part", static row => row.Blob(0).ToArray(), cancel);

    public IAsyncEnumerable<LogEntry> EventsAsync(CancellationToken cancel) =>
        Rows($"SELECT {EventRows.Columns} FROM events WHERE sequence >= {Kept} ORDER BY sequence", events.ReadEntry, cancel);

    public IAsyncEnumerable<StoredTask> TasksAsync(CancellationToken cancel) =>
        Rows($"SELECT {TaskColumns.List} FROM tasks ORDER BY number", row => specs.Complete(tasks.Read(row)), cancel);

    public IAsyncEnumerable<EndedAttempt> AttemptsAsync(CancellationToken cancel) => Rows(
        $"SELECT {AttemptRows.Columns}, (SELECT last_sequence FROM tasks t WHERE t.number = attempts.number AND t.attempt = attempts.attempt) FROM attempts ORDER BY number, attempt",
        row => specs.Complete(AttemptRows.Read(row), row.Int64(AttemptRows.Count)), cancel);

    public IAsyncEnumerable<IdempotencyRow> KeysAsync(CancellationToken cancel) => Rows(
        "SELECT i.caller, i.key, i.body_hash, t.id, i.number FROM idempotency i LEFT JOIN tasks t ON t.number = i.number ORDER BY i.number, i.caller, i.key",
        static row => new IdempotencyRow(row.Text(0), row.Text(1), row.Text(2), TaskId.TryParse(row.Utf8(3), out var task) ? task : default, row.Int64(4)), cancel);

    public IAsyncEnumerable<PublishedRow> PublishedAsync(CancellationToken cancel) =>
        Rows($"SELECT {PublisherRows.PublishedColumns} FROM published WHERE sequence >= {Kept} ORDER BY sequence", PublisherRows.ReadPublished, cancel);

    public IAsyncEnumerable<UsageRow> UsageAsync(CancellationToken cancel) =>
        Rows($"SELECT {AllowanceRows.UsageColumns} FROM usage_reports WHERE sequence >= {Kept} ORDER BY sequence", AllowanceRows.ReadUsage, cancel);

    public Task<LoadedState> LoadAsync(CancellationToken cancel) => ReadAsync(() => new StateRows(connection).Load(), cancel);

    /// <summary>The last event, what the log takes up to there, and the base that is complete there or null.</summary>
    /// <exception cref="StoreException">The store can't be read.</exception>
    internal (long Head, long Bytes, LogBase? Base) FindEnd() => Read(() =>
    {
        var extent = log.Extent();
        return (extent.Head, extent.Bytes, extent.Bases.LastOrDefault(known => known.Sequence == extent.Head));
    });

    public ValueTask DisposeAsync()
    {
        connection.Dispose();
        return ValueTask.CompletedTask;
    }

    private long Kept => Read(log.Horizon);

    private Task<T> ReadAsync<T>(Func<T> read, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        return Task.FromResult(Read(read));
    }

    private T Read<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception refusal) when (SqliteFaults.IsOfStore(refusal))
        {
            throw SqliteFaults.TranslateAny(refusal, options.Path);
        }
    }

    private IAsyncEnumerable<T> Rows<T>(string sql, Func<SqliteStatement, T> read, CancellationToken cancel) =>
        Read(sql, read, cancel).ToAsyncEnumerable();

    private IEnumerable<T> Read<T>(string sql, Func<SqliteStatement, T> read, CancellationToken cancel)
    {
        using var rows = connection.Prepare(sql);
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            T row;
            try
            {
                if (!rows.Step())
                    yield break;
                row = read(rows);
            }
            catch (Exception refusal) when (SqliteFaults.IsOfStore(refusal))
            {
                throw SqliteFaults.TranslateAny(refusal, options.Path);
            }

            yield return row;
        }
    }
}

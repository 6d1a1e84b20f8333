using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Sequencing;
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

    private SqliteAudit(SqliteStoreOptions options, SqliteConnection connection)
    {
        this.options = options;
        this.connection = connection;
        specs = new SpecRows(connection);
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

    public IAsyncEnumerable<LogEntry> EventsAsync(CancellationToken cancel) =>
        Rows($"SELECT {EventRows.Columns} FROM events ORDER BY sequence", events.ReadEntry, cancel);

    public IAsyncEnumerable<StoredTask> TasksAsync(CancellationToken cancel) =>
        Rows($"SELECT {TaskColumns.List} FROM tasks ORDER BY number", row => specs.Complete(tasks.Read(row)), cancel);

    public IAsyncEnumerable<EndedAttempt> AttemptsAsync(CancellationToken cancel) => Rows(
        $"SELECT {AttemptRows.Columns}, (SELECT last_sequence FROM tasks t WHERE t.number = attempts.number AND t.attempt = attempts.attempt) FROM attempts ORDER BY number, attempt",
        row => specs.Complete(AttemptRows.Read(row), row.Int64(AttemptRows.Count)), cancel);

    public IAsyncEnumerable<IdempotencyRow> KeysAsync(CancellationToken cancel) => Rows(
        "SELECT i.caller, i.key, i.body_hash, t.id, i.number FROM idempotency i LEFT JOIN tasks t ON t.number = i.number ORDER BY i.number, i.caller, i.key",
        static row => new IdempotencyRow(row.Text(0), row.Text(1), row.Text(2), TaskId.TryParse(row.Utf8(3), out var task) ? task : default, row.Int64(4)), cancel);

    public IAsyncEnumerable<PublishedRow> PublishedAsync(CancellationToken cancel) =>
        Rows($"SELECT {PublisherRows.PublishedColumns} FROM published ORDER BY sequence", PublisherRows.ReadPublished, cancel);

    public Task<LoadedState> LoadAsync(CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        try
        {
            return Task.FromResult(new StateRows(connection).Load());
        }
        catch (Exception refusal) when (SqliteFaults.IsOfStore(refusal))
        {
            throw SqliteFaults.TranslateAny(refusal, options.Path);
        }
    }

    public ValueTask DisposeAsync()
    {
        connection.Dispose();
        return ValueTask.CompletedTask;
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

using System.Runtime.CompilerServices;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Tasks;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>A read transaction on a connection of its own that stays open: every row as of the moment it began. While it is open, vacuum can't remove what it sees.</summary>
internal sealed class PostgresAudit(NpgsqlConnection connection, NpgsqlTransaction moment, string where) : IStoreAudit
{
    private readonly TaskRows tasks = new();
    private readonly EventRows events = new();

    public Task<LogBase?> FindBaseAsync(CancellationToken cancel) => ReadAsync(async () =>
    {
        var meta = await LogRows.MetaAsync(connection, cancel);
        if (meta.Horizon <= 1)
            return null;
        return (await LogRows.BasesAsync(connection, meta.Horizon - 1, cancel)).Find(known => known.Sequence == meta.Horizon - 1)
            ?? throw new FormatException($"The base that stands for the events before {meta.Horizon} is missing.");
    });

    public IAsyncEnumerable<byte[]> BasePartsAsync(CancellationToken cancel) =>
        RowsAsync($"SELECT data FROM log_base_parts WHERE sequence = {LogRows.Horizon} - 1 ORDER BY part", static row => row.Blob(0).ToArray(), cancel);

    public IAsyncEnumerable<LogEntry> EventsAsync(CancellationToken cancel) =>
        RowsAsync($"SELECT {EventRows.Columns} FROM events WHERE sequence >= {LogRows.Horizon} ORDER BY sequence", events.ReadEntry, cancel);

    public IAsyncEnumerable<StoredTask> TasksAsync(CancellationToken cancel) =>
        RowsAsync(TaskRows.Complete("SELECT * FROM tasks", "t.number"), tasks.ReadComplete, cancel);

    public IAsyncEnumerable<EndedAttempt> AttemptsAsync(CancellationToken cancel) => RowsAsync(TaskRows.Attempts(""), TaskRows.ReadAttempt, cancel);

    public IAsyncEnumerable<IdempotencyRow> KeysAsync(CancellationToken cancel) => RowsAsync(
        "SELECT i.caller, i.key, i.body_hash, t.id, i.number FROM idempotency i LEFT JOIN tasks t ON t.number = i.number ORDER BY i.number, i.caller COLLATE \"C\", i.key COLLATE \"C\"",
        static row => new IdempotencyRow(row.Text(0), row.Text(1), row.Text(2), TaskId.TryParse(row.Utf8(3), out var task) ? task : default, row.Int64(4)), cancel);

    public IAsyncEnumerable<PublishedRow> PublishedAsync(CancellationToken cancel) =>
        RowsAsync($"SELECT {PublisherRows.PublishedColumns} FROM published WHERE sequence >= {LogRows.Horizon} ORDER BY sequence", PublisherRows.ReadPublished, cancel);

    public IAsyncEnumerable<UsageRow> UsageAsync(CancellationToken cancel) =>
        RowsAsync($"SELECT {AllowanceRows.UsageColumns} FROM usage_reports WHERE sequence >= {LogRows.Horizon} ORDER BY sequence", AllowanceRows.ReadUsage, cancel);

    public Task<LoadedState> LoadAsync(CancellationToken cancel) => ReadAsync(() => StateRows.LoadAsync(connection, cancel));

    /// <summary>The last event, what the log takes up to there, and the base that is complete there or null.</summary>
    /// <exception cref="StoreException">The store can't be read.</exception>
    internal Task<(long Head, long Bytes, LogBase? Base)> FindEndAsync(CancellationToken cancel) => ReadAsync(async () =>
    {
        var extent = await LogRows.ExtentAsync(connection, cancel);
        return (extent.Head, extent.Bytes, extent.Bases.LastOrDefault(known => known.Sequence == extent.Head));
    });

    public async ValueTask DisposeAsync()
    {
        await moment.DisposeAsync();
        await connection.DisposeAsync();
    }

    private async Task<T> ReadAsync<T>(Func<Task<T>> read)
    {
        try
        {
            return await read();
        }
        catch (Exception refusal) when (PostgresFaults.IsOfStore(refusal))
        {
            throw PostgresFaults.Translate(refusal, where);
        }
    }

    private async IAsyncEnumerable<T> RowsAsync<T>(string sql, Func<PostgresRow, T> read, [EnumeratorCancellation] CancellationToken cancel)
    {
        await using var rows = connection.QueryAsync(sql, cancel, isLong: true).GetAsyncEnumerator(cancel);
        while (true)
        {
            T row;
            try
            {
                if (!await rows.MoveNextAsync())
                    yield break;
                row = read(rows.Current);
            }
            catch (Exception refusal) when (PostgresFaults.IsOfStore(refusal))
            {
                throw PostgresFaults.Translate(refusal, where);
            }

            yield return row;
        }
    }
}

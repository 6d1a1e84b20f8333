using System.Text;
using System.Threading.Channels;
using Dispatch.Sequencing;
using Dispatch.Storage.Copying;
using Dispatch.Storage.Rows;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>Writes a copy into a namespace with COPY, some ten thousand rows to a transaction, each under the writer's epoch.</summary>
internal sealed class PostgresCopyTarget : ICopyTarget
{
    private const int RowsAtOnce = 50_000;

    private static readonly TimeSpan ClosePatience = TimeSpan.FromSeconds(4);

    private static readonly byte[] Header = [.. "PGCOPY\n"u8, 0xFF, .. "\r\n\0"u8, 0, 0, 0, 0, 0, 0, 0, 0];
    private static readonly byte[] Trailer = [0xFF, 0xFF];

    private static readonly string[] Derive =
    [
        "DELETE FROM task_states",
        $"INSERT INTO task_states SELECT DISTINCT status, number / {TaskPeople.BlockSize} FROM tasks WHERE status IN ({string.Join(", ", LiveBlocks.Kept.Select(state => $"'{Encoding.UTF8.GetString(Words.State.Word((int)state))}'"))})",
        "DELETE FROM task_ends",
        "INSERT INTO task_ends SELECT number, status FROM tasks WHERE status IN ('failed', 'timeout', 'cancelled') ORDER BY number",
        "SELECT setval(pg_get_serial_sequence('webhook_deliveries', 'id'), coalesce((SELECT max(id) FROM webhook_deliveries), 0) + 1, false)",
    ];

    private readonly PostgresStoreOptions options;
    private readonly Connections connections;
    private readonly PostgresWriter writer;
    private readonly TimeProvider clock;

    private PostgresCopyTarget(PostgresStoreOptions options, Connections connections, PostgresWriter writer, TimeProvider clock) =>
        (this.options, this.connections, this.writer, this.clock) = (options, connections, writer, clock);

    public string Where => connections.Where;

    /// <exception cref="StoreException">It can't be written, or a broker writes it.</exception>
    internal static async Task<PostgresCopyTarget> OpenAsync(PostgresStoreOptions options, TimeProvider clock, CancellationToken cancel)
    {
        options = options with { IsCopying = true, Advice = StoreCopy.Advice };
        var connections = PostgresStore.Connect(options);
        try
        {
            return new PostgresCopyTarget(options, connections, await PostgresWriter.OpenAsync(connections, options, clock, cancel), clock);
        }
        catch
        {
            await connections.DisposeAsync();
            throw;
        }
    }

    public Task<CopyMark?> FindMarkAsync(CancellationToken cancel) => WorkAsync(async (session, _) =>
        (await session.Connection.ListAsync($"SELECT value FROM meta WHERE key = '{CopyMark.Key}'", row => CopyMark.Parse(row.Text(0)), CancellationToken.None)).FirstOrDefault(), cancel);

    public Task MarkAsync(CopyMark? mark, CancellationToken cancel) => mark is null
        ? ExecuteAsync(cancel, $"DELETE FROM meta WHERE key = '{CopyMark.Key}'")
        : WorkAsync((session, stop) => session.WriteAsync(commands => LogRows.AddMeta(commands, CopyMark.Key, mark.ToString()), stop), cancel);

    public Task<CopyEnd> FindEndAsync(CancellationToken cancel) => WorkAsync((session, stop) => PostgresCopySource.FindEndAsync(session.Connection, stop), cancel);

    public Task<long> CountAsync(StoreTable table, long horizon, CancellationToken cancel) => QueryAsync(table.Select("count(*)", horizon), row => row.Int64(0), cancel);

    public Task<long?> FindLastAsync(StoreTable table, CancellationToken cancel) => QueryAsync($"SELECT max({table.Order}) FROM {table.Name}", row => row.NullableInt64(0), cancel);

    public Task ClearAsync(StoreTable table, long? from, CancellationToken cancel) => ExecuteAsync(
        cancel, from is not null ? $"DELETE FROM {table.Name} WHERE {table.Order} >= {from}" : table.Name == "meta" ? table.Clear : $"TRUNCATE {table.Name}");

    public Task MakeRoomAsync(long first, long last, CancellationToken cancel) => WorkAsync(async (session, stop) =>
    {
        var partitions = new Partitions(session.Connection, options.PartitionEvents);
        await partitions.LoadAsync(stop);
        await partitions.MakeRoomAsync(last, stop, first);
        return 0;
    }, cancel);

    public async Task WriteAsync(StoreTable table, ChannelReader<RowBlock> blocks, Action<long> written, CancellationToken cancel)
    {
        while (!cancel.IsCancellationRequested && await blocks.WaitToReadAsync(CancellationToken.None))
        {
            var count = await writer.WriteAsync(session => InTransactionAsync(session, async () =>
            {
                var rows = 0L;
                await using var copy = await session.Connection.BeginRawBinaryCopyAsync($"COPY {table.Name} ({table.Columns}) FROM STDIN (FORMAT BINARY)", CancellationToken.None);
                await copy.WriteAsync(Header);
                while (rows < RowsAtOnce && !cancel.IsCancellationRequested && await blocks.WaitToReadAsync(CancellationToken.None) && blocks.TryRead(out var block))
                {
                    using (block)
                    {
                        await copy.WriteAsync(block.Memory);
                        rows += block.Rows;
                    }
                }

                await copy.WriteAsync(Trailer);
                return rows;
            }), CancellationToken.None);
            written(count);
        }
    }

    public Task DeriveAsync(CancellationToken cancel) => ExecuteAsync(cancel, Derive);

    public IStore OpenForReading() => PostgresStore.OpenForReading(options, clock);

    public async ValueTask DisposeAsync()
    {
        await LetGoAsync(writer);
        await connections.DisposeAsync();
    }

    /// <summary>Gives the writer's place up, if the server still answers; else it is free when the connection is gone.</summary>
    internal static async Task LetGoAsync(PostgresWriter writer)
    {
        await writer.CloseAsync(ClosePatience);
        await writer.DisposeAsync();
    }

    private async Task<T> QueryAsync<T>(string sql, Func<PostgresRow, T> read, CancellationToken cancel) =>
        (await WorkAsync((session, _) => InTransactionAsync(session, () => session.Connection.ListAsync(sql, read, CancellationToken.None, isLong: true)), cancel))[0];

    private Task<int> ExecuteAsync(CancellationToken cancel, params string[] statements) => WorkAsync((session, _) => InTransactionAsync(session, async () =>
    {
        foreach (var sql in statements)
        {
            await using var command = new NpgsqlCommand(sql, session.Connection) { CommandTimeout = 0 };
            await command.ExecuteNonQueryAsync(CancellationToken.None);
        }

        return 0;
    }), cancel);

    // Begun work goes to its end: a statement that was given up would leave the connection in no known state.
    private Task<T> WorkAsync<T>(Func<WriterSession, CancellationToken, Task<T>> work, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        return writer.WriteAsync(session => work(session, CancellationToken.None), CancellationToken.None);
    }

    /// <summary>In one transaction, however long it takes, if this still holds the place; nobody can take it meanwhile.</summary>
    private static async Task<T> InTransactionAsync<T>(WriterSession session, Func<Task<T>> work)
    {
        await using var transaction = await session.Connection.BeginTransactionAsync(CancellationToken.None);
        await session.HoldAsync(CancellationToken.None);
        var result = await work();
        await transaction.CommitAsync(CancellationToken.None);
        return result;
    }
}

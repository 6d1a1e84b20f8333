using System.Buffers.Binary;
using System.Buffers.Text;
using System.Threading.Channels;
using Dispatch.Sequencing;
using Dispatch.Storage.Copying;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>Writes a copy into a file, some ten thousand rows to a transaction, each as durable as a broker's.</summary>
internal sealed class SqliteCopyTarget : ICopyTarget
{
    private const int RowsAtOnce = 50_000;
    private const int CheckpointKiB = 64 * 1024;
    private const int CacheKiB = 128 * 1024;

    private static readonly string[] Derive =
    [
        "DELETE FROM task_states",
        $"INSERT INTO task_states SELECT DISTINCT status, number / {TaskPeople.BlockSize} FROM tasks NOT INDEXED WHERE status IN ('pending', 'assigned', 'running')",
    ];

    private readonly SqliteStoreOptions options;
    private readonly BrokerLock held;
    private readonly SqliteConnection connection;
    private readonly WriteAheadLog log;

    private SqliteCopyTarget(SqliteStoreOptions options, BrokerLock held, SqliteConnection connection)
    {
        (this.options, this.held, this.connection) = (options, held, connection);
        log = new WriteAheadLog(connection, CheckpointKiB);
    }

    public string Where => options.Path;

    /// <exception cref="StoreException">It can't be written, or a broker runs on it.</exception>
    internal static SqliteCopyTarget Open(SqliteStoreOptions options, TimeProvider clock)
    {
        options.Check();
        options = options with { Path = SqliteStore.Resolve(options.Path), IsCopying = true, WriteCacheKiB = Math.Max(options.WriteCacheKiB, CacheKiB) };
        var held = SqliteStore.TakeLock(options.Path, StoreCopy.Advice);
        SqliteConnection? connection = null;
        try
        {
            connection = DatabaseFile.OpenForWriting(options, clock);
            return new SqliteCopyTarget(options, held, connection);
        }
        catch (Exception refusal)
        {
            connection?.Dispose();
            held.Dispose();
            if (refusal is SqliteException sqlite)
                throw SqliteFaults.Translate(sqlite, options.Path);
            if (refusal is IOException or UnauthorizedAccessException)
                throw SqliteFaults.Translate(refusal, options.Path);
            throw;
        }
    }

    public Task<CopyMark?> FindMarkAsync(CancellationToken cancel) => Run(() =>
        connection.QueryText($"SELECT value FROM meta WHERE key = '{CopyMark.Key}'") is { } text ? CopyMark.Parse(text) : null, cancel);

    public Task MarkAsync(CopyMark? mark, CancellationToken cancel) => Write(() =>
    {
        using var change = connection.Prepare(mark is null ? $"DELETE FROM meta WHERE key = '{CopyMark.Key}'" : $"INSERT OR REPLACE INTO meta (key, value) VALUES ('{CopyMark.Key}', ?)");
        if (mark is not null)
            change.Bind(1, mark.ToString());
        change.Execute();
    }, cancel);

    public Task<CopyEnd> FindEndAsync(CancellationToken cancel) => Run(() => SqliteCopySource.FindEnd(connection), cancel);

    public Task<long> CountAsync(StoreTable table, long horizon, CancellationToken cancel) => Run(() => connection.QueryInt64(table.Select("count(*)", horizon)) ?? 0, cancel);

    public Task<long?> FindLastAsync(StoreTable table, CancellationToken cancel) => Run(() => connection.QueryInt64($"SELECT max({table.Order}) FROM {table.Name}"), cancel);

    public Task ClearAsync(StoreTable table, long? from, CancellationToken cancel) =>
        Write(() => connection.Execute(from is null ? table.Clear : $"DELETE FROM {table.Name} WHERE {table.Order} >= {from}"), cancel);

    public Task MakeRoomAsync(long first, long last, CancellationToken cancel) => Task.CompletedTask;

    public async Task WriteAsync(StoreTable table, ChannelReader<RowBlock> blocks, Action<long> written, CancellationToken cancel)
    {
        using var insert = await Run(() => connection.Prepare(Sql.Insert(table.Name, table.Columns)), CancellationToken.None);
        while (!cancel.IsCancellationRequested && await blocks.WaitToReadAsync(CancellationToken.None))
        {
            var count = 0L;
            await Run(() => connection.Execute("BEGIN IMMEDIATE"), CancellationToken.None);
            try
            {
                while (count < RowsAtOnce && !cancel.IsCancellationRequested && await blocks.WaitToReadAsync(CancellationToken.None) && blocks.TryRead(out var block))
                {
                    using (block)
                    {
                        await Run(() => Insert(table, insert, block.Span), CancellationToken.None);
                        count += block.Rows;
                    }
                }

                await Run(() => connection.Execute("COMMIT"), CancellationToken.None);
            }
            catch
            {
                Undo();
                throw;
            }

            await Run(log.KeepShort, CancellationToken.None);
            written(count);
        }
    }

    public Task DeriveAsync(CancellationToken cancel) => Write(() =>
    {
        foreach (var sql in Derive)
            connection.Execute(sql);
    }, cancel);

    public IStore OpenForReading() => SqliteStore.OpenForReading(options);

    public ValueTask DisposeAsync()
    {
        try
        {
            log.Empty();
        }
        catch (SqliteException refusal) when (!refusal.IsFsync)
        {
            // What was committed is in the log beside the file, and the next who opens it finds it there.
        }
        finally
        {
            connection.Dispose();
            held.Dispose();
        }

        return ValueTask.CompletedTask;
    }

    private static void Insert(StoreTable table, SqliteStatement insert, ReadOnlySpan<byte> rows)
    {
        Span<byte> id = stackalloc byte[36];
        while (rows.Length > 0)
        {
            rows = rows[sizeof(short)..];
            for (var n = 0; n < table.Kinds.Length; n++)
            {
                var length = BinaryPrimitives.ReadInt32BigEndian(rows);
                rows = rows[sizeof(int)..];
                if (length < 0)
                    continue;
                var value = rows[..length];
                rows = rows[length..];
                switch (table.Kinds[n])
                {
                    case StoreColumnKind.Number:
                        insert.Bind(n + 1, BinaryPrimitives.ReadInt64BigEndian(value));
                        break;
                    case StoreColumnKind.Flag:
                        insert.Bind(n + 1, (long)value[0]);
                        break;
                    case StoreColumnKind.Bytes:
                        insert.BindBlob(n + 1, value);
                        break;
                    case StoreColumnKind.Id:
                        Utf8Formatter.TryFormat(new Guid(value, bigEndian: true), id, out var written);
                        insert.BindText(n + 1, id[..written]);
                        break;
                    default:
                        insert.BindText(n + 1, PostgresText.IsEncoded(value) ? PostgresText.Decode(value.ToArray()) : value);
                        break;
                }
            }

            insert.Execute();
        }
    }

    private Task Write(Action work, CancellationToken cancel) => Run(() =>
    {
        connection.Execute("BEGIN IMMEDIATE");
        try
        {
            work();
            connection.Execute("COMMIT");
        }
        catch
        {
            Undo();
            throw;
        }

        log.KeepShort();
    }, cancel);

    // After some failures SQLite has rolled back by itself.
    private void Undo()
    {
        if (connection.IsInTransaction)
            connection.Execute("ROLLBACK");
    }

    private Task Run(Action work, CancellationToken cancel) => Run(() =>
    {
        work();
        return 0;
    }, cancel);

    private Task<T> Run<T>(Func<T> work, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        try
        {
            return Task.FromResult(work());
        }
        catch (Exception refusal) when (SqliteFaults.IsOfStore(refusal))
        {
            throw SqliteFaults.TranslateAny(refusal, options.Path);
        }
    }
}

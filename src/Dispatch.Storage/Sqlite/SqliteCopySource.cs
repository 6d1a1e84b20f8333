using System.Buffers.Text;
using System.Text;
using System.Threading.Channels;
using Dispatch.Sequencing;
using Dispatch.Storage.Copying;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>Reads a file for a copy: in one read transaction, while the lock keeps brokers away.</summary>
internal sealed class SqliteCopySource : ICopySource
{
    private readonly SqliteStoreOptions options;
    private readonly BrokerLock held;
    private readonly SqliteConnection connection;

    private SqliteCopySource(SqliteStoreOptions options, BrokerLock held, SqliteConnection connection) => (this.options, this.held, this.connection) = (options, held, connection);

    public string Where => options.Path;

    /// <exception cref="StoreException">It isn't there, can't be read, or a broker runs on it.</exception>
    internal static SqliteCopySource Open(SqliteStoreOptions options)
    {
        options.Check();
        options = options with { Path = SqliteStore.Resolve(options.Path) };
        if (!File.Exists(options.Path))
            throw new StoreException(StoreFault.Unavailable, $"There is no store at {options.Path}.");
        var held = SqliteStore.TakeLock(options.Path, StoreCopy.Advice);
        SqliteConnection? connection = null;
        try
        {
            connection = DatabaseFile.OpenForReading(options);
            connection.Execute("BEGIN; SELECT count(*) FROM meta");
            return new SqliteCopySource(options, held, connection);
        }
        catch (Exception refusal)
        {
            connection?.Dispose();
            held.Dispose();
            if (refusal is SqliteException sqlite)
                throw SqliteFaults.Translate(sqlite, options.Path);
            throw;
        }
    }

    public Task<CopyEnd> FindEndAsync(CancellationToken cancel) => Run(() => FindEnd(connection), cancel);

    public Task<string?> FindHashAsync(long sequence, CancellationToken cancel) =>
        Run(() => connection.QueryText($"SELECT lower(hex(hash)) FROM events WHERE sequence = {sequence}"), cancel);

    public Task<long> CountAsync(StoreTable table, long horizon, CancellationToken cancel) => Run(() => connection.QueryInt64(table.Select("count(*)", horizon)) ?? 0, cancel);

    public async Task ReadAsync(StoreTable table, long horizon, long? from, ChannelWriter<RowBlock> blocks, CancellationToken cancel)
    {
        using var rows = await Run(() => connection.Prepare(table.Select(table.Columns, horizon, from) + (table.Order is null ? "" : $" ORDER BY {table.Order}")), cancel);

        // A statement that is stepped behind its end begins again.
        for (var hasRow = await Run(rows.Step, cancel); hasRow;)
        {
            var block = new RowBlock();
            hasRow = await Run(() => ReadInto(block, table, rows), cancel);
            await blocks.WriteAsync(block, cancel);
        }
    }

    public ValueTask DisposeAsync()
    {
        connection.Dispose();
        held.Dispose();
        return ValueTask.CompletedTask;
    }

    internal static CopyEnd FindEnd(SqliteConnection connection)
    {
        var horizon = connection.QueryInt64("SELECT value FROM meta WHERE key = 'log_horizon'") ?? 1;
        using var last = connection.Prepare("SELECT sequence, hash FROM events ORDER BY sequence DESC LIMIT 1");
        return last.Step() ? new CopyEnd(last.Int64(0), Convert.ToHexStringLower(last.Blob(1)), horizon) : new CopyEnd(0, "", horizon);
    }

    /// <summary>Reads the current row and those behind it until the block is full; false: there are no more.</summary>
    private static bool ReadInto(RowBlock block, StoreTable table, SqliteStatement rows)
    {
        do
        {
            block.BeginRow(table.Kinds.Length);
            for (var n = 0; n < table.Kinds.Length; n++)
            {
                if (rows.IsNull(n))
                    block.AddNull();
                else if (table.Kinds[n] == StoreColumnKind.Number)
                    block.Add(rows.Int64(n));
                else if (table.Kinds[n] == StoreColumnKind.Flag)
                    block.Add(rows.Boolean(n));
                else if (table.Kinds[n] == StoreColumnKind.Bytes)
                    block.Add(rows.Blob(n));
                else if (table.Kinds[n] == StoreColumnKind.Id)
                    block.Add(ReadId(rows.Utf8(n)));
                else if (rows.Utf8(n) is var text && text.IndexOfAny((byte)0, (byte)0x1A) >= 0)
                    block.Add(Encoding.UTF8.GetBytes(PostgresText.Encode(Encoding.UTF8.GetString(text))));
                else
                    block.Add(text);
            }

            if (!rows.Step())
                return false;
        }
        while (block.Length < RowBlock.Full);
        return true;
    }

    private static Guid ReadId(ReadOnlySpan<byte> text) =>
        Utf8Parser.TryParse(text, out Guid id, out var used) && used == text.Length ? id : throw new FormatException($"'{Encoding.UTF8.GetString(text)}' is no id.");

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

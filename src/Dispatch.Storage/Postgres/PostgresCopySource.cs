using System.Buffers.Binary;
using System.Threading.Channels;
using Dispatch.Sequencing;
using Dispatch.Storage.Copying;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>Reads a namespace for a copy: in one transaction, while it holds the writer's place so that no broker writes.</summary>
internal sealed class PostgresCopySource : ICopySource
{
    private const int ReadAtOnce = 256 * 1024;

    // "PGCOPY\n\xff\r\n\0", flags and the length of an extension.
    private const int HeaderBytes = 19;

    private readonly Connections connections;
    private readonly PostgresReaders readers;
    private readonly PostgresWriter place;
    private readonly NpgsqlConnection connection;
    private readonly NpgsqlTransaction moment;

    private PostgresCopySource(Connections connections, PostgresReaders readers, PostgresWriter place, NpgsqlConnection connection, NpgsqlTransaction moment) =>
        (this.connections, this.readers, this.place, this.connection, this.moment) = (connections, readers, place, connection, moment);

    public string Where => connections.Where;

    /// <exception cref="StoreException">It isn't there, can't be read, or a broker writes it.</exception>
    internal static async Task<PostgresCopySource> OpenAsync(PostgresStoreOptions options, TimeProvider clock, CancellationToken cancel)
    {
        options = options with { Advice = StoreCopy.Advice };
        var connections = PostgresStore.Connect(options);
        var readers = new PostgresReaders(connections, options);
        PostgresWriter? place = null;
        try
        {
            // Is it there at all? Whoever takes the place makes it otherwise.
            await readers.ListAsync("SELECT key FROM meta", row => row.Text(0), cancel);
            place = await PostgresWriter.OpenAsync(connections, options, clock, cancel);
            var (connection, moment) = await readers.OpenMomentAsync(cancel);
            return new PostgresCopySource(connections, readers, place, connection, moment);
        }
        catch
        {
            if (place is not null)
                await PostgresCopyTarget.LetGoAsync(place);
            readers.Dispose();
            await connections.DisposeAsync();
            throw;
        }
    }

    public Task<CopyEnd> FindEndAsync(CancellationToken cancel) => RunAsync(() => FindEndAsync(connection, cancel), cancel);

    public Task<string?> FindHashAsync(long sequence, CancellationToken cancel) => RunAsync(async () => (await connection.ListAsync(
        "SELECT hash FROM events WHERE sequence = $1", row => Convert.ToHexStringLower(row.Blob(0)), cancel, row => row.Bind(1, sequence))).FirstOrDefault(), cancel);

    public Task<long> CountAsync(StoreTable table, long horizon, CancellationToken cancel) => RunAsync(async () =>
        (await connection.ListAsync(table.Select("count(*)", horizon), row => row.Int64(0), cancel, isLong: true))[0], cancel);

    public async Task ReadAsync(StoreTable table, long horizon, long? from, ChannelWriter<RowBlock> blocks, CancellationToken cancel)
    {
        await using var stream = await RunAsync(() => connection.BeginRawBinaryCopyAsync(
            $"COPY ({table.Select(table.Columns, horizon, from)}{(table.Order is null ? "" : $" ORDER BY {table.Order}")}) TO STDOUT (FORMAT BINARY)", cancel), cancel);
        var bytes = new byte[ReadAtOnce];
        var (start, end) = (0, 0);
        var block = new RowBlock();
        await FillAsync(HeaderBytes);
        var extension = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(HeaderBytes - sizeof(int)));
        await FillAsync(HeaderBytes + extension);
        start = HeaderBytes + extension;
        while (true)
        {
            await FillAsync(sizeof(short));
            if (BinaryPrimitives.ReadInt16BigEndian(bytes.AsSpan(start)) < 0)
                break;
            int length;
            while ((length = FindLength(bytes.AsSpan(start, end - start), out var needed)) < 0)
                await FillAsync(needed);
            block.AddRow(bytes.AsSpan(start, length));
            start += length;
            if (block.Length >= RowBlock.Full)
            {
                await blocks.WriteAsync(block, cancel);
                block = new RowBlock();
            }
        }

        if (block.Rows > 0)
            await blocks.WriteAsync(block, cancel);

        // The stream has to be read to its end, or its connection counts as broken.
        while (await RunAsync(async () => await stream.ReadAsync(bytes, cancel), cancel) > 0)
        {
        }

        async ValueTask FillAsync(int wanted)
        {
            if (end - start >= wanted)
                return;
            if (start > 0)
                bytes.AsSpan(start, end - start).CopyTo(bytes);
            (start, end) = (0, end - start);
            if (bytes.Length < wanted)
                Array.Resize(ref bytes, Math.Max(wanted, bytes.Length * 2));
            while (end < wanted)
            {
                var read = await RunAsync(async () => await stream.ReadAsync(bytes.AsMemory(end), cancel), cancel);
                if (read == 0)
                    throw new StoreException(StoreFault.Unavailable, $"{Where} ended its answer in the middle of {table.Name}. Run the copy again.");
                end += read;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await moment.DisposeAsync();
        await connection.DisposeAsync();
        await PostgresCopyTarget.LetGoAsync(place);
        readers.Dispose();
        await connections.DisposeAsync();
    }

    internal static async Task<CopyEnd> FindEndAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        var meta = await LogRows.MetaAsync(connection, cancel);
        var last = await connection.ListAsync("SELECT sequence, hash FROM events ORDER BY sequence DESC LIMIT 1", row => (row.Int64(0), Convert.ToHexStringLower(row.Blob(1))), cancel);
        return last is [var (sequence, hash)] ? new CopyEnd(sequence, hash, meta.Horizon) : new CopyEnd(0, "", meta.Horizon);
    }

    /// <summary>How long the row is that begins here; negative while its end is not there, with what is needed at least.</summary>
    private static int FindLength(ReadOnlySpan<byte> row, out int needed)
    {
        var at = sizeof(short);
        for (var fields = BinaryPrimitives.ReadInt16BigEndian(row); fields > 0; fields--)
        {
            needed = at + sizeof(int);
            if (row.Length < needed)
                return -1;
            at = needed + Math.Max(BinaryPrimitives.ReadInt32BigEndian(row[at..]), 0);
            needed = at;
            if (row.Length < needed)
                return -1;
        }

        needed = at;
        return at;
    }

    private async Task<T> RunAsync<T>(Func<Task<T>> work, CancellationToken cancel)
    {
        try
        {
            return await work();
        }
        catch (Exception refusal) when (PostgresFaults.IsOfStore(refusal))
        {
            cancel.ThrowIfCancellationRequested();
            throw PostgresFaults.Translate(refusal, connections.Where);
        }
    }
}

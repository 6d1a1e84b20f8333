using Dispatch.Events;
using Dispatch.Sequencing;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>One connection that holds the writer's place, and what it knows of what is stored. Used by one caller at a time.</summary>
internal sealed class WriterSession : IAsyncDisposable
{
    private readonly PostgresStoreOptions options;
    private readonly NpgsqlConnection connection;
    private readonly Partitions partitions;
    private readonly LiveBlocks live = new();
    private readonly LogState log = new();
    private readonly BatchCommands rows;
    private bool isCurrent;

    private WriterSession(PostgresStoreOptions options, NpgsqlConnection connection, ColumnTypes types)
    {
        this.options = options;
        this.connection = connection;
        partitions = new Partitions(connection, options.PartitionEvents);
        rows = new BatchCommands(types, live);
    }

    /// <summary>Raised each time somebody takes the place.</summary>
    internal long Epoch { get; private init; }

    /// <summary>Connects, looks whether the database is fit and ours, brings it to this release's layout, and takes the place.</summary>
    /// <param name="holder">Who it is.</param>
    /// <param name="migrates">False for a connection in place of one that was lost: the layout is known.</param>
    /// <exception cref="NpgsqlException">The server can't be reached, or refused.</exception>
    /// <exception cref="StoreException">The database can't be used, or another broker holds the place.</exception>
    internal static async Task<WriterSession> OpenAsync(
        Connections connections, PostgresStoreOptions options, string holder, bool migrates, TimeProvider clock, CancellationToken cancel)
    {
        var connection = await connections.OpenForWritingAsync(cancel);
        try
        {
            await DatabaseLayout.DemandFitAsync(connection, connections.Where, cancel);
            if (migrates)
                await DatabaseLayout.MigrateAsync(connection, options, connections.Where, clock, cancel);
            var epoch = await WriterPlace.TakeAsync(connection, options, holder, connections.Where, cancel);
            var types = await ColumnTypes.LoadAsync(connection, options.Schema, cancel);
            return new WriterSession(options, connection, types) { Epoch = epoch };
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    /// <summary>All of the batch is durable on return, or nothing of it was written, or (see <see cref="PostgresFaults.IsUnknown"/>) it may have been.</summary>
    /// <param name="isSent">Told when it may have reached the server.</param>
    internal async Task CommitAsync(Batch batch, Action isSent, CancellationToken cancel)
    {
        CheckOrder(batch);
        await BringUpToDateAsync(cancel);
        await partitions.MakeRoomAsync(batch.LastSequence, cancel);
        if (batch.Horizon is { } horizon)
            await log.DemandPreparedAsync(connection, horizon, cancel);

        isCurrent = false;
        await using var commands = Begin(batch.Events[0].Sequence);
        var before = log.Horizon;
        rows.AddTo(commands, batch, before);
        log.AddTo(commands, batch);
        isSent();
        await commands.ExecuteNonQueryAsync(cancel);
        isCurrent = true;
    }

    /// <summary>Runs statements in one transaction, in one piece, if this still holds the place.</summary>
    /// <returns>Rows that were changed.</returns>
    internal async Task<int> WriteAsync(Action<NpgsqlBatch> add, CancellationToken cancel)
    {
        await using var commands = Begin(first: 0);
        add(commands);
        return await commands.ExecuteNonQueryAsync(cancel);
    }

    /// <summary>At the beginning of a transaction of its own: refused unless this still holds the place; it does until the transaction ends, which may take as long as it takes.</summary>
    internal async Task HoldAsync(CancellationToken cancel)
    {
        await using var commands = Begin(first: 0);
        await commands.ExecuteNonQueryAsync(cancel);
        await connection.ExecuteAsync("SET LOCAL statement_timeout = 0", cancel);
    }

    /// <summary>Whether this event is stored with this hash.</summary>
    internal static async Task<bool> HasAsync(NpgsqlConnection connection, long sequence, byte[] hash, CancellationToken cancel) =>
        (await connection.ListAsync("SELECT hash FROM events WHERE sequence = $1", row => row.Blob(0).ToArray(), cancel, row => row.Bind(1, sequence)))
        .Exists(stored => stored.AsSpan().SequenceEqual(hash));

    /// <summary>The connection, to read what only the writer changes.</summary>
    internal NpgsqlConnection Connection => connection;

    internal async Task<Partitions> PartitionsAsync(CancellationToken cancel)
    {
        await BringUpToDateAsync(cancel);
        return partitions;
    }

    /// <summary>To be called after a failure that left the connection whole.</summary>
    internal void Forget() => isCurrent = false;

    /// <summary>Gives the place up.</summary>
    internal Task<int> ReleaseAsync(CancellationToken cancel) => WriterPlace.ReleaseAsync(connection, options, Epoch, cancel);

    public ValueTask DisposeAsync() => connection.DisposeAsync();

    private async ValueTask BringUpToDateAsync(CancellationToken cancel)
    {
        if (isCurrent)
            return;
        rows.Forget();
        await partitions.LoadAsync(cancel);
        await log.LoadAsync(connection, cancel);
        await live.LoadAsync(connection, cancel);
        isCurrent = true;
    }

    private NpgsqlBatch Begin(long first)
    {
        var commands = new NpgsqlBatch(connection);
        var begin = new NpgsqlBatchCommand("SELECT begin_write($1, $2, $3, $4)");
        var row = new PostgresParameters(begin.Parameters);
        row.Bind(1, options.Namespace);
        row.Bind(2, Epoch);
        row.Bind(3, first);
        row.Bind(4, (long)options.Lease.TotalMilliseconds);
        commands.BatchCommands.Add(begin);
        return commands;
    }

    /// <summary>A gap or an overlap means that the sequencer's state is not the store's: nothing may be built on it. The server looks at the event before the first.</summary>
    private static void CheckOrder(Batch batch)
    {
        var expected = batch.Events[0].Sequence;
        foreach (DispatchEvent happened in batch.Events)
        {
            if (happened.Sequence != expected++)
                throw new StoreException(StoreFault.Unavailable, $"The batch holds event {happened.Sequence} where {expected - 1} comes next in the log. Nothing was written; the state has to be loaded again.");
        }
    }
}

using System.Data;
using Dispatch.Sequencing;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>The pool of connections that read. A read takes one as soon as it is free; a caller that gives up ends it.</summary>
internal sealed class PostgresReaders(Connections connections, PostgresStoreOptions options) : IDisposable
{
    private readonly SemaphoreSlim free = new(options.Readers, options.Readers);
    private bool isKnown;

    /// <summary>One statement.</summary>
    /// <exception cref="StoreException">The store can't be read.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    internal async Task<List<T>> ListAsync<T>(string sql, Func<PostgresRow, T> read, CancellationToken cancel, Action<PostgresParameters>? bind = null) =>
        await RunAsync(connection => connection.ListAsync(sql, read, cancel, bind), cancel);

    /// <summary>Several statements on one state of the store: they see all of a commit or nothing of it.</summary>
    /// <exception cref="StoreException">The store can't be read.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    internal Task<T> ReadAsync<T>(Func<NpgsqlConnection, Task<T>> work, CancellationToken cancel) => RunAsync(async connection =>
    {
        await using var moment = await connection.BeginTransactionAsync(IsolationLevel.RepeatableRead, cancel);
        var result = await work(connection);
        await moment.CommitAsync(cancel);
        return result;
    }, cancel);

    /// <summary>A connection with a transaction that stays open: everything as of one moment.</summary>
    internal async Task<(NpgsqlConnection Connection, NpgsqlTransaction Moment)> OpenMomentAsync(CancellationToken cancel)
    {
        NpgsqlConnection? connection = null;
        try
        {
            connection = await OpenAsync(cancel);
            var moment = await connection.BeginTransactionAsync(IsolationLevel.RepeatableRead, cancel);

            // The moment is that of the first read, not of the BEGIN. A look at everything takes as long as it takes.
            await connection.ExecuteAsync("SET LOCAL statement_timeout = 0; SELECT count(*) FROM meta", cancel);
            return (connection, moment);
        }
        catch (Exception refusal) when (PostgresFaults.IsOfStore(refusal))
        {
            if (connection is not null)
                await connection.DisposeAsync();
            throw PostgresFaults.Translate(refusal, connections.Where);
        }
    }

    public void Dispose() => free.Dispose();

    private async Task<T> RunAsync<T>(Func<NpgsqlConnection, Task<T>> work, CancellationToken cancel)
    {
        await free.WaitAsync(cancel);
        try
        {
            await using var connection = await OpenAsync(cancel);
            return await work(connection);
        }
        catch (Exception refusal) when (PostgresFaults.IsOfStore(refusal))
        {
            cancel.ThrowIfCancellationRequested();
            throw PostgresFaults.Translate(refusal, connections.Where);
        }
        finally
        {
            free.Release();
        }
    }

    private async Task<NpgsqlConnection> OpenAsync(CancellationToken cancel)
    {
        var connection = await connections.OpenForReadingAsync(cancel);
        if (isKnown)
            return connection;
        try
        {
            await DatabaseLayout.DemandKnownAsync(connection, options, connections.Where, cancel);
            isKnown = true;
            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }
}

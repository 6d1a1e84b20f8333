using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// The read-only connections. A read runs on the thread that asks for it, as soon as one of them is free; a caller that gives up
/// ends it.
/// </summary>
internal sealed class SqliteReaders(SqliteStoreOptions options) : IDisposable
{
    private readonly SemaphoreSlim free = new(options.Readers, options.Readers);
    private readonly Stack<SqliteReader> idle = new();
    private bool closed;

    /// <exception cref="StoreException">The store can't be read.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    internal async Task<TResult> ReadAsync<TInput, TResult>(TInput input, Func<SqliteReader, TInput, TResult> work, CancellationToken cancel)
    {
        await free.WaitAsync(cancel);
        try
        {
            return Read(input, work, cancel);
        }
        finally
        {
            free.Release();
        }
    }

    public void Dispose()
    {
        lock (idle)
        {
            closed = true;
            while (idle.TryPop(out var reader))
                reader.Dispose();
        }
    }

    private TResult Read<TInput, TResult>(TInput input, Func<SqliteReader, TInput, TResult> work, CancellationToken cancel)
    {
        SqliteReader? reader = null;
        try
        {
            reader = Take();
            TResult result;
            using (cancel.UnsafeRegister(static reader => ((SqliteReader)reader!).Interrupt(), reader))
                result = reader.Read(input, work);
            GiveBack(reader);
            reader = null;
            return result;
        }
        catch (Exception refusal) when (SqliteFaults.IsOfStore(refusal))
        {
            if (refusal is SqliteException { IsInterrupted: true })
                cancel.ThrowIfCancellationRequested();
            throw SqliteFaults.TranslateAny(refusal, options.Path);
        }
        finally
        {
            // After a failure its transaction and its statements are in no known state.
            reader?.Dispose();
        }
    }

    private SqliteReader Take()
    {
        lock (idle)
        {
            ObjectDisposedException.ThrowIf(closed, this);
            if (idle.TryPop(out var reader))
                return reader;
        }

        return new SqliteReader(options);
    }

    private void GiveBack(SqliteReader reader)
    {
        lock (idle)
        {
            if (!closed)
            {
                idle.Push(reader);
                return;
            }
        }

        reader.Dispose();
    }
}

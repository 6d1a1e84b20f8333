using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// The thread that owns the one connection that writes, and with it every checkpoint: two connections that write or checkpoint
/// one file at once can damage it (SQLite 3.7.0 to 3.51.2).
/// </summary>
internal sealed class SqliteWriter : IDisposable
{
    /// <summary>How long nothing must have been written before the log is emptied.</summary>
    private static readonly TimeSpan IdleAfter = TimeSpan.FromSeconds(1);

    private readonly SqliteStoreOptions options;
    private readonly TimeProvider clock;
    private readonly SqliteConnection connection;
    private readonly BatchWriter rows;
    private readonly WriteAheadLog log;
    private readonly Thread thread;
    private readonly Lock gate = new();
    private readonly Queue<StoreWork> waiting = [];
    private readonly AutoResetEvent arrived = new(initialState: false);
    private bool closing;

    // Why nothing may be written now; only a probe that succeeds takes it back, and nothing does when it is fatal.
    private StoreException? standing;

    internal SqliteWriter(SqliteStoreOptions options, TimeProvider clock)
    {
        this.options = options;
        this.clock = clock;
        connection = DatabaseFile.OpenForWriting(options, clock);
        try
        {
            rows = new BatchWriter(connection, clock);
            log = new WriteAheadLog(connection, options.CheckpointKiB);
        }
        catch
        {
            connection.Dispose();
            throw;
        }

        thread = new Thread(Run) { Name = "dispatch-store", IsBackground = true };
        thread.Start();
    }

    /// <summary>Writes the batch: all of it durable on return, or nothing.</summary>
    /// <exception cref="StoreException">It failed, or the wait was given up while it was under way (kind Unknown).</exception>
    /// <exception cref="OperationCanceledException">The wait was given up before it began; it will not be done.</exception>
    internal Task CommitAsync(Batch batch, CancellationToken cancel) => RunAsync(new StoreWork(batch), cancel);

    /// <summary>Writes cursors, with the same promise and exceptions.</summary>
    internal Task SaveAsync(CursorSave save, CancellationToken cancel) => RunAsync(new StoreWork(batch: null, save), cancel);

    /// <summary>Does a small piece of work on the log, with the same promise and exceptions.</summary>
    internal Task WriteAsync(Action<LogWriter> piece, CancellationToken cancel) => RunAsync(new StoreWork(batch: null, save: null, piece), cancel);

    /// <summary>Finds out whether the store takes writes (again), with the same exceptions.</summary>
    internal Task ProbeAsync(CancellationToken cancel) => RunAsync(new StoreWork(batch: null), cancel);

    /// <summary>Finishes what is waiting, empties the log and closes the file. False when the thread did not end in time; then it still holds the file.</summary>
    internal bool Close(TimeSpan patience)
    {
        lock (gate)
            closing = true;
        arrived.Set();
        return thread.Join(patience);
    }

    public void Dispose() => arrived.Dispose();

    private async Task RunAsync(StoreWork work, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(closing, this);
            waiting.Enqueue(work);
        }

        arrived.Set();
        await using var givingUp = cancel.UnsafeRegister(static (work, cancel) => ((StoreWork)work!).GiveUp(cancel), work);
        await work.Done;
    }

    private void Run()
    {
        while (true)
        {
            if (TryNext(out var work))
            {
                Do(work);
                Checkpoint(isIdle: false);
            }
            else if (Volatile.Read(ref closing))
            {
                break;
            }
            else if (!arrived.WaitOne(log.IsEmpty || standing is not null ? Timeout.InfiniteTimeSpan : IdleAfter))
            {
                Checkpoint(isIdle: true);
            }
        }

        Checkpoint(isIdle: true);
        connection.Dispose();
    }

    private bool TryNext([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out StoreWork? work)
    {
        lock (gate)
            return waiting.TryDequeue(out work);
    }

    private void Do(StoreWork work)
    {
        if (!work.TryStart())
            return;

        try
        {
            if (work.Batch is { } batch)
                Write(batch);
            else if (work.Save is { } save)
                Write(save);
            else if (work.Piece is { } piece)
                Write(piece);
            else
                Probe();
            work.Succeed();
        }
        catch (SqliteException refusal)
        {
            var fault = SqliteFaults.Translate(refusal, options.Path);
            if (connection.IsInTransaction)
                fault = new StoreException(StoreFault.Fatal, $"A transaction on {options.Path} could be neither committed nor undone. Restart the broker. ({refusal.Message})", refusal);
            if (fault.Fault == StoreFault.Fatal)
                standing = fault;
            work.Fail(fault);
        }
        catch (Exception fault)
        {
            // Whatever it is, the caller has to know it, and the thread has to live.
            work.Fail(fault);
        }
    }

    private void Write(Batch batch)
    {
        DemandSound();
        rows.Write(batch);
    }

    private void Write(CursorSave save)
    {
        DemandSound();
        rows.Write(save, clock.GetUtcNow().ToUnixTimeMilliseconds());
    }

    private void Write(Action<LogWriter> piece)
    {
        DemandSound();
        options.BeforePiece?.Invoke();
        rows.Write(piece);
    }

    private void DemandSound()
    {
        if (standing is { } fault)
            throw new StoreException(fault.Fault, fault.Message, fault.InnerException);
    }

    private void Probe()
    {
        if (standing is { Fault: not StoreFault.Fatal })
        {
            standing = null;
            Checkpoint(isIdle: true);
        }

        if (standing is { } fault)
            throw new StoreException(fault.Fault, fault.Message, fault.InnerException);
        rows.Probe();
    }

    /// <summary>A commit stays durable whatever comes of this, but the log must not grow for ever behind a disk that fails.</summary>
    private void Checkpoint(bool isIdle)
    {
        if (standing is not null)
            return;

        try
        {
            if (isIdle)
                log.Empty();
            else
                log.KeepShort();
        }
        catch (SqliteException refusal)
        {
            standing = SqliteFaults.Translate(refusal, options.Path);
        }
    }
}

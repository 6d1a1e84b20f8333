using Dispatch.Sequencing;

namespace Dispatch.Storage.Sqlite;

/// <summary>One commit, one save of cursors, one piece of work on the log or (without any of these) one probe on its way through the writer's thread.</summary>
internal sealed class StoreWork(Batch? batch, CursorSave? save = null, Action<LogWriter>? piece = null)
{
    private const int Waiting = 0;
    private const int Started = 1;
    private const int GivenUp = 2;

    private readonly TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int state = Waiting;

    internal Batch? Batch { get; } = batch;

    internal CursorSave? Save { get; } = save;

    internal Action<LogWriter>? Piece { get; } = piece;

    internal Task Done => done.Task;

    /// <summary>False when the caller gave up before; the work must not be done then.</summary>
    internal bool TryStart() => Interlocked.CompareExchange(ref state, Started, Waiting) == Waiting;

    internal void Succeed() => done.TrySetResult();

    internal void Fail(Exception failure) => done.TrySetException(failure);

    /// <summary>Ends the wait, from any thread. A transaction that has begun can't be called back.</summary>
    internal void GiveUp(CancellationToken cancel)
    {
        if (Interlocked.CompareExchange(ref state, GivenUp, Waiting) == Waiting)
            done.TrySetCanceled(cancel);
        else
            done.TrySetException(new StoreException(StoreFault.Unknown, "The wait for a commit was given up while it was under way; it may or may not happen."));
    }
}

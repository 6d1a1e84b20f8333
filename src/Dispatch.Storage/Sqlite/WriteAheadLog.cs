using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// Decides when the write-ahead log is moved into the database: often enough that each time is short, and to its end
/// when nothing else is going on. Lives on the writer's thread.
/// </summary>
internal sealed class WriteAheadLog
{
    private const int FrameHeader = 24;

    /// <summary>A log this many times the usual length has readers that never let it start over: then we wait for them a little, now and again.</summary>
    private const int Overlong = 16;

    private const int NowAndAgain = 4;

    private static readonly TimeSpan PatienceWithReaders = TimeSpan.FromMilliseconds(25);
    private static readonly TimeSpan PatienceWithWriters = TimeSpan.FromSeconds(5);

    private readonly SqliteConnection connection;
    private readonly int stride;
    private int handled;
    private int waitedAt;
    private int emptiedAt = -1;

    internal WriteAheadLog(SqliteConnection connection, int checkpointKiB)
    {
        this.connection = connection;
        stride = Math.Max(1, checkpointKiB * 1024 / ((int)connection.QueryInt64("PRAGMA page_size")! + FrameHeader));
    }

    /// <summary>True when everything is in the database file and nobody needs to come back for it.</summary>
    internal bool IsEmpty => connection.Commits == emptiedAt;

    /// <summary>To be called after each commit.</summary>
    internal void KeepShort()
    {
        // A log that has become shorter has started over.
        var frames = connection.LogFrames;
        if (frames < handled)
            (handled, waitedAt) = (0, 0);
        if (frames - handled < stride)
            return;

        handled = frames;
        connection.Checkpoint(CheckpointMode.Passive);
        if (frames < stride * Overlong || frames - waitedAt < stride * NowAndAgain)
            return;

        waitedAt = frames;
        connection.SetBusyTimeout(PatienceWithReaders);
        connection.Checkpoint(CheckpointMode.Truncate);
        connection.SetBusyTimeout(PatienceWithWriters);
    }

    /// <summary>To be called when nothing else is to be done. A reader in the way is no fault: it is tried again.</summary>
    internal void Empty()
    {
        var commits = connection.Commits;
        connection.SetBusyTimeout(TimeSpan.Zero);
        var result = connection.Checkpoint(CheckpointMode.Truncate);
        connection.SetBusyTimeout(PatienceWithWriters);
        if (!result.IsBusy)
            (emptiedAt, handled, waitedAt) = (commits, 0, 0);
    }
}

namespace Dispatch.Storage.Sqlite;

/// <summary>Where the store is and what it may use.</summary>
public sealed record SqliteStoreOptions
{
    /// <summary>The database file. Beside it are <c>-wal</c> and <c>-shm</c> (SQLite's) and <c>.lock</c>.</summary>
    public required string Path { get; init; }

    /// <summary>Page cache of the writing connection in KiB, 8..1,048,576; default 32,768. Filled only as far as it is used.</summary>
    public int WriteCacheKiB { get; init; } = 32 * 1024;

    /// <summary>The write-ahead log is moved into the database whenever it has grown by this much, in KiB, 64..1,048,576; default 4,096. More is faster for bulk loads, less keeps single commits short.</summary>
    public int CheckpointKiB { get; init; } = 4 * 1024;

    /// <summary>Connections that read at the same time, 1..64; default 8.</summary>
    public int Readers { get; init; } = 8;

    /// <summary>
    /// For a store that is only read: nobody writes the file meanwhile, so that it is read without locks and without making files beside
    /// it. What it says is worth nothing when somebody did. Default false.
    /// </summary>
    public bool AtRest { get; init; }

    /// <summary>For the copy itself: a copy that is not finished may be opened.</summary>
    internal bool IsCopying { get; init; }

    /// <summary>For tests: a SQLite VFS that fails on demand.</summary>
    internal string? FileSystem { get; init; }

    /// <summary>For tests: stands in front of each piece of work on the log; what it throws, the work throws.</summary>
    internal Action? BeforePiece { get; init; }

    /// <exception cref="ArgumentOutOfRangeException">A value is outside its range.</exception>
    internal void Check()
    {
        CheckRange(WriteCacheKiB, 8, 1 << 20, nameof(WriteCacheKiB));
        CheckRange(CheckpointKiB, 64, 1 << 20, nameof(CheckpointKiB));
        CheckRange(Readers, 1, 64, nameof(Readers));
    }

    private static void CheckRange(int value, int least, int most, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, least, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, most, name);
    }
}

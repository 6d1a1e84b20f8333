namespace Dispatch.Storage.Postgres;

/// <summary>Where the store is and what it may use.</summary>
public sealed record PostgresStoreOptions
{
    /// <summary>The server and database: <c>postgresql://user@host:5432/database?sslmode=verify-full</c>; see <see cref="PostgresUrl"/>.</summary>
    public required string Url { get; init; }

    /// <summary>
    /// One swarm: its tasks, agents, log and sequence, in a schema of its own. 1 to 40 of a-z, 0-9, <c>-</c> and <c>_</c>, the first a letter or
    /// digit. Default <c>default</c>.
    /// </summary>
    public string Namespace { get; init; } = "default";

    /// <summary>Connections that read at the same time, 1..64; default 8. Besides them there are one that writes and one for each look at everything.</summary>
    public int Readers { get; init; } = 8;

    /// <summary>
    /// How long the writer may be silent before another may take its place, 1 s to 1 h; default 30 s. One whose connection is gone need not be
    /// waited for.
    /// </summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Who writes, in words that no other process uses; null: machine, process and a random word.</summary>
    public string? Holder { get; init; }

    /// <summary>
    /// How long a start waits for the place of another writer, 0 to 1 h; default 5 s. The session of a process that was killed may take a moment
    /// to end.
    /// </summary>
    public TimeSpan LockPatience { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Longest time a statement may run, 1 s to 1 h; default 30 s. Looks at everything are not limited.</summary>
    public TimeSpan StatementTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Longest wait for a connection, 1 s to 5 min; default 5 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Events in a partition of the log, 1,000..100,000,000; default 2,097,152. The log is shortened by whole partitions.</summary>
    public int PartitionEvents { get; init; } = 2 << 20;

    /// <summary>For the copy itself: a copy that is not finished may be opened.</summary>
    internal bool IsCopying { get; init; }

    /// <summary>What whoever finds the place taken is told to do.</summary>
    internal string Advice { get; init; } = "Stop that one, or give this one another namespace or database.";

    /// <summary>For tests: a partition may be smaller.</summary>
    internal bool SmallPartitions { get; init; }

    /// <summary>The schema that holds the namespace.</summary>
    internal string Schema => "dispatch_" + Namespace;

    /// <exception cref="ArgumentException">A value is outside its range.</exception>
    internal void Check()
    {
        if (!IsNamespace(Namespace))
            throw new ArgumentException($"'{Namespace}' is no namespace: 1 to 40 of a-z, 0-9, - and _, the first a letter or digit.");
        CheckRange(Readers, 1, 64, nameof(Readers));
        CheckRange(Lease.TotalSeconds, 1, 3_600, nameof(Lease));
        CheckRange(LockPatience.TotalSeconds, 0, 3_600, nameof(LockPatience));
        CheckRange(StatementTimeout.TotalSeconds, 1, 3_600, nameof(StatementTimeout));
        CheckRange(ConnectTimeout.TotalSeconds, 1, 300, nameof(ConnectTimeout));
        CheckRange(PartitionEvents, SmallPartitions ? 1 : 1_000, 100_000_000, nameof(PartitionEvents));
    }

    /// <summary>Whether this can name a namespace.</summary>
    public static bool IsNamespace(string name) =>
        name.Length is > 0 and <= 40 && name[0] is not ('-' or '_') && name.All(letter => letter is >= 'a' and <= 'z' or >= '0' and <= '9' or '-' or '_');

    private static void CheckRange(double value, double least, double most, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, least, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, most, name);
    }
}

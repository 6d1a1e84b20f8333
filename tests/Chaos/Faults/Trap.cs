namespace Dispatch.Chaos.Faults;

/// <summary>A pattern that cuts the connection in which it passes; springs once.</summary>
internal sealed class Trap
{
    private readonly TaskCompletionSource sprung = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int isTaken;

    public Trap(Flow flow, byte[] pattern, CutPoint point, int occurrence)
    {
        if (pattern.Length == 0)
            throw new ArgumentException("The pattern holds no byte.", nameof(pattern));
        ArgumentOutOfRangeException.ThrowIfLessThan(occurrence, 1);
        (Flow, Pattern, Point, Occurrence) = (flow, pattern, point, occurrence);
    }

    public Flow Flow { get; }

    public byte[] Pattern { get; }

    public CutPoint Point { get; }

    public int Occurrence { get; }

    /// <summary>Ends with <see cref="Tell"/>, or is cancelled.</summary>
    public Task Sprung => sprung.Task;

    /// <summary>True for one caller only.</summary>
    public bool TrySpring() => Interlocked.Exchange(ref isTaken, 1) == 0;

    /// <summary>The connection is cut.</summary>
    public void Tell() => sprung.TrySetResult();

    public void Remove()
    {
        if (TrySpring())
            sprung.TrySetCanceled();
    }
}

/// <summary>Looks for a trap's pattern in one stream, piece by piece (Knuth, Morris and Pratt: no byte is looked at again).</summary>
internal sealed class PatternWatch
{
    private readonly byte[] pattern;

    // For each length of a partial match: the longest one that it ends with and that is shorter.
    private readonly int[] shorter;
    private int matched;
    private int missing;

    public PatternWatch(Trap trap)
    {
        Trap = trap;
        pattern = trap.Pattern;
        missing = trap.Occurrence;
        shorter = new int[pattern.Length + 1];
        for (int at = 1, length = 0; at < pattern.Length; at++)
        {
            while (length > 0 && pattern[at] != pattern[length])
                length = shorter[length];
            if (pattern[at] == pattern[length])
                length++;
            shorter[at + 1] = length;
        }
    }

    public Trap Trap { get; }

    /// <summary>Where in this piece the match ends that was waited for: the index after its last byte; -1 when it does not. Matches may overlap.</summary>
    public int Find(ReadOnlySpan<byte> piece)
    {
        for (var at = 0; at < piece.Length; at++)
        {
            while (matched > 0 && piece[at] != pattern[matched])
                matched = shorter[matched];
            if (piece[at] == pattern[matched])
                matched++;
            if (matched < pattern.Length)
                continue;
            matched = shorter[matched];
            if (--missing == 0)
                return at + 1;
        }

        return -1;
    }
}

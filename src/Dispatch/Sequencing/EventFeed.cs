using Dispatch.Events;

namespace Dispatch.Sequencing;

/// <summary>
/// The way out of the log: everybody who follows it, in the process or over the wire, does so with a cursor of this. Memory holds the newest
/// events while somebody keeps up, but for large ones; older ones are read from the store. A slow follower falls behind; it loses nothing and holds up nobody.
/// </summary>
public sealed class EventFeed(IStore store)
{
    private const int Kept = 8192;

    // Together a few dozen MiB at the most; a larger event is rare, and the store has it.
    private const int LargestKept = 4096;

    private readonly FeedEvent?[] newest = new FeedEvent?[Kept];
    private TaskCompletionSource committed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long head;
    private long horizon = 1;
    private long reached;
    private int followers;
    private int waiting;

    /// <summary>Sequence of the last committed event.</summary>
    public long Head => Volatile.Read(ref head);

    /// <summary>Sequence of the oldest event that is kept.</summary>
    public long Horizon => Volatile.Read(ref horizon);

    /// <summary>Cursors that are open.</summary>
    public int Followers => Volatile.Read(ref followers);

    /// <summary>The store's part of the log was loaded up to this sequence.</summary>
    /// <param name="oldest">Sequence of the oldest event that is kept.</param>
    public void Start(long sequence, long oldest = 1)
    {
        Volatile.Write(ref horizon, oldest);
        Volatile.Write(ref head, sequence);
        Wake();
    }

    /// <summary>A batch is durable. One call at a time, in order.</summary>
    public void Append(Batch batch)
    {
        if (batch.IsEmpty)
            return;

        // For readers that are far behind, and may be stalled, keeping them would be work for nobody.
        if (Followers > 0 && head - Volatile.Read(ref reached) < Kept)
        {
            for (var i = 0; i < batch.Events.Count; i++)
            {
                if (batch.Texts[i].Length <= LargestKept)
                    Volatile.Write(ref newest[batch.Events[i].Sequence & (Kept - 1)], new FeedEvent(batch.Events[i]));
            }
        }

        if (batch.Horizon is { } moved)
            Volatile.Write(ref horizon, moved);
        Volatile.Write(ref head, batch.LastSequence);
        Wake();
    }

    /// <summary>Opens a cursor behind this sequence. Dispose it.</summary>
    public EventCursor Follow(EventSight sight, EventFilter filter, long after)
    {
        Interlocked.Increment(ref followers);
        return new EventCursor(this, sight, filter, after);
    }

    internal void Left() => Interlocked.Decrement(ref followers);

    /// <summary>The events behind a sequence, up to the head; fewer than asked for only there.</summary>
    /// <exception cref="EventsGoneException">They are no longer kept.</exception>
    internal async ValueTask<IReadOnlyList<FeedEvent>> ReadAsync(long after, int most, CancellationToken cancel)
    {
        if (after > Volatile.Read(ref reached))
            Volatile.Write(ref reached, after);
        var end = Math.Min(Head, after + most);
        if (end <= after)
            return [];
        if (Horizon is var oldest && after + 1 < oldest)
            throw new EventsGoneException(oldest);

        var found = new List<FeedEvent>((int)(end - after));
        for (var sequence = after + 1; sequence <= end; sequence++)
        {
            if (Volatile.Read(ref newest[sequence & (Kept - 1)]) is not { } happened || happened.Sequence != sequence)
                break;
            found.Add(happened);
        }

        if (found.Count > 0)
            return found;

        var stored = await store.ListEventsAsync(after, (int)(end - after), cancel);
        if (stored.Count > 0 && stored[0].Sequence > after + 1)
            throw new EventsGoneException(stored[0].Sequence);
        foreach (var entry in stored)
        {
            // What is not yet answered for is not yet told of, although the store may have it.
            if (entry.Sequence <= end)
                found.Add(new FeedEvent(entry, State.FindKind(entry)));
        }

        return found;
    }

    /// <summary>Returns when there is something behind this sequence.</summary>
    internal async Task WaitAsync(long after, CancellationToken cancel)
    {
        Interlocked.Increment(ref waiting);
        try
        {
            while (true)
            {
                var next = Volatile.Read(ref committed);
                if (Head > after)
                    return;
                await next.Task.WaitAsync(cancel);
            }
        }
        finally
        {
            Interlocked.Decrement(ref waiting);
        }
    }

    private void Wake()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref waiting) > 0)
            Interlocked.Exchange(ref committed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }
}

/// <summary>One follower's place in the log. Not for use by several threads at once.</summary>
public sealed class EventCursor : IDisposable
{
    private const int Looked = 1024;

    private readonly EventFeed feed;
    private readonly EventSight sight;
    private readonly EventFilter filter;
    private readonly List<FeedEvent> found = [];
    private bool left;

    internal EventCursor(EventFeed feed, EventSight sight, EventFilter filter, long after)
    {
        this.feed = feed;
        this.sight = sight;
        this.filter = filter;
        Position = after;
    }

    /// <summary>Sequence of the last event looked at, wanted or not.</summary>
    public long Position { get; private set; }

    /// <summary>Events committed that were not looked at yet.</summary>
    public long Lag => Math.Max(0, feed.Head - Position);

    /// <summary>
    /// The next wanted events, at most so many; valid until the next call. Empty when there are none among those looked at: at the head of the log,
    /// or (<see cref="Lag"/> above 0) on the way to it.
    /// </summary>
    /// <exception cref="EventsGoneException">The next event is no longer kept.</exception>
    /// <exception cref="StoreException">The store can't be read.</exception>
    public async ValueTask<IReadOnlyList<FeedEvent>> ReadAsync(int most, CancellationToken cancel)
    {
        found.Clear();
        foreach (var happened in await feed.ReadAsync(Position, Looked, cancel))
        {
            if (found.Count == most)
                break;

            // Permission before the filter, and here only: whatever is not seen moves the position as if it were not there.
            Position = happened.Sequence;
            if (sight.Sees(happened) && filter.Takes(happened))
                found.Add(happened);
        }

        return found;
    }

    /// <summary>Returns when there is something to read.</summary>
    public Task WaitAsync(CancellationToken cancel) => feed.WaitAsync(Position, cancel);

    public void Dispose()
    {
        if (left)
            return;
        left = true;
        feed.Left();
    }
}

/// <summary>The events asked for are older than what is kept.</summary>
public sealed class EventsGoneException(long horizon) : Exception($"Events before {horizon} are no longer kept.")
{
    /// <summary>Sequence of the oldest event that is kept.</summary>
    public long Horizon { get; } = horizon;
}

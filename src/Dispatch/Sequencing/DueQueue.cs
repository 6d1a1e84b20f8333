namespace Dispatch.Sequencing;

/// <summary>Something that falls due. Belongs to at most one <see cref="DueQueue"/> at a time.</summary>
public abstract class DueTimer
{
    internal long Due { get; set; }

    internal long Order { get; set; }

    /// <summary>Position in the heap; -1 when not armed.</summary>
    internal int Index { get; set; } = -1;

    public bool IsArmed => Index >= 0;

    /// <summary>Does what is due. Runs inside a batch, like a command.</summary>
    public abstract void Fire(State state, Decision decision);
}

/// <summary>
/// Timers ordered by due time, equal ones by the order of arming. A heap in which each timer knows its place, so that arming,
/// moving and disarming cost O(log n) and nothing stale stays behind.
/// </summary>
public sealed class DueQueue
{
    private DueTimer[] heap = new DueTimer[64];
    private long order;

    public int Count { get; private set; }

    /// <summary>When the first timer is due, or <see cref="long.MaxValue"/>.</summary>
    public long NextDue => Count == 0 ? long.MaxValue : heap[0].Due;

    /// <summary>Arms the timer, or moves it when it is armed.</summary>
    public void Arm(DueTimer timer, long due)
    {
        timer.Due = due;
        timer.Order = ++order;
        if (timer.Index < 0)
        {
            if (Count == heap.Length)
                Array.Resize(ref heap, Count * 2);
            timer.Index = Count++;
            heap[timer.Index] = timer;
        }

        if (!RiseFrom(timer.Index))
            SinkFrom(timer.Index);
    }

    public void Disarm(DueTimer timer)
    {
        var index = timer.Index;
        if (index < 0)
            return;

        timer.Index = -1;
        var last = heap[--Count];
        heap[Count] = null!;
        if (index == Count)
            return;

        heap[index] = last;
        last.Index = index;
        if (!RiseFrom(index))
            SinkFrom(index);
    }

    /// <summary>Takes the first timer that is due at <paramref name="now"/>, or null.</summary>
    public DueTimer? TakeDue(long now)
    {
        if (Count == 0 || heap[0].Due > now)
            return null;

        var first = heap[0];
        Disarm(first);
        return first;
    }

    private static bool Before(DueTimer a, DueTimer b) => a.Due != b.Due ? a.Due < b.Due : a.Order < b.Order;

    private bool RiseFrom(int index)
    {
        var moved = false;
        var timer = heap[index];
        while (index > 0)
        {
            var parent = (index - 1) >> 2;
            if (!Before(timer, heap[parent]))
                break;
            Place(heap[parent], index);
            index = parent;
            moved = true;
        }

        Place(timer, index);
        return moved;
    }

    private void SinkFrom(int index)
    {
        var timer = heap[index];
        while (true)
        {
            var child = (index << 2) + 1;
            if (child >= Count)
                break;

            var least = child;
            var end = Math.Min(child + 4, Count);
            for (var other = child + 1; other < end; other++)
            {
                if (Before(heap[other], heap[least]))
                    least = other;
            }

            if (!Before(heap[least], timer))
                break;
            Place(heap[least], index);
            index = least;
        }

        Place(timer, index);
    }

    private void Place(DueTimer timer, int index)
    {
        heap[index] = timer;
        timer.Index = index;
    }
}

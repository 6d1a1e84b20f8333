using Dispatch.Allowances;
using Dispatch.Tasks;

namespace Dispatch.Matching;

/// <summary>
/// The waiting tasks that ask for the same: same requirement, same agent to avoid, about the same cost. Eleven first-in-first-out rows, one a priority,
/// and a heap for the few that come back into the middle; taking the most urgent costs the same at ten tasks and at a million.
/// </summary>
internal sealed class WaitingLine(int id, Requirement needs, string? avoid, TaskCost? cost)
{
    private const int Priorities = 11;

    private readonly Row[] rows = new Row[Priorities];
    private readonly PriorityQueue<Slot, (long Key, long Number)> returned = new();

    public int Id { get; } = id;

    public Requirement Needs { get; } = needs;

    /// <summary>The agent whose last attempt at these tasks did not succeed: taken only when no other is free.</summary>
    public string? Avoid { get; } = avoid;

    /// <summary>What its tasks cost, roughly; null when they say nothing of it.</summary>
    public TaskCost? Cost { get; } = cost;

    /// <summary>The balance that refuses its tasks whoever would take them, or null.</summary>
    public BalanceEntry? ParkedOn { get; set; }

    public int Count { get; private set; }

    /// <summary>Candidates by score, kept until an agent's abilities change; see <see cref="Matcher"/>.</summary>
    public Candidates? Candidates { get; set; }

    /// <summary>The column of the backlog it stands in, or null.</summary>
    public CapabilityColumn? Column { get; set; }

    /// <summary>Its place in the backlog: the key of its most urgent task when it was put there.</summary>
    public (long Key, long Number) Place { get; set; }

    /// <summary>True while it is listed to be looked at in this batch.</summary>
    public bool Listed { get; set; }

    /// <summary>True while it stands among the lines that are dropped, oldest first, when there are too many without tasks.</summary>
    public bool IsIdle { get; set; }

    public void Add(TaskEntry entry, long agingMs)
    {
        entry.Line = this;
        entry.Ticket++;
        Count++;
        ref var row = ref rows[entry.Task.Priority];
        if (row.TryAppend(new Slot(entry, entry.Ticket)))
            return;

        // One task moved to and fro between priorities would otherwise leave a slot behind each time.
        if (returned.Count > (2 * Count) + 64)
        {
            var live = returned.UnorderedItems.Where(slot => slot.Element.IsLive).ToArray();
            returned.Clear();
            returned.EnqueueRange(live);
        }

        returned.Enqueue(new Slot(entry, entry.Ticket), (entry.QueueKey(agingMs), entry.Task.Number));
    }

    /// <summary>Those in the middle are ordered anew; a row is in order by any measure of aging.</summary>
    public void Reorder(long agingMs)
    {
        var live = returned.UnorderedItems.Select(slot => slot.Element).Where(slot => slot.IsLive).ToArray();
        returned.Clear();
        foreach (var slot in live)
            returned.Enqueue(slot, (slot.Entry.QueueKey(agingMs), slot.Entry.Task.Number));
    }

    public void Remove(TaskEntry entry)
    {
        entry.Line = null;
        entry.Ticket++;
        Count--;
        if (Count == 0)
            Clear();
    }

    /// <summary>The most urgent task, or null.</summary>
    public TaskEntry? Peek(long agingMs)
    {
        if (Count == 0)
            return null;

        TaskEntry? best = null;
        (long Key, long Number) bestPlace = default;
        for (var priority = 0; priority < Priorities; priority++)
        {
            if (rows[priority].PeekLive() is { } head && Precedes(head, ref bestPlace, best, agingMs))
                best = head;
        }

        while (returned.TryPeek(out var slot, out _))
        {
            if (!slot.IsLive)
            {
                returned.Dequeue();
                continue;
            }

            if (Precedes(slot.Entry, ref bestPlace, best, agingMs))
                best = slot.Entry;
            break;
        }

        return best;
    }

    /// <summary>When the task that waits longest was queued, or null.</summary>
    public long? OldestQueuedAt()
    {
        if (Count == 0)
            return null;

        var oldest = long.MaxValue;
        for (var priority = 0; priority < Priorities; priority++)
            oldest = Math.Min(oldest, rows[priority].PeekLive()?.Task.QueuedAt ?? long.MaxValue);
        foreach (var (slot, _) in returned.UnorderedItems)
        {
            if (slot.IsLive)
                oldest = Math.Min(oldest, slot.Entry.Task.QueuedAt);
        }

        return oldest;
    }

    private static bool Precedes(TaskEntry entry, ref (long Key, long Number) best, TaskEntry? current, long agingMs)
    {
        var place = (entry.QueueKey(agingMs), entry.Task.Number);
        if (current is not null && place.CompareTo(best) >= 0)
            return false;
        best = place;
        return true;
    }

    private void Clear()
    {
        for (var priority = 0; priority < Priorities; priority++)
            rows[priority] = default;
        returned.Clear();
    }

    private readonly record struct Slot(TaskEntry Entry, int Ticket)
    {
        public bool IsLive => Entry.Ticket == Ticket && Entry.Line is not null;
    }

    /// <summary>A ring of slots in order of (queued_at, number).</summary>
    private struct Row
    {
        private Slot[]? ring;
        private int head;
        private int count;
        private long lastQueuedAt;
        private long lastNumber;

        public bool TryAppend(Slot slot)
        {
            var task = slot.Entry.Task;
            if (count > 0 && (task.QueuedAt, task.Number).CompareTo((lastQueuedAt, lastNumber)) < 0)
                return false;

            ring ??= new Slot[4];
            if (count == ring.Length)
                Grow();
            ring[(head + count++) & (ring.Length - 1)] = slot;
            (lastQueuedAt, lastNumber) = (task.QueuedAt, task.Number);
            return true;
        }

        public TaskEntry? PeekLive()
        {
            while (count > 0)
            {
                ref var first = ref ring![head];
                if (first.IsLive)
                    return first.Entry;
                first = default;
                head = (head + 1) & (ring.Length - 1);
                count--;
            }

            return null;
        }

        // Cancelled tasks in the middle are dropped here, so that a row holds at most about twice what is alive.
        private void Grow()
        {
            var live = 0;
            for (var i = 0; i < count; i++)
            {
                if (ring![(head + i) & (ring.Length - 1)].IsLive)
                    live++;
            }

            var size = 4;
            while (size < (live + 1) * 2)
                size *= 2;
            var grown = new Slot[size];
            var kept = 0;
            for (var i = 0; i < count; i++)
            {
                var slot = ring![(head + i) & (ring.Length - 1)];
                if (slot.IsLive)
                    grown[kept++] = slot;
            }

            (ring, head, count) = (grown, 0, kept);
        }
    }
}

/// <summary>Agents that can do a line's tasks, busy ones included, in groups of equal score from the best down.</summary>
internal sealed class Candidates
{
    public required long Version { get; init; }

    /// <summary>Everyone who can do it at all.</summary>
    public required SlotSet All { get; init; }

    public required IReadOnlyList<ScoreGroup> Groups { get; init; }
}

/// <summary>Agents that get the same score when they stand in the given tier; the last group may be the agent to avoid.</summary>
internal sealed record ScoreGroup(double Score, IReadOnlyList<(int Tier, double CapabilityMatch, SlotSet Slots)> Parts);

/// <summary>A capability: who has it, and which waiting lines are filed under it.</summary>
/// <param name="capability">Folded; null for the column of those that ask for none.</param>
internal sealed class CapabilityColumn(string? capability)
{
    public string? Capability { get; } = capability;

    public SlotSet Agents { get; } = new();

    public SortedSet<WaitingLine> Backlog { get; } = new(ByPlace);

    internal static readonly IComparer<WaitingLine> ByPlace = Comparer<WaitingLine>.Create((a, b) =>
    {
        var order = a.Place.CompareTo(b.Place);
        return order != 0 ? order : a.Id.CompareTo(b.Id);
    });
}

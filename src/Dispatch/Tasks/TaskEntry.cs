using Dispatch.Agents;
using Dispatch.Matching;
using Dispatch.Sequencing;

namespace Dispatch.Tasks;

/// <summary>
/// A live task's place in memory: the immutable record as it stands now, and what hangs on it that is not stored because it
/// follows from the record (queue place, timers, dependants).
/// </summary>
public sealed class TaskEntry
{
    internal TaskEntry(WorkTask task, TaskSpec? spec)
    {
        Task = task;
        Spec = spec;
    }

    public WorkTask Task { get; internal set; }

    /// <summary>Null when it is not kept in memory: large, or too many are waiting. The store has it.</summary>
    public TaskSpec? Spec { get; internal set; }

    /// <summary>Tasks that wait for this one.</summary>
    internal List<TaskEntry>? Dependants { get; set; }

    /// <summary>How many of its dependencies are not completed yet.</summary>
    internal int Unmet { get; set; }

    /// <summary>The line it waits in, or null.</summary>
    internal WaitingLine? Line { get; set; }

    /// <summary>Changes with every move in or out of a line; a line's slot with another ticket is stale.</summary>
    internal int Ticket { get; set; }

    /// <summary>The last reason told by a task.unmatched event since it was last held: a new wait is told of anew.</summary>
    internal WaitReason Told { get; set; }

    /// <summary>The sleeping agent it waits for, or null.</summary>
    internal AgentEntry? Waking { get; set; }

    /// <summary>The agent that holds it, or null.</summary>
    internal AgentEntry? Holder { get; set; }

    internal int HeldIndex { get; set; }

    /// <summary>True once an exchange answered with it and until it is known that the agent does not have it.</summary>
    internal bool Delivered { get; set; }

    /// <summary>Run timeout or end of backoff, on the monotonic clock.</summary>
    internal TaskTimer? RunTimer { get; set; }

    /// <summary>run_at or deadline, on the wall clock.</summary>
    internal TaskTimer? WallTimer { get; set; }

    /// <summary>What of it the batch has to write; null when it is not in the batch.</summary>
    internal RowChange? Dirty { get; set; }

    /// <summary>
    /// Smaller is more urgent. The rule "each full aging_ms in the queue counts as one more step of priority" compares
    /// priority + waited/aging of two tasks; the waiting parts grow alike, so the order is fixed when they queue.
    /// </summary>
    internal long QueueKey(long agingMs) => Task.QueuedAt - (Task.Priority * agingMs);
}

/// <summary>Fires for one task; what it then means follows from the task's state.</summary>
internal sealed class TaskTimer(TaskEntry entry) : DueTimer
{
    public override void Fire(State state, Decision decision) => TaskClock.Fire(state, decision, entry);
}

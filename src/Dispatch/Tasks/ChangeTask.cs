using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Sequencing;

namespace Dispatch.Tasks;

/// <summary>What became of a wish to change a task.</summary>
public abstract record ChangeOutcome
{
    /// <summary>The task as it stood at the end of the batch.</summary>
    public sealed record Changed(WorkTask Task, TaskSpec? Spec) : ChangeOutcome;

    /// <summary>It is not in memory: finished, or never there. The store tells.</summary>
    public sealed record NotLive : ChangeOutcome;

    /// <summary>Not visible to the caller: to be answered like a task that does not exist.</summary>
    public sealed record Forbidden : ChangeOutcome;

    /// <summary>Its state does not allow it.</summary>
    public sealed record WrongState(TaskState State) : ChangeOutcome;

    /// <summary>What the command brought along from the store is out of date: read again.</summary>
    public sealed record NeedsFacts : ChangeOutcome;
}

/// <summary>Cancels a task that is not final. Repeating it is answered by the store: the task is cancelled already.</summary>
public sealed record CancelTask(TaskId Task, string Reason) : Command<ChangeOutcome>
{
    public override ChangeOutcome Decide(State state, Decision decision)
    {
        if (state.Tasks.Find(Task) is not { } entry)
            return new ChangeOutcome.NotLive();
        if (!Rights.MayChange(entry.Task, this))
            return new ChangeOutcome.Forbidden();
        if (entry.Task.IsFinal)
            return new ChangeOutcome.WrongState(entry.Task.Status);

        TaskEnding.Revoke(decision, entry, "cancelled");
        decision.Raise(entry.Task, new TaskCancelled(Reason));
        decision.Ended.Enqueue(entry);
        return new ChangeOutcome.Changed(entry.Task, entry.Spec);
    }
}

/// <summary>Changes context or priority of a task that is not final.</summary>
/// <param name="Base">The task that <paramref name="Context"/> was merged into, as read from the store; null without a new context.</param>
/// <param name="Context">The whole new context, merged at the edge.</param>
public sealed record PatchTask(TaskId Task, byte? Priority, JsonBytes? Context, StoredTask? Base) : Command<ChangeOutcome>
{
    public override ChangeOutcome Decide(State state, Decision decision)
    {
        if (state.Tasks.Find(Task) is not { } entry)
            return new ChangeOutcome.NotLive();
        if (!Rights.MayChange(entry.Task, this))
            return new ChangeOutcome.Forbidden();
        if (entry.Task.IsFinal)
            return new ChangeOutcome.WrongState(entry.Task.Status);
        if (Context is not null && Base?.Task.LastSequence != entry.Task.LastSequence)
            return new ChangeOutcome.NeedsFacts();

        var priority = Priority == entry.Task.Priority ? null : Priority;
        if (priority is null && Context is null)
            return new ChangeOutcome.Changed(entry.Task, entry.Spec);

        if (Context is not null)
            state.Tasks.RestoreSpec(entry, Base!.Spec);
        decision.Raise(entry.Task, new TaskUpdated("patched", null, priority, Context));
        return new ChangeOutcome.Changed(entry.Task, entry.Spec);
    }

    public override ChangeOutcome Conclude(State state, Decision decision, ChangeOutcome outcome) =>
        outcome is ChangeOutcome.Changed && state.Tasks.Find(Task) is { } entry ? new ChangeOutcome.Changed(entry.Task, entry.Spec) : outcome;
}

/// <summary>
/// Puts a failed, timed-out or cancelled task back with fresh attempts. One that never got as far as the queue waits for its time and its
/// dependencies again, and to be confirmed if it asked for that; it is cancelled at once, as when it were submitted, if one of those has ended other than completed.
/// </summary>
/// <param name="Stored">The task as the store has it.</param>
/// <param name="AsOf">The sequence number at which it was read.</param>
public sealed record RetryTask(StoredTask Stored, long AsOf) : Command<ChangeOutcome>
{
    /// <summary>What the store knows about the task's dependencies; may be null when it has none.</summary>
    public StoreFacts? Facts { get; init; }

    public override ChangeOutcome Decide(State state, Decision decision)
    {
        var task = Stored.Task;
        if (!Rights.MayChange(task, this))
            return new ChangeOutcome.Forbidden();
        if (state.Tasks.Find(task.Id) is { Task.IsFinal: false } live)
            return new ChangeOutcome.WrongState(live.Task.Status);
        if (state.Tasks.Find(task.Id) is not null || state.Tasks.IsOutOfDate(task.Id, Stored, AsOf) || !task.IsFinal)
            return new ChangeOutcome.NeedsFacts();
        if (task.Status == TaskState.Completed)
            return new ChangeOutcome.WrongState(task.Status);

        var unmet = false;
        string? broken = null;
        foreach (var dependency in task.Attempt == 0 ? task.DependsOn : [])
        {
            var known = state.Tasks.Find(dependency)?.Task;
            if (known is null)
            {
                var stored = Facts?.Tasks.GetValueOrDefault(dependency);
                if (Facts is null || state.Tasks.IsOutOfDate(dependency, stored, Facts.AsOf))
                    return new ChangeOutcome.NeedsFacts();
                known = stored?.Task;
            }

            if (known is null || known.Number > task.Number)
                broken ??= $"Dependency {dependency} is not kept any more; whether it completed is not known.";
            else if (!known.IsFinal)
                unmet = true;
            else if (known.Status != TaskState.Completed)
                broken ??= $"Dependency {dependency} ended as {TaskEnding.Word(known.Status)}.";
        }

        // Once it was given out it had been confirmed.
        var confirm = Stored.Spec.Confirm && task.Attempt == 0;
        TaskState? start = task.RunAt > decision.Now ? TaskState.Scheduled : unmet || broken is not null || confirm ? TaskState.Blocked : null;
        var entry = state.Tasks.Recall(Stored);
        decision.Raise(entry.Task, new TaskRetried(0, decision.Now, Manual: true, start));
        if (broken is not null)
        {
            decision.Raise(entry.Task, new TaskCancelled(broken));
            decision.Ended.Enqueue(entry);
        }
        else if (confirm)
        {
            Confirmation.Ask(state, decision, entry.Task, Stored.Spec);
        }

        return new ChangeOutcome.Changed(entry.Task, entry.Spec);
    }

    public override ChangeOutcome Conclude(State state, Decision decision, ChangeOutcome outcome) =>
        outcome is ChangeOutcome.Changed && state.Tasks.Find(Stored.Task.Id) is { } entry ? new ChangeOutcome.Changed(entry.Task, entry.Spec) : outcome;
}

/// <summary>Explains where a live task stands; null when it is not in memory. Changes nothing.</summary>
public sealed record ExplainTask(TaskId Task) : Command<Explanation?>
{
    public override Explanation? Decide(State state, Decision decision) => null;

    public override Explanation? Conclude(State state, Decision decision, Explanation? outcome) =>
        state.Tasks.Find(Task) is { } entry ? Explanation.Of(state, entry) : null;
}

/// <summary>Removes finished tasks past their retention, as found in the store.</summary>
public sealed record PruneTasks(IReadOnlyList<StoredTask> Expired, long AsOf) : Command<int>
{
    public override int Decide(State state, Decision decision)
    {
        var gone = Expired.Where(stored => stored.Task.IsFinal && state.Tasks.Find(stored.Task.Id) is null
            && !state.Tasks.IsOutOfDate(stored.Task.Id, stored, AsOf)).ToList();
        if (gone.Count == 0)
            return 0;

        int Ended(TaskState status) => gone.Count(stored => stored.Task.Status == status);
        decision.Raise("retention", null, 0, new TaskPruned(
            gone.Select(stored => stored.Task.Number).ToArray(),
            Ended(TaskState.Completed), Ended(TaskState.Failed), Ended(TaskState.Timeout), Ended(TaskState.Cancelled)));
        return gone.Count;
    }
}

internal static class Rights
{
    /// <summary>The requester, an agent named as its owner, and an admin may change a task.</summary>
    public static bool MayChange(WorkTask task, Command command) =>
        command.ByAdmin || string.Equals(task.Requester, command.Caller, StringComparison.Ordinal)
        || (task.Needs.Owner is { } owner && string.Equals(owner, command.Caller, StringComparison.Ordinal));
}

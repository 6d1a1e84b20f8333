using Dispatch.Agents;
using Dispatch.Sequencing;

namespace Dispatch.Tasks;

/// <summary>What follows when an attempt or a task ends: another attempt, the dead letters, the dependants.</summary>
internal static class TaskEnding
{
    /// <summary>
    /// After a failed or timed-out attempt: another one if any is left, else a dead letter. Delay before attempt n + 1:
    /// uniformly from 0 to min(base x 2^(n-1), cap) ("full jitter", AWS Architecture Blog, 2015).
    /// </summary>
    public static void RetryOrBury(State state, Decision decision, TaskEntry entry, bool retryable, long? retryAfterMs)
    {
        var task = entry.Task;
        if (!retryable || task.RetryCount >= task.MaxRetries)
        {
            Bury(decision, entry);
            return;
        }

        var count = task.RetryCount + 1;
        var ceiling = Math.Min(state.Options.RetryBaseMs * Math.Pow(2, Math.Min(count - 1, 40)), state.Options.RetryCapMs);
        var delay = retryAfterMs ?? (long)(decision.Random.NextDouble() * ceiling);
        decision.Raise(task, new TaskRetried(count, state.Now + delay, Manual: false));
    }

    public static void Bury(Decision decision, TaskEntry entry)
    {
        var task = entry.Task;
        decision.Raise(task, new TaskDeadLettered(task.Status, task.Error ?? ""));
        decision.Ended.Enqueue(entry);
    }

    /// <summary>Tells the holder, if there is one, that its attempt is over before it said so itself.</summary>
    public static void Revoke(Decision decision, TaskEntry entry, string reason)
    {
        if (entry.Holder is not { } holder)
            return;
        holder.Revoke(new Revocation(entry.Task.Id, entry.Task.Attempt, reason));
        decision.Called.Add(holder.Agent.Id);
    }

    /// <summary>Takes the task from an agent that left, drained or dropped its connection: no attempt is charged.</summary>
    public static void HandBack(Decision decision, TaskEntry entry, string reason, bool revoke)
    {
        if (revoke)
            Revoke(decision, entry, reason);
        decision.Raise(entry.Task, new TaskReleased(entry.Task.Assignee!, entry.Task.Attempt, reason, null));
    }

    /// <summary>Takes the task from an agent that vanished: an attempt is charged.</summary>
    public static void TakeFromVanished(Decision decision, TaskEntry entry, string reason)
    {
        var task = entry.Task;
        Revoke(decision, entry, "lease_expired");
        var requeued = task.RetryCount < task.MaxRetries;
        decision.Raise(task, new TaskReassigned(task.Assignee!, task.Attempt, reason, requeued ? task.RetryCount + 1 : task.RetryCount, requeued));
        if (!requeued)
            Bury(decision, entry);
    }

    /// <summary>Frees or cancels what waited for tasks that ended in this step, and what waited for those in turn.</summary>
    public static void ReleaseDependants(State state, Decision decision)
    {
        while (decision.Ended.TryDequeue(out var ended))
        {
            Confirmation.Withdraw(state, decision, ended.Task);
            if (ended.Dependants is not { } dependants)
                continue;

            ended.Dependants = null;
            decision.Cause = ended.Task.LastSequence;
            foreach (var waiting in dependants)
            {
                if (waiting.Task.Status is not (TaskState.Blocked or TaskState.Scheduled))
                    continue;

                if (ended.Task.Status != TaskState.Completed)
                {
                    decision.Raise(waiting.Task, new TaskCancelled($"Dependency {ended.Task.Id} ended as {Word(ended.Task.Status)}."));
                    decision.Ended.Enqueue(waiting);
                }
                else if (--waiting.Unmet == 0 && waiting.Task.Status == TaskState.Blocked)
                {
                    decision.Raise(waiting.Task, new TaskUpdated("dependencies_met", TaskState.Pending, null, null));
                }
            }
        }

        decision.Cause = 0;
    }

    public static string Word(TaskState state) => state.ToString().ToLowerInvariant();
}

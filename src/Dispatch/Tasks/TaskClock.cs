using Dispatch.Sequencing;

namespace Dispatch.Tasks;

/// <summary>What happens to a task when time passes: due, out of backoff, run too long, past its deadline.</summary>
internal static class TaskClock
{
    public static void Fire(State state, Decision decision, TaskEntry entry)
    {
        var task = entry.Task;
        if (task.IsFinal)
            return;

        if (task.Deadline > 0 && task.Deadline <= state.Now)
        {
            var holder = task.IsHeld ? task.Assignee : null;
            TaskEnding.Revoke(decision, entry, "deadline");
            decision.Raise(entry.Task, new TaskTimedOut(holder, task.Attempt, "The deadline passed."));
            TaskEnding.Bury(decision, entry);
            return;
        }

        switch (task.Status)
        {
            case TaskState.Scheduled when task.RunAt <= state.Now:
                decision.Raise(task, new TaskUpdated("due", entry.Unmet > 0 ? TaskState.Blocked : TaskState.Pending, null, null));
                break;
            case TaskState.Pending when !(entry.RunTimer?.IsArmed ?? false):
                state.Tasks.Rejoin(entry, arrived: true);
                break;
            case TaskState.Assigned or TaskState.Running when !(entry.RunTimer?.IsArmed ?? false):
                TaskEnding.Revoke(decision, entry, "timeout");
                var error = task.LongestRunMs < task.TimeoutMs
                    ? $"Attempt {task.Attempt} ran longer than a limit of job_ms = {task.MaxRunMs} allows."
                    : $"Attempt {task.Attempt} ran longer than timeout_ms = {task.TimeoutMs}.";
                decision.Raise(entry.Task, new TaskTimedOut(task.Assignee, task.Attempt, error));
                TaskEnding.RetryOrBury(state, decision, entry, retryable: true, retryAfterMs: null);
                break;
        }
    }
}

using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Checks;

/// <summary>Sees rare situations in what a batch writes.</summary>
internal sealed class Sightings(Universe universe)
{
    private readonly HashSet<string> waking = new(StringComparer.Ordinal);
    private readonly HashSet<string> shortOfAllowance = new(StringComparer.Ordinal);

    public void Note(Batch batch)
    {
        var assigned = 0;
        var timers = 0;
        HashSet<string>? left = null;
        HashSet<string>? woken = null;
        foreach (var happened in batch.Events)
        {
            switch (happened.Data)
            {
                case TaskCreated { Status: TaskState.Scheduled }:
                    universe.Reached(Situation.BornScheduled);
                    break;
                case TaskCreated { Status: TaskState.Pending, DependsOn: not null }:
                    universe.Reached(Situation.DependencyFinishedBefore);
                    break;
                case TaskAssigned e:
                    assigned++;
                    if (shortOfAllowance.Remove(happened.Subject))
                        universe.Reached(Situation.GivenOnceThereWasRoom);
                    if (woken is not null && !woken.Add(e.Agent))
                        universe.Reached(Situation.WokenWithSeveral);
                    break;
                case TaskUpdated { Reason: "dependencies_met" }:
                    universe.Reached(Situation.DependencyMet);
                    break;
                case TaskCancelled e when e.Reason.StartsWith("Dependency", StringComparison.Ordinal):
                    universe.Reached(happened.CausedBy > 0 ? Situation.CascadeCancelled : Situation.DependencyBrokenBefore);
                    break;
                case TaskRetried { Manual: true, Status: TaskState.Blocked }:
                    universe.Reached(Situation.RetriedIntoBlocked);
                    break;
                case TaskRetried { Manual: true, Status: TaskState.Scheduled }:
                    universe.Reached(Situation.RetriedIntoScheduled);
                    break;
                case TaskRetried { Manual: false } e when e.NextAttemptAt > happened.Timestamp:
                    universe.Reached(Situation.RetriedAfterBackoff);
                    break;
                case TaskTimedOut e:
                    timers++;
                    NoteTimeout(e, batch);
                    break;
                case TaskReleased { NextAttemptAt: not null }:
                    universe.Reached(Situation.ReleasedWithPause);
                    break;
                case TaskReleased { Reason: "the agent was drained" }:
                    universe.Reached(Situation.DrainedWithWork);
                    break;
                case TaskReleased e when e.Reason.StartsWith("paused", StringComparison.Ordinal):
                    universe.Reached(Situation.PausedByLimit);
                    break;
                case TaskReleased { Reason: "released by the worker" }:
                    universe.Reached(Situation.ReleasedToAnother);
                    break;
                case TaskReassigned e:
                    universe.Reached(e.Requeued ? Situation.WentOfflineWithWork : Situation.DeadLetterOfVanishing);
                    break;
                case SessionClosed e:
                    universe.Reached(e.Reason == SessionEnd.Expired ? Situation.SessionExpired : Situation.SessionClosed);
                    break;
                case TaskFailed { Retryable: false }:
                    universe.Reached(Situation.DeadLetterNotRetryable);
                    break;
                case TaskDeadLettered { Status: TaskState.Failed }:
                    universe.Reached(Situation.DeadLetterOfRetries);
                    break;
                case TaskUnmatched e:
                    NoteUnmatched(e.Reason);
                    if (e.Reason == WaitReason.Allowance)
                        shortOfAllowance.Add(happened.Subject);
                    break;
                case AllowanceReset { Used: > 0 }:
                    universe.Reached(Situation.WindowReset);
                    break;
                case AllowanceWarning:
                    universe.Reached(Situation.WarnedOfLimit);
                    break;
                case AllowanceExceeded e:
                    universe.Reached(e.Overshoot > 0 ? Situation.Overshot : Situation.LimitExceeded);
                    break;
                case AgentOffline:
                    universe.Reached(Situation.WentOffline);
                    break;
                case AgentStatusChanged { From: AgentStatus.Offline }:
                    universe.Reached(Situation.CameBack);
                    break;
                case AgentDeregistered { Reason: "reaped" }:
                    universe.Reached(Situation.Reaped);
                    break;
                case AgentRegistered when waking.Remove(happened.Subject):
                    universe.Reached(Situation.RegisteredWhileWaking);
                    break;
                case AgentDeregistered:
                    (left ??= []).Add(happened.Subject);
                    break;
                case AgentRegistered when left?.Contains(happened.Subject) ?? false:
                    universe.Reached(Situation.LeftAndRegisteredInOneBatch);
                    break;
                case AgentWakeRequested:
                    universe.Reached(Situation.WakeRequested);
                    waking.Add(happened.Subject);
                    break;
                case AgentWoken:
                    universe.Reached(Situation.Woken);
                    woken = [];
                    waking.Remove(happened.Subject);
                    break;
                case AgentWakeFailed:
                    universe.Reached(Situation.WakeFailed);
                    waking.Remove(happened.Subject);
                    break;
            }
        }

        if (batch.Tasks.Any(row => row.Task is { IsHeld: true, AvoidAgent: { } avoided } && avoided == row.Task.Assignee))
            universe.Reached(Situation.AvoidedAgentTakenAnyway);
        foreach (var attempt in batch.Attempts)
        {
            var task = universe.Disk.Tasks.GetValueOrDefault(attempt.TaskNumber)?.Task;
            if (attempt.Outcome == AttemptOutcome.Completed && task is not null && attempt.EndedAt - Math.Max(attempt.AssignedAt, attempt.StartedAt) >= task.TimeoutMs)
                universe.Reached(Situation.CompletedAsItTimedOut);
        }

        NoteBalances(batch, assigned);
        if (assigned == 1 && universe.Weather.State.MatchLimit == 1)
            universe.Reached(Situation.MatchLimitReached);
        if (timers > 0 && universe.Weather.State.DueLimit == 1)
            universe.Reached(Situation.DueLimitReached);
    }

    private void NoteBalances(Batch batch, int assigned)
    {
        if (batch.Balances.Any(balance => balance.CooldownUntil > batch.Events[0].Timestamp))
            universe.Reached(Situation.CooledDown);
        var reserved = batch.Balances.Where(balance => balance.Reserved > 0).Select(balance => balance.Limit).ToHashSet(StringComparer.Ordinal);
        if (batch.RemovedLimits.Any(reserved.Contains))
            universe.Reached(Situation.LimitDeletedWithReservations);
        if (assigned == 0 && batch.Limits.Any(limit => limit is { Version: 1, Level: not LimitLevel.Task } && reserved.Contains(limit.Id)))
            universe.Reached(Situation.LimitSetAgainOverReservations);
    }

    private void NoteTimeout(TaskTimedOut timeout, Batch batch)
    {
        if (timeout.Error.Contains("job_ms", StringComparison.Ordinal))
            universe.Reached(Situation.EndedByLimit);
        if (timeout.Error.StartsWith("The deadline", StringComparison.Ordinal))
        {
            universe.Reached(timeout.Agent is null ? Situation.DeadlineWhileWaiting : Situation.DeadlineWhileHeld);
            return;
        }

        var attempt = batch.Attempts.FirstOrDefault(ended => ended.Outcome == AttemptOutcome.Timeout && ended.Agent == timeout.Agent);
        universe.Reached(attempt is { StartedAt: > 0 } ? Situation.TimedOutRunning : Situation.TimedOutUnstarted);
    }

    private void NoteUnmatched(WaitReason reason)
    {
        switch (reason)
        {
            case WaitReason.Allowance:
                universe.Reached(Situation.RefusedByLimit);
                break;
            case WaitReason.NoAgents:
                universe.Reached(Situation.UnmatchedNoAgents);
                break;
            case WaitReason.NoCapability:
                universe.Reached(Situation.UnmatchedNoCapability);
                break;
            case WaitReason.OwnerFilter:
                universe.Reached(Situation.UnmatchedOwner);
                break;
            case WaitReason.Drained:
                universe.Reached(Situation.UnmatchedDrained);
                break;
            case WaitReason.Offline:
                universe.Reached(Situation.UnmatchedOffline);
                break;
            case WaitReason.Degraded:
                universe.Reached(Situation.UnmatchedDegraded);
                break;
            case WaitReason.WakeFailed:
                universe.Reached(Situation.UnmatchedWakeFailed);
                break;
        }
    }
}

using Dispatch.Allowances;
using Dispatch.Events;

namespace Dispatch.Tasks;

/// <summary>The state machine of a task: which event may happen in which state, and what it makes of the task. Pure.</summary>
public static class TaskTransitions
{
    private const int Waiting = 1 << (int)TaskState.Scheduled | 1 << (int)TaskState.Blocked | 1 << (int)TaskState.Pending;
    private const int Held = 1 << (int)TaskState.Assigned | 1 << (int)TaskState.Running;
    private const int Final = 1 << (int)TaskState.Completed | 1 << (int)TaskState.Failed | 1 << (int)TaskState.Timeout | 1 << (int)TaskState.Cancelled;

    /// <summary>The table: event type, states it may happen in, state after it (null: as the event says, or unchanged).</summary>
    public static readonly IReadOnlyList<(EventKind Event, int From, TaskState? To)> Table =
    [
        (TaskAssigned.Is, 1 << (int)TaskState.Pending, TaskState.Assigned),
        (TaskStarted.Is, 1 << (int)TaskState.Assigned, TaskState.Running),
        (TaskProgressed.Is, 1 << (int)TaskState.Running, null),
        (TaskCompleted.Is, Held, TaskState.Completed),
        (TaskFailed.Is, Held, TaskState.Failed),
        (TaskTimedOut.Is, Waiting | Held, TaskState.Timeout),
        (TaskReleased.Is, Held, TaskState.Pending),
        (TaskReassigned.Is, Held, null),
        (TaskRetried.Is, Final & ~(1 << (int)TaskState.Completed), null),
        (TaskCancelled.Is, Waiting | Held, TaskState.Cancelled),
        (TaskUpdated.Is, Waiting | Held, null),
        (TaskUnmatched.Is, 1 << (int)TaskState.Pending, null),
        (TaskDeadLettered.Is, 1 << (int)TaskState.Failed | 1 << (int)TaskState.Timeout, null),
    ];

    private static readonly Dictionary<EventKind, int> FromStates = Table.ToDictionary(row => row.Event, row => row.From, ReferenceEqualityComparer.Instance as IEqualityComparer<EventKind>);

    public static bool Allows(TaskState from, TaskEvent data) =>
        FromStates.TryGetValue(data.Kind, out var states) && (states & (1 << (int)from)) != 0;

    /// <summary>The states in a row of <see cref="Table"/>.</summary>
    public static IEnumerable<TaskState> StatesOf(int set) => Enum.GetValues<TaskState>().Where(state => (set & (1 << (int)state)) != 0);

    /// <summary>The task after the event.</summary>
    /// <param name="at">The event's timestamp.</param>
    public static WorkTask Next(WorkTask task, TaskEvent data, long at) => data switch
    {
        TaskAssigned e => task with
        {
            Status = TaskState.Assigned,
            Assignee = e.Agent,
            Attempt = e.Attempt,
            AssignedAt = at,
            StartedAt = 0,
            NextAttemptAt = 0,
            Why = e.Why,
            Progress = null,
            MaxRunMs = e.MaxRunMs ?? 0,
            Charge = e.Reserved is { } reserved ? new TaskCharge(reserved) : null,
        },
        TaskStarted => task with { Status = TaskState.Running, StartedAt = at },
        TaskProgressed e => task with { Progress = new TaskProgress(e.Percent, e.Message, e.Data, at) },
        TaskCompleted e => Ended(task, AttemptOutcome.Completed, e.Usage) with { Status = TaskState.Completed, CompletedAt = at, Error = null },
        TaskFailed e => Ended(task, AttemptOutcome.Failed, e.Usage) with { Status = TaskState.Failed, CompletedAt = at, Error = e.Error },
        TaskTimedOut e => (e.Agent is null ? task : Ended(task, AttemptOutcome.Timeout, null)) with
        {
            Status = TaskState.Timeout,
            CompletedAt = at,
            Error = e.Error,
            NextAttemptAt = 0,
        },
        TaskReleased e => Waits(Ended(task, AttemptOutcome.Released, null)) with { NextAttemptAt = e.NextAttemptAt ?? 0 },
        TaskReassigned { Requeued: true } e => Waits(Ended(task, AttemptOutcome.Lost, null)) with { RetryCount = e.RetryCount, Error = e.Reason },
        TaskReassigned e => Ended(task, AttemptOutcome.Lost, null) with
        {
            Status = TaskState.Failed,
            CompletedAt = at,
            Error = e.Reason,
            RetryCount = e.RetryCount,
        },
        TaskRetried { Manual: true } e => Waits(task) with
        {
            Status = e.Status ?? TaskState.Pending,
            RetryCount = 0,
            QueuedAt = at,
            NextAttemptAt = 0,
            Error = null,
            DeadLettered = false,
            LastOutcome = AttemptOutcome.None,
            LastAgent = null,
            Deadline = task.Deadline > at ? task.Deadline : 0,
        },
        TaskRetried e => Waits(task) with { RetryCount = e.RetryCount, NextAttemptAt = e.NextAttemptAt },
        TaskCancelled e => (task.IsHeld ? Ended(task, AttemptOutcome.Cancelled, null) : task) with
        {
            Status = TaskState.Cancelled,
            CompletedAt = at,
            Error = e.Reason,
            NextAttemptAt = 0,
        },
        TaskUpdated e => Updated(task, e, at),
        TaskDeadLettered => task with { DeadLettered = true },
        TaskUnmatched => task,
        _ => throw new InvalidOperationException($"{data.Kind.Name} does not change a task."),
    };

    /// <summary>The record of the attempt that the event ends, or null when it ends none.</summary>
    public static EndedAttempt? EndOfAttempt(WorkTask task, TaskEvent data, long at)
    {
        if (!task.IsHeld)
            return null;

        EndedAttempt End(AttemptOutcome outcome, string? error = null, JsonBytes? result = null, JsonBytes? usage = null, string? model = null) =>
            new(task.Number, task.Attempt, task.Assignee!, outcome, task.AssignedAt, task.StartedAt, at, error, result, usage, model,
                task.Charge?.Reserved, task.Charge is { } charge ? (charge.Reported ?? Amounts.None).Plus(AllowanceTable.SpentOf(data)) : null);

        return data switch
        {
            TaskCompleted e => End(AttemptOutcome.Completed, null, e.Result, e.Usage, e.Model),
            TaskFailed e => End(AttemptOutcome.Failed, e.Error, null, e.Usage, e.Model),
            TaskTimedOut e => End(AttemptOutcome.Timeout, e.Error),
            TaskReleased e => End(AttemptOutcome.Released, e.Reason),
            TaskReassigned e => End(AttemptOutcome.Lost, e.Reason),
            TaskCancelled e => End(AttemptOutcome.Cancelled, e.Reason),
            _ => null,
        };
    }

    private static WorkTask Ended(WorkTask task, AttemptOutcome outcome, JsonBytes? usage) => task with
    {
        LastAgent = task.Assignee,
        LastOutcome = outcome,
        Charge = null,
        Usage = UsageSum.Add(task.Usage, usage),
    };

    private static WorkTask Waits(WorkTask task) => task with
    {
        Status = TaskState.Pending,
        Assignee = null,
        AssignedAt = 0,
        StartedAt = 0,
        CompletedAt = 0,
        Why = null,
        Progress = null,
    };

    private static WorkTask Updated(WorkTask task, TaskUpdated update, long at)
    {
        var status = update.Status ?? task.Status;
        return task with
        {
            Status = status,
            Priority = update.Priority ?? task.Priority,
            QueuedAt = status != task.Status && status == TaskState.Pending ? at : task.QueuedAt,
        };
    }
}

using System.Text.Json.Serialization;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Matching;

namespace Dispatch.Tasks;

/// <summary>The events of tasks. JSON names are the public contract: additive changes only.</summary>
public abstract record TaskEvent(EventKind Kind) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds =
    [
        TaskCreated.Is, TaskAssigned.Is, TaskStarted.Is, TaskProgressed.Is, TaskCompleted.Is, TaskFailed.Is, TaskTimedOut.Is, TaskRetried.Is,
        TaskCancelled.Is, TaskReleased.Is, TaskReassigned.Is, TaskUpdated.Is, TaskDeadLettered.Is, TaskUnmatched.Is, TaskPruned.Is,
    ];
}

/// <summary>
/// A task was accepted. <c>status</c> is where it starts: pending, scheduled or blocked. With <c>confirm</c> a question about it follows, and it
/// is not given out before that is settled. <c>budget</c> is what it and the tasks below it may use; <c>budget_of</c> the task above it whose budget it draws on.
/// </summary>
public sealed record TaskCreated(
    TaskState Status, string Requester, string Title, string? Description, string? Scope, string[] RequiredCapabilities,
    string[] PreferredCapabilities, string? Owner, string? Submitter, string? IdempotencyKey, string? BodyHash, byte Priority, JsonBytes? Labels,
    JsonBytes? Context, JsonBytes? Estimate, long TimeoutMs, int MaxRetries, long? RunAt, long? Deadline, TaskId[]? DependsOn, TaskId? ParentId,
    bool? Confirm = null, Amounts? Budget = null, TaskId? BudgetOf = null) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.created", "tasks", TaskEventJson.Default.TaskCreated);
}

/// <summary>
/// An agent was chosen and holds the task under this attempt number. <c>queued_ms</c>: how long it could have been given out before. <c>reserved</c> is what is kept
/// for it, by balance of a limit; <c>max_run_ms</c> the longest run that a limit allows.
/// </summary>
public sealed record TaskAssigned(string Agent, int Attempt, long QueuedMs, MatchScore Why, Amounts? Reserved = null, long? MaxRunMs = null) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.assigned", "tasks", TaskEventJson.Default.TaskAssigned);
}

/// <summary>The agent has begun.</summary>
public sealed record TaskStarted(string Agent, int Attempt) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.started", "tasks", TaskEventJson.Default.TaskStarted);
}

/// <summary>The agent said how far it is. <c>percent</c> is 0..100.</summary>
public sealed record TaskProgressed(string Agent, int Attempt, double? Percent, string? Message, JsonBytes? Data) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.progressed", "tasks", TaskEventJson.Default.TaskProgressed);
}

/// <summary>
/// The agent finished. <c>result</c> is whatever it made; <c>usage</c> what the attempt used, with <c>model</c>; <c>spent</c> what that came to, by balance of a limit,
/// beside what was reported before.
/// </summary>
public sealed record TaskCompleted(string Agent, int Attempt, JsonBytes? Result, JsonBytes? Usage, string? Model = null, Amounts? Spent = null) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.completed", "tasks", TaskEventJson.Default.TaskCompleted);
}

/// <summary>An attempt failed. A task.retried or task.dead_lettered event follows in the same commit.</summary>
public sealed record TaskFailed(
    string Agent, int Attempt, string Error, bool Retryable, JsonBytes? Usage, string? Model = null, Amounts? Spent = null) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.failed", "tasks", TaskEventJson.Default.TaskFailed);
}

/// <summary>The run time or the deadline passed. <c>agent</c> is absent when nobody held the task.</summary>
public sealed record TaskTimedOut(string? Agent, int Attempt, string Error, Amounts? Spent = null) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.timed_out", "tasks", TaskEventJson.Default.TaskTimedOut);
}

/// <summary>
/// The task waits again. <c>manual</c>: a person put a finished one back, with fresh attempts. <c>status</c> is there when it first waits for
/// its time (<c>scheduled</c>) or its dependencies (<c>blocked</c>).
/// </summary>
public sealed record TaskRetried(int RetryCount, long NextAttemptAt, bool Manual, TaskState? Status = null) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.retried", "tasks", TaskEventJson.Default.TaskRetried);
}

/// <summary>The task was cancelled, by a caller or because one it depends on did not complete.</summary>
public sealed record TaskCancelled(string Reason, Amounts? Spent = null) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.cancelled", "tasks", TaskEventJson.Default.TaskCancelled);
}

/// <summary>Handed back unworked, at no cost in attempts.</summary>
public sealed record TaskReleased(string Agent, int Attempt, string Reason, long? NextAttemptAt) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.released", "tasks", TaskEventJson.Default.TaskReleased);
}

/// <summary>Taken from an agent that vanished: an attempt is charged. Back in the queue when <c>requeued</c>, else a dead letter follows.</summary>
public sealed record TaskReassigned(string Agent, int Attempt, string Reason, int RetryCount, bool Requeued) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.reassigned", "tasks", TaskEventJson.Default.TaskReassigned);
}

/// <summary>A member changed. Absent members stayed as they were. <c>reason</c>: patched, due, dependencies_met, confirmed.</summary>
public sealed record TaskUpdated(
    string Reason, TaskState? Status, byte? Priority, JsonBytes? Context, string? Title = null, string? Description = null) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.updated", "tasks", TaskEventJson.Default.TaskUpdated);
}

/// <summary>The task ended as <c>failed</c> or <c>timeout</c> and is kept for a person to look at.</summary>
public sealed record TaskDeadLettered(TaskState Status, string Error) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.dead_lettered", "tasks", TaskEventJson.Default.TaskDeadLettered);
}

/// <summary>Nobody can do it now; said once per reason.</summary>
public sealed record TaskUnmatched(WaitReason Reason, string Message) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.unmatched", "tasks", TaskEventJson.Default.TaskUnmatched);
}

/// <summary>Finished tasks past their retention were removed: their numbers, and how many had ended in which state.</summary>
public sealed record TaskPruned(long[] Numbers, int Completed, int Failed, int Timeout, int Cancelled) : TaskEvent(Is)
{
    public static readonly EventKind Is = new("task.pruned", "tasks", TaskEventJson.Default.TaskPruned);
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(TaskCreated))]
[JsonSerializable(typeof(TaskAssigned))]
[JsonSerializable(typeof(TaskStarted))]
[JsonSerializable(typeof(TaskProgressed))]
[JsonSerializable(typeof(TaskCompleted))]
[JsonSerializable(typeof(TaskFailed))]
[JsonSerializable(typeof(TaskTimedOut))]
[JsonSerializable(typeof(TaskRetried))]
[JsonSerializable(typeof(TaskCancelled))]
[JsonSerializable(typeof(TaskReleased))]
[JsonSerializable(typeof(TaskReassigned))]
[JsonSerializable(typeof(TaskUpdated))]
[JsonSerializable(typeof(TaskDeadLettered))]
[JsonSerializable(typeof(TaskUnmatched))]
[JsonSerializable(typeof(TaskPruned))]
internal sealed partial class TaskEventJson : JsonSerializerContext;

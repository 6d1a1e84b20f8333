using System.Text.Json.Serialization;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Matching;

namespace Dispatch.Tasks;

[JsonConverter(typeof(SnakeCaseEnumConverter<TaskState>))]
public enum TaskState : byte
{
    Scheduled,
    Blocked,
    Pending,
    Assigned,
    Running,
    Completed,
    Failed,
    Timeout,
    Cancelled,
}

/// <summary>How an attempt ended.</summary>
[JsonConverter(typeof(SnakeCaseEnumConverter<AttemptOutcome>))]
public enum AttemptOutcome : byte
{
    None,
    Completed,
    Failed,
    Timeout,

    /// <summary>Handed back unworked; costs no attempt.</summary>
    Released,

    /// <summary>The agent vanished with it; costs an attempt.</summary>
    Lost,
    Cancelled,
}

/// <summary>
/// A task as the broker keeps it in memory: what decisions need. What only readers need is in <see cref="TaskSpec"/>.
/// Times are Unix milliseconds; 0 means none.
/// </summary>
public sealed record WorkTask
{
    public required TaskId Id { get; init; }

    /// <summary>Sequence of its task.created event: unique, and rising with the order of submission.</summary>
    public required long Number { get; init; }

    public required TaskState Status { get; init; }

    /// <summary>Which agents may take it: required and preferred capabilities and owner.</summary>
    public required Requirement Needs { get; init; }

    /// <summary>The caller that submitted it.</summary>
    public required string Requester { get; init; }

    public string? Session { get; init; }

    public TaskId Parent { get; init; }

    public TaskId[] DependsOn { get; init; } = [];

    /// <summary>0..10, higher is more urgent.</summary>
    public required byte Priority { get; init; }

    /// <summary>How many charged attempts may fail before it is a dead letter, 0..100.</summary>
    public required int MaxRetries { get; init; }

    /// <summary>Longest run in milliseconds, from start or assignment, whichever is later.</summary>
    public required long TimeoutMs { get; init; }

    /// <summary>Longest run of the attempt in hand that a limit allows; 0: none does.</summary>
    public long MaxRunMs { get; init; }

    /// <summary>What allowances go by; null when it says nothing of it.</summary>
    public TaskCost? Cost { get; init; }

    /// <summary>What the attempt in hand keeps of allowances; null when it is not held or nothing is limited.</summary>
    public TaskCharge? Charge { get; init; }

    public long RunAt { get; init; }

    /// <summary>Wall-clock end over all attempts.</summary>
    public long Deadline { get; init; }

    public required long CreatedAt { get; init; }

    /// <summary>Since when it counts as waiting: ageing starts here. Kept when work is handed back.</summary>
    public long QueuedAt { get; init; }

    /// <summary>Not before this time is it given out again (retry backoff).</summary>
    public long NextAttemptAt { get; init; }

    public string? Assignee { get; init; }

    /// <summary>Number of the current or last grant: the fencing token, strictly rising.</summary>
    public int Attempt { get; init; }

    /// <summary>Charged attempts that did not succeed.</summary>
    public int RetryCount { get; init; }

    public long AssignedAt { get; init; }

    public long StartedAt { get; init; }

    public long CompletedAt { get; init; }

    /// <summary>Who held the last attempt that ended, and how it ended.</summary>
    public string? LastAgent { get; init; }

    public AttemptOutcome LastOutcome { get; init; }

    public bool DeadLettered { get; init; }

    public string? Error { get; init; }

    public TaskProgress? Progress { get; init; }

    /// <summary>What all its attempts used, summed by member: <c>{"tokens_in":900}</c>.</summary>
    public JsonBytes? Usage { get; init; }

    /// <summary>Why its assignee was chosen.</summary>
    public MatchScore? Why { get; init; }

    /// <summary>Sequence of the last event about it.</summary>
    public long LastSequence { get; init; }

    public bool IsFinal => Status >= TaskState.Completed;

    /// <summary>How long the attempt in hand may run, in milliseconds.</summary>
    public long LongestRunMs => MaxRunMs > 0 ? Math.Min(MaxRunMs, TimeoutMs) : TimeoutMs;

    public bool IsHeld => Status is TaskState.Assigned or TaskState.Running;

    /// <summary>The agent whose last attempt did not succeed: another is preferred.</summary>
    public string? AvoidAgent =>
        LastOutcome is AttemptOutcome.Failed or AttemptOutcome.Timeout or AttemptOutcome.Lost or AttemptOutcome.Released ? LastAgent : null;

    /// <summary>True when the caller holds the current attempt. No attempt number given means the current one.</summary>
    public bool IsHeldBy(string caller, int? attempt) =>
        IsHeld && string.Equals(Assignee, caller, StringComparison.Ordinal) && (attempt is null || attempt == Attempt);

    /// <summary>True when the caller ended the latest attempt in this way: its report is a repeat.</summary>
    public bool WasEndedBy(string caller, int? attempt, AttemptOutcome outcome) =>
        !IsHeld && LastOutcome == outcome && string.Equals(LastAgent, caller, StringComparison.Ordinal) && (attempt is null || attempt == Attempt);
}

/// <summary>The latest word of the worker.</summary>
/// <param name="Percent">0..100.</param>
/// <param name="Message">Free text, at most 1,000 characters.</param>
/// <param name="Data">Any JSON object.</param>
/// <param name="At">When, Unix milliseconds.</param>
public sealed record TaskProgress(double? Percent, string? Message, JsonBytes? Data, long At);

/// <summary>What a task says to people and workers; no decision reads it.</summary>
public sealed record TaskSpec
{
    public required string Title { get; init; }

    public string? Description { get; init; }

    /// <summary>One required capability by another name.</summary>
    public string? Scope { get; init; }

    /// <summary>Object of string to string.</summary>
    public JsonBytes? Labels { get; init; }

    /// <summary>Any JSON object.</summary>
    public JsonBytes? Context { get; init; }

    /// <summary>Any JSON object: what the requester expects it to use.</summary>
    public JsonBytes? Estimate { get; init; }

    /// <summary>What it and the tasks below it may use, by name of unit; null: no budget of its own.</summary>
    public Amounts? Budget { get; init; }

    public string? Submitter { get; init; }

    public string? IdempotencyKey { get; init; }

    /// <summary>True when it is not given out before somebody confirmed it.</summary>
    public bool Confirm { get; init; }

    /// <summary>Hash of the request it came with, when that can be repeated: by its key, or by the id it chose.</summary>
    public string? RequestHash { get; init; }

    /// <summary>Roughly how many bytes it takes in memory.</summary>
    [JsonIgnore]
    public int Size =>
        120 + (2 * (Title.Length + (Description?.Length ?? 0))) + (Labels?.Length ?? 0) + (Context?.Length ?? 0) + (Estimate?.Length ?? 0);
}

/// <summary>An attempt that has ended.</summary>
/// <param name="Reserved">What was kept for it of allowances, less what usage reports had booked; null for nothing.</param>
/// <param name="Spent">What it came to, with those reports.</param>
public sealed record EndedAttempt(
    long TaskNumber, int Attempt, string Agent, AttemptOutcome Outcome, long AssignedAt, long StartedAt, long EndedAt, string? Error,
    JsonBytes? Result, JsonBytes? Usage, string? Model = null, Amounts? Reserved = null, Amounts? Spent = null);

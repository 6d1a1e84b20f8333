using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>A task as the broker knows it. Members the broker has no value for are null.</summary>
public sealed record DispatchTask
{
    /// <summary>UUID, usually version 7.</summary>
    public required string Id { get; init; }

    /// <summary>What is to be done, in a line.</summary>
    public required string Title { get; init; }

    /// <summary>Where it stands: one of <see cref="TaskState"/>, or a state newer than this library.</summary>
    public required string Status { get; init; }

    public string? Description { get; init; }
    public string? Scope { get; init; }
    public IReadOnlyList<string> RequiredCapabilities { get => field ?? []; init; }
    public IReadOnlyList<string> PreferredCapabilities { get => field ?? []; init; }
    public IReadOnlyDictionary<string, string> Labels { get => field ?? EmptyLabels; init; }
    public string? Owner { get; init; }

    /// <summary>The agent that asked for it.</summary>
    public string? Requester { get; init; }
    public string? Submitter { get; init; }
    public string? Session { get; init; }

    /// <summary>0 to 10, higher is more urgent.</summary>
    public int Priority { get; init; }

    /// <summary>The requester's JSON object; empty when none was given.</summary>
    public JsonElement Context { get => field.ValueKind == JsonValueKind.Undefined ? EmptyObject : field; init; }

    /// <summary>How long one attempt may run.</summary>
    [JsonPropertyName("timeout_ms")]
    public TimeSpan Timeout { get; init; }

    /// <summary>How many attempts may follow the first one.</summary>
    public int MaxRetries { get; init; }
    public DateTimeOffset? RunAt { get; init; }
    public DateTimeOffset? Deadline { get; init; }
    public IReadOnlyList<string> DependsOn { get => field ?? []; init; }
    public string? ParentId { get; init; }
    public string? IdempotencyKey { get; init; }

    /// <summary>The agent that holds it now, or held it last.</summary>
    public string? Assignee { get; init; }

    /// <summary>The number of the current attempt and the fencing token of reports; 0 before the first.</summary>
    public int Attempt { get; init; }
    public int RetryCount { get; init; }

    /// <summary>The worker's last word on how far it is.</summary>
    public TaskProgress? Progress { get; init; }

    /// <summary>What the worker made, of a completed task.</summary>
    public JsonElement? Result { get; init; }
    public string? Error { get; init; }
    public JsonElement? Estimate { get; init; }

    /// <summary>What it and the tasks below it may use, by name of unit; null: no budget of its own.</summary>
    public IReadOnlyDictionary<string, long>? Budget { get; init; }

    /// <summary>While it is held: what is kept for it of limits, by their keys.</summary>
    public IReadOnlyDictionary<string, long>? Reserved { get; init; }

    /// <summary>While it is held: the longest run that a limit allows.</summary>
    [JsonPropertyName("max_run_ms")]
    public TimeSpan? MaxRun { get; init; }

    /// <summary>Whether it had to be confirmed before its first attempt.</summary>
    public bool Confirm { get; init; }
    public JsonElement? Usage { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? AssignedAt { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? CompletedAt { get; init; }

    /// <summary>When a failed attempt is followed by the next.</summary>
    public DateTimeOffset? NextAttemptAt { get; init; }
    public bool DeadLettered { get; init; }

    /// <summary>Until when the assignee holds it without a sign of life; only on tasks handed out by an exchange.</summary>
    public DateTimeOffset? LeaseExpiresAt { get; init; }

    /// <summary>The attempts that have ended, oldest first. Only a single task read by id has them.</summary>
    public IReadOnlyList<TaskAttempt> Attempts { get => field ?? []; init; }

    /// <summary>True when nothing will happen to it any more unless it is retried.</summary>
    [JsonIgnore]
    public bool IsFinal => TaskState.IsFinal(Status);

    private static readonly Dictionary<string, string> EmptyLabels = [];
    internal static readonly JsonElement EmptyObject = JsonElement.Parse("{}");
}

/// <summary>One ended attempt at a task.</summary>
public sealed record TaskAttempt
{
    public int Attempt { get; init; }
    public string? Agent { get; init; }

    /// <summary><c>completed</c>, <c>failed</c>, <c>timeout</c>, <c>released</c>, <c>lost</c> or <c>cancelled</c>.</summary>
    public required string Outcome { get; init; }
    public DateTimeOffset? AssignedAt { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public string? Error { get; init; }
    public JsonElement? Usage { get; init; }

    /// <summary>The model it used, when it said so.</summary>
    public string? Model { get; init; }

    /// <summary>What was kept for it of limits, by their keys.</summary>
    public IReadOnlyDictionary<string, long>? Reserved { get; init; }

    /// <summary>What it came to, by the keys of limits.</summary>
    public IReadOnlyDictionary<string, long>? Spent { get; init; }
}

/// <summary>How far a worker says it is.</summary>
public sealed record TaskProgress
{
    /// <summary>0 to 100.</summary>
    public double? Percent { get; init; }
    public string? Message { get; init; }
    public JsonElement? Data { get; init; }
}

/// <summary>The names of the states a task can be in.</summary>
public static class TaskState
{
    public const string Scheduled = "scheduled";
    public const string Blocked = "blocked";
    public const string Pending = "pending";
    public const string Assigned = "assigned";
    public const string Running = "running";
    public const string Completed = "completed";
    public const string Failed = "failed";
    public const string Timeout = "timeout";
    public const string Cancelled = "cancelled";

    /// <summary>Whether a task in this state stays in it unless somebody retries it.</summary>
    public static bool IsFinal(string status) => status is Completed or Failed or Timeout or Cancelled;
}

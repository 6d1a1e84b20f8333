using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>What a worker tells the broker in one exchange.</summary>
public sealed record ExchangeRequest
{
    /// <summary>Reports on held tasks, applied in this order before new work is looked for.</summary>
    public IReadOnlyList<TaskReport>? Reports { get; init; }

    /// <summary>Everything the worker holds, so that it is not delivered again.</summary>
    public IReadOnlyList<HeldTask>? Holding { get; init; }

    /// <summary>One of <see cref="AgentStatus"/>; null leaves it as it is.</summary>
    public string? Status { get; init; }
}

/// <summary>A task in a worker's hands.</summary>
public sealed record HeldTask(string TaskId, int Attempt);

/// <summary>A worker's word on one attempt at a task.</summary>
public sealed record TaskReport
{
    public required string TaskId { get; init; }

    /// <summary>The attempt it was given; another than the current one is stale.</summary>
    public required int Attempt { get; init; }

    /// <summary><c>started</c>, <c>progress</c>, <c>completed</c>, <c>failed</c> or <c>released</c>.</summary>
    public required string Outcome { get; init; }

    /// <summary>What was made; with <c>completed</c>.</summary>
    public JsonElement? Result { get; init; }

    /// <summary>What it cost, for example tokens; with <c>completed</c> and <c>failed</c>.</summary>
    public JsonElement? Usage { get; init; }

    /// <summary>The model that was used, 1 to 128 characters; with <c>completed</c> and <c>failed</c>.</summary>
    public string? Model { get; init; }

    /// <summary>With <c>failed</c>.</summary>
    public string? Error { get; init; }

    /// <summary>With <c>failed</c>; the broker takes null as true.</summary>
    public bool? Retryable { get; init; }

    /// <summary>With <c>failed</c>: not before this pause.</summary>
    [JsonPropertyName("retry_after_ms")]
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>0 to 100; with <c>progress</c>.</summary>
    public double? Percent { get; init; }

    /// <summary>With <c>progress</c>.</summary>
    public string? Message { get; init; }

    /// <summary>With <c>progress</c>.</summary>
    public JsonElement? Data { get; init; }
}

/// <summary>The broker's side of an exchange.</summary>
public sealed record ExchangeAnswer
{
    /// <summary>One per report, in the order sent.</summary>
    public IReadOnlyList<ReportAnswer> Reports { get => field ?? []; init; }

    /// <summary>Newly assigned tasks, and held ones the worker has neither started nor named.</summary>
    public IReadOnlyList<DispatchTask> Tasks { get => field ?? []; init; }

    /// <summary>Held tasks that are no longer wanted.</summary>
    public IReadOnlyList<CancelledWork> Cancelled { get => field ?? []; init; }

    /// <summary>True when a sleeping agent is asked to say that it is ready.</summary>
    public bool Wake { get; init; }
}

/// <summary>What became of one report.</summary>
public sealed record ReportAnswer
{
    public required string TaskId { get; init; }
    public int Attempt { get; init; }

    /// <summary><c>accepted</c>, <c>unchanged</c> (said before), <c>stale</c> (the attempt is over) or <c>unknown</c> (no such task).</summary>
    public required string Status { get; init; }

    /// <summary>Why, where there is more to say.</summary>
    public string? Error { get; init; }
}

/// <summary>The names of what a worker can report.</summary>
public static class ReportOutcome
{
    public const string Started = "started";
    public const string Progress = "progress";
    public const string Completed = "completed";
    public const string Failed = "failed";
    public const string Released = "released";
}

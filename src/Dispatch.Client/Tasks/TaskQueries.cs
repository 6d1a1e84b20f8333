using System.Text.Json;

namespace Dispatch.Client;

/// <summary>Which tasks a list is to hold: those that match every member given.</summary>
public sealed record TaskFilter
{
    /// <summary>Any of these states; empty: all.</summary>
    public IReadOnlyList<string> Status { get; init; } = [];
    public string? Requester { get; init; }
    public string? Assignee { get; init; }
    public string? Scope { get; init; }
    public string? Owner { get; init; }
    public string? ParentId { get; init; }

    /// <summary>Every one of these labels.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>Tasks a page, 1 to 1000; 100 when null.</summary>
    public int? Limit { get; init; }
}

/// <summary>One page of a list.</summary>
/// <param name="Tasks">The tasks, newest first.</param>
/// <param name="NextCursor">Hands over to the next page; null on the last.</param>
public sealed record TaskPage(IReadOnlyList<DispatchTask> Tasks, string? NextCursor);

/// <summary>Why a task went where it went, or why it still waits.</summary>
public sealed record TaskExplanation
{
    public required string TaskId { get; init; }
    public required string Status { get; init; }

    /// <summary>Stable code: <c>no_capability</c>, <c>no_agents</c>, <c>all_busy</c>, <c>drained</c>, <c>offline</c>, <c>owner_filter</c>, <c>dependency</c>, <c>not_due</c>, <c>backoff</c>, <c>waking</c>, <c>allowance</c>, <c>assigned</c>, <c>final</c>.</summary>
    public string? Reason { get; init; }

    /// <summary>The sentence for a person.</summary>
    public string? Message { get; init; }

    /// <summary>The decision, when it has been assigned.</summary>
    public AssignmentFactors? Assignment { get; init; }

    /// <summary>The agents looked at, at most 100.</summary>
    public IReadOnlyList<Candidate> Candidates { get => field ?? []; init; }

    /// <summary>Ids of the tasks it depends on that are not completed.</summary>
    public IReadOnlyList<string> WaitingOn { get => field ?? []; init; }
}

/// <summary>The factors of the decision that assigned a task.</summary>
public sealed record AssignmentFactors
{
    public required string Agent { get; init; }
    public int Attempt { get; init; }
    public double Score { get; init; }
    public double CapabilityMatch { get; init; }
    public double Availability { get; init; }
    public double PriorityWeight { get; init; }
    public int Active { get; init; }
    public int MaxConcurrent { get; init; }

    /// <summary>How many agents could have done it.</summary>
    public int Candidates { get; init; }
}

/// <summary>One agent as the matcher sees it for one task.</summary>
public sealed record Candidate
{
    public required string Agent { get; init; }
    public bool Eligible { get; init; }
    public double? Score { get; init; }
    public double CapabilityMatch { get; init; }
    public double Availability { get; init; }
    public double PriorityWeight { get; init; }
    public int Active { get; init; }
    public int MaxConcurrent { get; init; }

    /// <summary>Why it is not eligible.</summary>
    public string? Reason { get; init; }

    /// <summary>The limit that has no room for it, in a sentence for a person.</summary>
    public string? Limit { get; init; }
}

/// <summary>One thing that happened to a task.</summary>
public sealed record TaskEvent
{
    /// <summary>The global, gap-free number of the event.</summary>
    public long Sequence { get; init; }
    public DateTimeOffset Timestamp { get; init; }
    public required string Type { get; init; }
    public string? Source { get; init; }
    public string? Subject { get; init; }
    public string? Session { get; init; }
    public string? Actor { get; init; }

    /// <summary>The <see cref="Sequence"/> of the event that led to it; null when it came from outside.</summary>
    public long? CausedBy { get; init; }
    public JsonElement Data { get => field.ValueKind == JsonValueKind.Undefined ? DispatchTask.EmptyObject : field; init; }

    /// <summary>Whether events about the task came before this one that are not shown, as when they are no longer kept.</summary>
    public bool Truncated { get; init; }
}

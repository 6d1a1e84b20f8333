namespace Dispatch.Client;

/// <summary>Which dead letters a list is to hold.</summary>
public sealed record DeadLetterFilter
{
    /// <summary><c>failed</c> or <c>timeout</c>; null: both.</summary>
    public string? Status { get; init; }
    public string? Scope { get; init; }
    public string? Requester { get; init; }

    /// <summary>Tasks a page, 1 to 1000; 100 when null.</summary>
    public int? Limit { get; init; }
}

/// <summary>Which dead letters go back to the queue: those named, or those that match.</summary>
public sealed record RedriveRequest
{
    public IReadOnlyList<string>? Ids { get; init; }
    public string? Status { get; init; }
    public string? Scope { get; init; }
    public string? Requester { get; init; }

    /// <summary>At most this many, 1 to 1000; 100 when null.</summary>
    public int? Limit { get; init; }
}

/// <summary>What a redrive did.</summary>
public sealed record RedriveAnswer
{
    public int Redriven { get; init; }
    public IReadOnlyList<SkippedTask> Skipped { get => field ?? []; init; }

    /// <summary>True when more dead letters match than the limit let through.</summary>
    public bool More { get; init; }
}

/// <summary>A task a redrive left alone.</summary>
public sealed record SkippedTask
{
    public required string Id { get; init; }
    public string? Reason { get; init; }
}

using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>Which events a webhook is told of. A null or empty list lets everything through; each given one must hold.</summary>
public sealed record WebhookFilter
{
    /// <summary>Exact types (<c>task.completed</c>), or all below a name (<c>task.*</c>).</summary>
    public IReadOnlyList<string>? Types { get; init; }

    /// <summary>The modules that raised them.</summary>
    public IReadOnlyList<string>? Sources { get; init; }

    /// <summary>Ids of what they are about.</summary>
    public IReadOnlyList<string>? Subjects { get; init; }

    public IReadOnlyList<string>? Sessions { get; init; }
}

/// <summary>A webhook to be made, or what of one is to change: null stays as it is.</summary>
public sealed record WebhookChange
{
    /// <summary>http or https; required for a new one.</summary>
    public string? Url { get; init; }

    /// <summary>A note for the list; empty: none.</summary>
    public string? Description { get; init; }

    /// <summary>Replaces the filter before.</summary>
    public WebhookFilter? Filter { get; init; }
}

/// <summary>A receiver of events, and how far it has come.</summary>
public sealed record Webhook
{
    public required string Id { get; init; }
    public required string Url { get; init; }
    public string? Description { get; init; }
    public WebhookFilter? Filter { get; init; }

    /// <summary>Signs deliveries. Only in the answers that make one; otherwise null.</summary>
    public string? Secret { get; init; }

    /// <summary>Until then the secret before signs too.</summary>
    public DateTimeOffset? PreviousSecretUntil { get; init; }

    /// <summary><c>enabled</c> or <c>disabled</c>.</summary>
    public required string Status { get; init; }
    public DateTimeOffset StatusAt { get; init; }
    public string? DisabledReason { get; init; }
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>Sequence of the last event it is done with.</summary>
    public long Cursor { get; init; }

    /// <summary>Events committed behind that.</summary>
    public long Lag { get; init; }
    public DateTimeOffset? FailingSince { get; init; }
    public string? LastError { get; init; }
    public DateTimeOffset? NextAttemptAt { get; init; }

    /// <summary>Without the secret, so that a log line does not give it away.</summary>
    public override string ToString() => $"Webhook {{ Id = {Id}, Status = {Status} }}";
}

/// <summary>What came of one attempt to deliver an event.</summary>
public sealed record WebhookDelivery
{
    public required string EventId { get; init; }

    /// <summary>Null for a test event.</summary>
    public long? Sequence { get; init; }

    /// <summary>From 1; null for a test event.</summary>
    public int? Attempt { get; init; }
    public DateTimeOffset? At { get; init; }
    public bool Delivered { get; init; }

    [JsonPropertyName("duration_ms")]
    public TimeSpan Duration { get; init; }

    /// <summary>HTTP status; null when there was no answer.</summary>
    public int? Status { get; init; }
    public string? Error { get; init; }

    /// <summary>The beginning of the answer, at most 1 KiB.</summary>
    public string? ResponseExcerpt { get; init; }
}

internal sealed record RotateBody([property: JsonPropertyName("overlap_ms")] TimeSpan? Overlap);

using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Webhooks;

/// <summary>The events of webhooks. The subject is the webhook's id. JSON names are the public contract: additive changes only.</summary>
public abstract record WebhookEvent(EventKind Kind) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds =
    [
        WebhookCreated.Is, WebhookUpdated.Is, WebhookDeleted.Is, WebhookDisabled.Is, WebhookEnabled.Is, WebhookSecretRotated.Is,
        WebhookUrlSet.Is, WebhookSecretSet.Is,
    ];
}

/// <summary>An admin made an endpoint.</summary>
/// <param name="Host">Of its URL; the rest may hold a key of the receiver's.</param>
public sealed record WebhookCreated(string Host, string? Description, string[]? Types, string[]? Sources, string[]? Subjects, string[]? Sessions) : WebhookEvent(Is)
{
    public static readonly EventKind Is = new("webhook.created", "webhooks", WebhookEventJson.Default.WebhookCreated);
}

/// <summary>It changed; the members say how it is now.</summary>
public sealed record WebhookUpdated(string Host, string? Description, string[]? Types, string[]? Sources, string[]? Subjects, string[]? Sessions) : WebhookEvent(Is)
{
    public static readonly EventKind Is = new("webhook.updated", "webhooks", WebhookEventJson.Default.WebhookUpdated);
}

/// <summary>It is told of nothing any more, and its delivery history is gone.</summary>
public sealed record WebhookDeleted() : WebhookEvent(Is)
{
    public static readonly EventKind Is = new("webhook.deleted", "webhooks", WebhookEventJson.Default.WebhookDeleted);
}

/// <summary>Nothing more is delivered until somebody enables it.</summary>
public sealed record WebhookDisabled(string Reason) : WebhookEvent(Is)
{
    public static readonly EventKind Is = new("webhook.disabled", "webhooks", WebhookEventJson.Default.WebhookDisabled);
}

/// <summary>Deliveries go on from where they stopped.</summary>
public sealed record WebhookEnabled() : WebhookEvent(Is)
{
    public static readonly EventKind Is = new("webhook.enabled", "webhooks", WebhookEventJson.Default.WebhookEnabled);
}

/// <summary>It has a new secret; the one before signs beside it until <c>previous_until</c>.</summary>
/// <param name="PreviousUntil">Until when the secret before signs too, Unix milliseconds.</param>
public sealed record WebhookSecretRotated(long PreviousUntil) : WebhookEvent(Is)
{
    public static readonly EventKind Is = new("webhook.secret_rotated", "webhooks", WebhookEventJson.Default.WebhookSecretRotated);
}

/// <summary>Where deliveries go. Follows webhook.created and webhook.updated.</summary>
public sealed record WebhookUrlSet(string Url) : WebhookEvent(Is)
{
    public static readonly EventKind Is = new("webhook.url_set", "webhooks", WebhookEventJson.Default.WebhookUrlSet) { IsInternal = true };
}

/// <summary>The secret itself, so that the log has all that the tables have. Follows webhook.created and webhook.secret_rotated.</summary>
public sealed record WebhookSecretSet(string Secret) : WebhookEvent(Is)
{
    public static readonly EventKind Is = new("webhook.secret_set", "webhooks", WebhookEventJson.Default.WebhookSecretSet) { IsInternal = true };

    public override string ToString() => nameof(WebhookSecretSet);
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(WebhookCreated))]
[JsonSerializable(typeof(WebhookUpdated))]
[JsonSerializable(typeof(WebhookDeleted))]
[JsonSerializable(typeof(WebhookDisabled))]
[JsonSerializable(typeof(WebhookEnabled))]
[JsonSerializable(typeof(WebhookSecretRotated))]
[JsonSerializable(typeof(WebhookUrlSet))]
[JsonSerializable(typeof(WebhookSecretSet))]
internal sealed partial class WebhookEventJson : JsonSerializerContext;

using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Publishing;

/// <summary>The events about publishers. JSON names are the public contract: additive changes only.</summary>
public abstract record PublisherEvent(EventKind Kind) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds = [PublisherRegistered.Is, PublisherRemoved.Is];
}

/// <summary>An admin registered a publisher, or replaced its registration.</summary>
/// <param name="Types">What it may publish, sorted.</param>
/// <param name="Session">The only session it may publish in; absent: any and none.</param>
public sealed record PublisherRegistered(string[] Types, string? Session) : PublisherEvent(Is)
{
    public static readonly EventKind Is = new("publisher.registered", "events", PublisherEventJson.Default.PublisherRegistered);
}

/// <summary>It may add no more events. What it has published stays.</summary>
public sealed record PublisherRemoved() : PublisherEvent(Is)
{
    public static readonly EventKind Is = new("publisher.removed", "events", PublisherEventJson.Default.PublisherRemoved);
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(PublisherRegistered))]
[JsonSerializable(typeof(PublisherRemoved))]
internal sealed partial class PublisherEventJson : JsonSerializerContext;

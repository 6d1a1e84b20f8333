using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>One event of the log, as a CloudEvents 1.0 envelope.</summary>
public sealed record LoggedEvent
{
    public string Specversion { get => field ?? "1.0"; init; }

    /// <summary>Namespace and sequence number: the same however often it is delivered.</summary>
    public required string Id { get; init; }

    /// <summary><c>/dispatch/</c>, the namespace, and the module that raised it.</summary>
    public required string Source { get; init; }

    /// <summary><c>dispatch.</c> and the type, for example <c>dispatch.task.completed</c>.</summary>
    public required string Type { get; init; }
    public DateTimeOffset Time { get; init; }

    /// <summary>Id of what it is about.</summary>
    public string? Subject { get; init; }
    public string Datacontenttype { get => field ?? "application/json"; init; }

    /// <summary>Position in the log, 1..N without gaps (some may not be shown).</summary>
    [JsonNumberHandling(JsonNumberHandling.AllowReadingFromString | JsonNumberHandling.WriteAsString)]
    public long Sequence { get; init; }
    public string? Session { get; init; }

    /// <summary>An agent id, <c>admin</c> or <c>system</c>.</summary>
    public string? Actor { get; init; }

    /// <summary>Sequence of the event that led to it; null when it came from outside.</summary>
    [JsonNumberHandling(JsonNumberHandling.AllowReadingFromString | JsonNumberHandling.WriteAsString)]
    [JsonPropertyName("causedby")]
    public long? CausedBy { get; init; }
    public JsonElement Data { get => field.ValueKind == JsonValueKind.Undefined ? DispatchTask.EmptyObject : field; init; }
}

/// <summary>Which events are wanted. An empty list lets everything through; each given one must hold.</summary>
public sealed record EventQuery
{
    /// <summary>Types, exact (<c>task.completed</c>) or all below a name (<c>task.*</c>).</summary>
    public IReadOnlyList<string> Types { get => field ?? []; init; }

    /// <summary>Modules or publishers that raised them.</summary>
    public IReadOnlyList<string> Sources { get => field ?? []; init; }

    /// <summary>Ids of what they are about.</summary>
    public IReadOnlyList<string> Subjects { get => field ?? []; init; }
    public IReadOnlyList<string> Sessions { get => field ?? []; init; }
}

/// <summary>A stretch of the log.</summary>
public sealed record EventPage
{
    public IReadOnlyList<LoggedEvent> Events { get => field ?? []; init; }

    /// <summary>Where the next page begins.</summary>
    public long NextAfter { get; init; }

    /// <summary>The last event that is committed.</summary>
    public long Head { get; init; }

    /// <summary>The oldest event that is kept.</summary>
    public long Horizon { get; init; }

    /// <summary>Whether there is more behind <see cref="NextAfter"/>.</summary>
    public bool More { get; init; }

    /// <summary>What of the query matches nothing that exists.</summary>
    public IReadOnlyList<string> Warnings { get => field ?? []; init; }
}

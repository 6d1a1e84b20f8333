using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Retention;

/// <summary>What the beginning of the log went for.</summary>
[JsonConverter(typeof(SnakeCaseEnumConverter<TrimReason>))]
public enum TrimReason : byte
{
    /// <summary>All of it was older than is kept.</summary>
    Age,

    /// <summary>The log was larger than it may be.</summary>
    Size,
}

/// <summary>The events about the log itself. JSON names are the public contract: additive changes only.</summary>
public abstract record LogEvent(EventKind Kind) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds = [LogTrimmed.Is];
}

/// <summary>The events before <c>horizon</c> are no longer kept.</summary>
/// <param name="Horizon">Sequence of the oldest event that is kept.</param>
/// <param name="Base">SHA-256, hexadecimal, of what is kept in their stead: the state as of the event before the horizon.</param>
public sealed record LogTrimmed(long Horizon, TrimReason Reason, string Base) : LogEvent(Is)
{
    public static readonly EventKind Is = new("log.trimmed", "log", LogEventJson.Default.LogTrimmed);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(LogTrimmed))]
internal sealed partial class LogEventJson : JsonSerializerContext;

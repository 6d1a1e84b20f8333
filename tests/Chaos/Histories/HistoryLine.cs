using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Chaos.Histories;

public enum Phase
{
    /// <summary>About to be sent.</summary>
    Invoke,

    /// <summary>Answered 2xx.</summary>
    Ok,

    /// <summary>Answered by a refusal: it did not happen.</summary>
    Refused,

    /// <summary>No answer, or one that leaves it open: it may have happened or may not.</summary>
    Unknown,
}

/// <summary>One line of an actor's history file.</summary>
/// <param name="Op">Ties the line of an answer to the line of its invocation; unique in a run.</param>
/// <param name="AtUs">Microseconds since the run began, one clock for all actors.</param>
/// <param name="Code">Why it was refused or is unknown.</param>
public sealed record HistoryLine(
    string Op, string Actor, long AtUs, Phase Phase, Invocation? Invocation = null, Answer? Answer = null, string? Code = null)
{
    private static readonly JsonSerializerOptions Format = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    public string ToJson() => JsonSerializer.Serialize(this, Format);

    /// <exception cref="JsonException">The text is not a history line.</exception>
    public static HistoryLine Parse(string json) =>
        JsonSerializer.Deserialize<HistoryLine>(json, Format) ?? throw new JsonException("A history line is null.");
}

using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Dispatch.Events;

/// <summary>One entry of the log.</summary>
/// <param name="Sequence">Position in the log, 1..N without gaps, given by the one writer.</param>
/// <param name="Timestamp">Unix milliseconds, the writer's clock at decision time; never goes backwards within a log.</param>
/// <param name="Subject">Id of what it is about: a task, an agent, a token.</param>
/// <param name="Session">The session it belongs to, or null.</param>
/// <param name="Actor">Who caused it: an agent id, <c>admin</c> or <c>system</c>.</param>
/// <param name="CausedBy">Sequence of the event that led to it, or 0.</param>
/// <param name="Previous">Sequence of the last event before it about the same subject, or 0. A subject's history is this chain.</param>
/// <param name="Data">What happened.</param>
public sealed record DispatchEvent(
    long Sequence, long Timestamp, string Subject, string? Session, string Actor, long CausedBy, long Previous, EventData Data)
{
    public string Type => Data.Kind.Name;

    /// <summary>The module that raised it, or the publisher it came from: who caused it, then.</summary>
    public string Source => Data.Kind.IsOutside ? Actor : Data.Kind.Source;
}

/// <summary>What happened: the closed families of event records derive from this.</summary>
/// <param name="Kind">The catalogue's entry for this kind of event.</param>
public abstract record EventData([property: JsonIgnore] EventKind Kind)
{
    // People read these texts in the store: only what JSON demands is escaped. They are never put into a web page as they are.
    public static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Writes the <c>data</c> object of the event.</summary>
    public void WriteJson(Utf8JsonWriter writer) => JsonSerializer.Serialize(writer, this, Kind.Json);
}

/// <summary>An entry of the event catalogue.</summary>
/// <param name="Name">Dotted lower-case type, stable once released: <c>task.completed</c>.</param>
/// <param name="Source">The module that raises it: <c>tasks</c>, <c>agents</c>; empty for what comes from outside, whose source is its publisher.</param>
/// <param name="Json">How its data is written and read.</param>
public sealed record EventKind(string Name, string Source, JsonTypeInfo Json)
{
    private readonly byte[] name = Encoding.UTF8.GetBytes(Name);
    private readonly byte[] source = Encoding.UTF8.GetBytes(Source);

    /// <summary>True for what only the broker's own parts may see.</summary>
    public bool IsInternal { get; init; }

    /// <summary>True for what registered publishers add.</summary>
    public bool IsOutside => Source.Length == 0;

    public ReadOnlySpan<byte> NameUtf8 => name;

    public ReadOnlySpan<byte> SourceUtf8 => source;

    /// <exception cref="JsonException">The text is not this kind's data.</exception>
    public EventData Read(ReadOnlySpan<byte> data)
    {
        var read = (EventData?)JsonSerializer.Deserialize(data, Json) ?? throw new JsonException($"The data of a {Name} event is null.");
        return ReferenceEquals(read.Kind, this) ? read : read with { Kind = this };
    }
}

using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace Dispatch.Events;

/// <summary>
/// A committed event on its way out: one object for all who follow, so that its text is written once. Made from a batch, or from an entry of
/// the stored log, whose data is then not read unless somebody asks.
/// </summary>
public sealed class FeedEvent
{
    private readonly LogEntry? entry;
    private readonly EventKind? kind;
    private DispatchEvent? happened;
    private byte[]? text;

    public FeedEvent(DispatchEvent happened)
    {
        this.happened = happened;
        kind = happened.Data.Kind;
        (Sequence, Timestamp, Type, Source) = (happened.Sequence, happened.Timestamp, happened.Type, happened.Source);
        (Subject, Session, Actor, CausedBy) = (happened.Subject, happened.Session, happened.Actor, happened.CausedBy);
    }

    /// <param name="kind">Null for a type that this release does not know: it is shown to nobody outside.</param>
    public FeedEvent(LogEntry entry, EventKind? kind)
    {
        this.entry = entry;
        this.kind = kind;
        (Sequence, Timestamp, Type, Source) = (entry.Sequence, entry.Timestamp, entry.Type, entry.Source);
        (Subject, Session, Actor, CausedBy) = (entry.Subject, entry.Session, entry.Actor, entry.CausedBy);
    }

    public long Sequence { get; }

    public long Timestamp { get; }

    public string Type { get; }

    public string Source { get; }

    public string Subject { get; }

    public string? Session { get; }

    public string Actor { get; }

    public long CausedBy { get; }

    /// <summary>Null for a type that this release does not know.</summary>
    public EventKind? Kind => kind;

    /// <summary>True for what only the broker's own parts may see.</summary>
    public bool IsInternal => kind is null || kind.IsInternal;

    /// <summary>The event with its data read.</summary>
    /// <exception cref="JsonException">The stored data is not its type's, or the type is not known.</exception>
    public DispatchEvent Event => happened ??= new DispatchEvent(
        Sequence, Timestamp, Subject, Session, Actor, CausedBy, entry!.Previous,
        (kind ?? throw new JsonException($"Event type '{Type}' is not known to this release.")).Read(entry.Data.Span));

    /// <summary>
    /// The event as a CloudEvents 1.0 envelope in JSON, UTF-8: <c>id</c> is <c>namespace/sequence</c>, <c>type</c> is
    /// <c>dispatch.</c> and the type, extensions are <c>sequence</c> (a string, as CloudEvents has it), <c>session</c>, <c>actor</c>, <c>causedby</c>.
    /// </summary>
    /// <param name="space">The namespace; the same for every call.</param>
    public byte[] CloudEvent(string space) => text ??= Write(space);

    private byte[] Write(string space)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using var json = new Utf8JsonWriter(buffer, EventData.WriterOptions);
        json.WriteStartObject();
        json.WriteString("specversion"u8, "1.0"u8);
        json.WriteString("id"u8, string.Create(CultureInfo.InvariantCulture, $"{space}/{Sequence}"));
        json.WriteString("source"u8, $"/dispatch/{space}/{Source}");
        json.WriteString("type"u8, "dispatch." + Type);
        json.WriteString("time"u8, DateTimeOffset.FromUnixTimeMilliseconds(Timestamp).ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
        json.WriteString("subject"u8, Subject);
        json.WriteString("datacontenttype"u8, "application/json"u8);
        json.WriteString("sequence"u8, Sequence.ToString(CultureInfo.InvariantCulture));
        if (Session is not null)
            json.WriteString("session"u8, Session);
        json.WriteString("actor"u8, Actor);
        if (CausedBy != 0)
            json.WriteString("causedby"u8, CausedBy.ToString(CultureInfo.InvariantCulture));
        json.WritePropertyName("data"u8);
        if (entry is not null)
            json.WriteRawValue(entry.Data.Span, skipInputValidation: true);
        else
            happened!.Data.WriteJson(json);
        json.WriteEndObject();
        json.Flush();
        return OneLine(buffer.WrittenSpan);
    }

    /// <summary>JSON on one line, as a server-sent event needs it: what was given by others is kept as it was, and between its tokens there may be breaks.</summary>
    public static byte[] OneLine(ReadOnlySpan<byte> json)
    {
        var line = json.ToArray();
        line.AsSpan().Replace((byte)'\n', (byte)' ');
        line.AsSpan().Replace((byte)'\r', (byte)' ');
        return line;
    }
}

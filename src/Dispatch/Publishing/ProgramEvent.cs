using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Dispatch.Events;

namespace Dispatch.Publishing;

/// <summary>An event of a type that the program which embeds the broker declared. It comes in like those of any publisher.</summary>
public sealed record ProgramEvent : OutsideEvent
{
    private static readonly ConcurrentDictionary<string, EventKind> KindsByName = new(StringComparer.Ordinal);
    private static readonly EventKind Unread = new("", "", OutsideEventJson.Default.ProgramEvent);

    private object? value;

    /// <param name="kind">From <see cref="KindOf"/>.</param>
    /// <param name="id">The program's own id of the event.</param>
    /// <param name="content">A JSON object.</param>
    /// <param name="value">What <paramref name="content"/> was written from.</param>
    public ProgramEvent(EventKind kind, string id, JsonBytes content, object? value)
        : base(kind, id, content) => this.value = value;

    // What is read gets its kind from whoever reads: only the entry of the log tells its type.
    [JsonConstructor]
    internal ProgramEvent(string id, JsonBytes content)
        : base(Unread, id, content)
    {
    }

    /// <summary>Those that this process has met.</summary>
    public static IEnumerable<EventKind> KnownKinds => KindsByName.Values;

    /// <summary>The kind of a declared type, the same for each call.</summary>
    public static EventKind KindOf(string type) =>
        KindsByName.GetOrAdd(type, static name => new EventKind(name, "", OutsideEventJson.Default.ProgramEvent));

    /// <summary>The content as the program's type: what was published while that is in memory, else read once for all who ask.</summary>
    /// <exception cref="JsonException">The content is not that type's.</exception>
    public T Read<T>(JsonTypeInfo<T> json)
        where T : class
    {
        if (value is T known)
            return known;
        var read = JsonSerializer.Deserialize(Content.Span, json) ?? throw new JsonException($"The content of a {Kind.Name} event is null.");
        value = read;
        return read;
    }
}

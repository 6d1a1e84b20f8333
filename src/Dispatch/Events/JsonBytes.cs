using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Events;

/// <summary>One JSON value as its UTF-8 text, kept as it was given: numbers are not rounded, members not reordered.</summary>
[JsonConverter(typeof(JsonBytesConverter))]
public sealed class JsonBytes : IEquatable<JsonBytes>
{
    public static readonly JsonBytes EmptyObject = new("{}"u8.ToArray());

    private readonly byte[] utf8;

    /// <summary>Takes the array over; the caller must not change it afterwards.</summary>
    public JsonBytes(byte[] utf8) => this.utf8 = utf8;

    public ReadOnlySpan<byte> Span => utf8;

    public ReadOnlyMemory<byte> Memory => utf8;

    /// <summary>Size in bytes.</summary>
    public int Length => utf8.Length;

    public static JsonBytes Parse(string json)
    {
        using var document = JsonDocument.Parse(json);
        return From(document.RootElement);
    }

    public static JsonBytes From(JsonElement element) => new(JsonMarshal.GetRawUtf8Value(element).ToArray());

    public bool Equals(JsonBytes? other) => other is not null && Span.SequenceEqual(other.Span);

    public override bool Equals(object? obj) => Equals(obj as JsonBytes);

    public override int GetHashCode()
    {
        var hash = default(HashCode);
        hash.AddBytes(utf8);
        return hash.ToHashCode();
    }

    public override string ToString() => Encoding.UTF8.GetString(utf8);
}

public sealed class JsonBytesConverter : JsonConverter<JsonBytes>
{
    public override JsonBytes Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        JsonBytes.From(JsonElement.ParseValue(ref reader));

    // The bytes were checked when they came in; checking them again on each write would cost more than the write.
    public override void Write(Utf8JsonWriter writer, JsonBytes value, JsonSerializerOptions options) =>
        writer.WriteRawValue(value.Span, skipInputValidation: true);
}

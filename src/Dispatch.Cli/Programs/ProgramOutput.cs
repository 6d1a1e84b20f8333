using System.Text;
using System.Text.Json;

namespace Dispatch.Cli.Programs;

/// <summary>What a program wrote to standard output, kept up to a limit and read to its end all the same.</summary>
/// <param name="limit">Bytes kept, and the most the result made of them takes as JSON.</param>
public sealed class ProgramOutput(int limit)
{
    /// <summary>Deeper results are kept as text: the broker takes 32 levels, and a report wraps the result in some.</summary>
    private const int Depth = 24;

    private readonly MemoryStream kept = new();

    /// <summary>Bytes written, kept or not.</summary>
    public long Length { get; private set; }

    /// <summary>Reads to the end of the stream.</summary>
    public async Task ReadAsync(Stream stream, CancellationToken stop)
    {
        var buffer = new byte[16 * 1024];
        while (await stream.ReadAsync(buffer, stop) is > 0 and var count)
        {
            Length += count;
            kept.Write(buffer, 0, (int)Math.Min(count, limit - kept.Length));
        }
    }

    /// <summary>
    /// The result: the object that was written; or <c>{"output": value}</c> for any other JSON value, and for text, which
    /// loses its line breaks at the end. Beyond the limit it is the beginning of the text with <c>"truncated": true</c> and
    /// <c>"output_bytes"</c>. Bytes that are not UTF-8 become U+FFFD.
    /// </summary>
    /// <returns>Null when nothing was written.</returns>
    public JsonElement? ToResult()
    {
        if (Length == 0)
            return null;
        var bytes = kept.GetBuffer().AsMemory(0, (int)kept.Length);
        var text = Encoding.UTF8.GetString(bytes.Span);
        if (Length > limit)
            return Truncated(text);

        var whole = TryParse(bytes) switch
        {
            { ValueKind: JsonValueKind.Object } value => value,
            { } value => Wrap(value.WriteTo),
            null => Wrap(writer => writer.WriteStringValue(text.TrimEnd('\r', '\n'))),
        };
        return SizeOf(whole) <= limit ? whole : Truncated(text);
    }

    private JsonElement Truncated(string text)
    {
        // Escapes take up to six bytes a character, so how much fits depends on the text.
        var length = text.Length;
        while (true)
        {
            if (length > 0 && char.IsHighSurrogate(text[length - 1]))
                length--;
            var cut = text[..length];
            var result = Wrap(writer => writer.WriteStringValue(cut), truncated: true);
            var size = SizeOf(result);
            if (size <= limit || length == 0)
                return result;
            length = (int)Math.Min(length - 1, (long)length * limit / size);
        }
    }

    private JsonElement Wrap(Action<Utf8JsonWriter> writeOutput, bool truncated = false)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            writer.WriteStartObject();
            writer.WritePropertyName("output");
            writeOutput(writer);
            if (truncated)
            {
                writer.WriteBoolean("truncated", true);
                writer.WriteNumber("output_bytes", Length);
            }

            writer.WriteEndObject();
        }

        using var document = JsonDocument.Parse(stream.GetBuffer().AsMemory(0, (int)stream.Length));
        return document.RootElement.Clone();
    }

    /// <summary>Its size as a report carries it, where characters beyond ASCII are escaped.</summary>
    private static int SizeOf(JsonElement value)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
            value.WriteTo(writer);
        return (int)stream.Length;
    }

    private static JsonElement? TryParse(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            using var document = JsonDocument.Parse(bytes, new JsonDocumentOptions { MaxDepth = Depth });
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Dispatch.Storage.Rows;

/// <summary>One reusable buffer for writing a JSON value and binding it right away. Used by one thread at a time.</summary>
internal sealed class JsonText
{
    private const int KeptCapacity = 1 << 20;

    // People read these columns: only what JSON demands is escaped. They are never put into a web page as they are.
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    private readonly Utf8JsonWriter writer;
    private ArrayBufferWriter<byte> buffer = new(4096);

    internal JsonText() => writer = new Utf8JsonWriter(buffer, Options);

    /// <summary>Starts a new value; what was written before is gone.</summary>
    internal Utf8JsonWriter Start()
    {
        if (buffer.Capacity > KeptCapacity)
            buffer = new ArrayBufferWriter<byte>(4096);
        buffer.ResetWrittenCount();
        writer.Reset(buffer);
        return writer;
    }

    /// <summary>The value written since <see cref="Start"/>, valid until the next one.</summary>
    internal ReadOnlySpan<byte> End()
    {
        writer.Flush();
        return buffer.WrittenSpan;
    }
}

using System.Buffers;
using System.Collections.Concurrent;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Http;

/// <summary>Writes JSON answers without reflection or an allocation per answer.</summary>
internal static class JsonAnswer
{
    private const int KeptBuffer = 256 * 1024;
    private const int KeptLargeBuffer = 8 << 20;
    private const int KeptLarge = 4;

    // A bulk answer has hundreds of KiB: made anew for each, they would keep the collector busy with nothing else.
    private static readonly ConcurrentQueue<(ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Writer)> Large = [];

    // Answers are JSON for programs, never put into a page as they are: quotes and < need no escape beyond JSON's own.
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    [ThreadStatic]
    private static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Writer)? cached;

    /// <param name="isLarge">True for an answer of many entries.</param>
    public static Task WriteJsonAsync<T>(this HttpContext http, int status, T value, Action<Utf8JsonWriter, T> write, bool isLarge = false)
    {
        if (!isLarge || !Large.TryDequeue(out var pair))
        {
            pair = cached ?? Create();
            cached = null;
        }

        var (buffer, writer) = pair;
        buffer.ResetWrittenCount();
        writer.Reset();
        write(writer, value);
        writer.Flush();

        var response = http.Response;
        response.StatusCode = status;
        response.ContentType = "application/json";
        response.ContentLength = buffer.WrittenCount;
        if (!HttpMethods.IsHead(http.Request.Method))
            response.BodyWriter.Write(buffer.WrittenSpan);
        if (buffer.Capacity <= KeptBuffer)
            cached = pair;
        else if (buffer.Capacity <= KeptLargeBuffer && Large.Count < KeptLarge)
            Large.Enqueue(pair);
        var flush = response.BodyWriter.FlushAsync(http.RequestAborted);
        return flush.IsCompletedSuccessfully ? Task.CompletedTask : flush.AsTask();
    }

    private static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Writer) Create()
    {
        var buffer = new ArrayBufferWriter<byte>(4096);
        return (buffer, new Utf8JsonWriter(buffer, Options));
    }
}

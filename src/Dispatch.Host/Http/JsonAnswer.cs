using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Http;

/// <summary>Writes JSON answers without reflection or an allocation per answer.</summary>
internal static class JsonAnswer
{
    private const int KeptBuffer = 256 * 1024;

    // Answers are JSON for programs, never put into a page as they are: quotes and < need no escape beyond JSON's own.
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    [ThreadStatic]
    private static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Writer)? cached;

    public static Task WriteJsonAsync<T>(this HttpContext http, int status, T value, Action<Utf8JsonWriter, T> write)
    {
        var (buffer, writer) = cached ?? Create();
        cached = null;
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
            cached = (buffer, writer);
        var flush = response.BodyWriter.FlushAsync(http.RequestAborted);
        return flush.IsCompletedSuccessfully ? Task.CompletedTask : flush.AsTask();
    }

    private static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Writer) Create()
    {
        var buffer = new ArrayBufferWriter<byte>(4096);
        return (buffer, new Utf8JsonWriter(buffer, Options));
    }
}

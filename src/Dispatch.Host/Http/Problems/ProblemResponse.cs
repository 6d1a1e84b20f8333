using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Http.Problems;

/// <summary>Answers a request with a problem.</summary>
public static class ProblemResponse
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    [ThreadStatic]
    private static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Writer)? cached;

    /// <summary>Sets status, headers and body. The response must not have started.</summary>
    public static Task WriteProblemAsync(this HttpContext context, Problem problem)
    {
        HttpResponse response = context.Response;
        response.StatusCode = problem.Code.Status;
        response.ContentType = "application/problem+json";
        if (problem.RetryAfterSeconds is { } seconds)
            response.Headers.RetryAfter = Math.Max(1, seconds).ToString();
        if (problem.Code == ErrorCode.Unauthorized)
            response.Headers.WWWAuthenticate = "Bearer realm=\"dispatch\"";

        (ArrayBufferWriter<byte> buffer, Utf8JsonWriter writer) = cached ??= Create();
        buffer.ResetWrittenCount();
        writer.Reset();
        problem.WriteTo(writer, context.TraceIdentifier);
        writer.Flush();
        response.ContentLength = buffer.WrittenCount;

        // A HEAD has the headers of its GET and no body. Write copies: the buffer is free again.
        if (!HttpMethods.IsHead(context.Request.Method))
            response.BodyWriter.Write(buffer.WrittenSpan);
        return response.BodyWriter.FlushAsync(context.RequestAborted) is { IsCompletedSuccessfully: false } flush
            ? flush.AsTask()
            : Task.CompletedTask;
    }

    private static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Writer) Create()
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        return (buffer, new Utf8JsonWriter(buffer, Options));
    }
}

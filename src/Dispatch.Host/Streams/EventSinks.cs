using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Host.Streams;

/// <summary>Where a stream's events go.</summary>
internal interface IEventSink
{
    Task SendAsync(IReadOnlyList<FeedEvent> events, CancellationToken cancel);

    /// <summary>A sign of life that tells how far behind the reader is.</summary>
    /// <param name="horizon">Sequence of the oldest event that is kept; null for a reader that is not told.</param>
    Task HeartbeatAsync(long head, long lag, long? horizon, CancellationToken cancel);
}

/// <summary>Server-sent events: the id is the sequence number, the event's name its type, the data a CloudEvents envelope.</summary>
internal sealed class SseSink(PipeWriter body, string space) : IEventSink
{
    public async Task SendAsync(IReadOnlyList<FeedEvent> events, CancellationToken cancel)
    {
        foreach (var happened in events)
        {
            Write("id: "u8);
            Encoding.ASCII.GetBytes(happened.Sequence.ToString(CultureInfo.InvariantCulture), body);
            Write("\nevent: "u8);
            Encoding.UTF8.GetBytes(happened.Type, body);
            Write("\ndata: "u8);
            Write(happened.CloudEvent(space));
            Write("\n\n"u8);
        }

        await FlushAsync(cancel);
    }

    public async Task HeartbeatAsync(long head, long lag, long? horizon, CancellationToken cancel)
    {
        Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $": head={head} lag={lag}{(horizon is null ? "" : " horizon=")}{horizon}\n\n"), body);
        await FlushAsync(cancel);
    }

    private void Write(ReadOnlySpan<byte> bytes) => body.Write(bytes);

    private Task FlushAsync(CancellationToken cancel) => FlushAsync(body, cancel);

    /// <exception cref="IOException">The reader is gone.</exception>
    internal static async Task FlushAsync(PipeWriter body, CancellationToken cancel)
    {
        var flushed = await body.FlushAsync(cancel);
        // Known before the request's own token fires, which it does on another thread.
        if (flushed.IsCompleted || flushed.IsCanceled)
            throw new IOException("The reader is gone.");
    }
}

/// <summary>One text message an event; a sign of life is a message with the member <c>heartbeat</c> alone.</summary>
internal sealed class SocketSink(WebSocket socket, string space) : IEventSink
{
    public async Task SendAsync(IReadOnlyList<FeedEvent> events, CancellationToken cancel)
    {
        foreach (var happened in events)
            await socket.SendAsync(happened.CloudEvent(space).AsMemory(), WebSocketMessageType.Text, true, cancel);
    }

    public async Task HeartbeatAsync(long head, long lag, long? horizon, CancellationToken cancel) => await socket.SendAsync(
        JsonSerializer.SerializeToUtf8Bytes(new Sign(new Place(head, lag, horizon)), StreamJson.Default.Sign).AsMemory(), WebSocketMessageType.Text, true, cancel);
}

internal sealed record Sign(Place Heartbeat);

internal sealed record Place(long Head, long Lag, long? Horizon);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(Sign))]
internal sealed partial class StreamJson : JsonSerializerContext;

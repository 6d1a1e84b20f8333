using System.Net.WebSockets;
using System.Text.Json;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Streams;

/// <summary>Follows the log over a WebSocket with a bearer token and, unless it is told, without a name.</summary>
public sealed class GuestSocket : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly ClientWebSocket socket = new();

    private GuestSocket()
    {
    }

    /// <exception cref="WebSocketException">It is refused.</exception>
    public static async Task<GuestSocket> OpenAsync(TestBroker broker, string? bearer, string query, string? agent = null)
    {
        var opened = new GuestSocket();
        opened.socket.Options.CollectHttpResponseDetails = true;
        if (agent is not null)
            opened.socket.Options.SetRequestHeader("X-Agent-ID", agent);
        if (bearer is not null)
            opened.socket.Options.SetRequestHeader("Authorization", $"Bearer {bearer}");
        try
        {
            using var patience = new CancellationTokenSource(Patience);
            await opened.socket.ConnectAsync(new Uri($"ws://127.0.0.1:{broker.Url.Port}/api/v1/events/ws?{query}"), patience.Token);
            return opened;
        }
        catch (WebSocketException refused)
        {
            refused.Data["status"] = (int)opened.socket.HttpStatusCode;
            opened.Dispose();
            throw;
        }
    }

    /// <summary>The next event; null when the other side closed.</summary>
    public async Task<JsonElement?> NextAsync()
    {
        while (await MessageAsync() is { } message)
        {
            if (message.Find("heartbeat") is null)
                return message;
        }

        return null;
    }

    /// <summary>Reads to the end, and how it ended.</summary>
    public async Task<WebSocketCloseStatus?> EndAsync()
    {
        while (await MessageAsync() is not null)
        {
        }

        return socket.CloseStatus;
    }

    public void Dispose() => socket.Dispose();

    private async Task<JsonElement?> MessageAsync()
    {
        using var patience = new CancellationTokenSource(Patience);
        using var message = new MemoryStream();
        var buffer = new byte[4096];
        WebSocketReceiveResult part;
        do
        {
            part = await socket.ReceiveAsync(buffer, patience.Token);
            if (part.MessageType == WebSocketMessageType.Close)
                return null;
            message.Write(buffer, 0, part.Count);
        }
        while (!part.EndOfMessage);
        return JsonDocument.Parse(message.ToArray()).RootElement;
    }
}

using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Dispatch.Bench.Measuring;

namespace Dispatch.Bench.Load;

/// <summary>Connections that follow the log as server-sent events, or hold one open and read nothing of it.</summary>
internal sealed class StreamReaders : IDisposable
{
    private readonly List<Socket> _sockets = [];
    private readonly CancellationTokenSource _ended = new();
    private readonly List<Task> _reading = [];
    private readonly Lock _recording = new();

    /// <summary>From an event's time in its envelope, to the millisecond, to its arrival; the newest event of each piece that arrived.</summary>
    public LatencyHistogram Lag { get; } = new();

    /// <summary>Bytes that arrived in all.</summary>
    public long Bytes { get; private set; }

    /// <summary>Opens connections. Each is answered before the next is opened.</summary>
    /// <param name="query">Of the stream's address.</param>
    /// <param name="stalled">True: nothing is read after the answer began.</param>
    public static async Task<StreamReaders> OpenAsync(Target target, string adminToken, string query, int count, bool stalled, CancellationToken cancellation)
    {
        var readers = new StreamReaders();
        var request = Encoding.ASCII.GetBytes(
            $"GET /api/v1/events/stream?{query} HTTP/1.1\r\nHost: {target.Endpoint}\r\nX-Agent-ID: reader\r\nAuthorization: Bearer {adminToken}\r\n\r\n");
        var first = new byte[256];
        for (var i = 0; i < count; i++)
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            if (stalled)
                socket.ReceiveBufferSize = 4096;
            readers._sockets.Add(socket);
            await socket.ConnectAsync(target.Endpoint, cancellation);
            await socket.SendAsync(request, cancellation);
            var length = await socket.ReceiveAsync(first, cancellation);
            if (!Encoding.ASCII.GetString(first, 0, length).StartsWith("HTTP/1.1 200", StringComparison.Ordinal))
                throw new RunFailedException($"A stream was refused: {Encoding.ASCII.GetString(first, 0, length)}");
        }

        if (!stalled)
            readers._reading.AddRange(readers._sockets.Select(readers.ReadAsync));
        return readers;
    }

    /// <summary>Readers that were cut off.</summary>
    public int Lost => _reading.Count(reading => reading.IsCompleted);

    public void Dispose()
    {
        _ended.Cancel();
        _sockets.ForEach(socket => socket.Dispose());
        _ended.Dispose();
    }

    private async Task ReadAsync(Socket socket)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            while (await socket.ReceiveAsync(buffer, _ended.Token) is > 0 and var length)
            {
                var now = DateTimeOffset.UtcNow;
                var at = buffer.AsSpan(0, length).LastIndexOf("\"time\":\""u8);
                lock (_recording)
                {
                    Bytes += length;
                    if (at >= 0 && at + 32 <= length && DateTimeOffset.TryParse(
                        Encoding.ASCII.GetString(buffer, at + 8, 24), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var committed))
                    {
                        Lag.RecordNs((long)Math.Max(0, (now - committed).TotalMilliseconds * 1_000_000));
                    }
                }
            }
        }
        catch (Exception gone) when (gone is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The run is over, or the broker has cut it off: the caller counts those.
        }
    }
}

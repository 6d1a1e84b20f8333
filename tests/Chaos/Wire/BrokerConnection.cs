using System.Buffers.Text;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Dispatch.Chaos.Wire;

/// <summary>
/// One HTTP/1.1 connection, one request at a time. Not HttpClient: that one silently sends a request again when a reused
/// connection turns out dead, and here every sending must be one entry of a history.
/// </summary>
public sealed class BrokerConnection : IDisposable
{
    private readonly Socket socket;
    private byte[] buffer = new byte[16 * 1024];
    private int first;
    private int past;

    private BrokerConnection(Socket socket) => this.socket = socket;

    /// <summary>False once the other side is gone or an answer went missing: the next request needs a new connection.</summary>
    public bool IsUsable { get; private set; } = true;

    /// <summary>Returns null when nobody listens.</summary>
    public static async Task<BrokerConnection?> TryOpenAsync(int port, CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port), cancel);
            return new BrokerConnection(socket);
        }
        catch (SocketException)
        {
            socket.Dispose();
            return null;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Looks, without waiting, whether the other side has closed since the last answer.</summary>
    public bool LooksAlive() => IsUsable && !socket.Poll(0, SelectMode.SelectRead);

    /// <summary>Sends and waits for the whole answer. Null: it may have been done or not.</summary>
    /// <param name="patience">After this long without an answer the connection is closed.</param>
    public async Task<Reply?> SendAsync(Request request, TimeSpan patience, CancellationToken cancel)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(patience);
        try
        {
            await SendAllAsync(Compose(request), limit.Token);
            return await ReadReplyAsync(limit.Token);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
        {
            Dispose();
            cancel.ThrowIfCancellationRequested();
            return null;
        }
    }

    /// <summary>Sends, waits a little and hangs up without reading: what the broker did of it nobody knows.</summary>
    public async Task SendAndHangUpAsync(Request request, TimeSpan after, CancellationToken cancel)
    {
        try
        {
            await SendAllAsync(Compose(request), cancel);
            await Task.Delay(after, cancel);
        }
        catch (SocketException)
        {
            // The broker went first, which is the same to the caller.
        }
        finally
        {
            Dispose();
        }
    }

    public void Dispose()
    {
        IsUsable = false;
        socket.Dispose();
    }

    private static byte[] Compose(Request request)
    {
        var head = new StringBuilder(256)
            .Append(request.Method).Append(' ').Append(request.Path).Append(" HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Agent-ID: ").Append(request.Agent)
            .Append("\r\nX-Request-ID: ").Append(request.Op).Append("\r\n");
        if (request.Attempt is { } attempt)
            head.Append("X-Task-Attempt: ").Append(attempt).Append("\r\n");
        if (request.Body.Length > 0)
            head.Append("Content-Type: application/json\r\n");
        if (request.Method is not "GET")
            head.Append("Content-Length: ").Append(request.Body.Length).Append("\r\n");
        head.Append("\r\n");

        var bytes = new byte[head.Length + request.Body.Length];
        Encoding.ASCII.GetBytes(head.ToString(), bytes);
        request.Body.CopyTo(bytes.AsMemory(head.Length));
        return bytes;
    }

    private async Task SendAllAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        while (bytes.Length > 0)
            bytes = bytes[await socket.SendAsync(bytes, cancel)..];
    }

    private async Task<Reply> ReadReplyAsync(CancellationToken cancel)
    {
        var statusLine = await ReadLineAsync(cancel);
        if (statusLine.Length < 12 || !int.TryParse(statusLine.AsSpan(9, 3), out var status))
            throw new IOException($"Not an HTTP answer: {statusLine}");

        long? length = status is 204 or 304 ? 0 : null;
        var chunked = false;
        var closes = false;
        var link = "";
        while (await ReadLineAsync(cancel) is { Length: > 0 } line)
        {
            var colon = line.IndexOf(':', StringComparison.Ordinal);
            var name = colon < 0 ? line : line[..colon];
            var value = colon < 0 ? "" : line[(colon + 1)..].Trim();
            if (name.Equals("Content-Length", StringComparison.OrdinalIgnoreCase))
                length = long.Parse(value);
            else if (name.Equals("Transfer-Encoding", StringComparison.OrdinalIgnoreCase))
                chunked = value.Contains("chunked", StringComparison.OrdinalIgnoreCase);
            else if (name.Equals("Connection", StringComparison.OrdinalIgnoreCase))
                closes = value.Contains("close", StringComparison.OrdinalIgnoreCase);
            else if (name.Equals("Link", StringComparison.OrdinalIgnoreCase))
                link = value;
        }

        var body = chunked ? await ReadChunksAsync(cancel)
            : length is { } known ? await ReadExactlyAsync((int)known, cancel)
            : throw new IOException("An answer without a length.");
        if (closes)
            Dispose();
        return new Reply(status, body, link);
    }

    private async Task<byte[]> ReadChunksAsync(CancellationToken cancel)
    {
        using var body = new MemoryStream();
        while (true)
        {
            var line = Encoding.ASCII.GetBytes(await ReadLineAsync(cancel));
            if (!Utf8Parser.TryParse(line, out int size, out _, 'x'))
                throw new IOException("A chunk without a size.");
            if (size == 0)
                break;
            body.Write(await ReadExactlyAsync(size, cancel));
            await ReadLineAsync(cancel);
        }

        while ((await ReadLineAsync(cancel)).Length > 0)
        {
            // Trailers say nothing of interest.
        }

        return body.ToArray();
    }

    private async Task<string> ReadLineAsync(CancellationToken cancel)
    {
        var searched = 0;
        while (true)
        {
            var feed = buffer.AsSpan(first + searched, past - first - searched).IndexOf((byte)'\n');
            if (feed >= 0)
            {
                var length = searched + feed;
                var line = Encoding.ASCII.GetString(buffer, first, length).TrimEnd('\r');
                first += length + 1;
                return line;
            }

            searched = past - first;
            await FillAsync(cancel);
        }
    }

    private async Task<byte[]> ReadExactlyAsync(int count, CancellationToken cancel)
    {
        var bytes = new byte[count];
        var have = Math.Min(count, past - first);
        buffer.AsSpan(first, have).CopyTo(bytes);
        first += have;
        while (have < count)
        {
            var read = await socket.ReceiveAsync(bytes.AsMemory(have), cancel);
            if (read == 0)
                throw new IOException("The answer ended early.");
            have += read;
        }

        return bytes;
    }

    private async Task FillAsync(CancellationToken cancel)
    {
        if (first > 0)
        {
            buffer.AsSpan(first, past - first).CopyTo(buffer);
            past -= first;
            first = 0;
        }

        if (past == buffer.Length)
            Array.Resize(ref buffer, buffer.Length * 2);
        var read = await socket.ReceiveAsync(buffer.AsMemory(past), cancel);
        if (read == 0)
            throw new IOException("The connection ended.");
        past += read;
    }
}

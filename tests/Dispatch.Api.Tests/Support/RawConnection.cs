using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Dispatch.Api.Tests.Support;

/// <summary>Says to the broker exactly what it is told to say.</summary>
public static class RawConnection
{
    /// <summary>Sends the bytes and returns all that comes back until the broker closes.</summary>
    /// <param name="hangUp">Whether to close the own side then, which tells the broker that there won't be more.</param>
    public static async Task<string> SayAsync(Uri url, byte[] request, bool hangUp = false)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, url.Port);
        using var stream = new NetworkStream(socket);
        using var answer = new MemoryStream();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        try
        {
            await stream.WriteAsync(request, patience.Token);
            if (hangUp)
                socket.Shutdown(SocketShutdown.Send);
            await stream.CopyToAsync(answer, patience.Token);
        }
        catch (IOException)
        {
            // Reset: the broker did not want the rest. What it had said before is the answer.
        }

        return Encoding.UTF8.GetString(answer.ToArray());
    }

    public static byte[] Post(string path, string headers, byte[] body) =>
        [.. Encoding.ASCII.GetBytes($"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Agent-ID: alice\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}\r\n"), .. body];
}

using System.Net;
using System.Net.Sockets;

namespace Dispatch.Chaos.Brokers;

/// <summary>
/// A port that stays ours while the broker is down. Below the range the system gives to outgoing connections: from within
/// it, a client that knocks on the closed port can be given that very port and be connected to itself.
/// </summary>
public static class FreePort
{
    /// <param name="random">Draws it.</param>
    /// <param name="taken">Ports that are spoken for, though nobody listens there yet.</param>
    /// <exception cref="IOException">No free port was found.</exception>
    public static int Find(Random random, IReadOnlyCollection<int>? taken = null)
    {
        for (var attempt = 0; attempt < 100; attempt++)
        {
            var port = random.Next(18_000, 28_000);
            if (taken?.Contains(port) == true)
                continue;
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
                return port;
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
                // Somebody has it: draw another.
            }
        }

        throw new IOException("No free port between 18000 and 28000.");
    }
}

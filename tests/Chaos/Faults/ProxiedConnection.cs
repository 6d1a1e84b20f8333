using System.Diagnostics;
using System.Net.Sockets;
using System.Threading.Channels;

namespace Dispatch.Chaos.Faults;

/// <summary>One connection through the proxy: two sockets, and in each direction one loop that reads and one that forwards.</summary>
internal sealed class ProxiedConnection : IDisposable
{
    private const int PieceBytes = 16 * 1024;

    // What is on its way at most, in pieces: a sender that is faster than the receiver waits, as on a real network.
    private const int PiecesUnderway = 64;

    // How long a target may take to close after the bytes that sprang a trap.
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(5);

    private readonly FaultProxy proxy;
    private readonly Socket client;
    private readonly Socket server;
    private readonly int seed;
    private readonly int number;
    private readonly CancellationTokenSource cut = new();
    private readonly CancellationTokenSource[] flowEnds = [new(), new()];
    private volatile bool isTorn;
    private volatile bool isSprung;

    public ProxiedConnection(FaultProxy proxy, Socket client, Socket server, int seed, int number)
    {
        (this.proxy, this.client, this.server, this.seed, this.number) = (proxy, client, server, seed, number);
        client.NoDelay = true;
        server.NoDelay = true;
    }

    /// <summary>Whether something of it was swallowed.</summary>
    public bool IsTorn => isTorn;

    /// <summary>Closes at once with a reset. What was sent and not yet taken by the other side may be lost.</summary>
    public static void Reset(Socket socket)
    {
        try
        {
            socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It is closed already, by this side or the other: no reset is left to send.
        }

        socket.Dispose();
    }

    /// <summary>The chance of one direction of one connection.</summary>
    public static Random ChanceOf(int seed, int number, Flow flow) => new(unchecked((seed * 397) ^ (number * 2) ^ (int)flow));

    public void Cut()
    {
        Reset(client);
        Reset(server);
        End(cut);
    }

    public void EndFlow(Flow flow) => End(flowEnds[(int)flow]);

    /// <summary>Forwards until both directions have ended, or it is cut.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var life = CancellationTokenSource.CreateLinkedTokenSource(stop, cut.Token);
        await Task.WhenAll(PumpAsync(Flow.ToTarget, client, server, life.Token), PumpAsync(Flow.ToClient, server, client, life.Token));
    }

    public void Dispose()
    {
        client.Dispose();
        server.Dispose();
        cut.Dispose();
        foreach (var end in flowEnds)
            end.Dispose();
    }

    private static void End(CancellationTokenSource source)
    {
        try
        {
            source.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The connection ended by itself in the meantime.
        }
    }

    private async Task PumpAsync(Flow flow, Socket from, Socket to, CancellationToken life)
    {
        var pieces = Channel.CreateBounded<Piece>(new BoundedChannelOptions(PiecesUnderway) { SingleReader = true, SingleWriter = true });
        using var direction = CancellationTokenSource.CreateLinkedTokenSource(life);
        var reading = ReadAsync(flow, from, pieces.Writer, direction.Token);
        try
        {
            await WriteAsync(flow, to, pieces.Reader, direction.Token);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            await LoseAsync(flow, pieces.Reader, life);
        }
        catch (OperationCanceledException) when (life.IsCancellationRequested)
        {
            // Cut, or the proxy is closed.
        }

        await direction.CancelAsync();
        await reading;
    }

    /// <summary>One side has gone with a reset: the other hears of it in the same way, if it is to hear anything.</summary>
    private async Task LoseAsync(Flow flow, ChannelReader<Piece> pieces, CancellationToken life)
    {
        if (isSprung)
        {
            await DropAsync(pieces, life).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        else if (proxy.FaultsOf(flow).IsSwallowing)
        {
            isTorn = true;
            await Task.Delay(Timeout.Infinite, life).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        else
        {
            Cut();
        }
    }

    /// <summary>Takes what comes, and notes when it is due on the other side.</summary>
    private async Task ReadAsync(Flow flow, Socket from, ChannelWriter<Piece> pieces, CancellationToken stop)
    {
        var chance = ChanceOf(seed, number, flow);
        var due = 0L;
        try
        {
            while (true)
            {
                var buffer = new byte[PieceBytes];
                var read = await from.ReceiveAsync(buffer, stop);
                var now = Stopwatch.GetTimestamp();
                var delay = proxy.FaultsOf(flow).Latency.Draw(chance);
                // Never before what came before it.
                due = Math.Max(due, now + (long)(delay.TotalSeconds * Stopwatch.Frequency));
                await pieces.WriteAsync(new Piece(buffer.AsMemory(0, read), due), stop);
                if (read == 0)
                    break;
            }

            pieces.Complete();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // What came before the end is still forwarded, then the forwarder meets the same end.
            pieces.Complete(e);
        }
    }

    private async Task WriteAsync(Flow flow, Socket to, ChannelReader<Piece> pieces, CancellationToken stop)
    {
        var watches = new List<PatternWatch>();
        var ended = flowEnds[(int)flow].Token;
        await foreach (var piece in ReadUntilAsync(pieces, ended, stop))
        {
            await UntilAsync(piece.Due, stop);
            if (proxy.FaultsOf(flow).IsSwallowing)
            {
                proxy.CountSwallowed(flow, piece.Bytes.Length);
                isTorn = true;
                // Of a stream's end nobody hears either.
                if (piece.Bytes.Length == 0)
                    await Task.Delay(Timeout.Infinite, stop);
                continue;
            }

            if (piece.Bytes.Length == 0)
                break;
            if (FindTrap(flow, piece.Bytes.Span, watches) is { } sprung)
            {
                await SpringAsync(sprung.Trap, sprung.End, piece.Bytes, to, stop);
                return;
            }

            await SendAsync(flow, to, piece.Bytes, stop);
        }

        to.Shutdown(SocketShutdown.Send);
        if (ended.IsCancellationRequested)
            await DropAsync(pieces, stop);
    }

    private static async IAsyncEnumerable<Piece> ReadUntilAsync(
        ChannelReader<Piece> pieces, CancellationToken ended, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken stop)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ended, stop);
        while (!ended.IsCancellationRequested)
        {
            while (!ended.IsCancellationRequested && pieces.TryRead(out var piece))
                yield return piece;
            try
            {
                if (!await pieces.WaitToReadAsync(either.Token))
                    yield break;
            }
            catch (OperationCanceledException) when (ended.IsCancellationRequested && !stop.IsCancellationRequested)
            {
                // The direction was ended from here.
            }
        }

        // What was on its way then still arrives; what comes meanwhile does not.
        for (var left = pieces.Count; left > 0 && pieces.TryRead(out var piece); left--)
            yield return piece;
    }

    private static async Task DropAsync(ChannelReader<Piece> pieces, CancellationToken stop)
    {
        await foreach (var piece in pieces.ReadAllAsync(stop))
        {
            if (piece.Bytes.Length == 0)
                return;
        }
    }

    private (Trap Trap, int End)? FindTrap(Flow flow, ReadOnlySpan<byte> bytes, List<PatternWatch> watches)
    {
        var set = proxy.TrapsOf(flow);
        watches.RemoveAll(watch => !set.Contains(watch.Trap));
        foreach (var trap in set)
        {
            if (!watches.Exists(watch => watch.Trap == trap))
                watches.Add(new PatternWatch(trap));
        }

        var matches = new List<(Trap Trap, int End)>();
        foreach (var watch in watches)
        {
            if (watch.Find(bytes) is >= 0 and var end)
                matches.Add((watch.Trap, end));
        }

        foreach (var match in matches.OrderBy(match => match.End))
        {
            if (match.Trap.TrySpring())
                return match;
        }

        return null;
    }

    private async Task SpringAsync(Trap trap, int end, ReadOnlyMemory<byte> bytes, Socket to, CancellationToken stop)
    {
        try
        {
            if (trap.Point == CutPoint.Before)
            {
                await SendAllAsync(to, bytes[..Math.Max(0, end - trap.Pattern.Length)], stop);
                Cut();
                return;
            }

            await SendAllAsync(to, bytes[..end], stop);
            to.Shutdown(SocketShutdown.Send);
            isSprung = true;
            Reset(to == server ? client : server);
            cut.CancelAfter(LastWords);
        }
        finally
        {
            trap.Tell();
        }
    }

    private async Task SendAsync(Flow flow, Socket to, ReadOnlyMemory<byte> bytes, CancellationToken stop)
    {
        while (bytes.Length > 0)
        {
            // Asked for each slice: a limit that is lifted is lifted at once.
            var rate = proxy.FaultsOf(flow).BytesPerSecond;
            var slice = bytes[..Math.Min(bytes.Length, rate == 0 ? bytes.Length : Math.Max(1, rate / 20))];
            await SendAllAsync(to, slice, stop);
            bytes = bytes[slice.Length..];
            if (rate > 0)
                await Task.Delay(TimeSpan.FromSeconds((double)slice.Length / rate), stop);
        }
    }

    private static async Task SendAllAsync(Socket to, ReadOnlyMemory<byte> bytes, CancellationToken stop)
    {
        while (bytes.Length > 0)
            bytes = bytes[await to.SendAsync(bytes, stop)..];
    }

    private static async Task UntilAsync(long due, CancellationToken stop)
    {
        // A timer may be a millisecond early.
        while (Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due) is { Ticks: > 0 } left)
            await Task.Delay(left, stop);
    }

    /// <summary>Bytes that came in one read, and when they go on; none is the end of the stream.</summary>
    private readonly record struct Piece(ReadOnlyMemory<byte> Bytes, long Due);
}

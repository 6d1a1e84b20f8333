using System.Net;
using System.Net.Sockets;

namespace Dispatch.Chaos.Faults;

/// <summary>Which way bytes flow.</summary>
public enum Flow
{
    /// <summary>From whoever connected to the target: requests.</summary>
    ToTarget,

    /// <summary>From the target to whoever connected: answers.</summary>
    ToClient,
}

/// <summary>What becomes of the bytes that spring a <see cref="FaultProxy.CutAtAsync">trap</see>.</summary>
public enum CutPoint
{
    /// <summary>They are not forwarded, as far as they came in one read with the last of them; both sides are reset.</summary>
    Before,

    /// <summary>
    /// They are forwarded and arrive, and nothing after them. Whoever sent them is reset; the receiver sees an orderly end, because a reset could
    /// overtake the bytes.
    /// </summary>
    After,
}

/// <summary>
/// A bad network on this machine: listens on a free port of 127.0.0.1, forwards each connection to the target, and on command delays, throttles,
/// swallows, cuts or refuses. Without a command it is transparent, ends of streams included. All members may be called from any thread; commands
/// count for open connections and for those to come, unless they say otherwise, until <see cref="Heal"/>. Nothing waits for ever:
/// <see cref="DisposeAsync"/> cuts what is open.
/// </summary>
public sealed class FaultProxy : IAsyncDisposable
{
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(5);

    private readonly IPEndPoint target;
    private readonly int seed;
    private readonly Lock gate = new();
    private readonly List<ProxiedConnection> open = [];
    private readonly List<Trap> traps = [];
    private readonly LinkFaults[] faults = [LinkFaults.None, LinkFaults.None];
    private readonly long[] swallowed = new long[2];
    private readonly HashSet<Task> work = [];
    private readonly CancellationTokenSource ending = new();

    // Bound and never listening: keeps the port ours while new connections are refused.
    private readonly Socket place;
    private Socket? listener;
    private int accepted;
    private bool isDisposed;

    private FaultProxy(IPEndPoint target, int seed)
    {
        this.target = target;
        this.seed = seed;
        place = Bind(0);
        Port = ((IPEndPoint)place.LocalEndPoint!).Port;
    }

    /// <summary>Where to connect to, on 127.0.0.1.</summary>
    public int Port { get; }

    /// <summary>Connections that are open now. One counts until both of its directions have ended, or it was cut.</summary>
    public int OpenConnections
    {
        get
        {
            lock (gate)
                return open.Count;
        }
    }

    /// <summary>Starts to listen.</summary>
    /// <param name="target">Where bytes go. It need not listen: a connection that it does not take within 5 s is reset.</param>
    /// <param name="seed">The same seed draws the same delays: for the n-th read of the m-th connection in each direction.</param>
    /// <exception cref="SocketException">The system gives no port.</exception>
    public static FaultProxy Start(IPEndPoint target, int seed = 0)
    {
        var proxy = new FaultProxy(target, seed);
        proxy.AcceptNew();
        return proxy;
    }

    /// <summary>The same for a port of 127.0.0.1.</summary>
    public static FaultProxy Start(int targetPort, int seed = 0) => Start(new IPEndPoint(IPAddress.Loopback, targetPort), seed);

    /// <summary>Each piece of the stream arrives later by the delay and a random part of the jitter. The order stays; the speed does, too.</summary>
    /// <param name="delay">0 to 1 hour.</param>
    /// <param name="jitter">0 to 1 hour.</param>
    /// <exception cref="ArgumentOutOfRangeException">One of them is outside its range.</exception>
    public void Delay(Flow flow, TimeSpan delay, TimeSpan jitter = default)
    {
        var latency = new Latency(delay, jitter);
        Change(flow, now => now with { Latency = latency });
    }

    /// <summary>Lets through no more than this.</summary>
    /// <param name="bytesPerSecond">From 1; 0 is no limit. For each connection.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is negative.</exception>
    public void Throttle(Flow flow, int bytesPerSecond)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytesPerSecond);
        Change(flow, now => now with { BytesPerSecond = bytesPerSecond });
    }

    /// <summary>
    /// Takes bytes and ends of streams and forwards nothing of them, as a network does that lost its way: neither side hears of it. Connections are still
    /// taken. A connection that lost something is cut by <see cref="Heal"/>: nobody gets a stream with a hole.
    /// </summary>
    public void Swallow(Flow flow) => Change(flow, now => now with { IsSwallowing = true });

    /// <summary>Bytes that were swallowed so far.</summary>
    public long SwallowedBytes(Flow flow) => Interlocked.Read(ref swallowed[(int)flow]);

    /// <summary>Takes no new connections: whoever tries is refused by the system, as if nobody listened. Open ones stay.</summary>
    public void RefuseNew()
    {
        lock (gate)
        {
            // Gone before it is closed: who waits at it then sees that it was meant.
            var closing = listener;
            listener = null;
            closing?.Dispose();
        }
    }

    /// <summary>Takes new connections again.</summary>
    /// <exception cref="ObjectDisposedException">The proxy is closed.</exception>
    public void AcceptNew()
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(isDisposed, this);
            if (listener is not null)
                return;
            listener = Bind(Port);
            listener.Listen();
            Own(AcceptAsync(listener));
        }
    }

    /// <summary>Resets both sides of every open connection, and returns how many there were. What was on its way is lost.</summary>
    public int Cut()
    {
        ProxiedConnection[] cut;
        lock (gate)
            cut = [.. open];
        foreach (var connection in cut)
            connection.Cut();
        return cut.Length;
    }

    /// <summary>
    /// Ends one direction of every open connection in an orderly way, after what was on its way in it: the receiver reads the end of the stream, the
    /// other direction goes on. What the sender says from then on is taken and dropped.
    /// </summary>
    /// <returns>How many connections there were.</returns>
    public int EndFlow(Flow flow)
    {
        ProxiedConnection[] ended;
        lock (gate)
            ended = [.. open];
        foreach (var connection in ended)
            connection.EndFlow(flow);
        return ended.Length;
    }

    /// <summary>
    /// Cuts the connection in which these bytes pass, wherever reads split them. It springs once, for one connection: the first to come that far. A match
    /// that began before this call is not seen.
    /// </summary>
    /// <param name="pattern">At least one byte.</param>
    /// <param name="occurrence">Which match in one connection: 1 is the first.</param>
    /// <param name="cancel">Takes the trap away.</param>
    /// <returns>Ends when the connection was cut; is cancelled by <paramref name="cancel"/>, by <see cref="Heal"/> and when the proxy is closed.</returns>
    /// <exception cref="ArgumentException">The pattern is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The occurrence is below 1.</exception>
    public Task CutAtAsync(Flow flow, ReadOnlySpan<byte> pattern, CutPoint point, int occurrence = 1, CancellationToken cancel = default)
    {
        var trap = new Trap(flow, pattern.ToArray(), point, occurrence);
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(isDisposed, this);
            traps.Add(trap);
        }

        return WaitAsync(trap, cancel);
    }

    /// <summary>A good network again: nothing is delayed, swallowed or refused, traps are gone. Connections that lost bytes are cut.</summary>
    public void Heal()
    {
        ProxiedConnection[] torn;
        Trap[] removed;
        lock (gate)
        {
            faults.AsSpan().Fill(LinkFaults.None);
            removed = [.. traps];
            traps.Clear();
            torn = [.. open.Where(connection => connection.IsTorn)];
            if (!isDisposed)
                AcceptNew();
        }

        foreach (var trap in removed)
            trap.Remove();
        foreach (var connection in torn)
            connection.Cut();
    }

    /// <summary>Closes the port and resets what is open.</summary>
    public async ValueTask DisposeAsync()
    {
        Task[] ends;
        Trap[] removed;
        lock (gate)
        {
            if (isDisposed)
                return;
            isDisposed = true;
            removed = [.. traps];
            traps.Clear();
            ends = [.. work];
        }

        foreach (var trap in removed)
            trap.Remove();
        await ending.CancelAsync();
        RefuseNew();
        Cut();
        await Task.WhenAll(ends);
        place.Dispose();
        ending.Dispose();
    }

    internal LinkFaults FaultsOf(Flow flow)
    {
        lock (gate)
            return faults[(int)flow];
    }

    internal Trap[] TrapsOf(Flow flow)
    {
        lock (gate)
            return traps.Count == 0 ? [] : [.. traps.Where(trap => trap.Flow == flow)];
    }

    internal void CountSwallowed(Flow flow, int bytes) => Interlocked.Add(ref swallowed[(int)flow], bytes);

    private void Change(Flow flow, Func<LinkFaults, LinkFaults> change)
    {
        lock (gate)
            faults[(int)flow] = change(faults[(int)flow]);
    }

    private async Task WaitAsync(Trap trap, CancellationToken cancel)
    {
        try
        {
            await trap.Sprung.WaitAsync(cancel);
        }
        finally
        {
            trap.Remove();
            lock (gate)
                traps.Remove(trap);
        }
    }

    private async Task AcceptAsync(Socket from)
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await from.AcceptAsync(ending.Token);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException || IsClosed(from))
            {
                return;
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionAborted or SocketError.ConnectionReset)
            {
                // That one had gone before it was taken.
                continue;
            }

            lock (gate)
            {
                if (isDisposed)
                {
                    ProxiedConnection.Reset(client);
                    return;
                }

                Own(ForwardAsync(client, accepted++));
            }
        }
    }

    private bool IsClosed(Socket from)
    {
        lock (gate)
            return listener != from;
    }

    private async Task ForwardAsync(Socket client, int number)
    {
        // The caller holds the lock.
        await Task.Yield();
        var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(ending.Token);
            limit.CancelAfter(ConnectLimit);
            await server.ConnectAsync(target, limit.Token);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            server.Dispose();
            ProxiedConnection.Reset(client);
            return;
        }

        using var connection = new ProxiedConnection(this, client, server, seed, number);
        lock (gate)
            open.Add(connection);
        try
        {
            await connection.RunAsync(ending.Token);
        }
        finally
        {
            if (ending.IsCancellationRequested)
                connection.Cut();
            lock (gate)
                open.Remove(connection);
        }
    }

    /// <summary>Keeps a task until it has ended. The caller holds the lock.</summary>
    private void Own(Task task)
    {
        work.Add(task);
        _ = ForgetAsync(task);
    }

    private async Task ForgetAsync(Task task)
    {
        // A fault is told by DisposeAsync, which waits for the task itself.
        await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (task.IsFaulted)
            return;
        lock (gate)
            work.Remove(task);
    }

    private static Socket Bind(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            // Two sockets on the port, of which one listens, and connections of an earlier listener.
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            return socket;
        }
        catch (SocketException)
        {
            socket.Dispose();
            throw;
        }
    }
}

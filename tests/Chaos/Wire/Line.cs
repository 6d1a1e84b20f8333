namespace Dispatch.Chaos.Wire;

/// <summary>An actor's way to the broker: one connection at a time, opened again for as long as it takes, to another node when one does not answer.</summary>
public sealed class Line(NodeChoice nodes) : IDisposable
{
    /// <summary>To a broker that is alone, or to one node whatever it does.</summary>
    public Line(int port)
        : this(NodeChoice.Only(port))
    {
    }

    /// <summary>Longest wait for an answer beyond the wait that was asked for.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan Knock = TimeSpan.FromMilliseconds(10);

    private BrokerConnection? connection;

    /// <summary>
    /// Returns once somebody listens. Called before an operation is written down: an operation that could not be sent
    /// at all would only be noise in the history.
    /// </summary>
    public async Task ConnectAsync(CancellationToken cancel)
    {
        if (connection is { } open && open.LooksAlive() && !nodes.Wanders())
            return;
        connection?.Dispose();
        while ((connection = await BrokerConnection.TryOpenAsync(nodes.Port, cancel)) is null)
        {
            nodes.Change();
            await Task.Delay(Knock, cancel);
        }
    }

    /// <inheritdoc cref="BrokerConnection.SendAsync"/>
    public Task<Reply?> SendAsync(Request request, CancellationToken cancel) => SendAsync(request, Patience, cancel);

    /// <inheritdoc cref="BrokerConnection.SendAsync"/>
    public async Task<Reply?> SendAsync(Request request, TimeSpan patience, CancellationToken cancel)
    {
        if (connection is not { IsUsable: true } open)
            throw new InvalidOperationException("Not connected.");
        var reply = await open.SendAsync(request, patience, cancel);
        if (reply is null or { Status: >= 500 } && nodes.Change())
        {
            open.Dispose();
            // Where no node can do anything, who asks without a pause only takes their time.
            await Task.Delay(Knock, cancel);
        }

        return reply;
    }

    /// <inheritdoc cref="BrokerConnection.SendAndHangUpAsync"/>
    public Task HangUpAsync(Request request, TimeSpan after, CancellationToken cancel) =>
        connection is { IsUsable: true } open ? open.SendAndHangUpAsync(request, after, cancel) : throw new InvalidOperationException("Not connected.");

    public void Dispose() => connection?.Dispose();
}

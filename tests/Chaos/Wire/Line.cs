namespace Dispatch.Chaos.Wire;

/// <summary>An actor's way to the broker: one connection at a time, opened again for as long as it takes.</summary>
public sealed class Line(int port) : IDisposable
{
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
        if (connection is { } open && open.LooksAlive())
            return;
        connection?.Dispose();
        while ((connection = await BrokerConnection.TryOpenAsync(port, cancel)) is null)
            await Task.Delay(Knock, cancel);
    }

    /// <inheritdoc cref="BrokerConnection.SendAsync"/>
    public Task<Reply?> SendAsync(Request request, CancellationToken cancel) => SendAsync(request, Patience, cancel);

    /// <inheritdoc cref="BrokerConnection.SendAsync"/>
    public Task<Reply?> SendAsync(Request request, TimeSpan patience, CancellationToken cancel) =>
        connection is { IsUsable: true } open ? open.SendAsync(request, patience, cancel) : throw new InvalidOperationException("Not connected.");

    /// <inheritdoc cref="BrokerConnection.SendAndHangUpAsync"/>
    public Task HangUpAsync(Request request, TimeSpan after, CancellationToken cancel) =>
        connection is { IsUsable: true } open ? open.SendAndHangUpAsync(request, after, cancel) : throw new InvalidOperationException("Not connected.");

    public void Dispose() => connection?.Dispose();
}

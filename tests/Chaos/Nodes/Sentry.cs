using Dispatch.Chaos.Histories;
using Dispatch.Chaos.Load;
using Dispatch.Chaos.Wire;

namespace Dispatch.Chaos.Nodes;

/// <summary>Keeps giving tasks to one node, whatever it does, and notes when it takes them.</summary>
/// <param name="node">Which of the nodes.</param>
public sealed class Sentry(int node, int port, string histories, RunClock clock, Availability availability, Random random) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly Caller caller = new($"sentry-{node + 1}", NodeChoice.Only(port), new HistoryFile($"sentry-{node + 1}", histories, clock), Patience);

    /// <param name="stop">Ends it between two requests.</param>
    /// <param name="cancel">Ends it at once.</param>
    public async Task RunAsync(CancellationToken stop, CancellationToken cancel)
    {
        var orders = new OrderBook(caller.Actor, random);
        while (!stop.IsCancellationRequested)
        {
            var order = orders.Single([]);
            await caller.ConnectAsync(cancel);
            var asked = clock.NowUs;
            var done = await caller.PerformAsync(order.What, Client.To(order), reply => Client.ReadSubmitted(order, reply), cancel);
            if (done.IsOk)
                availability.Note(node, asked, clock.NowUs);
            await Task.Delay(Pause, cancel);
        }
    }

    public void Dispose() => caller.Dispose();
}

using System.Collections.Concurrent;
using Dispatch.Agents;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Http;

/// <summary>
/// Notices when an agent's exchange connection drops and gives its unstarted work back. A drop is an exchange cut off before its
/// answer, or the end of a connection that had carried more than one exchange: a worker's standing line. A client that opens a
/// connection for each request (curl) does not look like one when it closes it.
/// </summary>
internal sealed class WorkConnections(Sequencer sequencer, TimeProvider clock, ILogger<WorkConnections> logger, CancellationToken stopping)
{
    /// <summary>Time for the agent to come back on another connection before its work is given away.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromMilliseconds(1_500);

    private static readonly object ItemKey = new();

    private readonly ConcurrentDictionary<string, Line> lines = new(StringComparer.Ordinal);

    /// <summary>Counts an exchange of the agent; dispose it when the answer is written.</summary>
    public Exchange Enter(HttpContext http, string agent)
    {
        var line = lines.GetOrAdd(agent, static _ => new Line());
        Interlocked.Increment(ref line.Entered);
        Interlocked.Increment(ref line.Active);
        Follow(http, agent, line);
        return new Exchange(this, http, agent, line);
    }

    public void Forget(string agent) => lines.TryRemove(agent, out _);

    private void Follow(HttpContext http, string agent, Line line)
    {
        var items = http.Features.Get<IConnectionItemsFeature>()?.Items;
        var lifetime = http.Features.Get<IConnectionLifetimeFeature>();
        if (items is null || lifetime is null)
            return;
        line.Latest = lifetime;
        if (items.TryGetValue(ItemKey, out var known) && known is Standing standing)
        {
            standing.Exchanges++;
            return;
        }

        var mine = new Standing { Exchanges = 1 };
        items[ItemKey] = mine;
        lifetime.ConnectionClosed.UnsafeRegister(
            _ =>
            {
                if (mine.Exchanges > 1 && line.Latest == lifetime)
                    Dropped(agent, line);
            },
            null);
    }

    private void Dropped(string agent, Line line) => _ = ReturnLaterAsync(agent, line, Interlocked.Read(ref line.Entered));

    private async Task ReturnLaterAsync(string agent, Line line, long entered)
    {
        try
        {
            await Task.Delay(Grace, clock, stopping);
            if (Interlocked.Read(ref line.Entered) != entered || Volatile.Read(ref line.Active) > 0)
                return;
            var returned = await sequencer.ExecuteAsync(new ReturnUnstarted(agent));
            logger.ConnectionDropped(agent, returned);
        }
        catch (Exception e) when (e is OperationCanceledException or RefusedException)
        {
            // Stopping, or the store is away: the agent's lease takes care of it.
        }
    }

    internal sealed class Line
    {
        public long Entered;
        public int Active;
        public volatile IConnectionLifetimeFeature? Latest;
    }

    private sealed class Standing
    {
        public int Exchanges { get; set; }
    }

    public readonly struct Exchange(WorkConnections connections, HttpContext http, string agent, Line line) : IDisposable
    {
        public void Dispose()
        {
            Interlocked.Decrement(ref line.Active);
            if (http.RequestAborted.IsCancellationRequested)
                connections.Dropped(agent, line);
        }
    }
}

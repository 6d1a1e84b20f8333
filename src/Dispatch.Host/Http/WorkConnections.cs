using Dispatch.Agents;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Http;

/// <summary>
/// Notices when an agent's exchange connection drops and gives its unstarted work back. A drop is an exchange cut off before its
/// answer, or the end of the last connection that an agent calls on, when that had carried more than one call: a worker's standing
/// line. A client that opens a connection for each request (curl) does not look like one when it closes it.
/// </summary>
internal sealed class WorkConnections(Sequencer sequencer, TimeProvider clock, ILogger<WorkConnections> logger, CancellationToken stopping)
{
    /// <summary>Time for the agent to come back on another connection before its work is given away.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromMilliseconds(1_500);

    // Times in the sequencer are whole milliseconds, and it decides a little after it was asked.
    private static readonly TimeSpan Slack = TimeSpan.FromMilliseconds(100);

    private static readonly object ItemKey = new();

    private readonly Lock changing = new();
    private readonly Dictionary<string, Line> lines = new(StringComparer.Ordinal);

    /// <summary>Agents that are remembered.</summary>
    internal int Count
    {
        get
        {
            lock (changing)
                return lines.Count;
        }
    }

    /// <summary>Exchanges under way.</summary>
    internal int Active
    {
        get
        {
            lock (changing)
                return lines.Values.Sum(line => line.Active);
        }
    }

    /// <summary>Counts an exchange of a registered agent; dispose it when the answer is written.</summary>
    public Exchange Enter(HttpContext http, string agent)
    {
        Line? line;
        lock (changing)
        {
            if (!lines.TryGetValue(agent, out line))
                lines[agent] = line = new Line(agent);
            line.Entered++;
            line.Users++;
            line.Active++;
        }

        Follow(http, line);
        return new Exchange(this, http, line);
    }

    /// <summary>Counts another call of an agent that exchanges work: as long as that connection stands, the agent is there.</summary>
    public void Saw(HttpContext http, string agent)
    {
        Line? line;
        lock (changing)
            lines.TryGetValue(agent, out line);
        if (line is not null)
            Follow(http, line);
    }

    /// <summary>The agent left; there is nothing to give back.</summary>
    public void Forget(string agent)
    {
        lock (changing)
        {
            if (!lines.Remove(agent, out var line))
                return;
            foreach (var connection in line.Calls.Keys)
                connection.Lines.Remove(line);
            line.Calls.Clear();
        }
    }

    private void Follow(HttpContext http, Line line)
    {
        var items = http.Features.Get<IConnectionItemsFeature>()?.Items;
        var lifetime = http.Features.Get<IConnectionLifetimeFeature>();
        if (items is null || lifetime is null)
            return;

        var isNew = false;
        Connection connection;
        lock (changing)
        {
            if (items.TryGetValue(ItemKey, out var known))
                connection = (Connection)known!;
            else
                (items[ItemKey], isNew) = (connection = new Connection(), true);
            if (connection.IsClosed)
                return;
            connection.Lines.Add(line);
            line.Calls[connection] = line.Calls.GetValueOrDefault(connection) + 1;
        }

        if (isNew)
            lifetime.ConnectionClosed.UnsafeRegister(_ => Closed(connection), null);
    }

    private void Closed(Connection connection)
    {
        lock (changing)
        {
            connection.IsClosed = true;
            foreach (var line in connection.Lines)
            {
                line.Calls.Remove(connection, out var calls);
                if (line.Calls.Count == 0 && calls > 1)
                    Dropped(line);
                ForgetUnused(line);
            }

            connection.Lines.Clear();
        }
    }

    private void Ended(Line line, bool wasCut)
    {
        lock (changing)
        {
            line.Active--;
            if (wasCut)
                Dropped(line);
            line.Users--;
            ForgetUnused(line);
        }
    }

    private void Dropped(Line line)
    {
        line.Users++;
        _ = ReturnLaterAsync(line, line.Entered, clock.GetTimestamp());
    }

    private void ForgetUnused(Line line)
    {
        if (line is { Users: 0, Calls.Count: 0 } && lines.GetValueOrDefault(line.Agent) == line)
            lines.Remove(line.Agent);
    }

    private async Task ReturnLaterAsync(Line line, long entered, long droppedAt)
    {
        try
        {
            await Task.Delay(Grace, clock, stopping);
            bool isBack;
            lock (changing)
                isBack = line.Entered != entered || line.Active > 0;
            if (isBack)
                return;

            // Whatever it said meanwhile in another way, it is there.
            var silent = clock.GetElapsedTime(droppedAt) - Slack;
            var returned = await sequencer.ExecuteAsync(new ReturnUnstarted(line.Agent, (long)silent.TotalMilliseconds));
            if (returned > 0)
                logger.ConnectionDropped(line.Agent, returned);
        }
        catch (Exception e) when (e is OperationCanceledException or RefusedException)
        {
            // Stopping, or the store is away: the agent's lease takes care of it.
        }
        finally
        {
            lock (changing)
            {
                line.Users--;
                ForgetUnused(line);
            }
        }
    }

    /// <summary>One agent, while it exchanges work, has a connection open, or may still come back.</summary>
    internal sealed class Line(string agent)
    {
        public string Agent => agent;

        /// <summary>The open connections that it calls on, and how often it did.</summary>
        public Dictionary<Connection, int> Calls { get; } = [];

        public long Entered { get; set; }

        /// <summary>Exchanges under way.</summary>
        public int Active { get; set; }

        /// <summary>Those, and looks at whether it came back.</summary>
        public int Users { get; set; }
    }

    internal sealed class Connection
    {
        public HashSet<Line> Lines { get; } = [];

        public bool IsClosed { get; set; }
    }

    public readonly struct Exchange(WorkConnections connections, HttpContext http, Line line) : IDisposable
    {
        public void Dispose() => connections.Ended(line, http.RequestAborted.IsCancellationRequested);
    }
}

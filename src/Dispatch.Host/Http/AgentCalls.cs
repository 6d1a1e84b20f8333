namespace Dispatch.Host.Http;

/// <summary>Calls the exchanges that wait for an agent's work. Knows an agent only while one of its exchanges is under way.</summary>
internal sealed class AgentCalls
{
    private readonly Dictionary<string, Line> lines = new(StringComparer.Ordinal);
    private readonly Lock changing = new();

    /// <summary>Listens from now on: what rings later is not lost, whether or not it is waited for already.</summary>
    public Listener Listen(string agent)
    {
        lock (changing)
        {
            if (!lines.TryGetValue(agent, out var line))
                lines[agent] = line = new Line();
            line.Listeners++;
            return new Listener(this, agent, line);
        }
    }

    public void Ring(string agent)
    {
        Line? line;
        lock (changing)
            lines.TryGetValue(agent, out line);
        line?.Bell.Ring();
    }

    public sealed class Listener : IDisposable
    {
        private readonly AgentCalls calls;
        private readonly string agent;
        private readonly Line line;
        private long heard;

        internal Listener(AgentCalls calls, string agent, Line line)
        {
            (this.calls, this.agent, this.line) = (calls, agent, line);
            heard = line.Bell.Rings;
        }

        /// <summary>Waits for a ring that was not waited for before; returns also when the time is up or the broker stops.</summary>
        public async Task WaitAsync(TimeSpan most, TimeProvider clock, CancellationToken cancel, CancellationToken stopping) =>
            heard = await line.Bell.WaitAsync(heard, most, clock, cancel, stopping);

        public void Dispose()
        {
            lock (calls.changing)
            {
                if (--line.Listeners == 0)
                    calls.lines.Remove(agent);
            }
        }
    }

    internal sealed class Line
    {
        public Bell Bell { get; } = new();

        public int Listeners { get; set; }
    }
}

/// <summary>Rings for everybody who waits, as often as there is something to hear.</summary>
internal sealed class Bell
{
    private readonly Lock changing = new();
    private TaskCompletionSource? rung;
    private long rings;

    /// <summary>How often it rang.</summary>
    public long Rings => Volatile.Read(ref rings);

    /// <summary>Waits until it has rung more often than this, or the time is up, or the broker stops. Returns how often it has rung.</summary>
    /// <exception cref="OperationCanceledException">Whoever asked went away.</exception>
    public async Task<long> WaitAsync(long heard, TimeSpan most, TimeProvider clock, CancellationToken cancel, CancellationToken stopping)
    {
        Task next;
        lock (changing)
        {
            if (rings != heard)
                return rings;
            rung ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            next = rung.Task;
        }

        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, stopping);
        await next.WaitAsync(most, clock, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancel.ThrowIfCancellationRequested();
        return Rings;
    }

    public void Ring()
    {
        TaskCompletionSource? waiting;
        lock (changing)
        {
            Volatile.Write(ref rings, rings + 1);
            (waiting, rung) = (rung, null);
        }

        waiting?.TrySetResult();
    }
}

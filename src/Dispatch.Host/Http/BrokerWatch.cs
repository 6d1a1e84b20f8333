using Dispatch.Host.Auth;
using Dispatch.Host.Telemetry;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Http;

/// <summary>
/// Follows the sequencer for everybody outside it: wakes waiting exchanges and reads, keeps the token directory, measures.
/// </summary>
internal sealed class BrokerWatch(TaskWatch tasks, AgentCalls calls, TokenDirectory tokens, DispatchMetrics metrics, TaskTimes times, ILogger<BrokerWatch> logger)
    : ISequencerObserver
{
    /// <summary>An agent is not registered any more: what was remembered about it can go.</summary>
    public event Action<string>? AgentLeft;

    public void Committed(ClosedBatch batch, TimeSpan commit)
    {
        foreach (var agent in batch.Called)
            calls.Ring(agent);
        if (batch.Batch.IsEmpty)
            return;

        foreach (var token in batch.Batch.Tokens)
            tokens.Add(token);
        metrics.RecordCommit(batch.Answers.Count, commit);
        var created = 0;
        foreach (var happened in batch.Batch.Events)
        {
            switch (happened.Data)
            {
                case TaskCreated:
                    created++;
                    break;
                case TaskAssigned assigned:
                    metrics.RecordAssignment(assigned.QueuedMs);
                    times.Queued(assigned.QueuedMs);
                    break;
            }
        }

        if (created > 0)
            metrics.RecordSubmitted(created);
        foreach (var attempt in batch.Batch.Attempts)
        {
            metrics.RecordAttempt(attempt.Outcome, attempt.EndedAt - attempt.AssignedAt);
            times.Ended(attempt);
        }

        foreach (var agent in batch.Batch.RemovedAgents)
        {
            times.Forget(agent);
            AgentLeft?.Invoke(agent);
            calls.Ring(agent);
        }

        tasks.Tell(batch.Batch.Tasks);
    }

    public void StoreFailed(Exception failure)
    {
        metrics.RecordCommitFailure();
        logger.StoreFailed(failure.Message);
    }

    public void Loaded(State state)
    {
        tokens.Replace(state.Tokens.All);
        logger.Loaded(state.Sequence, state.Tasks.Count, state.Agents.Count);
    }
}

/// <summary>Lets reads wait for the end of a task.</summary>
internal sealed class TaskWatch
{
    private readonly Dictionary<TaskId, List<Expectation>> waiting = [];
    private readonly Lock changing = new();
    private int count;

    /// <summary>How many wait.</summary>
    public int Count => Volatile.Read(ref count);

    /// <summary>Starts to listen; an end after this call is not missed.</summary>
    public Expectation Expect(TaskId id)
    {
        var expectation = new Expectation(this, id);
        lock (changing)
        {
            if (!waiting.TryGetValue(id, out var list))
                waiting[id] = list = [];
            list.Add(expectation);
            Volatile.Write(ref count, count + 1);
        }

        return expectation;
    }

    public void Tell(IReadOnlyList<TaskRow> rows)
    {
        if (Count == 0)
            return;
        lock (changing)
        {
            foreach (var row in rows)
            {
                if (row.Task.IsFinal && waiting.TryGetValue(row.Task.Id, out var expectations))
                    expectations.ForEach(static expectation => expectation.Bell.Ring());
            }
        }
    }

    private void Forget(Expectation expectation, TaskId id)
    {
        lock (changing)
        {
            Volatile.Write(ref count, count - 1);
            if (waiting.TryGetValue(id, out var list) && list.Remove(expectation) && list.Count == 0)
                waiting.Remove(id);
        }
    }

    public sealed class Expectation(TaskWatch watch, TaskId id) : IDisposable
    {
        public Bell Bell { get; } = new();

        public void Dispose() => watch.Forget(this, id);
    }
}

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

/// <summary>How long tasks waited and ran since the broker started, and how each agent did.</summary>
internal sealed class TaskTimes
{
    private readonly Lock changing = new();
    private readonly Quantiles queued = new();
    private readonly Quantiles ran = new();
    private readonly Dictionary<string, AgentRecord> agents = new(StringComparer.Ordinal);

    public void Queued(long ms)
    {
        lock (changing)
            queued.Add(ms);
    }

    public void Ended(EndedAttempt attempt)
    {
        var ms = attempt.EndedAt - attempt.AssignedAt;
        lock (changing)
        {
            if (attempt.Outcome is not (AttemptOutcome.Released or AttemptOutcome.Cancelled))
                ran.Add(ms);
            var record = agents.GetValueOrDefault(attempt.Agent);
            agents[attempt.Agent] = attempt.Outcome switch
            {
                AttemptOutcome.Completed => record with { Completed = record.Completed + 1, RunMs = record.RunMs + ms },
                AttemptOutcome.Failed => record with { Failed = record.Failed + 1 },
                AttemptOutcome.Timeout => record with { Timeout = record.Timeout + 1 },
                AttemptOutcome.Lost => record with { Lost = record.Lost + 1 },
                _ => record,
            };
        }
    }

    public (TimeSummary Queued, TimeSummary Ran, Dictionary<string, AgentRecord> Agents) Read()
    {
        lock (changing)
            return (queued.Summary(), ran.Summary(), new Dictionary<string, AgentRecord>(agents, StringComparer.Ordinal));
    }

    public void Forget(string agent)
    {
        lock (changing)
            agents.Remove(agent);
    }

    /// <summary>
    /// Counts in buckets that grow by an eighth of a power of two: quantiles are off by at most 5 percent, and never outside what was seen.
    /// </summary>
    private sealed class Quantiles
    {
        private const int Steps = 8;

        private readonly long[] buckets = new long[64 * Steps];
        private long count;
        private double sum;
        private long least = long.MaxValue;
        private long most;

        public void Add(long ms)
        {
            ms = Math.Max(0, ms);
            least = Math.Min(least, ms);
            most = Math.Max(most, ms);
            buckets[ms == 0 ? 0 : Math.Min(buckets.Length - 1, 1 + (int)(Math.Log2(ms) * Steps))]++;
            count++;
            sum += ms;
        }

        public TimeSummary Summary() => new(count, count == 0 ? 0 : sum / count, At(0.50), At(0.95), At(0.99));

        private double At(double quantile)
        {
            var rank = (long)Math.Ceiling(quantile * count);
            long seen = 0;
            for (var i = 0; i < buckets.Length && count > 0; i++)
            {
                seen += buckets[i];
                if (seen >= rank)
                    return i == 0 ? 0 : Math.Clamp(Math.Pow(2, (i - 0.5) / Steps), least, most);
            }

            return 0;
        }
    }
}

/// <summary>Milliseconds.</summary>
internal readonly record struct TimeSummary(long Count, double Average, double P50, double P95, double P99);

internal readonly record struct AgentRecord(long Completed, long Failed, long Timeout, long Lost, long RunMs);

internal static partial class BrokerMessages
{
    [LoggerMessage(EventId = 4001, Level = LogLevel.Information, Message = "State loaded at sequence {Sequence}: {Tasks} live tasks, {Agents} agents")]
    public static partial void Loaded(this ILogger logger, long sequence, int tasks, int agents);

    [LoggerMessage(EventId = 4002, Level = LogLevel.Error, Message = "The store refused: {Reason}")]
    public static partial void StoreFailed(this ILogger logger, string reason);

    [LoggerMessage(EventId = 4003, Level = LogLevel.Information, Message = "Listening on {Url}, operations on {OperationsUrl}, data in {Directory} (version {Version})")]
    public static partial void Listening(this ILogger logger, string url, string operationsUrl, string directory, string version);

    [LoggerMessage(EventId = 4004, Level = LogLevel.Warning, Message = "{Key} is set, but this release does not use it yet")]
    public static partial void Unused(this ILogger logger, string key);

    [LoggerMessage(EventId = 4005, Level = LogLevel.Information, Message = "Stopping: no more requests are taken")]
    public static partial void Stopping(this ILogger logger);

    [LoggerMessage(EventId = 4006, Level = LogLevel.Information, Message = "Stopped at sequence {Sequence}")]
    public static partial void Stopped(this ILogger logger, long sequence);

    [LoggerMessage(EventId = 4007, Level = LogLevel.Critical, Message = "The sequencer ended; the process stops so that a restart loads what is durable")]
    public static partial void SequencerEnded(this ILogger logger, Exception? failure);

    [LoggerMessage(EventId = 4008, Level = LogLevel.Information, Message = "The administrator's token was made and is kept in {File}")]
    public static partial void AdminTokenMade(this ILogger logger, string file);

    [LoggerMessage(EventId = 4009, Level = LogLevel.Warning, Message = "Retention sweep failed and is tried again later: {Reason}")]
    public static partial void SweepFailed(this ILogger logger, string reason);

    [LoggerMessage(EventId = 4011, Level = LogLevel.Error, Message = "The store did not close in time; what it was writing, the next start will see")]
    public static partial void StoreHangs(this ILogger logger);

    [LoggerMessage(EventId = 4010, Level = LogLevel.Information, Message = "Connection of agent {Agent} dropped; {Returned} unstarted tasks went back")]
    public static partial void ConnectionDropped(this ILogger logger, string agent, int returned);
}

using System.Diagnostics;
using Dispatch.Bench.Measuring;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Load;

/// <summary>
/// An open loop: one task at each intended time, whether or not the last was answered. Everything is measured from the
/// intended time, so a server that stalls pays for every task that should have been sent meanwhile.
/// </summary>
internal sealed class PacedLoad : IDisposable
{
    public const int Connections = 32;

    private readonly TaskRequest _request;
    private readonly List<Submitter> _submitters = [];
    private readonly Stack<Submitter> _idle = [];
    private readonly Queue<long> _waiting = [];
    private readonly List<long> _intended = [];
    private readonly Ticker _ticker;
    private readonly long _count;

    /// <param name="loop">The loop that serves it.</param>
    /// <param name="target">The server.</param>
    /// <param name="perSecond">Tasks a second.</param>
    /// <param name="count">Tasks in all.</param>
    public PacedLoad(EventLoop loop, Target target, int perSecond, long count)
    {
        _request = TaskRequest.Single(target);
        _count = count;
        for (var i = 0; i < Connections; i++)
        {
            _submitters.Add(new Submitter(this, loop, target));
            _idle.Push(_submitters[i]);
        }

        _ticker = new Ticker(loop, perSecond, OnTick);
    }

    /// <summary>From the intended time to the answer to the submit, for tasks from <see cref="FirstCounted"/> on.</summary>
    public LatencyHistogram Answered { get; } = new();

    /// <summary>From the intended time to the send: how late the client itself was.</summary>
    public LatencyHistogram SendDelay { get; } = new();

    /// <summary>Tasks before this number warm up and are not recorded.</summary>
    public long FirstCounted { get; init; }

    public Refusals Refusals { get; } = new();

    /// <summary>Whether every task was sent and answered.</summary>
    public bool Finished => _intended.Count == _count && _waiting.Count == 0 && _idle.Count == Connections;

    /// <summary>When the task of this number was to be sent, a <see cref="Stopwatch"/> timestamp.</summary>
    public long IntendedAt(long number) => _intended[(int)number];

    public void Dispose()
    {
        _ticker.Dispose();
        foreach (var submitter in _submitters)
            submitter.Dispose();
    }

    private void OnTick(long intended)
    {
        if (_intended.Count == _count)
            return;

        _intended.Add(intended);
        if (_idle.TryPop(out var submitter))
            submitter.Send(_intended.Count - 1);
        else
            _waiting.Enqueue(_intended.Count - 1);
    }

    private sealed class Submitter : IDisposable
    {
        private readonly PacedLoad _load;
        private readonly Connection _connection;
        private readonly byte[] _bytes;
        private long _number;

        public Submitter(PacedLoad load, EventLoop loop, Target target)
        {
            _load = load;
            _bytes = load._request.Copy();
            _connection = new Connection(loop, target.Endpoint, 16 * 1024, keepBody: false, OnResponse);
        }

        public void Send(long number)
        {
            _number = number;
            _load._request.Number(_bytes, number);
            if (number >= _load.FirstCounted)
                _load.SendDelay.Record(_load.IntendedAt(number), Stopwatch.GetTimestamp());

            _connection.Send(_bytes);
        }

        public void Dispose() => _connection.Dispose();

        private void OnResponse(int status, ReadOnlySpan<byte> body)
        {
            if (status != 201)
                _load.Refusals.Add(status, body);
            else if (_number >= _load.FirstCounted)
                _load.Answered.Record(_load.IntendedAt(_number), Stopwatch.GetTimestamp());

            if (_load._waiting.TryDequeue(out var next))
                Send(next);
            else
                _load._idle.Push(this);
        }
    }
}

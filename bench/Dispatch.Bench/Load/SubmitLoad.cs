using System.Diagnostics;
using Dispatch.Bench.Measuring;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Load;

/// <summary>
/// A closed loop: each connection submits, waits for the answer and submits again. Latency is from the send to the
/// whole answer read, the client's own queueing included.
/// </summary>
internal sealed class SubmitLoad : IDisposable
{
    private readonly TaskRequest _request;
    private readonly Submitter[] _submitters;
    private bool _running;
    private long _nextNumber;

    /// <param name="loop">The loop that serves it.</param>
    /// <param name="target">The server.</param>
    /// <param name="request">What each connection sends, numbered anew each time.</param>
    /// <param name="connections">How many at once.</param>
    public SubmitLoad(EventLoop loop, Target target, TaskRequest request, int connections)
    {
        _request = request;
        _submitters = [.. Enumerable.Range(0, connections).Select(_ => new Submitter(this, loop, target))];
    }

    /// <summary>Latency of the successful requests since the last <see cref="BeginWindow"/>.</summary>
    public LatencyHistogram Latency { get; } = new();

    /// <summary>Tasks accepted between the last <see cref="BeginWindow"/> and <see cref="Stop"/>.</summary>
    public long Accepted { get; private set; }

    /// <summary>Tasks accepted since the beginning.</summary>
    public long AcceptedInAll { get; private set; }

    /// <summary>Requests that have no answer yet.</summary>
    public int Outstanding { get; private set; }

    public Refusals Refusals { get; } = new();

    /// <summary>Tasks to accept in all before the load ends by itself; no limit by default.</summary>
    public long Limit { get; set; } = long.MaxValue;

    public void Start()
    {
        _running = true;
        foreach (var submitter in _submitters)
            submitter.Send();
    }

    /// <summary>Forgets what was counted so far: warming up is over.</summary>
    public void BeginWindow()
    {
        Latency.Clear();
        Accepted = 0;
    }

    /// <summary>Sends nothing more; what is under way is still answered.</summary>
    public void Stop() => _running = false;

    public void Dispose()
    {
        foreach (var submitter in _submitters)
            submitter.Dispose();
    }

    private sealed class Submitter : IDisposable
    {
        private readonly SubmitLoad _load;
        private readonly Connection _connection;
        private readonly byte[] _bytes;
        private long _sentAt;

        public Submitter(SubmitLoad load, EventLoop loop, Target target)
        {
            _load = load;
            _bytes = load._request.Copy();
            _connection = new Connection(loop, target.Endpoint, load._request.Tasks > 1 ? 256 * 1024 : 16 * 1024, keepBody: false, OnResponse);
        }

        public void Send()
        {
            if (!_load._running || _load._nextNumber >= _load.Limit)
                return;

            _load._request.Number(_bytes, _load._nextNumber);
            _load._nextNumber += _load._request.Tasks;
            _load.Outstanding++;
            _sentAt = Stopwatch.GetTimestamp();
            _connection.Send(_bytes);
        }

        public void Dispose() => _connection.Dispose();

        private void OnResponse(int status, ReadOnlySpan<byte> body)
        {
            _load.Outstanding--;
            if (status == 201)
            {
                _load.Latency.Record(_sentAt, Stopwatch.GetTimestamp());
                if (_load._running)
                    _load.Accepted += _load._request.Tasks;

                _load.AcceptedInAll += _load._request.Tasks;
            }
            else
            {
                _load.Refusals.Add(status, body);

                // Refused tasks are owed again, so that a limit is a number of accepted tasks.
                if (_load.Limit != long.MaxValue)
                    _load.Limit += _load._request.Tasks;
            }

            Send();
        }
    }
}

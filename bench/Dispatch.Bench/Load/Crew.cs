using System.Buffers.Text;
using System.Diagnostics;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Load;

/// <summary>How workers use the exchange.</summary>
/// <param name="Workers">Agents, one connection each.</param>
/// <param name="Max">Tasks asked for at once; also each agent's <c>max_concurrent</c>.</param>
/// <param name="WaitMs">How long an exchange may wait for work.</param>
internal sealed record CrewShape(int Workers, int Max, int WaitMs);

/// <summary>
/// Workers that take tasks by the exchange and report each completed with the next exchange: the broker's side of
/// whole lives, with work that costs nothing.
/// </summary>
internal sealed class Crew : IDisposable
{
    private readonly Target _target;
    private readonly CrewShape _shape;
    private readonly Worker[] _workers;

    /// <param name="loop">The loop that serves it.</param>
    /// <param name="target">The broker.</param>
    /// <param name="name">Prefix of the agents' ids.</param>
    /// <param name="shape">How they use the exchange.</param>
    public Crew(EventLoop loop, Target target, string name, CrewShape shape)
    {
        _target = target;
        _shape = shape;
        _workers = [.. Enumerable.Range(1, shape.Workers).Select(i => new Worker(this, loop, $"{name}-{i}"))];
    }

    /// <summary>Ids of its agents, to be registered first.</summary>
    public IEnumerable<string> AgentIds => _workers.Select(worker => worker.AgentId);

    /// <summary>Tasks handed to the workers.</summary>
    public long Delivered { get; private set; }

    /// <summary>Completions that the broker has answered.</summary>
    public long Completed { get; private set; }

    /// <summary>Reports answered with something other than "accepted".</summary>
    public long NotAccepted { get; private set; }

    /// <summary>Exchanges answered.</summary>
    public long Exchanges { get; private set; }

    /// <summary>When the last completion was answered, a <see cref="Stopwatch"/> timestamp.</summary>
    public long LastCompletedAt { get; private set; }

    /// <summary>Tasks there will ever be. From the time that many were delivered, no worker waits for more.</summary>
    public long Expected { get; set; } = long.MaxValue;

    /// <summary>Told the number and the time of each task a worker came to hold.</summary>
    public Action<long, long>? Held { get; init; }

    public Refusals Refusals { get; } = new();

    /// <summary>Whether every expected task is completed.</summary>
    public bool Finished => Completed >= Expected;

    public void Start()
    {
        foreach (var worker in _workers)
            worker.Exchange();
    }

    public void Dispose()
    {
        foreach (var worker in _workers)
            worker.Dispose();
    }

    private sealed class Worker : IDisposable
    {
        // Room before the body for the request's head, whose length changes with Content-Length.
        private const int HeadRoom = 512;

        private readonly Crew _crew;
        private readonly Connection _connection;
        private readonly byte[] _workHead;
        private readonly byte[] _reportHead;
        private byte[] _request = new byte[64 * 1024];
        private int _length = HeadRoom;
        private int _reports;

        public Worker(Crew crew, EventLoop loop, string agentId)
        {
            _crew = crew;
            AgentId = agentId;
            _workHead = Head(crew._shape.Max, crew._shape.WaitMs);
            _reportHead = Head(0, 0);
            _connection = new Connection(loop, crew._target.Endpoint, 256 * 1024, keepBody: true, OnResponse);
        }

        public string AgentId { get; }

        /// <summary>Sends the reports gathered, and asks for more unless everything was delivered.</summary>
        public void Exchange()
        {
            var all = _crew.Delivered >= _crew.Expected;
            if (all && _reports == 0)
                return;

            Append(_reports == 0 ? "{}"u8 : "]}"u8);
            Span<byte> tail = stackalloc byte[24];
            Utf8Formatter.TryFormat(_length - HeadRoom, tail, out var digits);
            "\r\n\r\n"u8.CopyTo(tail[digits..]);
            digits += 4;

            var head = all ? _reportHead : _workHead;
            var start = HeadRoom - head.Length - digits;
            head.CopyTo(_request, start);
            tail[..digits].CopyTo(_request.AsSpan(HeadRoom - digits));
            _connection.Send(_request.AsMemory(start, _length - start));
        }

        public void Dispose() => _connection.Dispose();

        private void OnResponse(int status, ReadOnlySpan<byte> body)
        {
            var now = Stopwatch.GetTimestamp();
            _crew.Exchanges++;
            if (status != 200)
            {
                // The reports were not taken: send the same again.
                _crew.Refusals.Add(status, body);
                _length -= 2;
                Exchange();
                return;
            }

            _length = HeadRoom;
            _reports = 0;
            var answer = new ExchangeAnswer(body);
            while (answer.TryReadTask(out var task))
            {
                _crew.Delivered++;
                _crew.Held?.Invoke(task.Number, now);
                Report(task);
            }

            if (answer.Accepted > 0)
                _crew.LastCompletedAt = now;

            _crew.Completed += answer.Accepted;
            _crew.NotAccepted += answer.NotAccepted;
            Exchange();
        }

        private void Report(in HeldTask task)
        {
            Append(_reports++ == 0 ? """{"reports":[{"task_id":" """u8[..^1] : """,{"task_id":" """u8[..^1]);
            Append(task.Id);
            Append("\",\"attempt\":"u8);
            Span<byte> number = stackalloc byte[12];
            Utf8Formatter.TryFormat(task.Attempt, number, out var digits);
            Append(number[..digits]);
            Append(""","outcome":"completed","result":{"ok":true}}"""u8);
        }

        private void Append(ReadOnlySpan<byte> bytes)
        {
            if (_request.Length < _length + bytes.Length)
                Array.Resize(ref _request, _request.Length * 2);

            bytes.CopyTo(_request.AsSpan(_length));
            _length += bytes.Length;
        }

        private byte[] Head(int max, int waitMs) =>
            _crew._target.PostHead($"/api/v1/agents/{AgentId}/work?max={max}&wait_ms={waitMs}", AgentId);
    }
}

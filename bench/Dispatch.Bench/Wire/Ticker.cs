using System.Diagnostics;

namespace Dispatch.Bench.Wire;

/// <summary>Calls back at fixed intended times, and catches up at once when it was late: the clock of an open loop.</summary>
internal sealed unsafe class Ticker : EventSource, IDisposable
{
    private readonly int _timer;
    private readonly long _start;
    private readonly long _period;
    private readonly Action<long> _tick;
    private long _ticks;
    private bool _stopped;

    /// <param name="loop">The loop that serves it.</param>
    /// <param name="perSecond">Ticks a second, above 0.</param>
    /// <param name="tick">Receives the intended time, a <see cref="Stopwatch"/> timestamp.</param>
    public Ticker(EventLoop loop, int perSecond, Action<long> tick)
    {
        _tick = tick;
        _period = Stopwatch.Frequency / perSecond;
        _start = Stopwatch.GetTimestamp() + _period;
        var periodNs = 1_000_000_000L / perSecond;
        _timer = Native.StartTimer(periodNs, periodNs);
        loop.Add(this, _timer);
    }

    public override void OnReady(uint events)
    {
        if (_stopped)
            return;

        ulong expirations;
        if (Native.Read(_timer, (byte*)&expirations, sizeof(ulong)) != sizeof(ulong))
            return;

        for (; expirations > 0; expirations--)
            _tick(_start + (_ticks++ * _period));
    }

    public void Dispose()
    {
        if (_stopped)
            return;

        _stopped = true;
        _ = Native.Close(_timer);
    }
}

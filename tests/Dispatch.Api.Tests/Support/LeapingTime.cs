namespace Dispatch.Api.Tests.Support;

/// <summary>The system's clock, which can be made to leap ahead: what is due by then is due at once.</summary>
public sealed class LeapingTime : TimeProvider
{
    private readonly Lock gate = new();
    private readonly HashSet<LeapingTimer> timers = [];
    private long leapt;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => System.GetUtcNow().AddTicks(Interlocked.Read(ref leapt));

    public override long GetTimestamp() => System.GetElapsedTime(0).Ticks + Interlocked.Read(ref leapt);

    public void Leap(TimeSpan by)
    {
        LeapingTimer[] all;
        lock (gate)
        {
            Interlocked.Add(ref leapt, by.Ticks);
            all = [.. timers];
        }

        foreach (var timer in all)
            timer.Leap();
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new LeapingTimer(this, callback, state);
        lock (gate)
            timers.Add(timer);
        timer.Change(dueTime, period);
        return timer;
    }

    private void Remove(LeapingTimer timer)
    {
        lock (gate)
            timers.Remove(timer);
    }

    private sealed class LeapingTimer : ITimer
    {
        private readonly LeapingTime clock;
        private readonly ITimer inner;
        private readonly Lock gate = new();
        private long due = long.MaxValue;
        private TimeSpan period;

        public LeapingTimer(LeapingTime clock, TimerCallback callback, object? state)
        {
            this.clock = clock;
            inner = System.CreateTimer(
                _ =>
                {
                    lock (gate)
                        due = period > TimeSpan.Zero ? clock.GetTimestamp() + period.Ticks : long.MaxValue;
                    callback(state);
                },
                null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (gate)
            {
                this.period = period;
                due = dueTime == Timeout.InfiniteTimeSpan ? long.MaxValue : clock.GetTimestamp() + dueTime.Ticks;
                return inner.Change(dueTime, period);
            }
        }

        public void Leap()
        {
            lock (gate)
            {
                if (due == long.MaxValue)
                    return;
                var left = TimeSpan.FromTicks(Math.Max(0, due - clock.GetTimestamp()));
                inner.Change(left, period);
            }
        }

        public void Dispose()
        {
            clock.Remove(this);
            inner.Dispose();
        }

        public ValueTask DisposeAsync()
        {
            clock.Remove(this);
            return inner.DisposeAsync();
        }
    }
}

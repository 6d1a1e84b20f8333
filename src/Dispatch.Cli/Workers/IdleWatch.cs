namespace Dispatch.Cli.Workers;

/// <summary>Notices that a worker has had nothing to do for a while. Thread safe.</summary>
/// <param name="time">Measures the while.</param>
internal sealed class IdleWatch(TimeProvider time)
{
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(50);

    private readonly Lock gate = new();
    private int busy;
    private bool connected;
    private long since;

    /// <summary>Something began that is work, or keeps work from arriving.</summary>
    public void Begin()
    {
        lock (gate)
            busy++;
    }

    /// <summary>It ended.</summary>
    public void End()
    {
        lock (gate)
        {
            busy--;
            since = time.GetTimestamp();
        }
    }

    /// <summary>Whether work can arrive: without a broker nobody is idle, only cut off.</summary>
    public void Connected(bool now)
    {
        lock (gate)
        {
            if (now && !connected)
                since = time.GetTimestamp();
            connected = now;
        }
    }

    /// <summary>Ends when there was nothing to do for a whole while, and nothing is on its way either.</summary>
    /// <param name="idle">The while.</param>
    /// <param name="nothingComes">Asks whether work is on its way: on a slow machine a while can pass between its assignment and its arrival.</param>
    /// <param name="stop">Ends the wait.</param>
    public async Task WaitAsync(TimeSpan idle, Func<CancellationToken, Task<bool>> nothingComes, CancellationToken stop)
    {
        using var timer = new PeriodicTimer(Glance, time);
        while (!IsIdle(idle) || !await nothingComes(stop) || !IsIdle(idle))
            await timer.WaitForNextTickAsync(stop);
    }

    private bool IsIdle(TimeSpan idle)
    {
        lock (gate)
            return connected && busy == 0 && time.GetElapsedTime(since) >= idle;
    }
}

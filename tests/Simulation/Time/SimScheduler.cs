namespace Dispatch.Simulation.Time;

/// <summary>
/// One thread, one order: everything that could run now waits here, the seed chooses what does, and when nothing is left
/// virtual time jumps to the next timer.
/// </summary>
internal sealed class SimScheduler(Random random)
{
    // Far more than any seed needs at one moment: past it something turns without waiting for anything.
    private const int MostStepsAtOnce = 500_000;

    private readonly List<(SimContext Context, SendOrPostCallback Callback, object? State)> ready = [];
    private readonly PriorityQueue<SimTimer, (long Due, long Order)> timers = new();
    private readonly int thread = Environment.CurrentManagedThreadId;
    private long order;
    private int stepsAtOnce;

    /// <summary>Monotonic virtual time in ticks of 100 ns.</summary>
    public long Ticks { get; private set; }

    public long Steps { get; private set; }

    public void Add(SimContext context, SendOrPostCallback callback, object? state)
    {
        if (Environment.CurrentManagedThreadId != thread)
            throw new InvalidOperationException("A continuation left the simulation and came back on another thread: it would not be repeatable.");
        ready.Add((context, callback, state));
    }

    public void Arm(SimTimer timer, long due) => timers.Enqueue(timer, (timer.Due = Math.Max(due, Ticks), timer.Order = ++order));

    /// <summary>Runs one thing that is ready, or lets time pass to the next timer. False when there is nothing left at all.</summary>
    public bool Step()
    {
        Steps++;
        if (ready.Count > 0)
        {
            if (++stepsAtOnce > MostStepsAtOnce)
                throw new InvalidOperationException("Something turns without end while no time passes.");
            var chosen = random.Next(ready.Count);
            var (context, callback, state) = ready[chosen];
            ready[chosen] = ready[^1];
            ready.RemoveAt(ready.Count - 1);
            context.Run(callback, state);
            return true;
        }

        stepsAtOnce = 0;
        while (timers.TryDequeue(out var timer, out var at))
        {
            // A timer that was moved or stopped left its old place behind.
            if (timer.Order != at.Order || !timer.Context.IsAlive)
                continue;
            Ticks = at.Due;
            timer.Fire();
            return true;
        }

        return false;
    }
}

/// <summary>
/// Where a process, or the world around it, goes on after each wait. A dead one goes on no more: what it was about to do never
/// happens. A frozen one goes on when it thaws, and finds that time has passed.
/// </summary>
internal sealed class SimContext(SimScheduler scheduler) : SynchronizationContext
{
    private readonly List<(SendOrPostCallback Callback, object? State)> frozen = [];
    private bool isFrozen;

    public bool IsAlive { get; private set; } = true;

    public void Die()
    {
        IsAlive = false;
        frozen.Clear();
    }

    public void Freeze() => isFrozen = true;

    public void Thaw()
    {
        isFrozen = false;
        foreach (var (callback, state) in frozen)
            scheduler.Add(this, callback, state);
        frozen.Clear();
    }

    public override void Post(SendOrPostCallback d, object? state)
    {
        if (IsAlive)
            scheduler.Add(this, d, state);
    }

    public override void Send(SendOrPostCallback d, object? state) => throw new NotSupportedException("Nothing here waits for another to finish.");

    public void Run(SendOrPostCallback callback, object? state)
    {
        if (!IsAlive)
            return;
        if (isFrozen)
        {
            frozen.Add((callback, state));
            return;
        }

        SetSynchronizationContext(this);
        callback(state);
        SetSynchronizationContext(null);
    }
}

/// <summary>A timer of virtual time, calling back where its context goes on.</summary>
internal sealed class SimTimer(SimScheduler scheduler, SimContext context, TimerCallback callback, object? state) : ITimer
{
    private long period;

    public SimContext Context => context;

    public long Due { get; set; }

    /// <summary>Changes with each arming; 0 when stopped.</summary>
    public long Order { get; set; }

    public bool Change(TimeSpan dueTime, TimeSpan period)
    {
        this.period = period == Timeout.InfiniteTimeSpan ? 0 : period.Ticks;
        if (dueTime == Timeout.InfiniteTimeSpan)
            Order = 0;
        else
            scheduler.Arm(this, scheduler.Ticks + dueTime.Ticks);
        return true;
    }

    public void Fire()
    {
        Order = 0;
        if (period > 0)
            scheduler.Arm(this, Due + period);
        context.Run(_ => callback(state), null);
    }

    public void Dispose() => Order = 0;

    public ValueTask DisposeAsync()
    {
        Dispose();
        return default;
    }
}

/// <summary>The two clocks: a monotonic one, which only the scheduler moves, and a wall clock that can be set.</summary>
/// <param name="deafFrom">Planted: timers made at this many ticks or later never fire.</param>
internal sealed class SimTimeProvider(SimScheduler scheduler, SimContext context, WallClock wall, long deafFrom = long.MaxValue) : TimeProvider
{
    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override long GetTimestamp() => scheduler.Ticks;

    public override DateTimeOffset GetUtcNow() => new(wall.Start + wall.Offset + scheduler.Ticks, TimeSpan.Zero);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new SimTimer(scheduler, context, callback, state);
        timer.Change(scheduler.Ticks < deafFrom ? dueTime : Timeout.InfiniteTimeSpan, period);
        return timer;
    }
}

/// <summary>The wall clock of the machine, which somebody may set while the broker runs.</summary>
internal sealed class WallClock
{
    /// <summary>Where it starts: 2026-01-01, in ticks.</summary>
    public long Start { get; } = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).Ticks;

    /// <summary>By how much it has been set forward, in ticks; negative: back.</summary>
    public long Offset { get; set; }
}

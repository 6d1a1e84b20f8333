namespace Dispatch.Simulation;

/// <summary>Breaks things: kills and stops the process and starts it again, freezes it, fills the disk, sets the clock.</summary>
internal sealed class Nemesis(Universe universe, Random random)
{
    private bool isOver;
    private int freezes;

    /// <summary>True once the process has been frozen: promises about elapsed time then don't bind it.</summary>
    public bool HasFrozen => freezes > 0;

    /// <summary>Keeps a broker running: a dead one is started again after a while.</summary>
    public async Task SuperviseAsync()
    {
        while (!isOver)
        {
            universe.Trace.Add("process.starts");
            var broker = universe.Broker = new Broker(universe, new Random(random.Next()));
            await broker.Died;
            universe.Trace.Add("process.ends");
            if (universe.Bug == Bug.LosesAcknowledgedCommit)
                universe.LoseTail(random);
            await universe.CheckStoreAsync();
            await universe.DelayAsync(random.Pick([5, 300, 3_000]));
        }
    }

    public async Task RageAsync()
    {
        var weather = universe.Weather;
        while (!isOver)
        {
            await universe.DelayAsync(random.NextDouble() * 4_000);
            if (isOver)
                return;
            switch (random.Next(7))
            {
                case 0 when weather.Crashes:
                    universe.Trace.Add("nemesis.kills");
                    universe.Broker?.Die();
                    break;
                case 1 when weather.Stops:
                    universe.Trace.Add("nemesis.stops");
                    universe.Broker?.Stop(TimeSpan.FromSeconds(random.Pick([1, 10])));
                    break;
                case 2 when weather.Freezes:
                    await FreezeAsync();
                    break;
                case 3 when weather.DiskFills:
                    universe.Machine.DiskIsFull = true;
                    await universe.DelayAsync(random.Next(1_000));
                    universe.Machine.DiskIsFull = false;
                    break;
                case 4 when weather.ClockIsSet:
                    SetClock();
                    break;
                case 5:
                    await universe.CheckStoreAsync();
                    break;
            }
        }
    }

    /// <summary>Lets everything be well: no more breaking; what was broken stays repaired.</summary>
    public void End() => isOver = true;

    private async Task FreezeAsync()
    {
        if (universe.Broker is not { IsDead: false } broker)
            return;
        freezes++;
        universe.Reached(Situation.ProcessFroze);
        broker.Freeze();
        await universe.DelayAsync(random.Next((int)universe.Weather.State.LeaseMs * 2));
        broker.Thaw();
    }

    private void SetClock()
    {
        var by = TimeSpan.FromMilliseconds(random.Pick([50, 2_000, 60_000, 3_600_000]) * random.NextDouble());
        var back = random.Chance(0.5);
        universe.Reached(back ? Situation.ClockSetBack : Situation.ClockSetForward);
        universe.Wall.Offset += back ? -by.Ticks : by.Ticks;
        universe.Trace.Add("nemesis.sets_clock", null, null, back ? -by.Ticks : by.Ticks);
    }
}

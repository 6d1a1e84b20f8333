using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Os;

/// <summary>
/// Tells systemd, as long as the sequencer turns, that the process works. When it stands still, in the store or in itself, nothing is told, and systemd
/// ends the process and starts it again, from what is durable. A store that only refuses is no reason: the sequencer turns.
/// </summary>
internal sealed class Watchdog(ServiceSocket service, Func<TimeSpan> stillness, TimeProvider clock, ILogger logger)
{
    /// <summary>The loop turns at least every tick, which is configured; this long without a turn, it hangs.</summary>
    public static readonly TimeSpan LongestTurn = TimeSpan.FromSeconds(15);

    private bool isWithheld;

    /// <summary>Runs until it is stopped; ends at once when systemd does not ask for it.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        if (service.Watchdog is not { } period)
            return;
        using var timer = new PeriodicTimer(period, clock);
        try
        {
            do
                RunOnce();
            while (await timer.WaitForNextTickAsync(stop));
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Stopped.
        }
    }

    /// <summary>Looks once, and tells or does not.</summary>
    public void RunOnce()
    {
        var still = stillness();
        if (still <= LongestTurn)
            service.Alive();
        else if (!isWithheld)
            logger.WatchdogWithheld((int)still.TotalSeconds);
        isWithheld = still > LongestTurn;
    }
}

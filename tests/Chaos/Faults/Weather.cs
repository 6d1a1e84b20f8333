namespace Dispatch.Chaos.Faults;

/// <summary>A network with moods: one fault after another, as chance has it, with good moments in between, until it is told to stop. Then it is good again.</summary>
/// <param name="chance">The same seed draws the same faults in the same order.</param>
public sealed class Weather(FaultProxy proxy, Random chance)
{
    // Well below a lease: what is tested is a bad network, not one that is gone.
    private const int LongestMs = 300;

    /// <summary>Faults so far.</summary>
    public int Spells { get; private set; }

    /// <summary>Runs until it is stopped.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                await Task.Delay(chance.Next(20, LongestMs), stop);
                await SpellAsync(chance.Next(7), stop);
                Spells++;
                proxy.Heal();
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            proxy.Heal();
        }
    }

    private Task SpellAsync(int kind, CancellationToken stop)
    {
        switch (kind)
        {
            case 0:
                proxy.Cut();
                return Task.CompletedTask;
            case 1:
                proxy.Delay(Flow.ToTarget, TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(40));
                proxy.Delay(Flow.ToClient, TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(40));
                return Task.Delay(LongestMs, stop);
            case 2:
                // Done, and nobody is told.
                proxy.Swallow(Flow.ToClient);
                return Task.Delay(chance.Next(LongestMs), stop);
            case 3:
                proxy.Swallow(Flow.ToTarget);
                return Task.Delay(chance.Next(LongestMs), stop);
            case 4:
                proxy.RefuseNew();
                proxy.Cut();
                return Task.Delay(chance.Next(LongestMs), stop);
            case 5:
                // The one answer that says it was accepted is lost.
                return UntilCutAsync(proxy.CutAtAsync(Flow.ToClient, "HTTP/1.1 201"u8, CutPoint.Before, cancel: stop), stop);
            default:
                // The head of a request arrives, its body does not.
                return UntilCutAsync(proxy.CutAtAsync(Flow.ToTarget, "\r\n\r\n"u8, CutPoint.After, chance.Next(1, 4), stop), stop);
        }
    }

    // A trap that nobody steps into is taken away by healing.
    private static Task UntilCutAsync(Task cut, CancellationToken stop) => Task.WhenAny(cut, Task.Delay(LongestMs, stop));
}

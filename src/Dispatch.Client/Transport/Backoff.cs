namespace Dispatch.Client;

/// <summary>How long to stay away after a failure: doubling, capped, with full jitter. Safe to share.</summary>
internal sealed class Backoff(TimeSpan first, TimeSpan cap, Random random)
{
    private readonly Lock gate = new();

    /// <param name="failures">How many failures in a row, from 1.</param>
    /// <param name="asked">What the broker asked for; it is kept to, plus up to a quarter so that callers do not all return at once.</param>
    public TimeSpan Pause(int failures, TimeSpan? asked = null)
    {
        double share;
        lock (gate)
            share = random.NextDouble();
        if (asked is { } least)
            return least + (least * (share / 4));
        var ceiling = first * Math.Pow(2, Math.Min(failures - 1, 30));
        return (ceiling < cap ? ceiling : cap) * share;
    }
}

namespace Dispatch.Chaos.Faults;

/// <summary>What one direction suffers at the moment.</summary>
/// <param name="BytesPerSecond">0 is no limit.</param>
internal sealed record LinkFaults(Latency Latency, int BytesPerSecond, bool IsSwallowing)
{
    public static readonly LinkFaults None = new(Latency.None, 0, IsSwallowing: false);
}

/// <summary>A delay, and what chance adds to it.</summary>
internal sealed record Latency
{
    public static readonly Latency None = new(TimeSpan.Zero, TimeSpan.Zero);

    private static readonly TimeSpan Longest = TimeSpan.FromHours(1);

    private readonly TimeSpan delay;
    private readonly TimeSpan jitter;

    /// <exception cref="ArgumentOutOfRangeException">One of them is negative or above an hour.</exception>
    public Latency(TimeSpan delay, TimeSpan jitter)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(delay, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(delay, Longest);
        ArgumentOutOfRangeException.ThrowIfLessThan(jitter, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(jitter, Longest);
        (this.delay, this.jitter) = (delay, jitter);
    }

    /// <summary>From the delay to delay and jitter together, evenly.</summary>
    public TimeSpan Draw(Random chance) => jitter == TimeSpan.Zero ? delay : delay + (jitter * chance.NextDouble());
}

namespace Dispatch.Host.Auth;

/// <summary>
/// One caller's allowance: a token bucket kept as one number, the time at which it will be full again (the generic cell rate
/// algorithm). Taking is one compare-and-swap, without a lock, a timer or an allocation.
/// </summary>
public struct CallerRate
{
    private long fullAt;

    /// <summary>Takes one request, or tells how long to wait for one.</summary>
    /// <param name="now">A monotonic time stamp.</param>
    /// <param name="perRequest">Time stamp ticks in which one request is earned; 0 is no limit.</param>
    /// <param name="burst">Ticks in which a whole burst is earned.</param>
    /// <returns>0, or the ticks until a request will be there.</returns>
    public long Take(long now, long perRequest, long burst)
    {
        while (true)
        {
            long seen = Volatile.Read(ref fullAt);
            // No emptier than empty, which it may have been by a larger burst.
            long next = Math.Clamp(seen, now, now + burst) + perRequest;
            if (next - now > burst)
                return next - now - burst;
            if (Interlocked.CompareExchange(ref fullAt, next, seen) == seen)
                return 0;
        }
    }

    /// <summary>Whether it is full, so that a new one would do as well.</summary>
    public readonly bool IsFull(long now) => Volatile.Read(in fullAt) <= now;
}

namespace Dispatch.Webhooks;

/// <summary>When a failed delivery is tried again, and when it is given up.</summary>
public static class RetrySchedule
{
    public const long BaseMs = 5_000;

    public const long CapMs = 1_800_000;

    /// <summary>Least delay: full jitter may come close to none.</summary>
    public const long LeastMs = 1_000;

    /// <summary>The longest wait that a receiver may ask for with Retry-After.</summary>
    public const long RetryAfterCapMs = 3_600_000;

    /// <summary>An event that failed first this long ago disables its endpoint.</summary>
    public const long GiveUpMs = 86_400_000;

    /// <summary>
    /// Delay in milliseconds after so many failures of one event, 1 or more: uniform between <see cref="LeastMs"/> and
    /// <c>min(5 s * 2^(failures - 1), 30 min)</c>; not less than what the receiver asked for, as far as an hour.
    /// </summary>
    public static long DelayMs(int failures, long? retryAfterMs, Random random)
    {
        var bound = Math.Min(CapMs, BaseMs << Math.Clamp(failures - 1, 0, 20));
        var delay = random.NextInt64(LeastMs, bound + 1);
        return Math.Max(delay, Math.Clamp(retryAfterMs ?? 0, 0, RetryAfterCapMs));
    }

    public static bool IsOver(long failingSince, long now) => now - failingSince >= GiveUpMs;
}

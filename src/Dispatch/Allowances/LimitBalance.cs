namespace Dispatch.Allowances;

/// <summary>What is used and reserved of a limit by one target. Times are Unix milliseconds.</summary>
public sealed record LimitBalance
{
    /// <summary>The limit's id; behind a slash the target, when the limit is for each.</summary>
    public required string Key { get; init; }

    public required string Limit { get; init; }

    /// <summary>The agent, owner, team or task; empty for the swarm.</summary>
    public required string Target { get; init; }

    /// <summary>Of a calendar window; 0 while none has begun.</summary>
    public long WindowStart { get; init; }

    public long WindowEnd { get; init; }

    /// <summary>In the window; of a rolling one as of the last booking.</summary>
    public long Used { get; init; }

    /// <summary>Kept for work in hand.</summary>
    public long Reserved { get; init; }

    /// <summary>Of a rolling window: the steps in which something was used, oldest first, and how much.</summary>
    public IReadOnlyList<RollingStep> Steps { get; init; } = [];

    /// <summary>No new work before this time.</summary>
    public long CooldownUntil { get; init; }

    /// <summary>The warning of this window was raised.</summary>
    public bool Warned { get; init; }

    /// <summary>That it binds was told in this window.</summary>
    public bool Exceeded { get; init; }
}

/// <param name="Step">Unix milliseconds by the length of a step.</param>
public readonly record struct RollingStep(long Step, long Used);

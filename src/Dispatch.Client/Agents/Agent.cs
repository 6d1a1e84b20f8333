namespace Dispatch.Client;

/// <summary>An agent as the broker knows it.</summary>
public sealed record Agent
{
    public required string Id { get; init; }
    public IReadOnlyList<string> Capabilities { get => field ?? []; init; }
    public string? Owner { get; init; }
    public IReadOnlyDictionary<string, string> Labels { get => field ?? EmptyLabels; init; }

    /// <summary>How many tasks it takes at once.</summary>
    public int MaxConcurrent { get; init; }

    /// <summary>One of <see cref="AgentStatus"/>.</summary>
    public required string Status { get; init; }

    /// <summary>How many tasks it holds.</summary>
    public int Active { get; init; }

    /// <summary>True when an operator has stopped giving it work.</summary>
    public bool Drained { get; init; }
    public DateTimeOffset? RegisteredAt { get; init; }
    public DateTimeOffset? LastSeenAt { get; init; }
    public WakeTarget? Wake { get; init; }

    private static readonly Dictionary<string, string> EmptyLabels = [];
}

/// <summary>What an agent says of itself when it registers. Registering again replaces all of it.</summary>
public sealed record AgentRegistration
{
    public IReadOnlyList<string> Capabilities { get; init; } = [];
    public string? Owner { get; init; }
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary>Tasks at once; the broker's default (3) when null.</summary>
    public int? MaxConcurrent { get; init; }

    /// <summary>One of <see cref="AgentStatus"/>; <see cref="AgentStatus.Ready"/> when null.</summary>
    public string? Status { get; init; }
    public WakeTarget? Wake { get; init; }
}

/// <summary>How a sleeping agent can be woken.</summary>
/// <param name="Url">The address that is called.</param>
public sealed record WakeTarget(string? Url);

/// <summary>The names of the states an agent can be in.</summary>
public static class AgentStatus
{
    public const string Ready = "ready";
    public const string Busy = "busy";
    public const string Sleeping = "sleeping";
    public const string Degraded = "degraded";

    /// <summary>Set by the broker when the agent's lease ran out; an agent never says it of itself.</summary>
    public const string Offline = "offline";
}

/// <summary>Which agents a list is to hold.</summary>
public sealed record AgentFilter
{
    public string? Capability { get; init; }
    public string? Status { get; init; }
    public string? Owner { get; init; }
}

/// <summary>The broker's answer to a sign of life.</summary>
public sealed record HeartbeatAnswer
{
    public required Agent Agent { get; init; }
    public DateTimeOffset? LeaseExpiresAt { get; init; }

    /// <summary>True when a sleeping agent is asked to say that it is ready.</summary>
    public bool Wake { get; init; }

    /// <summary>What it holds and nobody wants any more.</summary>
    public IReadOnlyList<CancelledWork> Cancelled { get => field ?? []; init; }
}

/// <summary>A task an agent holds that is no longer wanted.</summary>
public sealed record CancelledWork
{
    public required string TaskId { get; init; }
    public int Attempt { get; init; }
    public string? Reason { get; init; }
}

/// <summary>An agent has left.</summary>
public sealed record Departure
{
    public string? Id { get; init; }

    /// <summary>How many tasks went back to the queue.</summary>
    public int Returned { get; init; }
}

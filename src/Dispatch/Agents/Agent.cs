using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Agents;

[JsonConverter(typeof(SnakeCaseEnumConverter<AgentStatus>))]
public enum AgentStatus : byte
{
    Ready,

    /// <summary>Works on something of its own; takes more up to its limit, at half the score.</summary>
    Busy,

    /// <summary>Can be woken.</summary>
    Sleeping,

    /// <summary>Alive but not able to work; gets nothing.</summary>
    Degraded,

    /// <summary>Showed no sign of life for a whole lease.</summary>
    Offline,
}

/// <summary>A registered agent. Times are Unix milliseconds.</summary>
public sealed record Agent
{
    public required string Id { get; init; }

    public required string[] Capabilities { get; init; }

    public string? Owner { get; init; }

    /// <summary>Object of string to string.</summary>
    public JsonBytes? Labels { get; init; }

    /// <summary>How many tasks it may hold at once, 1..10,000.</summary>
    public required int MaxConcurrent { get; init; }

    public required AgentStatus Status { get; init; }

    /// <summary>An admin stopped giving it work. Survives restarts and re-registration.</summary>
    public bool Drained { get; init; }

    /// <summary>Where it can be woken by a call, or null.</summary>
    public string? WakeUrl { get; init; }

    public required long RegisteredAt { get; init; }

    /// <summary>When its status last changed.</summary>
    public required long StatusAt { get; init; }

    public long LastSequence { get; init; }
}

/// <summary>A bearer token that proves one agent's identity. Only a hash of the secret is kept.</summary>
/// <param name="Id">Public id of the token, for listing and revoking.</param>
/// <param name="Hash">Lower-case hexadecimal SHA-256 of the secret.</param>
/// <param name="Agent">The one agent it belongs to.</param>
/// <param name="ExpiresAt">Unix milliseconds, or null for never.</param>
/// <param name="RevokedAt">Unix milliseconds, or null while valid.</param>
public sealed record AgentToken(string Id, string Hash, string Agent, string? Name, long CreatedAt, long? ExpiresAt, long? RevokedAt, long LastSequence);

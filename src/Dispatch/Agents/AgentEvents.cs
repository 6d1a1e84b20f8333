using System.Text.Json.Serialization;
using Dispatch.Events;
using Dispatch.Tasks;

namespace Dispatch.Agents;

/// <summary>The events of agents and their tokens. JSON names are the public contract: additive changes only.</summary>
public abstract record AgentEvent(EventKind Kind) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds =
    [
        AgentRegistered.Is, AgentStatusChanged.Is, AgentOffline.Is, AgentDeregistered.Is, AgentDrained.Is, AgentResumed.Is, AgentWakeRequested.Is,
        AgentWoken.Is, AgentWakeFailed.Is, TokenCreated.Is, TokenRevoked.Is,
    ];
}

/// <summary>An agent registered, or replaced its registration.</summary>
public sealed record AgentRegistered(
    string[] Capabilities, string? Owner, JsonBytes? Labels, int MaxConcurrent, AgentStatus Status, string? WakeUrl) : AgentEvent(Is)
{
    public static readonly EventKind Is = new("agent.registered", "agents", AgentEventJson.Default.AgentRegistered);
}

/// <summary>The agent said that it is now in another state.</summary>
public sealed record AgentStatusChanged(AgentStatus From, AgentStatus To) : AgentEvent(Is)
{
    public static readonly EventKind Is = new("agent.status_changed", "agents", AgentEventJson.Default.AgentStatusChanged);
}

/// <summary>No sign of life for <c>silent_ms</c>; what it held went back to the queue.</summary>
public sealed record AgentOffline(long SilentMs) : AgentEvent(Is)
{
    public static readonly EventKind Is = new("agent.offline", "agents", AgentEventJson.Default.AgentOffline);
}

/// <summary>It left (<c>left</c>) or was forgotten after a long silence (<c>reaped</c>).</summary>
public sealed record AgentDeregistered(string Reason) : AgentEvent(Is)
{
    public static readonly EventKind Is = new("agent.deregistered", "agents", AgentEventJson.Default.AgentDeregistered);
}

/// <summary>The agent is given no more work; what it holds it may finish, or was handed back.</summary>
public sealed record AgentDrained() : AgentEvent(Is)
{
    public static readonly EventKind Is = new("agent.drained", "agents", AgentEventJson.Default.AgentDrained);
}

/// <summary>The agent is given work again.</summary>
public sealed record AgentResumed() : AgentEvent(Is)
{
    public static readonly EventKind Is = new("agent.resumed", "agents", AgentEventJson.Default.AgentResumed);
}

/// <summary>A sleeping agent was chosen and is asked to wake; the task waits for it.</summary>
public sealed record AgentWakeRequested(TaskId TaskId) : AgentEvent(Is)
{
    public static readonly EventKind Is = new("agent.wake_requested", "agents", AgentEventJson.Default.AgentWakeRequested);
}

/// <summary>A sleeping agent that a task waited for is ready.</summary>
public sealed record AgentWoken() : AgentEvent(Is)
{
    public static readonly EventKind Is = new("agent.woken", "agents", AgentEventJson.Default.AgentWoken);
}

/// <summary>It did not wake in time; the next candidate is taken.</summary>
public sealed record AgentWakeFailed(long WaitedMs) : AgentEvent(Is)
{
    public static readonly EventKind Is = new("agent.wake_failed", "agents", AgentEventJson.Default.AgentWakeFailed);
}

/// <summary>An admin made a token. The subject is the token's public id; the hash does not reveal the secret.</summary>
public sealed record TokenCreated(string Hash, string Agent, string? Name, long? ExpiresAt) : AgentEvent(Is)
{
    public static readonly EventKind Is = new("token.created", "agents", AgentEventJson.Default.TokenCreated) { IsInternal = true };
}

/// <summary>The token is refused from now on.</summary>
public sealed record TokenRevoked() : AgentEvent(Is)
{
    public static readonly EventKind Is = new("token.revoked", "agents", AgentEventJson.Default.TokenRevoked) { IsInternal = true };
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AgentRegistered))]
[JsonSerializable(typeof(AgentStatusChanged))]
[JsonSerializable(typeof(AgentOffline))]
[JsonSerializable(typeof(AgentDeregistered))]
[JsonSerializable(typeof(AgentDrained))]
[JsonSerializable(typeof(AgentResumed))]
[JsonSerializable(typeof(AgentWakeRequested))]
[JsonSerializable(typeof(AgentWoken))]
[JsonSerializable(typeof(AgentWakeFailed))]
[JsonSerializable(typeof(TokenCreated))]
[JsonSerializable(typeof(TokenRevoked))]
internal sealed partial class AgentEventJson : JsonSerializerContext;

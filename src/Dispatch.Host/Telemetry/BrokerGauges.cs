using Dispatch.Agents;
using Dispatch.Tasks;

namespace Dispatch.Host.Telemetry;

/// <summary>What the broker holds at one moment, as the gauges show it.</summary>
/// <param name="Tasks">Tasks in each state, indexed by <see cref="TaskState"/>.</param>
/// <param name="Agents">Agents in each status, indexed by <see cref="AgentStatus"/>.</param>
/// <param name="QueueDepth">Commands that wait for the sequencer.</param>
/// <param name="OldestPendingMs">How long the oldest pending task has waited; 0 when none waits.</param>
/// <param name="Sequence">Last sequence number of the log.</param>
/// <param name="DeadLetters">Dead letters.</param>
public sealed record BrokerGauges(
    IReadOnlyList<long> Tasks, IReadOnlyList<long> Agents, int QueueDepth, long OldestPendingMs, long Sequence, long DeadLetters);

/// <summary>What is kept of the log, as the gauges show it.</summary>
/// <param name="Horizon">Sequence of the oldest event that is kept.</param>
/// <param name="Bytes">What the kept events take.</param>
/// <param name="HeldBack">Events that are kept only because a follower needs them.</param>
public sealed record LogGauges(long Horizon, long Bytes, long HeldBack);

/// <summary>How many webhooks are told of events, as the gauges show it.</summary>
/// <param name="Delivering">Enabled, and the last delivery was taken, or there was none.</param>
/// <param name="Failing">Enabled, and the event it is at is tried again.</param>
/// <param name="Disabled">By somebody, or because deliveries failed for too long.</param>
internal sealed record WebhookGauges(int Delivering, int Failing, int Disabled);

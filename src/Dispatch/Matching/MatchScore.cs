using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Matching;

/// <summary>
/// Why an agent was chosen: <c>score = capability_match x availability x priority_weight</c>.
/// </summary>
/// <param name="CapabilityMatch">1.0 when all required capabilities are held, up to 1.25 with the preferred ones.</param>
/// <param name="Availability">ready 1.0, sleeping 0.8, busy under its limit 0.5.</param>
/// <param name="PriorityWeight">1 + priority x 0.05.</param>
/// <param name="Active">Tasks it held before this one.</param>
/// <param name="MaxConcurrent">How many it may hold.</param>
/// <param name="Candidates">Agents that can do it, this one included, busy ones too.</param>
public sealed record MatchScore(
    double Score, double CapabilityMatch, double Availability, double PriorityWeight, int Active, int MaxConcurrent, int Candidates);

/// <summary>Why a task waits, or why an agent can't take it.</summary>
[JsonConverter(typeof(SnakeCaseEnumConverter<WaitReason>))]
public enum WaitReason : byte
{
    None,
    NoAgents,
    NoCapability,
    OwnerFilter,
    Drained,
    Offline,
    Degraded,
    AllBusy,
    Dependency,
    NotDue,
    Backoff,
    Waking,
    WakeFailed,
    Assigned,
    Final,
}

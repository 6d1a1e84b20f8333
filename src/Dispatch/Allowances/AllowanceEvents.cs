using System.Text.Json.Serialization;
using Dispatch.Events;
using Dispatch.Tasks;

namespace Dispatch.Allowances;

/// <summary>
/// The events of allowances. What a task reserves and spends is told by its own events (<c>reserved</c> of task.assigned, <c>spent</c> of those that
/// end the attempt), so that a task and its charge can't disagree. JSON names are the public contract: additive changes only.
/// </summary>
public abstract record AllowanceEvent(EventKind Kind) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds =
        [AllowanceSet.Is, AllowanceDeleted.Is, AllowanceReset.Is, AllowanceWarning.Is, AllowanceExceeded.Is, AllowanceCommitted.Is];
}

/// <summary>An admin set a limit, or changed it: what is used and reserved stays as it is. The subject is the limit's id.</summary>
/// <param name="Target">An agent, an owner, a team, or <c>*</c> for each that has none of its own; absent for the swarm.</param>
/// <param name="Amount">In the unit; money in micro-units.</param>
/// <param name="Allow">With unit <c>models</c>: the only ones allowed.</param>
/// <param name="Deny">With unit <c>models</c>: those that are not.</param>
public sealed record AllowanceSet(
    LimitLevel Level, string? Target, LimitUnit Unit, long Amount, LimitWindow Window, string? Model, string? Repo, int SoftPercent, OnExceed OnExceed,
    string[]? Allow, string[]? Deny) : AllowanceEvent(Is)
{
    public static readonly EventKind Is = new("allowance.set", "allowances", AllowanceEventJson.Default.AllowanceSet);
}

/// <summary>A limit is no more; what waited for it is looked at again.</summary>
public sealed record AllowanceDeleted() : AllowanceEvent(Is)
{
    public static readonly EventKind Is = new("allowance.deleted", "allowances", AllowanceEventJson.Default.AllowanceDeleted);
}

/// <summary>
/// A new window began, at its first use or when it is due. The subject is the balance: the limit's id, and behind a slash whose it is when the limit is for
/// each. What is reserved counts in the new window.
/// </summary>
/// <param name="WindowStart">Unix milliseconds.</param>
/// <param name="WindowEnd">Unix milliseconds: when the next begins.</param>
/// <param name="Used">What was used in the window before; absent when there was none.</param>
public sealed record AllowanceReset(long WindowStart, long WindowEnd, long? Used) : AllowanceEvent(Is)
{
    public static readonly EventKind Is = new("allowance.reset", "allowances", AllowanceEventJson.Default.AllowanceReset);
}

/// <summary>So much was used that the soft limit is reached: once in a window.</summary>
/// <param name="ResetsAt">Unix milliseconds; absent when it never does.</param>
/// <param name="ExhaustedAt">When the limit is reached if spending goes on as in this window, Unix milliseconds; absent when that is not before the reset.</param>
public sealed record AllowanceWarning(LimitUnit Unit, long Amount, long Used, long Reserved, int SoftPercent, long? ResetsAt, long? ExhaustedAt) : AllowanceEvent(Is)
{
    public static readonly EventKind Is = new("allowance.warning", "allowances", AllowanceEventJson.Default.AllowanceWarning);
}

/// <summary>The limit binds: it is used up, or what is left is too little for work that waits. Once in a window.</summary>
/// <param name="Overshoot">Used beyond the limit by work that was under way.</param>
/// <param name="ResetsAt">Unix milliseconds; absent when it never does.</param>
public sealed record AllowanceExceeded(LimitUnit Unit, long Amount, long Used, long Reserved, long Overshoot, long? ResetsAt) : AllowanceEvent(Is)
{
    public static readonly EventKind Is = new("allowance.exceeded", "allowances", AllowanceEventJson.Default.AllowanceExceeded);
}

/// <summary>Spending was reported apart from the end of a task, by the agent or for it. The subject is the agent's id.</summary>
/// <param name="Id">The reporter's own id for it: a repeat changes nothing.</param>
/// <param name="Reporter">Who reported it: an agent id, or <c>admin</c>.</param>
/// <param name="BodyHash">Hash of the request in canonical form.</param>
/// <param name="Task">The task it was for.</param>
/// <param name="Attempt">The attempt it was for: what it had reserved is used first.</param>
/// <param name="Usage">What was used, by name.</param>
/// <param name="Spent">What was booked, by balance.</param>
/// <param name="InHand">True when the attempt was in hand and had something reserved: what it spent counts this too. Absent otherwise.</param>
public sealed record AllowanceCommitted(
    string Id, string Reporter, string BodyHash, TaskId? Task, int? Attempt, string? Model, JsonBytes Usage, Amounts Spent, bool? InHand = null) : AllowanceEvent(Is)
{
    public static readonly EventKind Is = new("allowance.committed", "allowances", AllowanceEventJson.Default.AllowanceCommitted);
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AllowanceSet))]
[JsonSerializable(typeof(AllowanceDeleted))]
[JsonSerializable(typeof(AllowanceReset))]
[JsonSerializable(typeof(AllowanceWarning))]
[JsonSerializable(typeof(AllowanceExceeded))]
[JsonSerializable(typeof(AllowanceCommitted))]
internal sealed partial class AllowanceEventJson : JsonSerializerContext;

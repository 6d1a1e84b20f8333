using System.Text.Json.Serialization;

namespace Dispatch.Chaos.Histories;

/// <summary>What a 2xx answer said.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "is")]
[JsonDerivedType(typeof(Submitted), "submitted")]
[JsonDerivedType(typeof(Seen), "seen")]
[JsonDerivedType(typeof(Exchanged), "exchanged")]
[JsonDerivedType(typeof(Done), "done")]
public abstract record Answer
{
    /// <param name="Ids">The tasks' ids in the order submitted.</param>
    /// <param name="Existed">200: they were there before.</param>
    public sealed record Submitted(IReadOnlyList<string> Ids, bool Existed) : Answer;

    public sealed record Seen(Sight Task) : Answer;

    /// <param name="Statuses">accepted, unchanged, stale or unknown, in the order reported.</param>
    /// <param name="Grants">Work handed to the agent.</param>
    public sealed record Exchanged(IReadOnlyList<string> Statuses, IReadOnlyList<Grant> Grants) : Answer;

    public sealed record Done : Answer;
}

/// <summary>A task as somebody saw it.</summary>
/// <param name="Result">The token in its result, or null.</param>
public sealed record Sight(string Id, string Status, int Attempt, string? Result)
{
    public bool IsFinal => TaskStatus.IsFinal(Status);
}

/// <summary>An agent was given this attempt of this task.</summary>
public sealed record Grant(string Task, int Attempt);

/// <summary>The names of the states on the wire.</summary>
public static class TaskStatus
{
    public const string Completed = "completed";
    public const string Failed = "failed";
    public const string Timeout = "timeout";
    public const string Cancelled = "cancelled";

    public static readonly IReadOnlyList<string> Open = ["scheduled", "blocked", "pending", "assigned", "running"];

    public static bool IsFinal(string status) => status is Completed or Failed or Timeout or Cancelled;
}

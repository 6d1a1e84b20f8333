using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Questions;

/// <summary>The events of questions; the subject is the question's id. JSON names are the public contract: additive changes only.</summary>
public abstract record QuestionEvent(EventKind Kind) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds = [QuestionAsked.Is, QuestionAnswered.Is, QuestionExpired.Is, QuestionWithdrawn.Is];
}

/// <summary>Somebody wants to take a step and asks first. Nothing is done before the outcome is known.</summary>
/// <param name="Type">What kind of step, dotted: <c>tool.execution_requested</c>, <c>task.confirmation</c>.</param>
/// <param name="About">Id of what it is about.</param>
/// <param name="Asker">An agent id, or <c>admin</c>.</param>
/// <param name="Proposal">What is to be done.</param>
/// <param name="Default">Stands for answers that are missing at the deadline: deny, or allow.</param>
/// <param name="Awaited">The responders that are waited for; absent: the first answer settles it.</param>
/// <param name="ExpiresAt">The deadline, Unix milliseconds.</param>
public sealed record QuestionAsked(string Type, string About, string Asker, JsonBytes Proposal, Verdict Default, string[]? Awaited, long ExpiresAt) : QuestionEvent(Is)
{
    public static readonly EventKind Is = new("question.asked", "questions", QuestionEventJson.Default.QuestionAsked);
}

/// <summary>A responder answered. With an <c>outcome</c> it is settled: deny wins over modify, modify over allow, two modifications count as deny.</summary>
/// <param name="Responder">An agent id, or <c>admin</c>.</param>
/// <param name="Reason">Its words.</param>
/// <param name="Replacement">What it wants done instead, with <c>modify</c>.</param>
/// <param name="Outcome">What all answers together came to; absent while others are waited for.</param>
/// <param name="OutcomeReason">Why, in words.</param>
public sealed record QuestionAnswered(
    string Responder, Verdict Answer, string? Reason, JsonBytes? Replacement, Verdict? Outcome, string? OutcomeReason) : QuestionEvent(Is)
{
    public static readonly EventKind Is = new("question.answered", "questions", QuestionEventJson.Default.QuestionAnswered);
}

/// <summary>The deadline passed; the default stood for the answers that were missing.</summary>
public sealed record QuestionExpired(Verdict Outcome, string? Reason) : QuestionEvent(Is)
{
    public static readonly EventKind Is = new("question.expired", "questions", QuestionEventJson.Default.QuestionExpired);
}

/// <summary>The step is off: who asked took it back, or what it was about is no more.</summary>
public sealed record QuestionWithdrawn(string Reason) : QuestionEvent(Is)
{
    public static readonly EventKind Is = new("question.withdrawn", "questions", QuestionEventJson.Default.QuestionWithdrawn);
}

/// <summary>The events about responders; the subject is the agent's id.</summary>
public abstract record ResponderEvent(EventKind Kind) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds = [ResponderRegistered.Is, ResponderRemoved.Is];
}

/// <summary>An admin registered a responder, or replaced its registration: questions of these types wait for its answer from now on.</summary>
/// <param name="Types">Sorted; exact, or all below a name (<c>tool.*</c>).</param>
public sealed record ResponderRegistered(string[] Types) : ResponderEvent(Is)
{
    public static readonly EventKind Is = new("responder.registered", "questions", QuestionEventJson.Default.ResponderRegistered);
}

/// <summary>It may answer no more, and nothing waits for it.</summary>
public sealed record ResponderRemoved() : ResponderEvent(Is)
{
    public static readonly EventKind Is = new("responder.removed", "questions", QuestionEventJson.Default.ResponderRemoved);
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(QuestionAsked))]
[JsonSerializable(typeof(QuestionAnswered))]
[JsonSerializable(typeof(QuestionExpired))]
[JsonSerializable(typeof(QuestionWithdrawn))]
[JsonSerializable(typeof(ResponderRegistered))]
[JsonSerializable(typeof(ResponderRemoved))]
internal sealed partial class QuestionEventJson : JsonSerializerContext;

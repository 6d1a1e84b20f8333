using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Questions;

/// <summary>What a responder says to a step that is about to be taken.</summary>
[JsonConverter(typeof(SnakeCaseEnumConverter<Verdict>))]
public enum Verdict : byte
{
    /// <summary>Take it.</summary>
    Allow,

    /// <summary>Leave it.</summary>
    Deny,

    /// <summary>Take it, changed as the replacement says.</summary>
    Modify,
}

[JsonConverter(typeof(SnakeCaseEnumConverter<QuestionStatus>))]
public enum QuestionStatus : byte
{
    /// <summary>Waits for answers, until its deadline.</summary>
    Open,

    /// <summary>The answers settled it.</summary>
    Answered,

    /// <summary>Its deadline passed; its default is its outcome.</summary>
    Expired,

    /// <summary>The step is off: who asked took it back, or what it was about is no more. There is no outcome.</summary>
    Withdrawn,
}

/// <summary>
/// Asked before a step is taken: what is asked about, by whom, who has answered what, and what came of it. What exactly is proposed only readers
/// need; the store has it. Times are Unix milliseconds; 0 means none.
/// </summary>
public sealed record Question
{
    /// <summary>The type of the broker's own question about a task that was submitted with <c>confirm</c>.</summary>
    public const string TaskConfirmation = "task.confirmation";

    public required string Id { get; init; }

    /// <summary>Sequence of its question.asked event: unique, and rising with the order of asking.</summary>
    public required long Number { get; init; }

    /// <summary>What kind of step, dotted: <c>tool.execution_requested</c>. Responders register for types.</summary>
    public required string Type { get; init; }

    /// <summary>Id of what the step is about: a task, a tool call.</summary>
    public required string About { get; init; }

    public string? Session { get; init; }

    /// <summary>An agent id, or <c>admin</c>.</summary>
    public required string Asker { get; init; }

    /// <summary>Stands for every answer that is missing at the deadline. Never <see cref="Verdict.Modify"/>.</summary>
    public Verdict Default { get; init; } = Verdict.Deny;

    /// <summary>Responders that were registered for the type when it was asked: all of them are waited for. None: the first answer settles it.</summary>
    public string[] Awaited { get; init; } = [];

    public QuestionAnswer[] Answers { get; init; } = [];

    public required long AskedAt { get; init; }

    public required long ExpiresAt { get; init; }

    public QuestionStatus Status { get; init; }

    /// <summary>Null while it is open, and when it was withdrawn.</summary>
    public Verdict? Outcome { get; init; }

    /// <summary>Why it came out so, in words.</summary>
    public string? Reason { get; init; }

    /// <summary>What is to be done instead, when the outcome is <see cref="Verdict.Modify"/>.</summary>
    public JsonBytes? Replacement { get; init; }

    public long ClosedAt { get; init; }

    public long LastSequence { get; init; }

    /// <summary>True for the broker's own question about a task.</summary>
    public bool IsOfTask => Type == TaskConfirmation;

    public bool IsOpen => Status == QuestionStatus.Open;

    public QuestionAnswer? AnswerOf(string responder) => Array.Find(Answers, answer => string.Equals(answer.Responder, responder, StringComparison.Ordinal));
}

/// <param name="Responder">An agent id, or <c>admin</c>.</param>
/// <param name="Reason">For people, at most 1,000 characters.</param>
/// <param name="Replacement">A JSON object; there exactly when the answer is <see cref="Verdict.Modify"/>.</param>
public sealed record QuestionAnswer(string Responder, Verdict Answer, string? Reason, JsonBytes? Replacement, long At);

/// <summary>A question with what is proposed, as the store has it.</summary>
/// <param name="Proposal">What the asker is about to do: a JSON object.</param>
public sealed record StoredQuestion(Question Question, JsonBytes Proposal);

/// <summary>What of a question the batch writes.</summary>
/// <param name="Proposal">Not null when it is new.</param>
public readonly record struct QuestionRow(Question Question, JsonBytes? Proposal);

/// <summary>An agent that may answer questions of some types, and is waited for.</summary>
/// <param name="Types">Sorted; exact, or all below a name (<c>tool.*</c>).</param>
public sealed record Responder(string Id, string[] Types, long RegisteredAt, long LastSequence)
{
    public bool Takes(string type) => Array.Exists(Types, pattern => EventFilter.IsOf(pattern, type));
}

/// <summary>What several answers come to.</summary>
/// <param name="Reason">Of the one that decided; null when it gave none.</param>
public readonly record struct Settlement(Verdict Outcome, string? Reason, JsonBytes? Replacement)
{
    /// <summary>Deny wins over modify, modify over allow; two modifications conflict and count as deny.</summary>
    /// <param name="missing">What stands for those who did not answer; null: nobody is missing.</param>
    public static Settlement Of(IReadOnlyList<QuestionAnswer> answers, Verdict? missing = null)
    {
        if (answers.FirstOrDefault(answer => answer.Answer == Verdict.Deny) is { } denied)
            return new Settlement(Verdict.Deny, denied.Reason, null);
        if (missing == Verdict.Deny)
            return new Settlement(Verdict.Deny, "Nobody allowed it in time.", null);
        var changes = answers.Where(answer => answer.Answer == Verdict.Modify).ToList();
        return changes.Count switch
        {
            0 => new Settlement(Verdict.Allow, answers.FirstOrDefault()?.Reason, null),
            1 => new Settlement(Verdict.Modify, changes[0].Reason, changes[0].Replacement),
            _ => new Settlement(Verdict.Deny, $"{string.Join(" and ", changes.Select(change => change.Responder))} want different changes.", null),
        };
    }
}

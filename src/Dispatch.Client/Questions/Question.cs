using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>What is said to a step that is about to be taken.</summary>
public static class Verdict
{
    /// <summary>Take it.</summary>
    public const string Allow = "allow";

    /// <summary>Leave it.</summary>
    public const string Deny = "deny";

    /// <summary>Take it, changed as the replacement says.</summary>
    public const string Modify = "modify";
}

/// <summary>A step that is asked about before it is taken.</summary>
public sealed record NewQuestion
{
    /// <summary>What kind of step: a dotted name in lower case, such as <c>tool.execution_requested</c>.</summary>
    public required string Type { get; init; }

    /// <summary>Id of what it is about, 1 to 256 characters.</summary>
    public required string About { get; init; }
    public string? Session { get; init; }

    /// <summary>What is to be done: a JSON object of up to 64 KiB.</summary>
    public required JsonElement Proposal { get; init; }

    /// <summary>Stands for answers that are missing at the deadline: <c>deny</c> or <c>allow</c>; null: deny.</summary>
    public string? Default { get; init; }

    /// <summary>How long it waits, 1 s to 30 days; null: as the broker is configured.</summary>
    [JsonPropertyName("timeout_ms")]
    public TimeSpan? Timeout { get; init; }
}

/// <summary>A question, what was answered, and what came of it.</summary>
public sealed record Question
{
    public required string Id { get; init; }
    public required string Type { get; init; }
    public required string About { get; init; }
    public string? Session { get; init; }
    public required string Asker { get; init; }

    /// <summary><c>open</c>, <c>answered</c>, <c>expired</c> or <c>withdrawn</c>.</summary>
    public required string Status { get; init; }
    public JsonElement Proposal { get => field.ValueKind == JsonValueKind.Undefined ? DispatchTask.EmptyObject : field; init; }
    public string Default { get => field ?? Verdict.Deny; init; }

    /// <summary>Responders that are waited for.</summary>
    public IReadOnlyList<string> Awaited { get => field ?? []; init; }
    public IReadOnlyList<QuestionAnswer> Answers { get => field ?? []; init; }

    /// <summary>One of <see cref="Verdict"/>; null while it is open, and when it was withdrawn.</summary>
    public string? Outcome { get; init; }
    public string? Reason { get; init; }

    /// <summary>With outcome <c>modify</c>: what is to be done instead.</summary>
    public JsonElement? Replacement { get; init; }
    public DateTimeOffset AskedAt { get; init; }
    public DateTimeOffset ExpiresAt { get; init; }
    public DateTimeOffset? ClosedAt { get; init; }

    [JsonIgnore]
    public bool IsOpen => Status == "open";
}

/// <param name="Responder">An agent id, or <c>admin</c>.</param>
/// <param name="Answer">One of <see cref="Verdict"/>.</param>
public sealed record QuestionAnswer(string Responder, string Answer, string? Reason, JsonElement? Replacement, DateTimeOffset At);

/// <summary>Which questions to list. What is absent lets everything through; all given must hold.</summary>
public sealed record QuestionFilter
{
    /// <summary>A state, or <c>all</c>; null: open ones.</summary>
    public string? Status { get; init; }

    /// <summary>Exact types, or all below a name (<c>tool.*</c>).</summary>
    public IReadOnlyList<string> Types { get => field ?? []; init; }
    public string? About { get; init; }
    public string? Session { get; init; }

    /// <summary>Length of a page, 1 to 1,000; null: 100.</summary>
    public int? Limit { get; init; }
}

/// <param name="NextCursor">Where the next page begins; null on the last.</param>
public sealed record QuestionPage(IReadOnlyList<Question> Questions, string? NextCursor);

/// <summary>An agent that may answer questions of some types, and is waited for.</summary>
public sealed record Responder
{
    public required string Id { get; init; }

    /// <summary>Exact types, or all below a name (<c>tool.*</c>).</summary>
    public IReadOnlyList<string> Types { get => field ?? []; init; }
    public DateTimeOffset RegisteredAt { get; init; }
}

internal sealed record AnswerBody(string Answer, string? Reason, JsonElement? Replacement);

internal sealed record ResponderBody(IReadOnlyList<string> Types);

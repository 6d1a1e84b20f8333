using System.Text.Json;
using Dispatch.Host.Http;
using Dispatch.Questions;

namespace Dispatch.Host.Questions;

/// <summary>Writes questions and responders as callers see them.</summary>
internal static class QuestionWriter
{
    private static readonly string[] Verdicts = [.. Enum.GetNames<Verdict>().Select(JsonNamingPolicy.SnakeCaseLower.ConvertName)];
    private static readonly string[] States = [.. Enum.GetNames<QuestionStatus>().Select(JsonNamingPolicy.SnakeCaseLower.ConvertName)];

    public static IReadOnlyList<string> AllStates => States;

    public static string Word(Verdict verdict) => Verdicts[(int)verdict];

    public static string Word(QuestionStatus status) => States[(int)status];

    public static void Write(Utf8JsonWriter json, StoredQuestion stored)
    {
        var question = stored.Question;
        json.WriteStartObject();
        json.WriteString("id"u8, question.Id);
        json.WriteString("type"u8, question.Type);
        json.WriteString("about"u8, question.About);
        TaskWriter.Text(json, "session"u8, question.Session);
        json.WriteString("asker"u8, question.Asker);
        json.WriteString("status"u8, Word(question.Status));
        json.WritePropertyName("proposal"u8);
        json.WriteRawValue(stored.Proposal.Span, skipInputValidation: true);
        json.WriteString("default"u8, Word(question.Default));
        TaskWriter.Texts(json, "awaited"u8, question.Awaited);
        json.WriteStartArray("answers"u8);
        foreach (var answer in question.Answers)
        {
            json.WriteStartObject();
            json.WriteString("responder"u8, answer.Responder);
            json.WriteString("answer"u8, Word(answer.Answer));
            TaskWriter.Text(json, "reason"u8, answer.Reason);
            TaskWriter.Raw(json, "replacement"u8, answer.Replacement);
            TaskWriter.Time(json, "at"u8, answer.At);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (question.Outcome is { } outcome)
            json.WriteString("outcome"u8, Word(outcome));
        TaskWriter.Text(json, "reason"u8, question.Reason);
        TaskWriter.Raw(json, "replacement"u8, question.Replacement);
        TaskWriter.Time(json, "asked_at"u8, question.AskedAt);
        TaskWriter.Time(json, "expires_at"u8, question.ExpiresAt);
        TaskWriter.Time(json, "closed_at"u8, question.ClosedAt);
        json.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter json, IReadOnlyList<StoredQuestion> questions)
    {
        json.WriteStartArray();
        foreach (var question in questions)
            Write(json, question);
        json.WriteEndArray();
    }

    public static void Write(Utf8JsonWriter json, Responder responder)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, responder.Id);
        TaskWriter.Texts(json, "types"u8, responder.Types);
        TaskWriter.Time(json, "registered_at"u8, responder.RegisteredAt);
        json.WriteEndObject();
    }
}

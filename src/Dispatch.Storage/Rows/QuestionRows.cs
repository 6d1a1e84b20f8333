using System.Text.Json;
using Dispatch.Events;
using Dispatch.Questions;

namespace Dispatch.Storage.Rows;

/// <summary>A question to and from its row in <c>questions</c>, a responder to and from its own in <c>responders</c>.</summary>
internal static class QuestionRows
{
    internal const string Columns =
        "number, id, status, type, about, session, asker, missing, awaited, answers, asked_at, expires_at, outcome, reason, replacement, closed_at, last_sequence";

    /// <summary>With the proposal behind the columns of <see cref="Read"/>.</summary>
    internal const string Full = Columns + ", proposal";

    /// <summary>The columns of <see cref="BindChange"/>, but the number.</summary>
    internal static readonly string[] Changing = ["status", "answers", "outcome", "reason", "replacement", "closed_at", "last_sequence"];

    internal const string ResponderColumns = "id, types, registered_at, last_sequence";

    private const int Proposal = 17;

    internal static void BindNew(IRowParameters row, QuestionRow written, JsonText json)
    {
        var question = written.Question;
        BindChange(row, written, json);
        row.Bind(2, question.Id);
        row.Bind(4, question.Type);
        row.Bind(5, question.About);
        row.Bind(6, question.Session);
        row.Bind(7, question.Asker);
        row.BindText(8, Words.Verdict.Word((int)question.Default));
        if (question.Awaited.Length > 0)
        {
            JsonSerializer.Serialize(json.Start(), question.Awaited, RowJson.Default.StringArray);
            row.BindText(9, json.End());
        }

        row.Bind(11, question.AskedAt);
        row.Bind(12, question.ExpiresAt);
        row.Bind(Proposal + 1, written.Proposal);
    }

    internal static void BindChange(IRowParameters row, QuestionRow written, JsonText json)
    {
        var question = written.Question;
        row.Bind(1, question.Number);
        row.BindText(3, Words.QuestionStatus.Word((int)question.Status));
        if (question.Answers.Length > 0)
        {
            JsonSerializer.Serialize(json.Start(), question.Answers, RowJson.Default.QuestionAnswerArray);
            row.BindText(10, json.End());
        }

        if (question.Outcome is { } outcome)
            row.BindText(13, Words.Verdict.Word((int)outcome));
        row.Bind(14, question.Reason);
        row.Bind(15, question.Replacement);
        row.Bind(16, question.ClosedAt == 0 ? null : (long?)question.ClosedAt);
        row.Bind(17, question.LastSequence);
    }

    internal static Question Read(IStoredRow row) => new()
    {
        Number = row.Int64(0),
        Id = row.Text(1),
        Status = Words.QuestionStatus.Parse(row.Utf8(2)),
        Type = row.Text(3),
        About = row.Text(4),
        Session = row.NullableText(5),
        Asker = row.Text(6),
        Default = Words.Verdict.Parse(row.Utf8(7)),
        Awaited = row.IsNull(8) ? [] : RowTexts.Strings(row.Utf8(8)),
        Answers = row.IsNull(9) ? [] : JsonSerializer.Deserialize(row.Utf8(9), RowJson.Default.QuestionAnswerArray) ?? [],
        AskedAt = row.Int64(10),
        ExpiresAt = row.Int64(11),
        Outcome = row.IsNull(12) ? null : Words.Verdict.Parse(row.Utf8(12)),
        Reason = row.NullableText(13),
        Replacement = row.NullableJson(14),
        ClosedAt = row.Int64(15),
        LastSequence = row.Int64(16),
    };

    internal static StoredQuestion ReadFull(IStoredRow row) => new(Read(row), row.NullableJson(Proposal) ?? JsonBytes.EmptyObject);

    internal static void Bind(IRowParameters row, Responder responder, JsonText json)
    {
        row.Bind(1, responder.Id);
        JsonSerializer.Serialize(json.Start(), responder.Types, RowJson.Default.StringArray);
        row.BindText(2, json.End());
        row.Bind(3, responder.RegisteredAt);
        row.Bind(4, responder.LastSequence);
    }

    internal static Responder ReadResponder(IStoredRow row) => new(row.Text(0), RowTexts.Strings(row.Utf8(1)), row.Int64(2), row.Int64(3));
}

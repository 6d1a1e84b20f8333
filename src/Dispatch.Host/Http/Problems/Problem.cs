using System.Text.Json;

namespace Dispatch.Host.Http.Problems;

/// <summary>A refusal on its way to a caller: RFC 9457, with <c>code</c>, <c>error</c> and <c>request_id</c>.</summary>
/// <param name="Code">Which one.</param>
/// <param name="Detail">One or two sentences about this case, without secrets.</param>
public sealed record Problem(ErrorCode Code, string Detail)
{
    /// <summary>Faults of single members, in the order of the request; empty: the member is omitted.</summary>
    public IReadOnlyList<FieldFault> Errors { get; init; } = [];

    /// <summary>Header Retry-After in seconds, at least 1; null: none.</summary>
    public int? RetryAfterSeconds { get; init; }

    /// <summary>Sequence of the oldest event that is kept, where that is what the caller has to know.</summary>
    public long? Horizon { get; init; }

    /// <summary>Writes the document.</summary>
    public void WriteTo(Utf8JsonWriter writer, string requestId)
    {
        writer.WriteStartObject();
        writer.WriteString("type"u8, Code.Type);
        writer.WriteString("title"u8, Code.Title);
        writer.WriteNumber("status"u8, Code.Status);
        writer.WriteString("detail"u8, Detail);
        writer.WriteString("error"u8, Detail);
        writer.WriteString("code"u8, Code.Name);
        writer.WriteString("request_id"u8, requestId);
        if (Horizon is { } horizon)
            writer.WriteNumber("horizon"u8, horizon);
        if (Errors.Count > 0)
        {
            writer.WriteStartArray("errors"u8);
            foreach (FieldFault fault in Errors)
                fault.WriteTo(writer);
            writer.WriteEndArray();
        }

        writer.WriteEndObject();
    }
}

/// <summary>What is wrong with one member of a request.</summary>
/// <param name="Field">Path as in <c>tasks[3].priority</c>, or the name of a header or query parameter.</param>
/// <param name="Message">What is wrong and what is allowed.</param>
/// <param name="Value">What was given; texts are cut at 100 characters; null: not shown.</param>
public readonly record struct FieldFault(string Field, string Message, JsonElement? Value = null)
{
    private const int LongestShown = 100;

    internal void WriteTo(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteString("field"u8, Field);
        writer.WriteString("message"u8, Message);
        switch (Value)
        {
            case { ValueKind: JsonValueKind.String } text:
                writer.WriteString("value"u8, Cut(text.GetString()!));
                break;
            case { ValueKind: JsonValueKind.Number } number when number.GetRawText() is { Length: <= LongestShown } raw:
                writer.WritePropertyName("value"u8);
                writer.WriteRawValue(raw);
                break;
            case { ValueKind: JsonValueKind.True or JsonValueKind.False } flag:
                writer.WriteBoolean("value"u8, flag.GetBoolean());
                break;
            case { ValueKind: JsonValueKind.Null }:
                writer.WriteNull("value"u8);
                break;
            default:
                // An array or an object says nothing at this place that its field's name does not.
                break;
        }

        writer.WriteEndObject();
    }

    private static string Cut(string text)
    {
        if (text.Length <= LongestShown)
            return text;

        int length = char.IsHighSurrogate(text[LongestShown - 1]) ? LongestShown - 1 : LongestShown;
        return string.Concat(text.AsSpan(0, length), "...");
    }
}

using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Client;

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(MillisecondsConverter), typeof(InstantConverter)])]
[JsonSerializable(typeof(NewTask))]
[JsonSerializable(typeof(IReadOnlyList<NewTask>))]
[JsonSerializable(typeof(DispatchTask))]
[JsonSerializable(typeof(IReadOnlyList<DispatchTask>))]
[JsonSerializable(typeof(TaskPatch))]
[JsonSerializable(typeof(StartBody))]
[JsonSerializable(typeof(ProgressBody))]
[JsonSerializable(typeof(CompleteBody))]
[JsonSerializable(typeof(FailBody))]
[JsonSerializable(typeof(TaskExplanation))]
[JsonSerializable(typeof(IReadOnlyList<TaskEvent>))]
[JsonSerializable(typeof(Agent))]
[JsonSerializable(typeof(IReadOnlyList<Agent>))]
[JsonSerializable(typeof(AgentRegistration))]
[JsonSerializable(typeof(Departure))]
[JsonSerializable(typeof(HeartbeatBody))]
[JsonSerializable(typeof(HeartbeatAnswer))]
[JsonSerializable(typeof(ExchangeRequest))]
[JsonSerializable(typeof(ExchangeAnswer))]
[JsonSerializable(typeof(Statistics))]
[JsonSerializable(typeof(Readiness))]
[JsonSerializable(typeof(RedriveRequest))]
[JsonSerializable(typeof(RedriveAnswer))]
[JsonSerializable(typeof(NewToken))]
[JsonSerializable(typeof(IssuedToken))]
[JsonSerializable(typeof(IReadOnlyList<TokenEntry>))]
[JsonSerializable(typeof(IReadOnlyList<Node>))]
[JsonSerializable(typeof(IReadOnlyList<Namespace>))]
[JsonSerializable(typeof(NewNamespace))]
[JsonSerializable(typeof(NamespaceMove))]
[JsonSerializable(typeof(LoggedEvent))]
[JsonSerializable(typeof(EventPage))]
[JsonSerializable(typeof(WebhookChange))]
[JsonSerializable(typeof(Webhook))]
[JsonSerializable(typeof(IReadOnlyList<Webhook>))]
[JsonSerializable(typeof(WebhookDelivery))]
[JsonSerializable(typeof(IReadOnlyList<WebhookDelivery>))]
[JsonSerializable(typeof(RotateBody))]
[JsonSerializable(typeof(NewQuestion))]
[JsonSerializable(typeof(Question))]
[JsonSerializable(typeof(IReadOnlyList<Question>))]
[JsonSerializable(typeof(AnswerBody))]
[JsonSerializable(typeof(Responder))]
[JsonSerializable(typeof(IReadOnlyList<Responder>))]
[JsonSerializable(typeof(ResponderBody))]
[JsonSerializable(typeof(LimitRequest))]
[JsonSerializable(typeof(Limit))]
[JsonSerializable(typeof(IReadOnlyList<Limit>))]
[JsonSerializable(typeof(IReadOnlyList<LimitStanding>))]
[JsonSerializable(typeof(IReadOnlyList<LedgerEntry>))]
[JsonSerializable(typeof(Allowance))]
[JsonSerializable(typeof(AllowanceCheck))]
[JsonSerializable(typeof(AllowanceAnswer))]
[JsonSerializable(typeof(UsageReport))]
[JsonSerializable(typeof(UsageReceipt))]
[JsonSerializable(typeof(Problem))]
internal sealed partial class WireJson : JsonSerializerContext;

internal sealed record StartBody(int? Attempt);

internal sealed record ProgressBody(double? Percent, string? Message, JsonElement? Data, int? Attempt);

internal sealed record CompleteBody(JsonElement? Result, JsonElement? Usage, string? Model, int? Attempt);

internal sealed record FailBody(string Error, bool? Retryable, [property: JsonPropertyName("retry_after_ms")] TimeSpan? RetryAfter, JsonElement? Usage, string? Model, int? Attempt);

internal sealed record HeartbeatBody(string? Status);

internal sealed record Problem
{
    public string? Title { get; init; }
    public string? Detail { get; init; }

    /// <summary>What <c>/ready</c> says instead of a detail.</summary>
    public string? Reason { get; init; }
    public string? Code { get; init; }
    public string? RequestId { get; init; }
    public IReadOnlyList<Fault>? Errors { get; init; }
}

/// <summary>Durations are whole milliseconds on the wire.</summary>
internal sealed class MillisecondsConverter : JsonConverter<TimeSpan>
{
    public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var milliseconds))
            throw new JsonException("A duration is a whole number of milliseconds.");
        return milliseconds < (long)TimeSpan.MaxValue.TotalMilliseconds && milliseconds > (long)TimeSpan.MinValue.TotalMilliseconds
            ? TimeSpan.FromMilliseconds(milliseconds)
            : throw new JsonException("The duration is too long.");
    }

    public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) =>
        writer.WriteNumberValue((long)value.TotalMilliseconds);
}

/// <summary>Instants are written in UTC with milliseconds; any RFC 3339 offset is read.</summary>
internal sealed class InstantConverter : JsonConverter<DateTimeOffset>
{
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDateTimeOffset();

    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", System.Globalization.CultureInfo.InvariantCulture));
}

/// <summary>A priority may be written by name in a file of tasks; it is sent as a number.</summary>
internal sealed class PriorityConverter : JsonConverter<int?>
{
    public override int? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.Number when reader.TryGetInt32(out var number) => number,
        JsonTokenType.String when TaskPriority.TryParse(reader.GetString()!, out var priority) => priority,
        _ => throw new JsonException("A priority is 0 to 10, or critical, high, normal, medium or low."),
    };

    public override void Write(Utf8JsonWriter writer, int? value, JsonSerializerOptions options)
    {
        if (value is { } number)
            writer.WriteNumberValue(number);
        else
            writer.WriteNullValue();
    }
}

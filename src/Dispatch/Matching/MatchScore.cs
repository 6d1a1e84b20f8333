using System.Text.Json;
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
[JsonConverter(typeof(MatchScoreConverter))]
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
    Confirmation,

    /// <summary>A limit has no room for it.</summary>
    Allowance,
}

/// <summary>
/// Scores repeat themselves: the same few factors and a load from 0 to the limit. Writing a number with a fraction is dear, so the text
/// of the scores seen last is kept.
/// </summary>
public sealed class MatchScoreConverter : JsonConverter<MatchScore>
{
    private const int Kept = 4_096;

    [ThreadStatic]
    private static Dictionary<MatchScore, byte[]>? texts;

    public override MatchScore Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        double score = 0, match = 0, availability = 0, weight = 0;
        int active = 0, max = 0, candidates = 0;
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new JsonException("A score is an object.");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = reader.GetString();
            reader.Read();
            switch (name)
            {
                case "score":
                    score = reader.GetDouble();
                    break;
                case "capability_match":
                    match = reader.GetDouble();
                    break;
                case "availability":
                    availability = reader.GetDouble();
                    break;
                case "priority_weight":
                    weight = reader.GetDouble();
                    break;
                case "active":
                    active = reader.GetInt32();
                    break;
                case "max_concurrent":
                    max = reader.GetInt32();
                    break;
                case "candidates":
                    candidates = reader.GetInt32();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return new MatchScore(score, match, availability, weight, active, max, candidates);
    }

    public override void Write(Utf8JsonWriter writer, MatchScore value, JsonSerializerOptions options)
    {
        texts ??= new Dictionary<MatchScore, byte[]>(Kept);
        if (!texts.TryGetValue(value, out var text))
        {
            if (texts.Count >= Kept)
                texts.Clear();
            texts.Add(value, text = TextOf(value));
        }

        writer.WriteRawValue(text, skipInputValidation: true);
    }

    private static byte[] TextOf(MatchScore value)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteNumber("score"u8, value.Score);
            writer.WriteNumber("capability_match"u8, value.CapabilityMatch);
            writer.WriteNumber("availability"u8, value.Availability);
            writer.WriteNumber("priority_weight"u8, value.PriorityWeight);
            writer.WriteNumber("active"u8, value.Active);
            writer.WriteNumber("max_concurrent"u8, value.MaxConcurrent);
            writer.WriteNumber("candidates"u8, value.Candidates);
            writer.WriteEndObject();
        }

        return buffer.ToArray();
    }
}

using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Dispatch.Cli.CommandLine;

/// <summary>The JSON that this program writes of its own; the broker's records are written by the client library.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(FaultReport))]
[JsonSerializable(typeof(Tasks.SummaryBody))]
[JsonSerializable(typeof(Tokens.RevokedBody))]
[JsonSerializable(typeof(Webhooks.DeletedBody))]
[JsonSerializable(typeof(Doctor.FindingsBody))]
[JsonSerializable(typeof(Workers.WorkerLine))]
[JsonSerializable(typeof(Operations.VersionBody))]
[JsonSerializable(typeof(Operations.CheckedBody))]
[JsonSerializable(typeof(Operations.FrameBody))]
[JsonSerializable(typeof(Operations.CompletionBody))]
[JsonSerializable(typeof(Events.AuditBody))]
[JsonSerializable(typeof(Events.CheckpointBody))]
[JsonSerializable(typeof(Stores.CopyBody))]
[JsonSerializable(typeof(JsonElement))]
internal sealed partial class CliJson : JsonSerializerContext
{
    /// <summary>Writes one of the shapes listed above, on one line.</summary>
    public static string Write<T>(T value) => JsonSerializer.Serialize(value, (JsonTypeInfo<T>)Default.GetTypeInfo(typeof(T))!);
}

/// <summary>What standard output holds when a command with <c>--json</c> fails.</summary>
internal sealed record FaultReport(FaultBody Error);

/// <summary>See <see cref="CommandFault"/>.</summary>
internal sealed record FaultBody(string Code, string Message, int ExitCode, string? Next, IReadOnlyList<string>? Details);

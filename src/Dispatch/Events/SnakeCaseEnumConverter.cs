using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Events;

/// <summary>Enumerations on the wire are lower-case words: <c>no_capability</c>. Numbers are refused.</summary>
public sealed class SnakeCaseEnumConverter<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false)
    where T : struct, Enum;

using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Dispatch.Client;

/// <summary>Reads and writes this library's records in the API's own JSON, without reflection.</summary>
public static class DispatchJson
{
    private static readonly WireJson Indented = new(new JsonSerializerOptions(WireJson.Default.Options) { WriteIndented = true });

    /// <summary>Writes a record of this library, or a list of tasks, agents, events or tokens.</summary>
    /// <exception cref="NotSupportedException">The type is not one of the API's.</exception>
    public static string Write<T>(T value, bool indented = false) => JsonSerializer.Serialize(value, Shape<T>(indented ? Indented : WireJson.Default));

    /// <summary>Reads a record of this library; unknown members are ignored.</summary>
    /// <exception cref="JsonException">The text is no such record.</exception>
    /// <exception cref="NotSupportedException">The type is not one of the API's.</exception>
    public static T Read<T>(string json) => JsonSerializer.Deserialize(json, Shape<T>(WireJson.Default)) ?? throw new JsonException("null where a value was expected.");

    private static JsonTypeInfo<T> Shape<T>(WireJson context) => (JsonTypeInfo<T>?)context.GetTypeInfo(typeof(T))
        ?? throw new NotSupportedException($"{typeof(T)} is not part of the API.");
}

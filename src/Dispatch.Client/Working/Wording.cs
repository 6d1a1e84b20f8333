using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace Dispatch.Client;

/// <summary>Brings what a handler says into the shape the broker takes, where the handler still hears of it if that cannot be done.</summary>
internal static class Wording
{
    public const int MostOfError = 8_000;
    public const int MostOfMessage = 1_000;
    public const int MostOfModel = 128;

    [return: NotNullIfNotNull(nameof(text))]
    public static string? Shortened(string? text, int most) => text?.Length > most ? text[..(most - 3)] + "..." : text;

    /// <summary>A name of a model.</summary>
    public static string? Model(string? model, string name) =>
        model is null || (!string.IsNullOrWhiteSpace(model) && model.Length <= MostOfModel && !model.Any(char.IsControl))
            ? model
            : throw new ArgumentException($"It must have 1 to {MostOfModel} characters.", name);

    /// <summary>A copy that outlives the document it came from.</summary>
    public static JsonElement? Object(JsonElement? value, string name)
    {
        if (value is not { } given)
            return null;
        return given.ValueKind == JsonValueKind.Object ? given.Clone() : throw new ArgumentException("It must be a JSON object.", name);
    }
}

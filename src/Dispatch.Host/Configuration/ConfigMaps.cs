using System.Globalization;
using System.Text;
using System.Text.Json;
using Dispatch.Allowances;
using Dispatch.Tasks;

namespace Dispatch.Host.Configuration;

/// <summary>The value of a key that is a mapping, as one line of JSON with its names in order: equal when the mappings are.</summary>
public readonly record struct ConfigMap(string Json)
{
    public override string ToString() => Json;
}

/// <summary>Mappings from JSON, in which a value of the configuration file is always a text, and to it.</summary>
internal static class ConfigMaps
{
    public const string PricesAllowed = "a mapping of models to their price, as in claude: {in: 3000000, out: 15000000}";

    public const string TeamsAllowed = "a mapping of teams to lists of owners, as in core: [ana, ben]";

    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 4, AllowDuplicateProperties = false };

    /// <summary>Null: it is no mapping of models to prices.</summary>
    public static IReadOnlyDictionary<string, ModelPrice>? ReadPrices(string text) => Read(text, TaskLimits.MaxModel, ReadPrice);

    /// <summary>Null: it is no mapping of teams to owners.</summary>
    public static IReadOnlyDictionary<string, IReadOnlyList<string>>? ReadTeams(string text) => Read(text, TaskLimits.MaxName, ReadOwners);

    public static ConfigMap Show(IReadOnlyDictionary<string, ModelPrice> prices) => Write(prices, static (json, price) =>
    {
        json.WriteStartObject();
        json.WriteNumber("in"u8, price.In);
        json.WriteNumber("out"u8, price.Out);
        json.WriteEndObject();
    });

    public static ConfigMap Show(IReadOnlyDictionary<string, IReadOnlyList<string>> teams) => Write(teams, static (json, owners) =>
    {
        json.WriteStartArray();
        foreach (var owner in owners)
            json.WriteStringValue(owner);
        json.WriteEndArray();
    });

    private static SortedDictionary<string, T>? Read<T>(string text, int longest, Func<JsonElement, T?> read)
        where T : class
    {
        try
        {
            using var document = JsonDocument.Parse(text, Options);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                return null;
            var map = new SortedDictionary<string, T>(StringComparer.Ordinal);
            foreach (var member in document.RootElement.EnumerateObject())
            {
                if (!IsName(member.Name, longest) || read(member.Value) is not { } value)
                    return null;
                map.Add(member.Name, value);
            }

            return map;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // No JSON, or a text in it that is no text.
            return null;
        }
    }

    private static ModelPrice? ReadPrice(JsonElement value) =>
        value.ValueKind == JsonValueKind.Object && value.GetPropertyCount() == 2 && value.TryGetProperty("in", out var input) && value.TryGetProperty("out", out var output)
        && Whole(input) is { } perIn && Whole(output) is { } perOut ? new ModelPrice(perIn, perOut) : null;

    private static IReadOnlyList<string>? ReadOwners(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() == 0)
            return null;
        string[] owners = [.. value.EnumerateArray().Select(owner => owner.ValueKind == JsonValueKind.String ? owner.GetString()! : "").Distinct(StringComparer.Ordinal)];
        return owners.All(owner => IsName(owner, TaskLimits.MaxName)) ? owners : null;
    }

    private static long? Whole(JsonElement value)
    {
        var text = value.ValueKind switch { JsonValueKind.String => value.GetString(), JsonValueKind.Number => value.GetRawText(), _ => null };
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= Limit.MaxAmount ? number : null;
    }

    private static bool IsName(string name, int longest) => name.Length <= longest && !string.IsNullOrWhiteSpace(name) && !name.Any(char.IsControl);

    private static ConfigMap Write<T>(IReadOnlyDictionary<string, T> map, Action<Utf8JsonWriter, T> write)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, LoadedConfig.Compact))
        {
            json.WriteStartObject();
            foreach (var (name, value) in map.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            {
                json.WritePropertyName(name);
                write(json, value);
            }

            json.WriteEndObject();
        }

        return new ConfigMap(Encoding.UTF8.GetString(stream.ToArray()));
    }
}

using System.Globalization;
using System.Text.Json;

namespace Dispatch.Api.Tests.Support;

/// <summary>
/// The part of JSON Schema that the contract uses. Stricter in one thing: an object whose members are listed has no others, so that
/// nothing is answered that is not documented.
/// </summary>
public sealed class JsonSchema(JsonElement document)
{
    public JsonElement Component(string name) => Resolve("#/components/" + name);

    public JsonElement Resolve(JsonElement schema) => schema.TryGetProperty("$ref", out var reference) ? Resolve(reference.GetString()!) : schema;

    public void Check(JsonElement schema, JsonElement value, string path, List<string> faults)
    {
        if (schema.ValueKind != JsonValueKind.Object)
            return;
        if (schema.TryGetProperty("$ref", out var reference))
            Check(Resolve(reference.GetString()!), value, path, faults);
        if (schema.TryGetProperty("allOf", out var all))
        {
            foreach (var part in all.EnumerateArray())
                CheckPart(part, value, path, faults);
        }

        if (schema.TryGetProperty("oneOf", out var one) && one.EnumerateArray().Count(choice => Fits(choice, value)) != 1)
            faults.Add($"{path} fits not exactly one of its choices");
        CheckOwn(schema, value, path, faults);
        CheckUnknown(schema, value, path, faults);
    }

    private bool Fits(JsonElement schema, JsonElement value)
    {
        var faults = new List<string>();
        Check(schema, value, "", faults);
        return faults.Count == 0;
    }

    // A part of an allOf is judged without the other parts' members.
    private void CheckPart(JsonElement part, JsonElement value, string path, List<string> faults)
    {
        var resolved = Resolve(part);
        CheckOwn(resolved, value, path, faults);
    }

    private void CheckOwn(JsonElement schema, JsonElement value, string path, List<string> faults)
    {
        if (schema.TryGetProperty("type", out var type) && !IsOf(type.GetString()!, value))
        {
            faults.Add(value.ValueKind == JsonValueKind.Null ? $"{path} is null" : $"{path} is no {type}");
            return;
        }

        if (schema.TryGetProperty("const", out var constant) && !JsonElement.DeepEquals(constant, value))
            faults.Add($"{path} is not {constant}");
        if (schema.TryGetProperty("enum", out var words) && !words.EnumerateArray().Any(word => JsonElement.DeepEquals(word, value)))
            faults.Add($"{path} is {value}, which is none of {words}");
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                CheckObject(schema, value, path, faults);
                break;
            case JsonValueKind.Array:
                CheckArray(schema, value, path, faults);
                break;
            case JsonValueKind.String:
                CheckText(schema, value.GetString()!, path, faults);
                break;
            case JsonValueKind.Number:
                Within(schema, "minimum", "maximum", value.GetDouble(), path, faults);
                break;
        }
    }

    private void CheckObject(JsonElement schema, JsonElement value, string path, List<string> faults)
    {
        if (schema.TryGetProperty("required", out var required))
        {
            foreach (var name in required.EnumerateArray().Where(name => !value.TryGetProperty(name.GetString()!, out _)))
                faults.Add($"{path}.{name} is missing");
        }

        Within(schema, "minProperties", "maxProperties", value.GetPropertyCount(), path, faults);
        var hasMembers = schema.TryGetProperty("properties", out var members);
        var hasMore = schema.TryGetProperty("additionalProperties", out var more);
        foreach (var member in value.EnumerateObject())
        {
            if (schema.TryGetProperty("propertyNames", out var names))
                CheckText(names, member.Name, $"{path}: the name {member.Name}", faults);
            if (hasMembers && members.TryGetProperty(member.Name, out var known))
                Check(known, member.Value, $"{path}.{member.Name}", faults);
            else if (hasMore)
                Check(more, member.Value, $"{path}.{member.Name}", faults);
        }
    }

    private void CheckUnknown(JsonElement schema, JsonElement value, string path, List<string> faults)
    {
        if (value.ValueKind != JsonValueKind.Object || schema.TryGetProperty("$ref", out _))
            return;
        var known = new HashSet<string>(StringComparer.Ordinal);
        if (!IsClosed(schema, known))
            return;
        foreach (var member in value.EnumerateObject().Where(member => !known.Contains(member.Name)))
            faults.Add($"{path}.{member.Name} is not in the contract");
    }

    private bool IsClosed(JsonElement schema, HashSet<string> known)
    {
        schema = Resolve(schema);
        var closed = false;
        if (schema.TryGetProperty("properties", out var members))
        {
            known.UnionWith(members.EnumerateObject().Select(member => member.Name));
            closed = !schema.TryGetProperty("additionalProperties", out var more) || more.ValueKind == JsonValueKind.False;
        }

        if (schema.TryGetProperty("allOf", out var all))
        {
            foreach (var part in all.EnumerateArray())
                closed |= IsClosed(part, known);
        }

        return closed;
    }

    private void CheckArray(JsonElement schema, JsonElement value, string path, List<string> faults)
    {
        Within(schema, "minItems", "maxItems", value.GetArrayLength(), path, faults);
        if (schema.TryGetProperty("uniqueItems", out _) && value.EnumerateArray().Select(item => item.GetRawText()).Distinct().Count() < value.GetArrayLength())
            faults.Add($"{path} names something twice");
        if (!schema.TryGetProperty("items", out var items))
            return;
        var index = 0;
        foreach (var item in value.EnumerateArray())
            Check(items, item, $"{path}[{index++}]", faults);
    }

    private static void CheckText(JsonElement schema, string text, string path, List<string> faults)
    {
        Within(schema, "minLength", "maxLength", text.Length, path, faults);
        if (schema.TryGetProperty("pattern", out var pattern) && !System.Text.RegularExpressions.Regex.IsMatch(text, pattern.GetString()!))
            faults.Add($"{path} does not look like {pattern}");
        var isWell = schema.Find("format") switch
        {
            "uuid" => Guid.TryParseExact(text, "D", out _),
            "uri" => Uri.TryCreate(text, UriKind.Absolute, out _),
            "date-time" => DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, out _),
            _ => true,
        };
        if (!isWell)
            faults.Add($"{path} is {text}, which is no {schema.Find("format")}");
    }

    private static void Within(JsonElement schema, string min, string max, double value, string path, List<string> faults)
    {
        if ((schema.TryGetProperty(min, out var least) && value < least.GetDouble()) || (schema.TryGetProperty(max, out var most) && value > most.GetDouble()))
            faults.Add($"{path} has {value}, which is out of range");
    }

    private static bool IsOf(string type, JsonElement value) => type switch
    {
        "object" => value.ValueKind == JsonValueKind.Object,
        "array" => value.ValueKind == JsonValueKind.Array,
        "string" => value.ValueKind == JsonValueKind.String,
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "integer" => value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out _),
        "number" => value.ValueKind == JsonValueKind.Number,
        _ => throw new NotSupportedException($"JSON Schema type {type}"),
    };

    private JsonElement Resolve(string reference)
    {
        var at = document;
        foreach (var step in reference.TrimStart('#', '/').Split('/'))
            at = at.GetProperty(step);
        return at;
    }
}

using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Host.Http.Problems;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>
/// Reads members of requests and collects everything that is wrong with them, so that a caller is told all of it at once. A read
/// that finds a fault returns a harmless value; <see cref="ThrowIfAny"/> ends the request before that is used.
/// </summary>
internal sealed class Faults
{
    // A bulk of a thousand wrong tasks is told by its first faults.
    private const int MaxListed = 100;

    private static readonly SearchValues<char> Controls = SearchValues.Create(
        [.. Enumerable.Range(0, 32).Select(c => (char)c), .. Enumerable.Range(127, 33).Select(c => (char)c)]);

    private List<FieldFault>? faults;
    private int more;

    public int Count => (faults?.Count ?? 0) + more;

    public void Add(string field, string message, JsonElement? value = null)
    {
        faults ??= [];
        if (faults.Count < MaxListed)
            faults.Add(new FieldFault(field, message, value?.Clone()));
        else
            more++;
    }

    /// <exception cref="ProblemException">There are faults.</exception>
    public void ThrowIfAny()
    {
        if (faults is null)
            return;
        var first = faults[0];
        var rest = Count - 1;
        var detail = $"{first.Field}: {first.Message}{(rest == 0 ? "" : $" (and {rest} more {(rest == 1 ? "fault" : "faults")})")}";
        throw new ProblemException(new Problem(ErrorCode.Validation, detail) { Errors = faults });
    }

    public string? Text(JsonElement value, string field, int max, bool multiline = false, bool allowEmpty = false)
    {
        if (value.ValueKind != JsonValueKind.String)
        {
            Add(field, "must be a text", value);
            return null;
        }

        var text = value.GetString()!;
        if (text.Length > max)
            Add(field, $"is {text.Length} characters long; at most {max} are allowed");
        else if (!allowEmpty && string.IsNullOrWhiteSpace(text))
            Add(field, "must not be empty", value);
        else if (!multiline && text.AsSpan().ContainsAny(Controls))
            Add(field, "must not hold control characters", value);
        else
            return text;
        return null;
    }

    public long Number(JsonElement value, string field, long min, long max)
    {
        if (value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) && number >= min && number <= max)
            return number;
        Add(field, $"must be a whole number from {min} to {max}", value);
        return min;
    }

    public bool Flag(JsonElement value, string field)
    {
        if (value.ValueKind is JsonValueKind.True or JsonValueKind.False)
            return value.GetBoolean();
        Add(field, "must be true or false", value);
        return false;
    }

    public JsonBytes? Object(JsonElement value, string field)
    {
        if (value.ValueKind == JsonValueKind.Object)
            return JsonBytes.From(value);
        Add(field, "must be a JSON object", value);
        return null;
    }

    public TaskId? Id(JsonElement value, string field)
    {
        if (value.ValueKind == JsonValueKind.String && TaskId.TryParse(value.GetString(), out var id))
            return id;
        Add(field, "must be a task id (a UUID)", value);
        return null;
    }

    /// <summary>A time as Unix milliseconds.</summary>
    public long? Time(JsonElement value, string field)
    {
        if (value.ValueKind == JsonValueKind.String && value.GetString() is { } text && text.Length >= 20 && text.Contains('T', StringComparison.Ordinal)
            && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.None, out var time) && HasZone(text))
            return time.ToUnixTimeMilliseconds();
        Add(field, "must be a time with a zone, as in 2026-01-31T09:30:00Z (RFC 3339)", value);
        return null;
    }

    /// <summary>An array of names; given twice in any case is taken once.</summary>
    public string[] Names(JsonElement value, string field, int max)
    {
        if (value.ValueKind != JsonValueKind.Array)
        {
            Add(field, "must be an array of texts", value);
            return [];
        }

        var count = value.GetArrayLength();
        if (count == 0)
            return [];
        if (count > max)
        {
            Add(field, $"holds {count} entries; at most {max} are allowed");
            return [];
        }

        var names = new List<string>(count);
        foreach (var item in value.EnumerateArray())
        {
            if (Text(item, $"{field}[{names.Count}]", TaskLimits.MaxName) is { } name && !names.Contains(name.Trim(), StringComparer.OrdinalIgnoreCase))
                names.Add(name.Trim());
        }

        return [.. names];
    }

    /// <summary>An object of text to text.</summary>
    public JsonBytes? Labels(JsonElement value, string field)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            Add(field, "must be an object of texts", value);
            return null;
        }

        var count = 0;
        foreach (var label in value.EnumerateObject())
        {
            if (++count > TaskLimits.MaxLabels)
            {
                Add(field, $"holds more than {TaskLimits.MaxLabels} labels");
                return null;
            }

            if (label.Name.Length is 0 or > TaskLimits.MaxName || label.Name.Contains('=', StringComparison.Ordinal) || label.Name.AsSpan().ContainsAny(Controls))
                Add($"{field}.{label.Name}", $"a label's name has 1 to {TaskLimits.MaxName} characters, without = and control characters");
            Text(label.Value, $"{field}.{label.Name}", TaskLimits.MaxName, allowEmpty: true);
        }

        return count == 0 ? null : JsonBytes.From(value);
    }

    /// <summary>What an attempt used: an object of name to whole number from 0 up.</summary>
    public JsonBytes? Usage(JsonElement value, string field)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            Add(field, "must be an object of whole numbers", value);
            return null;
        }

        foreach (var item in value.EnumerateObject())
            Number(item.Value, $"{field}.{item.Name}", 0, long.MaxValue);
        return JsonBytes.From(value);
    }

    public static void Unknown(Faults faults, string prefix, string name, IEnumerable<string> known)
    {
        var near = known.FirstOrDefault(k => k.Replace("_", "", StringComparison.Ordinal).Equals(name.Replace("_", "", StringComparison.Ordinal).Replace("-", "", StringComparison.Ordinal), StringComparison.OrdinalIgnoreCase));
        faults.Add(prefix + name, near is null ? "is not known here" : $"is not known here; did you mean {near}?");
    }

    private static bool HasZone(string text) => text.EndsWith('Z') || text.EndsWith('z') || text.AsSpan(19).ContainsAny('+', '-');
}

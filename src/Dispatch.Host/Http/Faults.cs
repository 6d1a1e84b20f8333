using System.Buffers;
using System.Text.Json;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Host.Auth;
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

    private const int LongestField = 200;
    private const int MaxUsages = 64;

    private static readonly SearchValues<char> Controls = SearchValues.Create(
        [.. Enumerable.Range(0, 32).Select(c => (char)c), .. Enumerable.Range(127, 33).Select(c => (char)c)]);

    private List<FieldFault>? faults;
    private int more;
    private string? array;
    private int entry;

    public int Count => (faults?.Count ?? 0) + more;

    /// <summary>What is read from now on belongs to this entry of an array: <c>tasks[3].priority</c>. The path is only made for a fault.</summary>
    public void Enter(string arrayName, int index) => (array, entry) = (arrayName, index);

    public void Leave() => array = null;

    /// <param name="field">Name of the member; empty for the entry of the array itself.</param>
    public void Add(string field, string message, JsonElement? value = null)
    {
        faults ??= [];
        if (faults.Count >= MaxListed)
        {
            more++;
            return;
        }

        var path = array is null ? field : field.Length == 0 ? $"{array}[{entry}]" : $"{array}[{entry}].{field}";
        var shown = value is { ValueKind: not (JsonValueKind.Object or JsonValueKind.Array or JsonValueKind.Undefined) } scalar ? scalar.Clone() : (JsonElement?)null;
        faults.Add(new FieldFault(Excerpt.Of(path, LongestField), message, shown));
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
        if (FaultOfText(value, max, multiline, allowEmpty, out var text) is not { } fault)
            return text;
        Add(field, fault, value);
        return null;
    }

    /// <summary>The id of an agent, a session or whatever else is named like one.</summary>
    public string? Name(JsonElement value, string field)
    {
        var name = Text(value, field, AgentIds.MaxLength);
        if (name is null || AgentIds.IsValid(name))
            return name;
        Add(field, AgentIds.Fault, value);
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
        if (IsId(value, out var id))
            return id;
        Add(field, "must be a task id (a UUID)", value);
        return null;
    }

    /// <summary>An array of task ids; one given twice is taken once.</summary>
    public TaskId[] Ids(JsonElement value, string field, int max)
    {
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > max)
        {
            Add(field, $"must be an array of at most {max} task ids", value);
            return [];
        }

        var ids = new List<TaskId>(value.GetArrayLength());
        var index = 0;
        foreach (var item in value.EnumerateArray())
        {
            if (!IsId(item, out var id))
                Add($"{field}[{index}]", "must be a task id (a UUID)", item);
            else if (!ids.Contains(id))
                ids.Add(id);
            index++;
        }

        return [.. ids];
    }

    /// <summary>A time as Unix milliseconds.</summary>
    public long? Time(JsonElement value, string field)
    {
        // 0 stands for no time; whatever was due by 1970 is due.
        if (value.ValueKind == JsonValueKind.String && Rfc3339.TryParse(value.GetString(), out var ms))
            return Math.Max(1, ms);
        Add(field, "must be a time with a zone, as in 2026-01-31T09:30:00Z (RFC 3339)", value);
        return null;
    }

    /// <summary>An array of names; one given twice in any case is taken once.</summary>
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
        var index = 0;
        foreach (var item in value.EnumerateArray())
        {
            if (FaultOfText(item, TaskLimits.MaxName, multiline: false, allowEmpty: false, out var name) is { } fault)
                Add($"{field}[{index}]", fault, item);
            else if (!names.Contains(name!.Trim(), StringComparer.OrdinalIgnoreCase))
                names.Add(name.Trim());
            index++;
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

        var count = value.GetPropertyCount();
        if (count > TaskLimits.MaxLabels)
            Add(field, $"holds {count} labels; at most {TaskLimits.MaxLabels} are allowed");
        if (count is 0 or > TaskLimits.MaxLabels)
            return null;

        foreach (var label in value.EnumerateObject())
        {
            var name = label.Name;
            if (name.Length is 0 or > TaskLimits.MaxName || name.Contains('=', StringComparison.Ordinal) || name.AsSpan().ContainsAny(Controls))
                Add($"{field}.{name}", $"a label's name has 1 to {TaskLimits.MaxName} characters, without = and control characters");
            if (FaultOfText(label.Value, TaskLimits.MaxName, multiline: false, allowEmpty: true, out _) is { } fault)
                Add($"{field}.{name}", fault, label.Value);
        }

        return JsonBytes.From(value);
    }

    /// <summary>What an attempt used: an object of name to whole number from 0 up.</summary>
    public JsonBytes? Usage(JsonElement value, string field)
    {
        if (value.ValueKind != JsonValueKind.Object || value.GetPropertyCount() > MaxUsages)
        {
            Add(field, $"must be an object of at most {MaxUsages} whole numbers", value);
            return null;
        }

        foreach (var item in value.EnumerateObject())
        {
            if (item.Name.Length is 0 or > TaskLimits.MaxName)
                Add($"{field}.{item.Name}", $"a name has 1 to {TaskLimits.MaxName} characters");
            Number(item.Value, $"{field}.{item.Name}", 0, long.MaxValue);
        }

        return JsonBytes.From(value);
    }

    /// <summary>What work is expected to use: any object, in which the names that mean something have whole numbers, and <c>model</c> a text.</summary>
    public JsonBytes? Estimate(JsonElement value, string field)
    {
        var given = Object(value, field);
        if (given is null)
            return null;
        foreach (var member in value.EnumerateObject())
        {
            if (Dispatch.Allowances.Estimate.Names.Contains(member.Name, StringComparer.Ordinal))
                Number(member.Value, $"{field}.{member.Name}", 0, Limit.MaxAmount);
            else if (member.NameEquals("model"))
                Text(member.Value, $"{field}.model", TaskLimits.MaxModel);
        }

        return given;
    }

    /// <summary>What a task and those below it may use: an object of unit to whole number. An empty one is none.</summary>
    public Amounts? Budget(JsonElement value, string field)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            Add(field, "must be an object of units and whole numbers", value);
            return null;
        }

        var amounts = new List<KeyValuePair<string, long>>();
        foreach (var member in value.EnumerateObject())
        {
            if (AllowanceTable.BudgetUnits.ContainsKey(member.Name))
                amounts.Add(new(member.Name, Number(member.Value, $"{field}.{member.Name}", 0, Limit.MaxAmount)));
            else
                Add($"{field}.{member.Name}", $"is no unit of a budget; known are {string.Join(", ", AllowanceTable.BudgetUnits.Keys)}", member.Value);
        }

        return amounts.Count == 0 ? null : new Amounts([.. amounts]);
    }

    /// <param name="known">What is known here: the nearest one is proposed.</param>
    public void Unknown(string name, IEnumerable<string> known)
    {
        var plain = Plain(name);
        var near = known.FirstOrDefault(k => Plain(k).Equals(plain, StringComparison.OrdinalIgnoreCase));
        Add(name, near is null ? "is not known here" : $"is not known here; did you mean {near}?");
    }

    private static string Plain(string name) => name.Replace("_", "", StringComparison.Ordinal).Replace("-", "", StringComparison.Ordinal);

    private static bool IsId(JsonElement value, out TaskId id)
    {
        id = value.ValueKind == JsonValueKind.String && value.TryGetGuid(out var guid) ? new TaskId(guid) : default;
        return !id.IsNone;
    }

    /// <summary>What is wrong with a text, or null and the text.</summary>
    private static string? FaultOfText(JsonElement value, int max, bool multiline, bool allowEmpty, out string? text)
    {
        text = value.ValueKind == JsonValueKind.String ? value.GetString() : null;
        return text switch
        {
            null => "must be a text",
            _ when text.Length > max => $"is {text.Length} characters long; at most {max} are allowed",
            _ when !allowEmpty && string.IsNullOrWhiteSpace(text) => "must not be empty",
            _ when !multiline && text.AsSpan().ContainsAny(Controls) => "must not hold control characters",
            _ => null,
        };
    }
}

/// <summary>The beginning of a text that may be long, for a message about it.</summary>
internal static class Excerpt
{
    /// <summary>At most so many characters, never half of a pair, with an ellipsis when something was left off.</summary>
    public static string Of(string text, int most)
    {
        if (text.Length <= most)
            return text;
        return string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[most - 1]) ? most - 1 : most), "...");
    }
}

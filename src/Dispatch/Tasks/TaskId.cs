using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Tasks;

/// <summary>A task's id: a UUID, version 7 when the broker makes it, so that ids sort by time of creation.</summary>
[JsonConverter(typeof(TaskIdConverter))]
public readonly record struct TaskId(Guid Value) : IComparable<TaskId>
{
    public bool IsNone => Value == Guid.Empty;

    public static bool TryParse(string? text, out TaskId id)
    {
        var ok = Guid.TryParseExact(text, "D", out var value) && value != Guid.Empty;
        id = new TaskId(ok ? value : Guid.Empty);
        return ok;
    }

    public static bool TryParse(ReadOnlySpan<byte> utf8, out TaskId id)
    {
        id = default;
        if (utf8.Length != 36 || !System.Buffers.Text.Utf8Parser.TryParse(utf8, out Guid value, out var used) || used != 36 || value == Guid.Empty)
            return false;

        id = new TaskId(value);
        return true;
    }

    /// <exception cref="FormatException">The text is no task id.</exception>
    public static TaskId Parse(string text) => TryParse(text, out var id) ? id : throw new FormatException($"'{text}' is no task id.");

    public int CompareTo(TaskId other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString();
}

public sealed class TaskIdConverter : JsonConverter<TaskId>
{
    public override TaskId Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => new(reader.GetGuid());

    public override void Write(Utf8JsonWriter writer, TaskId value, JsonSerializerOptions options) => writer.WriteStringValue(value.Value);
}

using System.Buffers;
using System.Text.Json;
using Dispatch.Events;

namespace Dispatch.Tasks;

/// <summary>Adds what attempts used: objects of name to non-negative whole number.</summary>
public static class UsageSum
{
    /// <summary>The sum by name; a sum past the largest 64-bit number stays there. Null counts as nothing.</summary>
    public static JsonBytes? Add(JsonBytes? one, JsonBytes? other)
    {
        if (one is null || other is null)
            return one ?? other;

        var sums = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (var part in (ReadOnlySpan<JsonBytes>)[one, other])
        {
            using var document = JsonDocument.Parse(part.Memory);
            foreach (var member in document.RootElement.EnumerateObject())
            {
                var before = sums.GetValueOrDefault(member.Name);
                var more = member.Value.GetInt64();
                sums[member.Name] = before > long.MaxValue - more ? long.MaxValue : before + more;
            }
        }

        var buffer = new ArrayBufferWriter<byte>(64);
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            foreach (var (name, sum) in sums)
                writer.WriteNumber(name, sum);
            writer.WriteEndObject();
        }

        return new JsonBytes(buffer.WrittenSpan.ToArray());
    }
}

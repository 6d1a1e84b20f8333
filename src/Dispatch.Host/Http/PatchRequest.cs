using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Dispatch.Events;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>What a PATCH asks for.</summary>
internal sealed record PatchRequest(bool Cancel, string? Reason, byte? Priority, JsonNode? Context)
{
    private static readonly MemberNames Known = new("status", "reason", "priority", "context");

    public static PatchRequest Read(JsonBody body)
    {
        if (!body.HasRoot || body.Root.ValueKind != JsonValueKind.Object)
            throw JsonBody.Refuse("The body must be a JSON object with status, priority or context.");

        var faults = new Faults();
        bool cancel = false;
        string? reason = null;
        byte? priority = null;
        JsonNode? context = null;
        foreach (var member in body.Root.EnumerateObject())
        {
            switch (member.Name)
            {
                case "status":
                    cancel = member.Value.ValueKind == JsonValueKind.String && member.Value.ValueEquals("cancelled");
                    if (!cancel)
                        faults.Add("status", "can only be set to cancelled", member.Value);
                    break;
                case "reason":
                    reason = faults.Text(member.Value, "reason", TaskLimits.MaxMessage);
                    break;
                case "priority":
                    priority = TaskReader.Priority(member.Value, "priority", faults);
                    break;
                case "context":
                    if (faults.Object(member.Value, "context") is { } patch)
                        context = JsonNode.Parse(patch.Span);
                    break;
                default:
                    faults.Unknown(member.Name, Known.All);
                    break;
            }
        }

        if (faults.Count == 0)
        {
            if (cancel && (priority is not null || context is not null))
                faults.Add("status", "a cancelled task can't be changed otherwise: send one or the other");
            else if (!cancel && priority is null && context is null)
                faults.Add("body", "nothing to change: give status, priority or context");
            else if (reason is not null && !cancel)
                faults.Add("reason", "goes with status cancelled only");
        }

        faults.ThrowIfAny();
        return new PatchRequest(cancel, reason, priority, context);
    }
}

/// <summary>JSON merge patch, RFC 7396.</summary>
internal static class MergePatch
{
    // As it was given: nothing is escaped that JSON lets stand.
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static JsonBytes Apply(JsonBytes? target, JsonNode patch)
    {
        var merged = Merge(target is null ? null : JsonNode.Parse(target.Span), patch.DeepClone())!;
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var writer = new Utf8JsonWriter(buffer, Options))
            merged.WriteTo(writer);
        return new JsonBytes(buffer.WrittenSpan.ToArray());
    }

    private static JsonNode? Merge(JsonNode? target, JsonNode? patch)
    {
        if (patch is not JsonObject changes)
            return patch;

        var result = target as JsonObject ?? [];
        foreach (var (name, value) in changes.ToArray())
        {
            changes.Remove(name);
            if (value is null)
            {
                result.Remove(name);
                continue;
            }

            var before = result[name];
            result.Remove(name);
            result[name] = Merge(before, value);
        }

        return result;
    }
}

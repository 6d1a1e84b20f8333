using System.Text.Json;
using Dispatch.Agents;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Http;

/// <summary>Reads agents' registrations.</summary>
internal static class AgentReader
{
    public const int MaxConcurrentLimit = 10_000;
    private const int MaxCapabilities = 256;
    private const int MaxUrl = 2_048;

    private static readonly MemberNames Known = new("capabilities", "owner", "labels", "max_concurrent", "status", "wake");

    private static readonly Dictionary<string, AgentStatus> Statuses = new(StringComparer.Ordinal)
    {
        ["ready"] = AgentStatus.Ready,
        ["busy"] = AgentStatus.Busy,
        ["sleeping"] = AgentStatus.Sleeping,
        ["degraded"] = AgentStatus.Degraded,
    };

    public static RegisterAgent Read(JsonBody body, string id, int defaultMaxConcurrent)
    {
        var faults = new Faults();
        string[] capabilities = [];
        string? owner = null, wake = null;
        Events.JsonBytes? labels = null;
        var maxConcurrent = defaultMaxConcurrent;
        var status = AgentStatus.Ready;
        if (body.HasRoot && body.Root.ValueKind != JsonValueKind.Object)
            faults.Add("body", "must be a JSON object");
        foreach (var member in body.HasRoot && faults.Count == 0 ? body.Root.EnumerateObject().ToArray() : [])
        {
            var name = Known.Of(member);
            if (member.Value.ValueKind == JsonValueKind.Null && Known.Has(name))
                continue;
            switch (name)
            {
                case "capabilities":
                    capabilities = faults.Names(member.Value, "capabilities", MaxCapabilities);
                    break;
                case "owner":
                    owner = faults.Text(member.Value, "owner", TaskLimits.MaxName);
                    break;
                case "labels":
                    labels = faults.Labels(member.Value, "labels");
                    break;
                case "max_concurrent":
                    maxConcurrent = (int)faults.Number(member.Value, "max_concurrent", 1, MaxConcurrentLimit);
                    break;
                case "status":
                    status = Status(member.Value, faults);
                    break;
                case "wake":
                    wake = Wake(member.Value, faults);
                    break;
                default:
                    faults.Unknown(name, Known.All);
                    break;
            }
        }

        faults.ThrowIfAny();
        return new RegisterAgent(id, capabilities, owner, labels, maxConcurrent, status, wake);
    }

    /// <summary>The status in a body that holds nothing else, or null.</summary>
    public static AgentStatus? StatusOnly(JsonBody body, Faults faults)
    {
        AgentStatus? status = null;
        if (!body.HasRoot)
            return status;
        if (body.Root.ValueKind != JsonValueKind.Object)
        {
            faults.Add("body", "must be a JSON object");
            return status;
        }

        foreach (var member in body.Root.EnumerateObject())
        {
            if (member.Name == "status")
                status = member.Value.ValueKind == JsonValueKind.Null ? null : Status(member.Value, faults);
            else
                faults.Unknown(member.Name, ["status"]);
        }

        return status;
    }

    public static AgentStatus Status(JsonElement value, Faults faults)
    {
        if (value.ValueKind == JsonValueKind.String && Statuses.TryGetValue(value.GetString()!, out var status))
            return status;
        faults.Add("status", "must be ready, busy, sleeping or degraded", value);
        return AgentStatus.Ready;
    }

    public static AgentStatus? Status(HttpRequest request, Faults faults)
    {
        if (TaskQueryReader.Name(request, "status", faults) is not { } word)
            return null;
        if (word == "offline")
            return AgentStatus.Offline;
        if (Statuses.TryGetValue(word, out var status))
            return status;
        faults.Add("status", "must be ready, busy, sleeping, degraded or offline");
        return null;
    }

    private static string? Wake(JsonElement value, Faults faults)
    {
        if (value.ValueKind != JsonValueKind.Object || !value.TryGetProperty("url", out var url) || value.EnumerateObject().Count() != 1)
        {
            faults.Add("wake", "must be an object with a url");
            return null;
        }

        var text = faults.Text(url, "wake.url", MaxUrl);
        if (text is null || (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.UserInfo.Length == 0))
            return text;
        faults.Add("wake.url", "must be an absolute http or https address without a user", url);
        return null;
    }
}

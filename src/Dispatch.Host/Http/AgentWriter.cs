using System.Text.Json;
using Dispatch.Agents;

namespace Dispatch.Host.Http;

/// <summary>Writes agents as callers see them.</summary>
internal static class AgentWriter
{
    public static string Word(AgentStatus status) => status switch
    {
        AgentStatus.Ready => "ready",
        AgentStatus.Busy => "busy",
        AgentStatus.Sleeping => "sleeping",
        AgentStatus.Degraded => "degraded",
        _ => "offline",
    };

    public static void Write(Utf8JsonWriter json, AgentView view)
    {
        var agent = view.Agent;
        json.WriteStartObject();
        json.WriteString("id"u8, agent.Id);
        TaskWriter.Texts(json, "capabilities"u8, agent.Capabilities);
        TaskWriter.Text(json, "owner"u8, agent.Owner);
        TaskWriter.Raw(json, "labels"u8, agent.Labels ?? Events.JsonBytes.EmptyObject);
        json.WriteNumber("max_concurrent"u8, agent.MaxConcurrent);
        json.WriteString("status"u8, Word(agent.Status));
        json.WriteNumber("active"u8, view.Active);
        json.WriteBoolean("drained"u8, agent.Drained);
        TaskWriter.Time(json, "registered_at"u8, agent.RegisteredAt);
        TaskWriter.Time(json, "last_seen_at"u8, view.LastSeenAt);
        if (agent.WakeUrl is { } url)
        {
            json.WriteStartObject("wake"u8);
            json.WriteString("url"u8, url);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    public static void WriteRevoked(Utf8JsonWriter json, IReadOnlyList<Revocation> revoked)
    {
        json.WriteStartArray("cancelled"u8);
        foreach (var attempt in revoked)
        {
            json.WriteStartObject();
            json.WriteString("task_id"u8, attempt.Task.Value);
            json.WriteNumber("attempt"u8, attempt.Attempt);
            json.WriteString("reason"u8, attempt.Reason);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}

using System.Text.Json;
using Dispatch.Agents;

namespace Dispatch.Storage.Rows;

/// <summary>An agent to and from its row in <c>agents</c>.</summary>
internal static class AgentRows
{
    internal const string Columns =
        "id, capabilities, owner, labels, max_concurrent, status, drained, wake_url, registered_at, status_at, last_sequence";

    internal static void Bind(IRowParameters row, Agent agent, JsonText json)
    {
        row.Bind(1, agent.Id);
        JsonSerializer.Serialize(json.Start(), agent.Capabilities, RowJson.Default.StringArray);
        row.BindText(2, json.End());
        row.Bind(3, agent.Owner);
        row.Bind(4, agent.Labels);
        row.Bind(5, (long)agent.MaxConcurrent);
        row.BindText(6, Words.AgentStatus.Word((int)agent.Status));
        row.Bind(7, agent.Drained);
        row.Bind(8, agent.WakeUrl);
        row.Bind(9, agent.RegisteredAt);
        row.Bind(10, agent.StatusAt);
        row.Bind(11, agent.LastSequence);
    }

    internal static Agent Read(IStoredRow row) => new()
    {
        Id = row.Text(0),
        Capabilities = RowTexts.Strings(row.Utf8(1)),
        Owner = row.NullableText(2),
        Labels = row.NullableJson(3),
        MaxConcurrent = row.Int32(4),
        Status = Words.AgentStatus.Parse(row.Utf8(5)),
        Drained = row.Boolean(6),
        WakeUrl = row.NullableText(7),
        RegisteredAt = row.Int64(8),
        StatusAt = row.Int64(9),
        LastSequence = row.Int64(10),
    };
}

using Dispatch.Agents;

namespace Dispatch.Storage.Rows;

/// <summary>A token to and from its row in <c>tokens</c>.</summary>
internal static class TokenRows
{
    internal const string Columns = "id, hash, agent_id, name, created_at, expires_at, revoked_at, last_sequence";

    internal static void Bind(IRowParameters row, AgentToken token)
    {
        row.Bind(1, token.Id);
        row.Bind(2, token.Hash);
        row.Bind(3, token.Agent);
        row.Bind(4, token.Name);
        row.Bind(5, token.CreatedAt);
        row.Bind(6, token.ExpiresAt);
        row.Bind(7, token.RevokedAt);
        row.Bind(8, token.LastSequence);
    }

    internal static AgentToken Read(IStoredRow row) => new(
        row.Text(0), row.Text(1), row.Text(2), row.NullableText(3), row.Int64(4), row.NullableInt64(5), row.NullableInt64(6), row.Int64(7));
}

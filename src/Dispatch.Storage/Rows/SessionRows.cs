using Dispatch.Sessions;

namespace Dispatch.Storage.Rows;

/// <summary>An open session to and from its row in <c>sessions</c>.</summary>
internal static class SessionRows
{
    internal const string Columns = "id, hash, name, created_at, expires_at, last_sequence";

    internal static void Bind(IRowParameters row, Session session)
    {
        row.Bind(1, session.Id);
        row.Bind(2, session.Hash);
        row.Bind(3, session.Name);
        row.Bind(4, session.CreatedAt);
        row.Bind(5, session.ExpiresAt);
        row.Bind(6, session.LastSequence);
    }

    internal static Session Read(IStoredRow row) => new(
        row.Text(0), row.NullableText(2), row.Text(1), row.Int64(3), row.Int64(4), row.Int64(5));
}

using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Webhooks;

namespace Dispatch.Storage.Sqlite;

/// <summary>How far followers have come, and what they were told.</summary>
internal sealed record CursorSave(IReadOnlyList<(string Name, long Sequence)> Cursors, IReadOnlyList<WebhookDelivery> Deliveries);

/// <summary>Writes what followers of the log have to remember; it is no part of the log. Inside the writer's transaction.</summary>
internal sealed class CursorWriter(SqliteConnection connection)
{
    private readonly SqliteStatement writeCursor = connection.Prepare(
        """
        INSERT INTO cursors (name, sequence, updated_at) VALUES (?1, ?2, ?3)
          ON CONFLICT (name) DO UPDATE SET updated_at = CASE sequence WHEN ?2 THEN updated_at ELSE ?3 END, sequence = ?2
        """);
    // A webhook that was deleted meanwhile takes no more history.
    private readonly SqliteStatement insertDelivery = connection.Prepare(
        $"INSERT INTO webhook_deliveries ({DeliveryRows.Columns}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE EXISTS (SELECT 1 FROM webhooks WHERE id = ?1)");
    private readonly SqliteStatement trimDeliveries = connection.Prepare(
        $"DELETE FROM webhook_deliveries WHERE webhook = ?1 AND id <= (SELECT id FROM webhook_deliveries WHERE webhook = ?1 ORDER BY id DESC LIMIT 1 OFFSET {WebhookDelivery.Kept})");

    internal void Write(CursorSave save, long now)
    {
        foreach (var (name, sequence) in save.Cursors)
        {
            writeCursor.Bind(1, name);
            writeCursor.Bind(2, sequence);
            writeCursor.Bind(3, now);
            writeCursor.Execute();
        }

        foreach (var delivery in save.Deliveries)
        {
            DeliveryRows.Bind(insertDelivery, delivery);
            insertDelivery.Execute();
        }

        foreach (var webhook in save.Deliveries.Select(delivery => delivery.Webhook).Distinct(StringComparer.Ordinal))
        {
            trimDeliveries.Bind(1, webhook);
            trimDeliveries.Execute();
        }
    }
}

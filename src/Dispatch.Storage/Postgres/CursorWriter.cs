using Dispatch.Storage.Rows;
using Dispatch.Webhooks;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>Writes what followers of the log have to remember; it is no part of the log.</summary>
internal static class CursorWriter
{
    private const string WriteCursors = """
        INSERT INTO cursors AS c (name, sequence, updated_at) SELECT unnest($1), unnest($2), $3
            ON CONFLICT (name) DO UPDATE SET updated_at = CASE c.sequence WHEN excluded.sequence THEN c.updated_at ELSE excluded.updated_at END, sequence = excluded.sequence
        """;

    // A webhook that was deleted meanwhile takes no more history.
    private const string InsertDelivery =
        $"INSERT INTO webhook_deliveries ({DeliveryRows.Columns}) SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE EXISTS (SELECT FROM webhooks WHERE id = $1)";

    private const string TrimDeliveries = """
        DELETE FROM webhook_deliveries WHERE webhook = $1 AND id <= (SELECT id FROM webhook_deliveries WHERE webhook = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)
        """;

    internal static Task<int> WriteAsync(WriterSession session, IReadOnlyList<(string Name, long Sequence)> cursors, IReadOnlyList<WebhookDelivery> deliveries, long now) => session.WriteAsync(commands =>
    {
        if (cursors.Count > 0)
        {
            var row = Add(commands, WriteCursors);
            row.Bind(1, cursors.Select(cursor => cursor.Name));
            row.Bind(2, [.. cursors.Select(cursor => cursor.Sequence)]);
            row.Bind(3, now);
        }

        foreach (var delivery in deliveries)
            DeliveryRows.Bind(Add(commands, InsertDelivery), delivery);
        foreach (var webhook in deliveries.Select(delivery => delivery.Webhook).Distinct(StringComparer.Ordinal))
        {
            var row = Add(commands, TrimDeliveries);
            row.Bind(1, webhook);
            row.Bind(2, (long)WebhookDelivery.Kept);
        }
    }, CancellationToken.None);

    private static PostgresParameters Add(NpgsqlBatch commands, string sql)
    {
        var command = new NpgsqlBatchCommand(sql);
        commands.BatchCommands.Add(command);
        return new PostgresParameters(command.Parameters);
    }
}

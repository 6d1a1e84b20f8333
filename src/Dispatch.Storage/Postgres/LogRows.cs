using Dispatch.Retention;
using Dispatch.Storage.Rows;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>How far the log reaches, what it takes, and the bases of it: the queries. Inside one transaction they agree.</summary>
internal static class LogRows
{
    internal const string WriteMeta = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

    /// <summary>The oldest event that is kept, for use within a statement.</summary>
    internal const string Horizon = "coalesce((SELECT value::bigint FROM meta WHERE key = 'log_horizon'), 1)";

    /// <summary>Adds a statement that keeps a value in <c>meta</c>.</summary>
    internal static void AddMeta(NpgsqlBatch commands, string key, string value)
    {
        var command = new NpgsqlBatchCommand(WriteMeta);
        var row = new PostgresParameters(command.Parameters);
        row.Bind(1, key);
        row.Bind(2, value);
        commands.BatchCommands.Add(command);
    }

    internal static async Task<LogMeta> MetaAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        var texts = new Dictionary<string, string>(StringComparer.Ordinal);
        await foreach (var row in connection.QueryAsync("SELECT key, value FROM meta WHERE key IN ('log_horizon', 'log_prepared', 'log_mark')", cancel))
            texts.Add(row.Text(0), row.Text(1));
        return new LogMeta(
            LogMark.Number("log_horizon", texts.GetValueOrDefault("log_horizon"), 1), LogMark.Number("log_prepared", texts.GetValueOrDefault("log_prepared"), 0),
            LogMark.Read(texts.GetValueOrDefault(LogMark.Key)));
    }

    /// <summary>What the log takes up to its head, kept or not.</summary>
    internal static async Task<long> BytesAsync(NpgsqlConnection connection, LogMeta meta, CancellationToken cancel)
    {
        var behind = await connection.ListAsync(
            "SELECT count(*), sum(octet_length(data))::bigint FROM events WHERE sequence > $1", row => row.Int64(1) + (row.Int64(0) * LogExtent.EventBytes), cancel,
            row => row.Bind(1, meta.Mark.Sequence));
        return meta.Mark.Bytes + behind[0];
    }

    /// <summary>The complete bases from this one on.</summary>
    internal static Task<List<LogBase>> BasesAsync(NpgsqlConnection connection, long from, CancellationToken cancel) => connection.ListAsync(
        "SELECT sequence, timestamp, bytes, parts, digest FROM log_bases WHERE sequence >= $1 ORDER BY sequence",
        row => new LogBase(row.Int64(0), row.Int64(1), row.Int64(2), row.Int32(3), row.Text(4)), cancel, row => row.Bind(1, from));

    /// <summary>Sequence of the last event; 0 for an empty log.</summary>
    internal static async Task<long> HeadAsync(NpgsqlConnection connection, CancellationToken cancel) =>
        (await connection.ListAsync("SELECT sequence FROM events ORDER BY sequence DESC LIMIT 1", row => row.Int64(0), cancel)).FirstOrDefault();

    internal static async Task<LogExtent> ExtentAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        var meta = await MetaAsync(connection, cancel);
        var known = await BasesAsync(connection, meta.Horizon - 1, cancel);
        var bytes = await BytesAsync(connection, meta, cancel);
        var uncovered = Math.Max(meta.Horizon, (known.Count == 0 ? 0 : known[^1].Sequence) + 1);
        var ends = await connection.ListAsync(
            """
            SELECT (SELECT sequence FROM events ORDER BY sequence DESC LIMIT 1), (SELECT timestamp FROM events WHERE sequence = $1),
                   (SELECT min(sequence) FROM log_base_parts) < $2 - 1 OR EXISTS (SELECT FROM published WHERE sequence < $2) OR EXISTS (SELECT FROM usage_reports WHERE sequence < $2)
                   OR EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                               WHERE i.inhparent = 'events'::regclass AND split_part(c.relname::text, '_', 3)::bigint <= $2)
            """, row => (Head: row.Int64(0), Uncovered: row.NullableInt64(1), HasMore: row.Boolean(2)), cancel, row =>
            {
                row.Bind(1, uncovered);
                row.Bind(2, meta.Horizon);
            });
        return new LogExtent(meta.Horizon, ends[0].Head, bytes, ends[0].Uncovered, known, IsTrimmed: !ends[0].HasMore);
    }
}

/// <summary>What <c>meta</c> says about the log.</summary>
/// <param name="Horizon">Sequence of the oldest event that is kept.</param>
/// <param name="Prepared">Up to this event nothing that is kept needs its event.</param>
/// <param name="Mark">What the log takes up to an event.</param>
internal readonly record struct LogMeta(long Horizon, long Prepared, (long Sequence, long Bytes) Mark);

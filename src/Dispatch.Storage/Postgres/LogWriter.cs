using System.Globalization;
using Dispatch.Retention;
using Dispatch.Storage.Rows;
using Dispatch.Tasks;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>Shortens the log: each call is a small piece of work in a transaction of its own, between commits.</summary>
internal static class LogWriter
{
    private const int PreparedTasks = 256;
    private const int DeletedParts = 8;
    private const int DeletedRows = 1_000;

    // The last partition of a log that grows is never dropped, and all but always nobody looks at the first: whoever does is not to be waited for.
    private const string DropPatience = "SET LOCAL lock_timeout = 200";

    private static readonly string ToPrepare = TaskRows.Complete(
        "SELECT * FROM tasks WHERE number > $1 AND number <= $2 ORDER BY number LIMIT " + PreparedTasks.ToString(CultureInfo.InvariantCulture), "t.number");

    /// <summary>Removes parts of bases that never came to their end; true: there may be more.</summary>
    internal static async Task<bool> DeleteStrayPartsAsync(WriterSession session, CancellationToken cancel) => await session.WriteAsync(commands => Add(
        commands, "DELETE FROM log_base_parts p WHERE ctid = ANY(ARRAY(SELECT ctid FROM log_base_parts WHERE sequence NOT IN (SELECT sequence FROM log_bases) LIMIT $1))",
        row => row.Bind(1, (long)DeletedParts)), cancel) > 0;

    internal static Task<int> WritePartAsync(WriterSession session, long sequence, int part, byte[] data, CancellationToken cancel) => session.WriteAsync(commands => Add(
        commands, "INSERT INTO log_base_parts (sequence, part, data) VALUES ($1, $2, $3)", row =>
        {
            row.Bind(1, sequence);
            row.Bind(2, (long)part);
            row.BindBlob(3, data);
        }), cancel);

    /// <summary>All its parts are written: from here on it counts.</summary>
    internal static Task<int> WriteBaseAsync(WriterSession session, LogBase made, CancellationToken cancel) => session.WriteAsync(commands => Add(
        commands, "INSERT INTO log_bases (sequence, timestamp, bytes, parts, digest) VALUES ($1, $2, $3, $4, $5)", row =>
        {
            row.Bind(1, made.Sequence);
            row.Bind(2, made.Timestamp);
            row.Bind(3, made.Bytes);
            row.Bind(4, (long)made.Parts);
            row.Bind(5, made.Digest);
        }), cancel);

    /// <summary>Copies what only events up to this one tell of some tasks; returns the number to go on behind, or null when all are done.</summary>
    internal static async Task<long?> PrepareAsync(WriterSession session, long after, long upTo, CancellationToken cancel)
    {
        var tasks = new TaskRows();
        var found = await session.Connection.ListAsync(
            ToPrepare, row => (LacksPayload: TaskRows.LacksPayload(row), LacksResult: TaskRows.LacksResult(row), Stored: tasks.ReadComplete(row)), cancel, row =>
            {
                row.Bind(1, after);
                row.Bind(2, upTo);
            });
        var isLast = found.Count < PreparedTasks;
        await session.WriteAsync(commands =>
        {
            foreach (var (lacksPayload, lacksResult, (task, spec, result)) in found)
            {
                if (lacksPayload)
                {
                    Add(commands, $"INSERT INTO task_payloads ({SpecColumns.Keys}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING", row =>
                    {
                        for (var n = 2; n <= 9; n++)
                            row.Bind(n, (string?)null);
                        SpecColumns.BindPayload(row, task.Number, spec);
                    });
                }

                if (task.Status == TaskState.Completed && lacksResult && result is not null)
                {
                    Add(commands, "UPDATE attempts SET result = $1 WHERE number = $2 AND attempt = $3", row =>
                    {
                        row.Bind(1, result);
                        row.Bind(2, task.Number);
                        row.Bind(3, (long)task.Attempt);
                    });
                }
            }

            if (isLast)
            {
                Add(commands, LogRows.WriteMeta + " WHERE meta.value::bigint < excluded.value::bigint", row =>
                {
                    row.Bind(1, "log_prepared");
                    row.Bind(2, upTo.ToString(CultureInfo.InvariantCulture));
                });
            }
        }, cancel);
        return isLast ? null : found[^1].Stored.Task.Number;
    }

    /// <summary>Deletes some of what nobody can read any more; true: there may be more. Events go by whole partitions.</summary>
    internal static async Task<bool> TrimAsync(WriterSession session, int most, CancellationToken cancel)
    {
        var horizon = (await LogRows.MetaAsync(session.Connection, cancel)).Horizon;
        var partitions = await session.PartitionsAsync(cancel);
        if (partitions.FindDroppable(horizon) is { } partition)
        {
            await session.WriteAsync(commands =>
            {
                Add(commands, DropPatience, static _ => { });
                Add(commands, $"DROP TABLE {partition}", static _ => { });
            }, cancel);
            partitions.Dropped();
            return true;
        }

        var limit = (long)Math.Clamp(most, 1, DeletedRows);
        foreach (var (table, column, and) in new[] { ("published", "sequence", ""), ("usage_reports", "sequence", ""), ("questions", "number", "AND status <> 'open' AND last_sequence < $1") })
        {
            if (await DeleteAsync($"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {column} < $1 {and} ORDER BY {column} LIMIT $2))", horizon, limit) > 0)
                return true;
        }

        return await DeleteAsync("DELETE FROM log_base_parts WHERE ctid = ANY(ARRAY(SELECT ctid FROM log_base_parts WHERE sequence < $1 LIMIT $2))", horizon - 1, DeletedParts) > 0
            || await DeleteAsync("DELETE FROM log_bases WHERE ctid = ANY(ARRAY(SELECT ctid FROM log_bases WHERE sequence < $1 LIMIT $2))", horizon - 1, limit) > 0;

        Task<int> DeleteAsync(string sql, long below, long count) => session.WriteAsync(commands => Add(commands, sql, row =>
        {
            row.Bind(1, below);
            row.Bind(2, count);
        }), cancel);
    }

    private static void Add(NpgsqlBatch commands, string sql, Action<PostgresParameters> bind)
    {
        var command = new NpgsqlBatchCommand(sql);
        bind(new PostgresParameters(command.Parameters));
        commands.BatchCommands.Add(command);
    }
}

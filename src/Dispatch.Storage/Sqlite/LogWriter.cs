using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// Shortens the log: each call is a small piece in a transaction of its own, between commits. Also counts what the log takes. Lives on the
/// writer's thread.
/// </summary>
internal sealed class LogWriter
{
    private const int PreparedTasks = 256;
    private const int PreparedBytes = 1 << 20;
    private const int DeletedParts = 8;
    private const int DeletedEvents = 64;

    // Large events take long to delete: then a piece is shorter than asked for, and nobody waits for it.
    private static readonly TimeSpan LongestPiece = TimeSpan.FromMilliseconds(10);

    private readonly SqliteConnection connection;
    private readonly SpecRows specs;
    private readonly TimeProvider clock;
    private readonly LogRows log;
    private readonly SqliteStatement writeMeta;
    private readonly SqliteStatement writeMark;
    private readonly SqliteStatement insertPart;
    private readonly SqliteStatement insertBase;
    private readonly SqliteStatement deleteStrayParts;
    private readonly SqliteStatement deleteBases;
    private readonly SqliteStatement deleteParts;
    private readonly SqliteStatement tasksToPrepare;
    private readonly SqliteStatement keepPayload;
    private readonly SqliteStatement keepResult;
    private readonly SqliteStatement firstEvent;
    private readonly SqliteStatement deletePublished;
    private readonly SqliteStatement deleteQuestions;
    private readonly SqliteStatement deleteUsage;
    private readonly SqliteStatement deleteEvents;

    // As of the last commit; null when it is to be counted anew.
    private (long Marked, long Bytes)? counted;
    private long? horizon;

    internal LogWriter(SqliteConnection connection, SpecRows specs, TimeProvider clock)
    {
        this.connection = connection;
        this.specs = specs;
        this.clock = clock;
        log = new LogRows(connection);
        writeMeta = connection.Prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)");
        writeMark = connection.Prepare(LogRows.WriteMark);
        insertPart = connection.Prepare("INSERT INTO log_base_parts (sequence, part, data) VALUES (?, ?, ?)");
        insertBase = connection.Prepare("INSERT INTO log_bases (sequence, timestamp, bytes, parts, digest) VALUES (?, ?, ?, ?, ?)");
        deleteStrayParts = connection.Prepare(
            "DELETE FROM log_base_parts WHERE rowid IN (SELECT rowid FROM log_base_parts WHERE sequence NOT IN (SELECT sequence FROM log_bases) LIMIT ?)");
        deleteBases = connection.Prepare("DELETE FROM log_bases WHERE sequence < ?");
        deleteParts = connection.Prepare("DELETE FROM log_base_parts WHERE rowid IN (SELECT rowid FROM log_base_parts WHERE sequence < ? LIMIT ?)");
        tasksToPrepare = connection.Prepare(
            """
            SELECT t.number, t.status, t.attempt, t.last_sequence, p.number, a.result FROM tasks t
              LEFT JOIN task_payloads p ON p.number = t.number
              LEFT JOIN attempts a ON a.number = t.number AND a.attempt = t.attempt
             WHERE t.number > ? AND t.number <= ? ORDER BY t.number LIMIT ?
            """);
        keepPayload = connection.Prepare(Sql.Replace("task_payloads", SpecColumns.Keys));
        keepResult = connection.Prepare("UPDATE attempts SET result = ? WHERE number = ? AND attempt = ?");
        firstEvent = connection.Prepare("SELECT min(sequence) FROM events");
        deletePublished = connection.Prepare(
            """
            -- An event from outside is caused by the publisher that it comes from.
            DELETE FROM published WHERE sequence <= ?2 AND (publisher, id) IN
              (SELECT source, json_extract(data, '$.id') FROM events WHERE sequence BETWEEN ?1 AND ?2 AND source = actor)
            """);
        deleteQuestions = connection.Prepare(
            "DELETE FROM questions WHERE number IN (SELECT number FROM questions WHERE number < ?1 AND status <> 'open' AND last_sequence < ?1 LIMIT ?2)");
        deleteUsage = connection.Prepare("DELETE FROM usage_reports WHERE sequence BETWEEN ? AND ?");
        deleteEvents = connection.Prepare("DELETE FROM events WHERE sequence BETWEEN ? AND ?");
    }

    /// <summary>Sequence of the oldest event that is kept.</summary>
    internal long Horizon => horizon ??= log.Horizon();

    /// <summary>Takes note of what a batch adds to the log. To be called when its events are written.</summary>
    internal void Note(Batch batch)
    {
        var (marked, bytes) = counted ?? (0, log.Bytes());
        if (counted is not null)
        {
            for (var i = 0; i < batch.Events.Count; i++)
                bytes += LogRows.BytesOf(batch.Texts[i].Length);
        }

        // What is deleted can't be counted any more: a mark stands behind it.
        if (bytes - marked >= LogRows.MarkEvery || batch.Horizon is not null)
        {
            LogRows.BindMark(writeMark, batch.LastSequence, bytes);
            writeMark.Execute();
            marked = bytes;
        }

        counted = (marked, bytes);
        if (batch.Horizon is { } moved)
            Move(moved);
    }

    /// <summary>To be called after a rollback.</summary>
    internal void Forget() => (counted, horizon) = (null, null);

    /// <summary>Removes parts of bases that never came to their end; true: there may be more.</summary>
    internal bool DeleteStrayParts()
    {
        deleteStrayParts.Bind(1, (long)DeletedParts);
        deleteStrayParts.Execute();
        return connection.Changes > 0;
    }

    internal void WritePart(long sequence, int part, byte[] data)
    {
        insertPart.Bind(1, sequence);
        insertPart.Bind(2, (long)part);
        insertPart.BindBlob(3, data);
        insertPart.Execute();
    }

    /// <summary>All its parts are written: from here on it counts.</summary>
    internal void WriteBase(LogBase made)
    {
        insertBase.Bind(1, made.Sequence);
        insertBase.Bind(2, made.Timestamp);
        insertBase.Bind(3, made.Bytes);
        insertBase.Bind(4, (long)made.Parts);
        insertBase.Bind(5, made.Digest);
        insertBase.Execute();
    }

    /// <summary>Copies what only events up to this one tell of some tasks; returns the number to go on behind, or null when all are done.</summary>
    internal long? Prepare(long after, long upTo)
    {
        var rows = new List<(long Number, bool LacksPayload, int? LacksResult, long LastSequence)>();
        tasksToPrepare.Bind(1, after);
        tasksToPrepare.Bind(2, upTo);
        tasksToPrepare.Bind(3, (long)PreparedTasks);
        while (tasksToPrepare.Step())
        {
            var isCompleted = Words.State.Parse(tasksToPrepare.Utf8(1)) == TaskState.Completed && tasksToPrepare.IsNull(5);
            rows.Add((tasksToPrepare.Int64(0), tasksToPrepare.IsNull(4), isCompleted ? tasksToPrepare.Int32(2) : null, tasksToPrepare.Int64(3)));
        }

        tasksToPrepare.Reset();
        var bytes = 0;
        foreach (var (number, lacksPayload, lacksResult, lastSequence) in rows)
        {
            if (lacksPayload && specs.Find(number) is { } spec)
            {
                SpecColumns.BindPayload(keepPayload, number, spec);
                keepPayload.Execute();
                bytes += spec.Size;
            }

            if (lacksResult is { } attempt && specs.FindTold(lastSequence) is { } result)
            {
                keepResult.Bind(1, result);
                keepResult.Bind(2, number);
                keepResult.Bind(3, (long)attempt);
                keepResult.Execute();
                bytes += result.Length;
            }

            if (bytes >= PreparedBytes)
                return number;
        }

        if (rows.Count == PreparedTasks)
            return rows[^1].Number;
        if (log.Prepared() < upTo)
            WriteMeta("log_prepared", upTo);
        return null;
    }

    /// <summary>Deletes some of what nobody can read any more; true: there may be more.</summary>
    internal bool Trim(int most)
    {
        firstEvent.Step();
        var first = firstEvent.Int64(0);
        firstEvent.Reset();
        if (first > 0 && first < Horizon)
        {
            var end = Math.Min(first + most, Horizon);
            for (var began = clock.GetTimestamp(); first < end && clock.GetElapsedTime(began) < LongestPiece; first += DeletedEvents)
                Delete(first, Math.Min(first + DeletedEvents, end) - 1);
            return true;
        }

        deleteQuestions.Bind(1, Horizon);
        deleteQuestions.Bind(2, (long)DeletedEvents);
        deleteQuestions.Execute();
        if (connection.Changes > 0)
            return true;
        deleteBases.Bind(1, Horizon - 1);
        deleteBases.Execute();
        deleteParts.Bind(1, Horizon - 1);
        deleteParts.Bind(2, (long)DeletedParts);
        deleteParts.Execute();
        return connection.Changes > 0;
    }

    private void Delete(long first, long last)
    {
        deletePublished.Bind(1, first);
        deletePublished.Bind(2, last);
        deletePublished.Execute();
        deleteUsage.Bind(1, first);
        deleteUsage.Bind(2, last);
        deleteUsage.Execute();
        deleteEvents.Bind(1, first);
        deleteEvents.Bind(2, last);
        deleteEvents.Execute();
    }

    private void Move(long to)
    {
        if (to <= Horizon || log.Prepared() < to - 1 || log.Bases(to - 1).FirstOrDefault()?.Sequence != to - 1)
        {
            throw new StoreException(
                StoreFault.Unavailable, $"The horizon can't move from {Horizon} to {to}: there is no base, or what is kept still needs the events before. Nothing was written; the state has to be loaded again.");
        }

        WriteMeta("log_horizon", to);
        horizon = to;
    }

    private void WriteMeta(string key, long value)
    {
        writeMeta.Bind(1, key);
        writeMeta.Bind(2, value.ToString(System.Globalization.CultureInfo.InvariantCulture));
        writeMeta.Execute();
    }
}

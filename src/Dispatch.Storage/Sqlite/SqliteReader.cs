using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Storage.Sqlite;

/// <summary>One read-only connection with its prepared statements: the queries. Used by one caller at a time.</summary>
internal sealed class SqliteReader : IDisposable
{
    private const int KeptListings = 64;

    // A thousand events of a megabyte each, for each of many readers, would be more than there is.
    private const int ListedBytes = 2 << 20;

    private readonly SqliteConnection connection;
    private readonly TaskColumns tasks = new();
    private readonly EventRows events = new();
    private readonly SpecRows specs;
    private readonly LogRows log;
    private readonly Dictionary<string, SqliteStatement> listings = new(StringComparer.Ordinal);

    private readonly SqliteStatement begin;
    private readonly SqliteStatement end;
    private readonly SqliteStatement lastSequence;
    private readonly SqliteStatement totals;
    private readonly SqliteStatement taskById;
    private readonly SqliteStatement tasksFrom;
    private readonly SqliteStatement attemptsOf;
    private readonly SqliteStatement eventAt;
    private readonly SqliteStatement eventsAfter;
    private readonly SqliteStatement keyOf;
    private readonly SqliteStatement lastEventOf;
    private readonly SqliteStatement publishedAs;
    private readonly SqliteStatement usageAs;

    internal SqliteReader(SqliteStoreOptions options)
    {
        connection = DatabaseFile.OpenForReading(options);
        specs = new SpecRows(connection);
        log = new LogRows(connection);
        begin = connection.Prepare("BEGIN");
        end = connection.Prepare("COMMIT");
        lastSequence = connection.Prepare("SELECT max(sequence) FROM events");
        totals = connection.Prepare(StateRows.Totals);
        taskById = connection.Prepare($"SELECT {TaskColumns.List} FROM tasks WHERE id = ?");
        tasksFrom = connection.Prepare($"SELECT {TaskColumns.List} FROM tasks WHERE number > ? ORDER BY number LIMIT ?");
        attemptsOf = connection.Prepare($"SELECT {AttemptRows.Columns} FROM attempts WHERE number = ? ORDER BY attempt");
        eventAt = connection.Prepare($"SELECT {EventRows.Columns} FROM events WHERE sequence = ?");
        eventsAfter = connection.Prepare($"SELECT {EventRows.Columns} FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?");
        lastEventOf = connection.Prepare("SELECT last_sequence FROM tasks WHERE number = ?");
        usageAs = connection.Prepare($"SELECT {AllowanceRows.UsageColumns} FROM usage_reports WHERE reporter = ? AND id = ? AND sequence >= ?");
        publishedAs = connection.Prepare($"SELECT {PublisherRows.PublishedColumns} FROM published WHERE publisher = ? AND id = ? AND sequence >= ?");
        keyOf = connection.Prepare(
            "SELECT i.body_hash, i.number, t.id FROM idempotency i JOIN tasks t ON t.number = i.number WHERE i.caller = ? AND i.key = ?");
    }

    /// <summary>Runs the work on one state of the store: it sees all of a commit or nothing of it.</summary>
    internal TResult Read<TInput, TResult>(TInput input, Func<SqliteReader, TInput, TResult> work)
    {
        begin.Execute();
        var result = work(this, input);
        end.Execute();
        return result;
    }

    /// <summary>Ends what is running, from any thread.</summary>
    internal void Interrupt() => connection.Interrupt();

    internal LoadedState Load() => new StateRows(connection).Load();

    internal StoredTask? FindTask(TaskId id)
    {
        taskById.Bind(1, id.Value);
        var task = taskById.Step() ? tasks.Read(taskById) : null;
        taskById.Reset();
        return task is null ? null : specs.Complete(task);
    }

    internal TaskSpec?[] FindSpecs(IReadOnlyList<long> numbers) => [.. numbers.Select(specs.Find)];

    internal List<StoredTask> ListTasks(TaskQuery query)
    {
        var found = new List<WorkTask>();
        foreach (var (sql, bind) in TaskListing.For(query, StateRows.LoadTotals(totals), TaskStates.Listing))
        {
            var rows = Listing(sql);
            bind(rows);
            while (rows.Step())
                found.Add(tasks.Read(rows));
            rows.Reset();
        }

        return [.. found.OrderByDescending(task => task.Number).Take(query.Limit).Select(specs.Complete)];
    }

    internal List<EndedAttempt> ListAttempts(long taskNumber)
    {
        var found = new List<EndedAttempt>();
        attemptsOf.Bind(1, taskNumber);
        while (attemptsOf.Step())
            found.Add(AttemptRows.Read(attemptsOf));
        attemptsOf.Reset();

        // A completion ends the last attempt there is.
        if (found.Count > 0)
            found[^1] = specs.Complete(found[^1], LastSequenceOf(taskNumber));
        return found;
    }

    /// <summary>Goes back along the chain, newest first, and turns the result around.</summary>
    internal List<DispatchEvent> ListHistory(long lastSequence, int limit)
    {
        var found = new List<DispatchEvent>();
        for (var (sequence, horizon) = (lastSequence, log.Horizon()); sequence >= horizon && found.Count < limit;)
        {
            eventAt.Bind(1, sequence);
            if (eventAt.Step())
            {
                found.Add(events.Read(eventAt));
                sequence = found[^1].Previous;
            }
            else
            {
                sequence = 0;
            }

            eventAt.Reset();
        }

        found.Reverse();
        return found;
    }

    internal List<LogEntry> ListEvents(long after, int limit)
    {
        var found = new List<LogEntry>();
        var bytes = 0;
        eventsAfter.Bind(1, Math.Max(after, log.Horizon() - 1));
        eventsAfter.Bind(2, (long)limit);
        while (bytes < ListedBytes && eventsAfter.Step())
        {
            found.Add(events.ReadEntry(eventsAfter));
            bytes += found[^1].Data.Length;
        }

        eventsAfter.Reset();
        return found;
    }

    internal StoreFacts FindFacts(IReadOnlyList<TaskId> ids, IReadOnlyList<IdempotencyKey> keys)
    {
        lastSequence.Step();
        var asOf = lastSequence.Int64(0);
        lastSequence.Reset();

        var foundTasks = new Dictionary<TaskId, StoredTask>();
        foreach (var id in ids)
        {
            if (!foundTasks.ContainsKey(id) && FindTask(id) is { } task)
                foundTasks.Add(id, task);
        }

        var foundKeys = new Dictionary<IdempotencyKey, IdempotencyRow>();
        foreach (var key in keys)
        {
            keyOf.Bind(1, key.Caller);
            keyOf.Bind(2, key.Key);
            if (keyOf.Step() && TaskId.TryParse(keyOf.Utf8(2), out var task))
                foundKeys[key] = new IdempotencyRow(key.Caller, key.Key, keyOf.Text(0), task, keyOf.Int64(1));
            keyOf.Reset();
        }

        return new StoreFacts(asOf, foundTasks, foundKeys);
    }

    internal StoredQuestion? FindQuestion(string id)
    {
        var rows = Listing($"SELECT {QuestionRows.Full} FROM questions WHERE id = ?");
        rows.Bind(1, id);
        var found = rows.Step() ? QuestionRows.ReadFull(rows) : null;
        rows.Reset();
        return found;
    }

    internal List<StoredQuestion> ListQuestions(QuestionQuery query)
    {
        var found = new List<StoredQuestion>();
        var rows = Listing($"SELECT {QuestionRows.Full} FROM questions WHERE number < ?{(query.Status == QuestionStatus.Open ? " AND status = 'open'" : "")} ORDER BY number DESC");
        rows.Bind(1, query.Before ?? long.MaxValue);
        while (found.Count < query.Limit && rows.Step())
        {
            if (QuestionRows.ReadFull(rows) is var stored && query.Takes(stored.Question))
                found.Add(stored);
        }

        rows.Reset();
        return found;
    }

    internal UsageFacts FindUsage(string reporter, string id, TaskId? task)
    {
        lastSequence.Step();
        var asOf = lastSequence.Int64(0);
        lastSequence.Reset();

        usageAs.Bind(1, reporter);
        usageAs.Bind(2, id);
        usageAs.Bind(3, log.Horizon());
        var known = usageAs.Step() ? AllowanceRows.ReadUsage(usageAs) : null;
        usageAs.Reset();
        return new UsageFacts(asOf, known, task is { } wanted ? FindTask(wanted) : null);
    }

    internal IReadOnlyList<LedgerEntry> ListLedger(LedgerQuery query)
    {
        var found = new List<LedgerEntry>();
        var last = query.After;

        var rows = Listing(LedgerRows.Ended);
        rows.Bind(1, last.Number);
        rows.Bind(2, (long)last.Attempt);
        Take(rows, row => query.Of(AttemptRows.Read(row), LedgerRows.ReadTask(row)));

        rows = Listing(LedgerRows.InHand);
        rows.Bind(1, last.Number);
        Take(rows, row => query.Of(tasks.Read(row)));

        rows = Listing(LedgerRows.Reported);
        rows.Bind(1, log.Horizon());
        rows.Bind(2, last.Number);
        Take(rows, row => query.Of(events.Read(row)));
        return query.Page(found);

        // Each source is in the order of the page: of none is more needed than the page holds.
        void Take(SqliteStatement rows, Func<SqliteStatement, IEnumerable<LedgerEntry>> entries)
        {
            var before = found.Count;
            while (found.Count - before < query.Most && rows.Step())
                found.AddRange(entries(rows));
            rows.Reset();
        }
    }

    internal PublishedFacts FindPublished(string publisher, IReadOnlyList<string> ids)
    {
        lastSequence.Step();
        var asOf = lastSequence.Int64(0);
        lastSequence.Reset();

        var horizon = log.Horizon();
        var found = new Dictionary<string, PublishedRow>(StringComparer.Ordinal);
        foreach (var id in ids)
        {
            publishedAs.Bind(1, publisher);
            publishedAs.Bind(2, id);
            publishedAs.Bind(3, horizon);
            if (publishedAs.Step())
                found[id] = PublisherRows.ReadPublished(publishedAs);
            publishedAs.Reset();
        }

        return new PublishedFacts(asOf, found);
    }

    internal (IReadOnlyList<StoredTask> Expired, long Next) FindExpired(long after, long finishedBefore, int examine)
    {
        var expired = new List<WorkTask>();
        var (examined, last, onlyYounger) = (0, after, false);
        tasksFrom.Bind(1, after);
        tasksFrom.Bind(2, (long)examine);
        while (!onlyYounger && tasksFrom.Step())
        {
            var task = tasks.Read(tasksFrom);
            (examined, last) = (examined + 1, task.Number);

            // Numbers rise with the time of creation, and nothing finishes before it was created.
            onlyYounger = task.CreatedAt >= finishedBefore;
            if (task.IsFinal && task.CompletedAt < finishedBefore)
                expired.Add(task);
        }

        tasksFrom.Reset();
        return ([.. expired.Select(specs.Complete)], onlyYounger || examined < examine ? 0 : last);
    }

    internal Dictionary<string, long> LoadCursors()
    {
        var found = new Dictionary<string, long>(StringComparer.Ordinal);
        using var rows = connection.Prepare("SELECT name, sequence FROM cursors");
        while (rows.Step())
            found.Add(rows.Text(0), rows.Int64(1));
        return found;
    }

    internal List<FollowerPlace> ListCursors()
    {
        var found = new List<FollowerPlace>();
        var rows = Listing("SELECT name, sequence, updated_at FROM cursors ORDER BY name");
        while (rows.Step())
            found.Add(new FollowerPlace(rows.Text(0), rows.Int64(1), rows.Int64(2)));
        rows.Reset();
        return found;
    }

    internal LogExtent FindExtent() => log.Extent();

    internal List<WebhookDelivery> ListDeliveries(string webhook, int limit)
    {
        var found = new List<WebhookDelivery>();
        var rows = Listing($"SELECT {DeliveryRows.Columns} FROM webhook_deliveries WHERE webhook = ? ORDER BY id DESC LIMIT ?");
        rows.Bind(1, webhook);
        rows.Bind(2, (long)limit);
        while (rows.Step())
            found.Add(DeliveryRows.Read(rows));
        rows.Reset();
        return found;
    }

    /// <summary>What SQLite finds wrong with the file; empty when it is sound.</summary>
    internal List<string> CheckIntegrity()
    {
        var faults = new List<string>();
        using var check = connection.Prepare("PRAGMA integrity_check(100)");
        while (check.Step())
        {
            if (check.Text(0) is var fault && fault != "ok")
                faults.Add(fault);
        }

        return faults;
    }

    public void Dispose() => connection.Dispose();

    private long LastSequenceOf(long taskNumber)
    {
        lastEventOf.Bind(1, taskNumber);
        var sequence = lastEventOf.Step() ? lastEventOf.Int64(0) : 0;
        lastEventOf.Reset();
        return sequence;
    }

    private SqliteStatement Listing(string sql)
    {
        if (listings.TryGetValue(sql, out var known))
            return known;

        if (listings.Count >= KeptListings)
        {
            foreach (var listing in listings.Values)
                listing.Dispose();
            listings.Clear();
        }

        return listings[sql] = connection.Prepare(sql);
    }
}

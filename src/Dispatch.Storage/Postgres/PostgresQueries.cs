using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Storage.Postgres;

/// <summary>The reads.</summary>
internal sealed class PostgresQueries(PostgresReaders readers)
{
    // A thousand events of a megabyte each, for each of many readers, would be more than there is.
    private const int ListedBytes = 2 << 20;

    private static readonly string TaskById = TaskRows.Complete("SELECT * FROM tasks WHERE id = $1", "t.number");
    private static readonly string TasksById = TaskRows.Complete("SELECT * FROM tasks WHERE id = ANY($1)", "t.number");
    private static readonly string TasksByNumber = TaskRows.Complete("SELECT * FROM tasks WHERE number = ANY($1)", "t.number");
    private static readonly string AttemptsOf = TaskRows.Attempts("WHERE a.number = $1");

    private static readonly string EventsAfter = $"""
        SELECT {EventRows.Columns} FROM (
          SELECT {EventRows.Columns}, sum(octet_length(data)) OVER (ORDER BY sequence) - octet_length(data) AS before
            FROM (SELECT * FROM events WHERE sequence > greatest($1, {LogRows.Horizon} - 1) ORDER BY sequence LIMIT $2) page) listed WHERE before < {ListedBytes} ORDER BY sequence
        """;

    // The chain from the last event back.
    private static readonly string History = $"""
        WITH RECURSIVE chain AS (
          SELECT {EventRows.Columns}, 1 AS place FROM events WHERE sequence = $1 AND sequence >= {LogRows.Horizon}
          UNION ALL SELECT {TaskRows.Prefixed("e", EventRows.Columns)}, c.place + 1 FROM chain c JOIN events e ON e.sequence = c.previous WHERE c.place < $2 AND c.previous >= {LogRows.Horizon})
        SELECT {EventRows.Columns} FROM chain ORDER BY place DESC
        """;

    internal Task<LoadedState> LoadAsync(CancellationToken cancel) => readers.ReadAsync(async connection =>
    {
        await connection.ExecuteAsync("SET LOCAL statement_timeout = 0", cancel);
        return await StateRows.LoadAsync(connection, cancel);
    }, cancel);

    internal async Task<StoredTask?> FindTaskAsync(TaskId id, CancellationToken cancel) =>
        (await readers.ListAsync(TaskById, new TaskRows().ReadComplete, cancel, row => row.Bind(1, id.Value))).FirstOrDefault();

    internal async Task<IReadOnlyList<TaskSpec?>> FindSpecsAsync(IReadOnlyList<long> numbers, CancellationToken cancel)
    {
        var found = await readers.ListAsync(TaskRows.Specs, row => (Number: row.Int64(0), Spec: TaskRows.ReadNumbered(row)), cancel, row => row.Bind(1, [.. numbers.Distinct()]));
        var known = found.ToDictionary(one => one.Number, one => one.Spec);
        return [.. numbers.Select(number => known.GetValueOrDefault(number))];
    }

    internal Task<IReadOnlyList<StoredTask>> ListTasksAsync(TaskQuery query, CancellationToken cancel) => readers.ReadAsync<IReadOnlyList<StoredTask>>(async connection =>
    {
        var tasks = new TaskRows();
        var totals = await StateRows.LoadTotalsAsync(connection, cancel);
        var found = new List<long>();
        foreach (var (sql, bind) in TaskListing.For(query, totals, LiveBlocks.Listing))
            found.AddRange(await connection.ListAsync(sql, row => row.Int64((int)TaskColumn.Number), cancel, bind));

        var page = found.OrderDescending().Take(query.Limit).ToArray();
        var stored = await connection.ListAsync(TasksByNumber, tasks.ReadComplete, cancel, row => row.Bind(1, page));
        stored.Reverse();
        return stored;
    }, cancel);

    internal async Task<IReadOnlyList<EndedAttempt>> ListAttemptsAsync(long taskNumber, CancellationToken cancel) =>
        await readers.ListAsync(AttemptsOf, TaskRows.ReadAttempt, cancel, row => row.Bind(1, taskNumber));

    internal async Task<IReadOnlyList<DispatchEvent>> ListHistoryAsync(long lastSequence, int limit, CancellationToken cancel) =>
        await readers.ListAsync(History, new EventRows().Read, cancel, row =>
        {
            row.Bind(1, lastSequence);
            row.Bind(2, (long)limit);
        });

    internal async Task<IReadOnlyList<LogEntry>> ListEventsAsync(long after, int limit, CancellationToken cancel) =>
        await readers.ListAsync(EventsAfter, new EventRows().ReadEntry, cancel, row =>
        {
            row.Bind(1, after);
            row.Bind(2, (long)limit);
        });

    internal Task<StoreFacts> FindFactsAsync(IReadOnlyList<TaskId> ids, IReadOnlyList<IdempotencyKey> keys, CancellationToken cancel) => readers.ReadAsync(async connection =>
    {
        var asOf = await LogRows.HeadAsync(connection, cancel);
        var tasks = new Dictionary<TaskId, StoredTask>();
        if (ids.Count > 0)
        {
            foreach (var stored in await connection.ListAsync(TasksById, new TaskRows().ReadComplete, cancel, row => row.Bind(1, [.. ids.Select(id => id.Value).Distinct()])))
                tasks.Add(stored.Task.Id, stored);
        }

        var found = new Dictionary<IdempotencyKey, IdempotencyRow>();
        if (keys.Count > 0)
        {
            const string ByKey = """
                SELECT i.caller, i.key, i.body_hash, t.id, i.number FROM (SELECT DISTINCT * FROM unnest($1, $2) AS asked (caller, key)) asked
                  JOIN idempotency i ON i.caller = asked.caller AND i.key = asked.key JOIN tasks t ON t.number = i.number
                """;
            await foreach (var row in connection.QueryAsync(ByKey, cancel, row =>
            {
                row.Bind(1, keys.Select(key => key.Caller));
                row.Bind(2, keys.Select(key => key.Key));
            }))
            {
                if (TaskId.TryParse(row.Utf8(3), out var task))
                    found[new IdempotencyKey(row.Text(0), row.Text(1))] = new IdempotencyRow(row.Text(0), row.Text(1), row.Text(2), task, row.Int64(4));
            }
        }

        return new StoreFacts(asOf, tasks, found);
    }, cancel);

    internal async Task<StoredQuestion?> FindQuestionAsync(string id, CancellationToken cancel) =>
        (await readers.ListAsync($"SELECT {QuestionRows.Full} FROM questions WHERE id = $1", QuestionRows.ReadFull, cancel, row => row.Bind(1, id))).FirstOrDefault();

    internal Task<IReadOnlyList<StoredQuestion>> ListQuestionsAsync(QuestionQuery query, CancellationToken cancel) => readers.ReadAsync<IReadOnlyList<StoredQuestion>>(async connection =>
    {
        const int Chunk = 500;
        var found = new List<StoredQuestion>();
        var sql = $"SELECT {QuestionRows.Full} FROM questions WHERE number < $1{(query.Status == QuestionStatus.Open ? " AND status = 'open'" : "")} ORDER BY number DESC LIMIT {Chunk}";
        for (var before = query.Before ?? long.MaxValue; found.Count < query.Limit;)
        {
            var page = await connection.ListAsync(sql, QuestionRows.ReadFull, cancel, row => row.Bind(1, before));
            found.AddRange(page.Where(stored => query.Takes(stored.Question)).Take(query.Limit - found.Count));
            if (page.Count < Chunk)
                break;
            before = page[^1].Question.Number;
        }

        return found;
    }, cancel);

    internal Task<UsageFacts> FindUsageAsync(string reporter, string id, TaskId? task, CancellationToken cancel) => readers.ReadAsync(async connection =>
    {
        var asOf = await LogRows.HeadAsync(connection, cancel);
        var known = await connection.ListAsync(
            $"SELECT {AllowanceRows.UsageColumns} FROM usage_reports WHERE reporter = $1 AND id = $2 AND sequence >= {LogRows.Horizon}", AllowanceRows.ReadUsage, cancel, row =>
            {
                row.Bind(1, reporter);
                row.Bind(2, id);
            });
        var stored = task is { } wanted ? await connection.ListAsync(TaskById, new TaskRows().ReadComplete, cancel, row => row.Bind(1, wanted.Value)) : [];
        return new UsageFacts(asOf, known.FirstOrDefault(), stored.FirstOrDefault());
    }, cancel);

    internal Task<IReadOnlyList<LedgerEntry>> ListLedgerAsync(LedgerQuery query, CancellationToken cancel) => readers.ReadAsync(connection => LedgerRows.ListAsync(connection, query, cancel), cancel);

    internal Task<PublishedFacts> FindPublishedAsync(string publisher, IReadOnlyList<string> ids, CancellationToken cancel) => readers.ReadAsync(async connection =>
    {
        var asOf = await LogRows.HeadAsync(connection, cancel);
        var found = await connection.ListAsync(
            $"SELECT {PublisherRows.PublishedColumns} FROM published WHERE publisher = $1 AND id = ANY($2) AND sequence >= {LogRows.Horizon}", PublisherRows.ReadPublished, cancel, row =>
            {
                row.Bind(1, publisher);
                row.Bind(2, ids);
            });
        return new PublishedFacts(asOf, found.ToDictionary(published => published.Id, StringComparer.Ordinal));
    }, cancel);

    internal Task<(IReadOnlyList<StoredTask> Expired, long Next)> FindExpiredAsync(long after, long finishedBefore, int examine, CancellationToken cancel) =>
        readers.ReadAsync<(IReadOnlyList<StoredTask>, long)>(async connection =>
        {
            var tasks = new TaskRows();
            var looked = await connection.ListAsync(
                "SELECT number, created_at, completed_at, status FROM tasks WHERE number > $1 ORDER BY number LIMIT $2",
                row => (Number: row.Int64(0), CreatedAt: row.Int64(1), CompletedAt: row.Int64(2), IsFinal: Words.State.Parse(row.Utf8(3)) >= TaskState.Completed), cancel, row =>
                {
                    row.Bind(1, after);
                    row.Bind(2, (long)examine);
                });

            // Numbers rise with the time of creation, and nothing finishes before it was created.
            var young = looked.FindIndex(task => task.CreatedAt >= finishedBefore);
            var examined = young < 0 ? looked.Count : young + 1;
            var old = looked.Take(examined).Where(task => task.IsFinal && task.CompletedAt < finishedBefore).Select(task => task.Number).ToArray();
            var expired = old.Length == 0 ? [] : await connection.ListAsync(TasksByNumber, tasks.ReadComplete, cancel, row => row.Bind(1, old));
            return (expired, young >= 0 || examined < examine ? 0 : looked[examined - 1].Number);
        }, cancel);

    internal async Task<IReadOnlyDictionary<string, long>> LoadCursorsAsync(CancellationToken cancel) =>
        (await ListCursorsAsync(cancel)).ToDictionary(place => place.Name, place => place.Sequence, StringComparer.Ordinal);

    internal async Task<IReadOnlyList<FollowerPlace>> ListCursorsAsync(CancellationToken cancel) => await readers.ListAsync(
        "SELECT name, sequence, updated_at FROM cursors ORDER BY name COLLATE \"C\"", row => new FollowerPlace(row.Text(0), row.Int64(1), row.Int64(2)), cancel);

    internal async Task<IReadOnlyList<WebhookDelivery>> ListDeliveriesAsync(string webhook, int limit, CancellationToken cancel) => await readers.ListAsync(
        $"SELECT {DeliveryRows.Columns} FROM webhook_deliveries WHERE webhook = $1 ORDER BY id DESC LIMIT $2", DeliveryRows.Read, cancel, row =>
        {
            row.Bind(1, webhook);
            row.Bind(2, (long)limit);
        });
}

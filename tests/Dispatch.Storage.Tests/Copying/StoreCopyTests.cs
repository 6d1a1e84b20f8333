using System.Text;
using System.Threading.Channels;
using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Storage.Copying;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Sqlite;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Storage.Tests.Contract;
using Dispatch.Storage.Tests.Postgres;
using Dispatch.Tasks;
using Dispatch.Webhooks;
using static Dispatch.Storage.Tests.Contract.BatchBuilder;

namespace Dispatch.Storage.Tests.Copying;

[Collection(PostgresCollection.Name)]
public sealed class StoreCopyTests(PostgresFixture fixture) : IDisposable
{
    private static readonly CancellationToken None = CancellationToken.None;

    private readonly TemporaryDirectory directory = new();

    public void Dispose() => directory.Dispose();

    [Fact]
    public void Every_table_and_column_of_a_file_is_copied_or_made_anew()
    {
        var path = Path.Combine(directory.Path, "empty.db");
        using var file = DatabaseFile.OpenForWriting(new SqliteStoreOptions { Path = path }, TimeProvider.System);
        var there = new List<string>();
        using (var rows = file.Prepare("SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY 1"))
        {
            while (rows.Step())
                there.Add(rows.Text(0));
        }

        Assert.Equal(
            there.Where(column => !StoreTable.NotCopied.Contains(column.Split('.')[0])).Order(StringComparer.Ordinal),
            StoreTable.All.SelectMany(table => table.Names.Select(column => $"{table.Name}.{column}")).Order(StringComparer.Ordinal));
    }

    [PostgresFact]
    public async Task Every_table_and_column_of_a_namespace_is_copied_or_made_anew()
    {
        var options = fixture.NewStore();
        await using (await PostgresStore.OpenAsync(options, TimeProvider.System, None))
        {
        }

        var there = await fixture.Server.QueryAsync(
            $"""
            SELECT c.relname || '.' || a.attname || ' ' || a.atttypid::regtype FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'dispatch_{options.Namespace}' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
            """);

        Assert.Equal(
            there.Split('\n').Where(column => !StoreTable.NotCopied.Contains(column.Split('.')[0])).Order(StringComparer.Ordinal),
            StoreTable.All.SelectMany(table => table.Names.Zip(table.Kinds, (column, kind) => $"{table.Name}.{column} {TypeOf(kind)}")).Order(StringComparer.Ordinal));

        static string TypeOf(StoreColumnKind kind) => kind switch
        {
            StoreColumnKind.Number => "bigint",
            StoreColumnKind.Flag => "boolean",
            StoreColumnKind.Id => "uuid",
            StoreColumnKind.Bytes => "bytea",
            _ => "text",
        };
    }

    [PostgresFact]
    public async Task There_and_back_again_every_row_is_as_it_was()
    {
        var (from, back) = (File("from"), File("back"));
        var (middle, other) = (new StorePlace.Database(fixture.NewStore()), new StorePlace.Database(fixture.NewStore()));
        await FillAsync(from, isTrimmed: false);

        await CopyAsync(from, middle);
        await CopyAsync(middle, other);
        await CopyAsync(other, back);

        var rows = await RowsAsync(from);
        Assert.All(StoreTable.All.Select(table => table.Name), table => Assert.Contains(rows, row => row.StartsWith(table + ": ", StringComparison.Ordinal)));
        Assert.Equal(rows, await RowsAsync(middle));
        Assert.Equal(rows, await RowsAsync(back));
        Assert.Equal(await StatesAsync(from), await StatesAsync(back));
    }

    [PostgresFact]
    public async Task A_shortened_log_keeps_its_horizon_and_base()
    {
        var (from, middle, back) = (File("from"), new StorePlace.Database(fixture.NewStore()), File("back"));
        await FillAsync(from, isTrimmed: true);

        var report = await CopyAsync(from, middle);
        await CopyAsync(middle, back);

        Assert.True(report.Horizon > 1);
        Assert.Equal(report.LastSequence - report.Horizon + 1, report.Events);
        Assert.Equal(await RowsAsync(from), await RowsAsync(middle));
        Assert.Equal(await RowsAsync(from), await RowsAsync(back));
        await using var store = SqliteStore.OpenForReading(back.Options);
        await using var audit = await store.OpenAuditAsync(None);
        Assert.Equal(report.Horizon - 1, (await audit.FindBaseAsync(None))!.Sequence);
    }

    [PostgresFact]
    public async Task The_copy_takes_commits_where_the_source_ended()
    {
        var (from, to) = (File("from"), new StorePlace.Database(fixture.NewStore()));
        var log = await FillAsync(from, isTrimmed: false);

        await CopyAsync(from, to);

        await using var store = await PostgresStore.OpenAsync(to.Options, TimeProvider.System, None);
        var waiting = log.Tasks.Values.First(stored => stored.Task.Status == TaskState.Pending).Task;
        log.Finish(waiting);
        await store.CommitAsync(log.Close(), 0, None);
        await store.SaveCursorsAsync([], [new WebhookDelivery("whk_1", 9, 1, 1, 1, 204, null, null)], None);
        Assert.Equal(log.Sequence, (await store.LoadAsync(None)).Sequence);
        Assert.Equal(9, (await store.ListDeliveriesAsync("whk_1", 1, None))[0].Sequence);
        var failed = await store.ListTasksAsync(new TaskQuery { Statuses = [TaskState.Failed] }, None);
        Assert.Equal(log.Tasks.Values.Count(stored => stored.Task.Status == TaskState.Failed), failed.Count);
    }

    [PostgresFact]
    public async Task What_is_interrupted_goes_on_and_nothing_starts_on_it_before()
    {
        var (from, to) = (File("from"), new StorePlace.Database(fixture.NewStore()));
        await FillAsync(from, isTrimmed: false);
        await StopInAsync(from, to, "attempts");

        var refusal = await Assert.ThrowsAsync<StoreException>(() => PostgresStore.OpenAsync(to.Options, TimeProvider.System, None));
        Assert.Contains("unfinished copy of", refusal.Message, StringComparison.Ordinal);
        var report = await CopyAsync(from, to);

        Assert.InRange(report.Resumed, report.Events - 1, report.Rows);
        Assert.Equal(await RowsAsync(from), await RowsAsync(to));
    }

    [Fact]
    public async Task What_is_interrupted_in_a_file_goes_on_also_when_the_source_has_gone_on()
    {
        var (from, to) = (File("from"), File("to"));
        var log = await FillAsync(from, isTrimmed: false);
        await StopInAsync(from, to, "tasks");
        var refusal = Assert.Throws<StoreException>(() => SqliteStore.Open(to.Options, TimeProvider.System));
        Assert.Contains("unfinished copy of", refusal.Message, StringComparison.Ordinal);
        await using (var store = SqliteStore.Open(from.Options, TimeProvider.System))
        {
            log.Submit();
            await store.CommitAsync(log.Close(), 0, None);
        }

        var report = await CopyAsync(from, to);

        Assert.Equal(log.Sequence, report.LastSequence);
        Assert.True(report.Resumed > 0);
        Assert.Equal(await RowsAsync(from), await RowsAsync(to));
    }

    [Fact]
    public async Task Another_source_does_not_go_on_with_it()
    {
        var (from, to, other) = (File("from"), File("to"), File("other"));
        await FillAsync(from, isTrimmed: false);
        await FillAsync(other, isTrimmed: false);
        await StopInAsync(from, to, "attempts");

        var refusal = await Assert.ThrowsAsync<StoreException>(() => CopyAsync(other, to));

        Assert.Contains("is not that store", refusal.Message, StringComparison.Ordinal);
        await CopyAsync(from, to);
    }

    [Fact]
    public async Task A_target_that_holds_a_store_is_left_as_it_is()
    {
        var (from, to) = (File("from"), File("to"));
        await FillAsync(from, isTrimmed: false);
        await FillAsync(to, isTrimmed: false);
        var before = await RowsAsync(to);

        var refusal = await Assert.ThrowsAsync<StoreException>(() => CopyAsync(from, to));

        Assert.Contains("is not empty", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(before, await RowsAsync(to));
    }

    [PostgresFact]
    public async Task A_store_that_a_broker_writes_is_refused_on_either_side()
    {
        var (file, database) = (File("file"), new StorePlace.Database(fixture.NewStore() with { LockPatience = TimeSpan.Zero }));
        await using var one = SqliteStore.Open(file.Options, TimeProvider.System);
        await using var two = await PostgresStore.OpenAsync(database.Options, TimeProvider.System, None);

        var source = await Assert.ThrowsAsync<StoreException>(() => CopyAsync(file, File("to")));
        var target = await Assert.ThrowsAsync<StoreException>(() => CopyAsync(database, File("to")));

        Assert.Contains($"process {Environment.ProcessId}", source.Message, StringComparison.Ordinal);
        Assert.Contains($"process {Environment.ProcessId}", target.Message, StringComparison.Ordinal);
        Assert.Equal([StoreFault.Locked, StoreFault.Locked], [source.Fault, target.Fault]);
    }

    private StorePlace.File File(string name) => new(new SqliteStoreOptions { Path = Path.Combine(directory.Path, name + ".db") });

    private static Task<CopyReport> CopyAsync(StorePlace from, StorePlace to) => StoreCopy.RunAsync(from, to, (_, _) => Task.CompletedTask, null, TimeProvider.System, None);

    // As Ctrl+C does when the table is begun.
    private static async Task StopInAsync(StorePlace from, StorePlace to, string table)
    {
        using var stop = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            StoreCopy.RunAsync(from, to, (_, _) => Task.CompletedTask, new StopAt(table, stop), TimeProvider.System, stop.Token));
    }

    private sealed class StopAt(string table, CancellationTokenSource stop) : IProgress<CopyProgress>
    {
        public void Report(CopyProgress value)
        {
            if (value.Stage == table)
                stop.Cancel();
        }
    }

    /// <summary>Every row that counts, as it is on its way.</summary>
    private static async Task<List<string>> RowsAsync(StorePlace place)
    {
        await using ICopySource source = place is StorePlace.File file
            ? SqliteCopySource.Open(file.Options)
            : await PostgresCopySource.OpenAsync(((StorePlace.Database)place).Options, TimeProvider.System, None);
        var end = await source.FindEndAsync(None);
        var rows = new List<string>();
        foreach (var table in StoreTable.All)
        {
            var blocks = Channel.CreateUnbounded<RowBlock>();
            await source.ReadAsync(table, end.Horizon, null, blocks.Writer, None);
            blocks.Writer.Complete();
            await foreach (var block in blocks.Reader.ReadAllAsync())
                rows.AddRange(Split(table, block));
        }

        rows.Sort(StringComparer.Ordinal);
        return rows;
    }

    private static List<string> Split(StoreTable table, RowBlock block)
    {
        var rows = new List<string>();
        var rest = block.Span;
        while (rest.Length > 0)
        {
            var row = new StringBuilder(table.Name + ": ");
            rest = rest[2..];
            foreach (var kind in table.Kinds)
            {
                var length = System.Buffers.Binary.BinaryPrimitives.ReadInt32BigEndian(rest);
                rest = rest[4..];
                row.Append(length < 0 ? "null" : kind == StoreColumnKind.Text ? Encoding.UTF8.GetString(rest[..length]) : Convert.ToHexString(rest[..length])).Append(" | ");
                rest = rest[Math.Max(length, 0)..];
            }

            rows.Add(row.ToString());
        }

        return rows;
    }

    private static Task<string> StatesAsync(StorePlace.File place)
    {
        using var file = SqliteConnection.Open(place.Options.Path, SqliteAccess.ReadOnly);
        return Task.FromResult(file.QueryText("SELECT group_concat(status || ' ' || block) FROM (SELECT * FROM task_states ORDER BY status, block)")!);
    }

    /// <summary>Something in every table, with words that engines hold differently.</summary>
    private static async Task<BatchBuilder> FillAsync(StorePlace.File place, bool isTrimmed)
    {
        var log = new BatchBuilder();
        await using var store = SqliteStore.Open(place.Options, TimeProvider.System);
        log.Register(new Agent { Id = "ä ☃", Capabilities = ["Python"], Owner = "acme", Labels = Json("{\"zone\":\"eu\"}"), MaxConcurrent = 9, Status = AgentStatus.Sleeping, Drained = true, WakeUrl = "https://example.org/", RegisteredAt = 6, StatusAt = 7 });
        log.Keep(new AgentToken("t-1", new string('a', 64), "ä ☃", "laptop", 10, 99, null, 0));
        log.Open(new Session("ses-1", "Review", new string('b', 64), 11, 100, 0));
        log.Register(new Publisher("crawler", ["tool.executed"], "s-1", 11, 0));
        log.Keep(new WebhookEndpoint("whk_1", "https://example.org/a?b=1", "The portal", EventFilter.All, "whsec_new", "whsec_old", 99, WebhookStatus.Enabled, 20, "It was gone.", 10, 5, 0));
        log.Set(StoreContract.Limit("day"));
        log.Write(StoreContract.Balance("day/ä", "day", "ä") with { Used = 7, WindowStart = 10, WindowEnd = 20, Warned = true });
        log.BalancesWritten = 1;
        log.Keep(new Responder("judge", ["tool.*"], 5, 0));
        log.Answer(log.Ask(new Question { Id = "q-1", Number = 0, Type = "tool.run", About = "it", Asker = "w", AskedAt = 5, ExpiresAt = 50 }, Json("{\"command\":\"ls\"}")), new QuestionAnswer("judge", Verdict.Allow, null, null, 6));
        log.Publish("crawler", "e-0");
        log.Report("worker-1", "u-0");
        var spec = Spec("zero \0 and \u001A", "{\"x\":\"\\u0000\"}", "{\"team\":\"blue\"}") with { Description = "long", IdempotencyKey = "k", Submitter = "portal", Scope = "s" };
        log.Finish(log.Submit(spec, bodyHash: "abc"), "{\"lines\": 120}");
        var patched = log.Submit(Spec(context: "{}"));
        log.Raise(patched, new TaskUpdated("patched", null, null, Json("{\"a\":1}")));
        log.Bury(log.Submit(Spec(new string('x', 70_000))));
        log.Assign(log.Submit());
        for (var n = 0; n < 1_500; n++)
            log.Finish(log.Submit(Spec($"task {n}", new string(' ', 600) + "{}")));
        await store.CommitAsync(log.Close(), 0, None);
        if (isTrimmed)
        {
            var known = await store.TakeBaseAsync(None);
            await store.PrepareTrimAsync(known.Sequence, None);
            log.Trim(known);
            log.Publish("crawler", "e-1");
            await store.CommitAsync(log.Close(), 0, None);
            await store.TrimAsync(100, None);
        }

        log.Submit();
        log.Report("worker-1", "u-1");
        await store.CommitAsync(log.Close(), 0, None);
        await store.SaveCursorsAsync([("webhook/whk_1", 3)], [new WebhookDelivery("whk_1", 1, 2, 30, 4, 500, "HTTP 500", "ä"), new WebhookDelivery("whk_1", 2, 1, 31, 0, null, "no answer", null)], None);
        if (!isTrimmed)
            await store.TakeBaseAsync(None);
        return log;
    }
}

using System.Globalization;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using Dispatch.Agents;
using Dispatch.Invariants;
using Dispatch.Publishing;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Storage.Sqlite;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Storage.Tests.Contract;
using Dispatch.Tasks;

namespace Dispatch.Storage.Tests.Sqlite;

/// <summary>A log that a real broker wrote, shortened: the check of the store stays as strong as it was.</summary>
public sealed class TrimmedLogTests : IDisposable
{
    private static readonly CancellationToken None = CancellationToken.None;

    private readonly TemporaryDirectory directory = new();
    private readonly StateOptions options = new();

    public static TheoryData<string, string> Damages => new()
    {
        { "a task's state", "UPDATE tasks SET status = 'failed' WHERE number = (SELECT min(number) FROM tasks WHERE status = 'completed')" },
        { "a result that was in the log", "UPDATE attempts SET result = '{\"n\":0}' WHERE number = (SELECT min(number) FROM tasks WHERE status = 'completed')" },
        { "a description that was in the log", "UPDATE task_payloads SET description = 'another' WHERE number = (SELECT min(number) FROM tasks)" },
        { "a payload that is gone", "DELETE FROM task_payloads WHERE number = (SELECT min(number) FROM tasks)" },
        { "a key", "UPDATE idempotency SET body_hash = 'x'" },
        { "an agent", "UPDATE agents SET max_concurrent = 99" },
        { "a token", "UPDATE tokens SET hash = 'x'" },
        { "a total", "UPDATE totals SET count = count + 1 WHERE status = 'completed'" },
        { "a task that is gone", "DELETE FROM tasks WHERE number = (SELECT min(number) FROM tasks)" },
        { "an event behind the horizon", "DELETE FROM events WHERE sequence = (SELECT min(sequence) FROM events)" },
        { "the last event", "DELETE FROM events WHERE sequence = (SELECT max(sequence) FROM events)" },
        { "what an event says", "UPDATE events SET data = replace(data, 'size', 'age') WHERE type = 'log.trimmed'" },
        { "the horizon", "UPDATE meta SET value = value + 1 WHERE key = 'log_horizon'" },
        { "no horizon", "DELETE FROM meta WHERE key = 'log_horizon'" },
        { "no base", "DELETE FROM log_bases" },
        { "no parts", "DELETE FROM log_base_parts" },
        { "a part that is none", "UPDATE log_base_parts SET data = x'00'" },
        { "a part more", "INSERT INTO log_base_parts SELECT sequence, part + 1, data FROM log_base_parts" },
        { "another digest", "UPDATE log_bases SET digest = 'x'" },
    };

    [Fact]
    public async Task The_log_folds_from_its_base_to_the_tables_and_nothing_is_lost_of_tasks()
    {
        await using var store = Open();
        var before = await FillAsync(store);

        var (known, horizon) = await TrimAsync(store);
        await using var sequencer = await StartAsync(store);
        await LiveAsync(sequencer.Loop, store, 2);

        var report = await CheckAsync(store);
        Assert.True(report.IsSound, string.Join('\n', report.Findings));
        Assert.Equal((horizon, known.Sequence + 1), (report.Horizon, horizon));
        Assert.True(report.Rows is { Tasks: > 0, Attempts: > 0, Keys: > 0, Agents: > 0, Tokens: > 0, Sessions: > 0, Publishers: > 0 });
        foreach (var stored in before)
        {
            var now = await store.FindTaskAsync(stored.Task.Id, None);
            Assert.Equal((stored.Spec, stored.Result), (now!.Spec, now.Result));
        }
    }

    [Theory]
    [MemberData(nameof(Damages))]
    public async Task Damage_to_a_store_with_a_shortened_log_is_found(string what, string sql)
    {
        await using (var store = Open())
        {
            await FillAsync(store);
            await TrimAsync(store);
        }

        Damage(connection => connection.Execute(sql));

        await using var damaged = Open();
        Assert.False((await CheckAsync(damaged)).IsSound, what);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_base_that_was_changed_is_found_even_with_a_digest_that_fits(bool digestFits)
    {
        await using (var store = Open())
        {
            await FillAsync(store);
            await TrimAsync(store);
        }

        Damage(connection =>
        {
            byte[] part;
            using (var read = connection.Prepare("SELECT data FROM log_base_parts"))
            {
                Assert.True(read.Step());
                part = Change(read.Blob(0).ToArray());
            }

            using var write = connection.Prepare("UPDATE log_base_parts SET data = ?");
            write.BindBlob(1, part);
            write.Execute();
            if (digestFits)
                connection.Execute($"UPDATE log_bases SET digest = '{Convert.ToHexStringLower(SHA256.HashData(part))}'");
        });

        await using var damaged = Open();
        var report = await CheckAsync(damaged);
        Assert.Contains(report.Findings, found => found is Finding.InLog { Invariant: "I-15" });
        Assert.Contains(report.Findings, found => found is Finding.InTable { Table: "tasks" });

        static byte[] Change(byte[] packed)
        {
            using var plain = new StreamReader(new GZipStream(new MemoryStream(packed), CompressionMode.Decompress), Encoding.UTF8);
            var text = plain.ReadToEnd();
            var changed = text.Replace("\"priority\":5", "\"priority\":6", StringComparison.Ordinal);
            Assert.NotEqual(text, changed);
            using var again = new MemoryStream();
            using (var zip = new GZipStream(again, CompressionMode.Compress, leaveOpen: true))
                zip.Write(Encoding.UTF8.GetBytes(changed));
            return again.ToArray();
        }
    }

    [Fact]
    public async Task Wherever_it_is_interrupted_the_store_is_whole_and_the_next_start_goes_on()
    {
        List<StoredTask> before;
        await using (var store = Open())
            before = await FillAsync(store);

        var done = false;
        for (var dieAt = 1; !done; dieAt++)
        {
            var pieces = 0;
            await using (var store = Open(() =>
            {
                if (++pieces == dieAt)
                    throw new IOException("The process ends here.");
            }))
            {
                try
                {
                    await TrimAsync(store, most: 7);
                    done = true;
                }
                catch (IOException)
                {
                    Assert.True(dieAt < 200, "it never comes to its end");
                }
            }

            await using var again = Open();
            var report = await CheckAsync(again);
            Assert.True(report.IsSound, $"after piece {dieAt}: {string.Join('\n', report.Findings)}");
            foreach (var stored in before)
            {
                var now = await again.FindTaskAsync(stored.Task.Id, None);
                Assert.Equal((stored.Spec, stored.Result), (now!.Spec, now.Result));
            }
        }

        await using var end = Open();
        var extent = await end.FindExtentAsync(None);
        Assert.True(extent.IsTrimmed);
        Assert.True(extent.Horizon > 1);
        Assert.Equal(extent.Horizon, (await end.ListEventsAsync(0, 1, None))[0].Sequence);
        Damage(connection =>
        {
            Assert.Equal(extent.Horizon, connection.QueryInt64("SELECT min(sequence) FROM events"));
            Assert.Equal(extent.Bases.Sum(known => known.Parts), connection.QueryInt64("SELECT count(*) FROM log_base_parts"));
        });
    }

    [Fact]
    public async Task A_finished_task_from_before_the_horizon_can_be_put_back_and_found_by_its_key()
    {
        await using var store = Open();
        var before = await FillAsync(store);
        await TrimAsync(store);
        var cancelled = before.First(stored => stored.Task.Status == TaskState.Cancelled);
        var keyed = before.First(stored => stored.Spec.IdempotencyKey is not null);

        await using var sequencer = await StartAsync(store);
        var facts = await store.FindFactsAsync([cancelled.Task.Id], [new(keyed.Task.Requester, keyed.Spec.IdempotencyKey!)], None);
        Assert.IsType<ChangeOutcome.Changed>(await sequencer.Loop.ExecuteAsync(new RetryTask(facts.Tasks[cancelled.Task.Id], facts.AsOf) { ByAdmin = true }));
        var patched = await store.FindTaskAsync(cancelled.Task.Id, None);
        Assert.IsType<ChangeOutcome.Changed>(await sequencer.Loop.ExecuteAsync(new PatchTask(cancelled.Task.Id, 9, BatchBuilder.Json("{\"new\":1}"), patched) { ByAdmin = true }));

        Assert.Equal(keyed.Task.Id, Assert.Single(facts.Keys).Value.Task);
        Assert.Equal("{\"new\":1}", (await store.FindTaskAsync(cancelled.Task.Id, None))!.Spec.Context!.ToString());
        Assert.True((await CheckAsync(store)).IsSound);
    }

    [Fact]
    public async Task The_bytes_of_the_log_are_counted_alike_by_the_writer_and_from_the_rows()
    {
        await using (var store = Open())
        {
            var log = new BatchBuilder();
            for (var n = 0; n < 30; n++)
            {
                log.Submit(BatchBuilder.Spec(context: $"{{\"text\":\"{new string('ä', 200_000)}\"}}"));
                await store.CommitAsync(log.Close(), 0, None);
            }
        }

        await using var again = Open();
        var counted = (await again.FindExtentAsync(None)).Bytes;
        Damage(connection =>
        {
            Assert.NotNull(connection.QueryText("SELECT value FROM meta WHERE key = 'log_mark'"));
            Assert.Equal(counted, connection.QueryInt64($"SELECT sum(length(CAST(data AS BLOB)) + {LogExtent.EventBytes}) FROM events"));
        });
    }

    public void Dispose() => directory.Dispose();

    private SqliteStore Open(Action? beforePiece = null) =>
        SqliteStore.Open(new SqliteStoreOptions { Path = directory.File("dispatch.db"), BeforePiece = beforePiece }, TimeProvider.System);

    private void Damage(Action<SqliteConnection> change)
    {
        using var connection = SqliteConnection.Open(directory.File("dispatch.db"), SqliteAccess.ReadWriteCreate, null);
        change(connection);
    }

    private Task<StoreReport> CheckAsync(SqliteStore store) => StoreCheck.RunAsync(store, options, ownerFilter: true, progress: null, None);

    private async Task<Running> StartAsync(SqliteStore store)
    {
        var sequencer = new Sequencer(store, options, new SequencerOptions(), TimeProvider.System, new Random(7), new Silent());
        await sequencer.StartAsync(None);
        return new Running(sequencer);
    }

    /// <summary>A life of everything there is, and the tasks that are there at the end of it.</summary>
    private async Task<List<StoredTask>> FillAsync(SqliteStore store)
    {
        await using (var running = await StartAsync(store))
        {
            await running.Loop.ExecuteAsync(new CreateToken("t-1", new string('a', 64), "worker", null, null) { ByAdmin = true });
            await running.Loop.ExecuteAsync(new OpenSession("s-1", null, new string('b', 64), 86_400_000) { ByAdmin = true });
            await running.Loop.ExecuteAsync(new RegisterPublisher("crawler", ["tool.executed"], null) { ByAdmin = true });
            await LiveAsync(running.Loop, store, 1);
        }

        var all = new List<StoredTask>();
        await using var audit = await store.OpenAuditAsync(None);
        await foreach (var stored in audit.TasksAsync(None))
            all.Add(stored);
        Assert.Contains(all, stored => stored.Task.Status == TaskState.Completed && stored.Result is not null);
        return all;
    }

    private static async Task LiveAsync(Sequencer sequencer, SqliteStore store, int seed)
    {
        await sequencer.ExecuteAsync(new RegisterAgent("worker", ["python"], null, null, 4, AgentStatus.Ready, null) { Caller = "worker" });
        var random = new Random(seed);
        for (var n = 0; n < 25; n++)
        {
            var key = n % 5 == 0 ? $"key-{seed}-{n}" : null;
            var spec = BatchBuilder.Spec($"task {n}", $"{{\"n\": {n}}}", "{\"team\":\"blue\"}") with { Description = "what to do", IdempotencyKey = key };
            var facts = key is null ? null : await store.FindFactsAsync([], [new("alice", key)], None);
            var outcome = (SubmitOutcome.Accepted)await sequencer.ExecuteAsync(new SubmitTasks([new NewTask { Spec = spec, Required = ["python"], BodyHash = key is null ? null : "abc" }], facts) { Caller = "alice" });
            switch (random.Next(4))
            {
                case 0:
                    await sequencer.ExecuteAsync(new CancelTask(outcome.Tasks[0].Id, "not wanted") { Caller = "alice" });
                    break;
                case 1:
                    break;
                default:
                    var given = await sequencer.ExecuteAsync(new ExchangeWork("worker", [], [], null, 4) { Caller = "worker" });
                    var reports = (given?.Tasks ?? []).Select(TaskReport (granted) => new TaskReport.Completed(granted.Task.Id, granted.Task.Attempt, BatchBuilder.Json($"{{\"n\":{n}}}"), null)).ToList();
                    await sequencer.ExecuteAsync(new ExchangeWork("worker", reports, [], null, 0) { Caller = "worker" });
                    break;
            }
        }

        var published = new NewOutsideEvent(OutsideEvent.Make("tool.executed", $"e-{seed.ToString(CultureInfo.InvariantCulture)}", BatchBuilder.Json("{}")), "grep", null);
        await sequencer.ExecuteAsync(new PublishEvents([published], await store.FindPublishedAsync("crawler", [published.Data.Id], None)) { Caller = "crawler" });
    }

    /// <summary>Moves the horizon to the head as it is now.</summary>
    private async Task<(LogBase Base, long Horizon)> TrimAsync(SqliteStore store, int most = 100)
    {
        var known = await store.TakeBaseAsync(None);
        await store.PrepareTrimAsync(known.Sequence, None);
        await using (var running = await StartAsync(store))
            await running.Loop.ExecuteAsync(new TrimLog(known, TrimReason.Size));
        while (await store.TrimAsync(most, None))
        {
        }

        return (known, (await store.FindExtentAsync(None)).Horizon);
    }

    private sealed class Running(Sequencer loop) : IAsyncDisposable
    {
        public Sequencer Loop => loop;

        public async ValueTask DisposeAsync() => await loop.StopAsync(TimeSpan.FromSeconds(30));
    }

    private sealed class Silent : ISequencerObserver
    {
        public void Committed(ClosedBatch batch, TimeSpan commit)
        {
        }

        public void StoreFailed(Exception failure)
        {
        }

        public void Loaded(State state)
        {
        }
    }
}

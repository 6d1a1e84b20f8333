using Dispatch.Invariants;
using System.Diagnostics;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Storage.Tests.Contract;
using Dispatch.Storage.Tests.Sqlite.Faults;
using Dispatch.Tasks;

namespace Dispatch.Storage.Tests.Sqlite;

/// <summary>Whom the store lets in, what it refuses, and what it says then.</summary>
public sealed class SqliteStoreOpeningTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    private string Database => directory.File("dispatch.db");

    private SqliteStoreOptions Options => new() { Path = Database };

    [Fact]
    public void A_commit_is_synced_to_the_disk_before_it_counts()
    {
        using var writer = DatabaseFile.OpenForWriting(Options, TimeProvider.System);

        Assert.Equal(2, writer.QueryInt64("PRAGMA synchronous"));
        Assert.Equal("wal", writer.QueryText("PRAGMA journal_mode"));
        Assert.Equal(0, writer.QueryInt64("PRAGMA wal_autocheckpoint"));
        Assert.Equal(1, writer.QueryInt64("PRAGMA fullfsync"));
    }

    [Fact]
    public void A_reader_can_not_write()
    {
        using var writer = DatabaseFile.OpenForWriting(Options, TimeProvider.System);
        using var reader = DatabaseFile.OpenForReading(Options);

        Assert.Equal(1, reader.QueryInt64("PRAGMA query_only"));
        Assert.True(reader.IsReadOnly);
        var refusal = Assert.Throws<SqliteException>(() => reader.Execute("DELETE FROM tasks"));
        Assert.True(refusal.IsReadOnly, refusal.Message);
    }

    [Fact]
    public async Task The_file_says_whose_it_is_and_in_which_layout()
    {
        await Open().DisposeAsync();
        await Open().DisposeAsync();

        using var file = SqliteConnection.Open(Database, SqliteAccess.ReadOnly);
        Assert.Equal(Schema.ApplicationId, file.QueryInt64("PRAGMA application_id"));
        Assert.Equal(Schema.Migrations.Count, file.QueryInt64("SELECT count(*) FROM schema_migrations"));
        Assert.Equal("first release", file.QueryText("SELECT name FROM schema_migrations WHERE version = 1"));
    }

    [Fact]
    public async Task Only_the_owner_may_read_what_is_made()
    {
        if (OperatingSystem.IsWindows())
            return;

        var inside = directory.File("new/data");
        await using var store = SqliteStore.Open(new SqliteStoreOptions { Path = Path.Combine(inside, "dispatch.db") }, TimeProvider.System);
        await store.ProbeAsync(default);

        const UnixFileMode owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        Assert.Equal(owner | UnixFileMode.UserExecute, File.GetUnixFileMode(inside));
        Assert.Equal(["dispatch.db", "dispatch.db-shm", "dispatch.db-wal", "dispatch.db.lock"], Directory.GetFiles(inside).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        foreach (var file in Directory.GetFiles(inside))
            Assert.Equal(owner, File.GetUnixFileMode(file));
    }

    [Fact]
    public async Task A_second_broker_is_told_who_has_the_store()
    {
        await using (var first = Open())
        {
            var refusal = Assert.Throws<StoreException>(Open);

            Assert.Equal(StoreFault.Locked, refusal.Fault);
            Assert.Contains($"process {Environment.ProcessId};", refusal.Message);
            Assert.Contains(Database, refusal.Message);
            await first.ProbeAsync(default);
        }

        await Open().DisposeAsync();
    }

    [Fact]
    public async Task The_same_file_by_another_name_is_the_same_store()
    {
        if (OperatingSystem.IsWindows())
            return;

        await using var first = Open();
        File.CreateSymbolicLink(directory.File("link.db"), Database);

        var refusal = Assert.Throws<StoreException>(() => SqliteStore.Open(new SqliteStoreOptions { Path = directory.File("link.db") }, TimeProvider.System));

        Assert.Equal(StoreFault.Locked, refusal.Fault);
    }

    [Fact]
    public async Task A_lock_of_another_process_holds_until_that_process_is_gone()
    {
        if (!OperatingSystem.IsLinux())
            return;

        using var holder = Process.Start(new ProcessStartInfo("flock", ["-x", Database + ".lock", "sh", "-c", $"echo $$ > '{Database}.lock'; echo held; read end"])
        {
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            UseShellExecute = false,
        })!;
        Assert.Equal("held", await holder.StandardOutput.ReadLineAsync());
        var process = (await ReadAsync(Database + ".lock")).Trim();

        var refusal = Assert.Throws<StoreException>(Open);

        Assert.Equal(StoreFault.Locked, refusal.Fault);
        Assert.Contains($"process {process};", refusal.Message);
        await holder.StandardInput.WriteLineAsync("end");
        await holder.WaitForExitAsync();
        await Open().DisposeAsync();
    }

    [Fact]
    public async Task A_lock_file_left_behind_by_a_crash_is_no_obstacle()
    {
        await File.WriteAllTextAsync(Database + ".lock", "1\n");

        await Open().DisposeAsync();
    }

    [Fact]
    public async Task A_store_of_a_newer_release_is_refused_and_left_as_it_is()
    {
        await Open().DisposeAsync();
        using (var file = SqliteConnection.Open(Database, SqliteAccess.ReadWriteCreate))
            file.Execute("INSERT INTO schema_migrations VALUES (999, 'from the future', ''); ALTER TABLE tasks ADD COLUMN mood; PRAGMA wal_checkpoint(TRUNCATE)");
        var before = await File.ReadAllBytesAsync(Database);

        var refusal = Assert.Throws<StoreException>(Open);

        Assert.Equal(StoreFault.TooNew, refusal.Fault);
        Assert.Contains("layout 999", refusal.Message);
        Assert.Equal(before, await File.ReadAllBytesAsync(Database));
    }

    [Theory]
    [InlineData("CREATE TABLE contacts(name)")]
    [InlineData("PRAGMA application_id = 77; CREATE TABLE contacts(name)")]
    [InlineData("PRAGMA application_id = 77")]
    public async Task Another_programs_database_is_refused_and_left_as_it_is(string made)
    {
        using (var file = SqliteConnection.Open(Database, SqliteAccess.ReadWriteCreate))
            file.Execute(made);
        var before = await File.ReadAllBytesAsync(Database);

        var refusal = Assert.Throws<StoreException>(Open);

        Assert.Equal(StoreFault.Corrupt, refusal.Fault);
        Assert.Contains("another program", refusal.Message);
        Assert.Equal(before, await File.ReadAllBytesAsync(Database));
        Assert.False(File.Exists(Database + "-wal"));
    }

    [Fact]
    public async Task A_file_that_is_no_database_is_refused_and_left_as_it_is()
    {
        var letter = string.Concat(Enumerable.Repeat("Dear diary, ", 1_000));
        await File.WriteAllTextAsync(Database, letter);

        var refusal = Assert.Throws<StoreException>(Open);

        Assert.Equal(StoreFault.Corrupt, refusal.Fault);
        Assert.Contains("not a SQLite database", refusal.Message);
        Assert.Equal(letter, await File.ReadAllTextAsync(Database));
    }

    [Fact]
    public async Task A_store_of_the_first_layout_is_brought_to_this_one_and_its_log_is_chained()
    {
        using (var old = SqliteConnection.Open(Database, SqliteAccess.ReadWriteCreate))
        {
            old.Execute($"PRAGMA journal_mode = WAL; PRAGMA application_id = {Schema.ApplicationId}; CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)");
            old.Execute(Schema.Migrations[0].Sql);
            old.Execute("INSERT INTO schema_migrations VALUES (1, 'first release', '2026-11-20T00:00:00Z')");
            for (var n = 1; n <= 300; n++)
            {
                old.Execute($$"""
                    INSERT INTO events VALUES ({{n}}, {{1000 + n}}, 'task.created', 'tasks', '{{Guid(n)}}', NULL, 'alice', NULL, NULL, '{"status":"pending","requester":"alice","title":"t","required_capabilities":[],"preferred_capabilities":[],"priority":5,"timeout_ms":1,"max_retries":3}');
                    INSERT INTO tasks (number, id, status, title, requester, created_at, priority, max_retries, timeout_ms, queued_at, attempt, retry_count, dead_lettered, last_sequence)
                      VALUES ({{n}}, '{{Guid(n)}}', '{{(n % 2 == 0 ? "pending" : "failed")}}', 't', 'alice', {{1000 + n}}, 5, 3, 1, {{1000 + n}}, 0, 0, 0, {{n}});
                    INSERT OR REPLACE INTO totals VALUES ('pending', {{n / 2}}), ('failed', {{n - (n / 2)}})
                    """);
            }
        }

        await using var store = Open();
        var findings = new FindingList();
        var links = new ChainChecker(findings);
        foreach (var entry in await store.ListEventsAsync(0, 1_000, default))
            links.Check(entry);
        Assert.Equal((300, null), (links.Entries, links.FirstBad));

        var loaded = await store.LoadAsync(default);
        Assert.Equal(links.Last.ToArray(), loaded.Hash);
        Assert.Equal(Enumerable.Range(1, 150).Select(n => 2L * n), loaded.Tasks.Select(task => task.Number));
        Assert.Equal([300L, 298, 296], (await store.ListTasksAsync(new TaskQuery { Statuses = [TaskState.Pending], Limit = 3 }, default)).Select(stored => stored.Task.Number));
        Assert.Equal([299L, 297, 295], (await store.ListTasksAsync(new TaskQuery { Statuses = [TaskState.Failed], Limit = 3 }, default)).Select(stored => stored.Task.Number));

        static string Guid(int n) => $"019a9f5e-7c00-7a31-9b1e-{n:x12}";
    }

    [Fact]
    public async Task A_store_of_the_second_layout_goes_on_with_its_tasks_and_limits_nothing()
    {
        const string Task = "019a9f5e-7c00-7a31-9b1e-5d0c2f4a8e11";
        const string Created = "{\"status\":\"pending\",\"requester\":\"alice\",\"title\":\"t\",\"required_capabilities\":[],\"preferred_capabilities\":[],\"priority\":5,\"timeout_ms\":1,\"max_retries\":3}";
        using (var old = SqliteConnection.Open(Database, SqliteAccess.ReadWriteCreate))
        {
            old.Execute($"PRAGMA journal_mode = WAL; PRAGMA application_id = {Schema.ApplicationId}; CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)");
            foreach (var migration in Schema.Migrations.Take(2))
            {
                old.Execute(migration.Sql);
                old.Execute($"INSERT INTO schema_migrations VALUES ({migration.Version}, '{migration.Name}', '2026-11-20T00:00:00Z')");
            }

            old.Execute($"""
                INSERT INTO events (sequence, timestamp, type, source, subject, actor, data, hash)
                  VALUES (1, 1001, 'task.created', 'tasks', '{Task}', 'alice', '{Created}', zeroblob(32));
                INSERT INTO tasks (number, id, status, title, requester, created_at, priority, max_retries, timeout_ms, queued_at, attempt, retry_count, dead_lettered, last_sequence, assignee, assigned_at)
                  VALUES (1, '{Task}', 'assigned', 't', 'alice', 1001, 5, 3, 1, 1001, 1, 0, 0, 2, 'w', 1002);
                INSERT OR REPLACE INTO totals VALUES ('assigned', 1)
                """);
        }

        await using var store = Open();
        var loaded = await store.LoadAsync(default);
        Assert.Empty(loaded.Limits);
        Assert.Empty(loaded.Balances);
        var held = Assert.Single(loaded.Tasks);
        Assert.Equal((Task, "w", null, null, 0), (held.Id.ToString(), held.Assignee, held.Cost, held.Charge, held.MaxRunMs));
        Assert.Null((await store.FindUsageAsync("w", "u", held.Id, default)).Known);
    }

    [Fact]
    public async Task Damage_is_told_when_it_is_met_and_found_by_the_check()
    {
        await DamageAsync(fromPage: 40);

        await using var damaged = Open();
        var refusal = await Assert.ThrowsAsync<StoreException>(() => damaged.LoadAsync(default));
        Assert.Equal(StoreFault.Corrupt, refusal.Fault);
        Assert.Contains("damaged", refusal.Message);
        Assert.NotEmpty(await damaged.CheckIntegrityAsync(default));
    }

    [Fact]
    public async Task Damage_of_what_every_start_reads_is_told_by_the_start()
    {
        await DamageAsync(fromPage: 10);

        var refusal = Assert.Throws<StoreException>(() => Open());
        Assert.Equal(StoreFault.Corrupt, refusal.Fault);
        Assert.Contains("is damaged", refusal.Message);
    }

    private async Task DamageAsync(int fromPage)
    {
        var log = new BatchBuilder();
        await using (var store = Open())
        {
            for (var n = 0; n < 2_000; n++)
                log.Submit();
            await store.CommitAsync(log.Close(), 0, default);
        }

        await using var file = File.OpenWrite(Database);
        file.Position = fromPage * 16_384;
        var noise = new byte[file.Length - file.Position];
        new Random(1).NextBytes(noise);
        await file.WriteAsync(noise);
    }

    [Fact]
    public async Task A_row_that_can_not_be_understood_is_told_as_damage()
    {
        var log = new BatchBuilder();
        await using var store = Open();
        var task = log.Submit();
        await store.CommitAsync(log.Close(), 0, default);
        Assert.Empty(await store.CheckIntegrityAsync(default));
        using (var meddler = SqliteConnection.Open(Database, SqliteAccess.ReadWriteCreate))
            meddler.Execute("UPDATE tasks SET status = 'lost'");

        var refusal = await Assert.ThrowsAsync<StoreException>(() => store.FindTaskAsync(task.Id, default));

        Assert.Equal(StoreFault.Corrupt, refusal.Fault);
        Assert.Contains("'lost' is not a TaskState", refusal.Message);
        Assert.Single(await store.ListEventsAsync(0, 10, default));
    }

    [Fact]
    public async Task A_store_can_be_looked_at_while_a_broker_runs_on_it()
    {
        var missing = Assert.Throws<StoreException>(() => SqliteStore.OpenForReading(Options));
        Assert.Contains("no store", missing.Message);

        var log = new BatchBuilder();
        await using var broker = Open();
        await using var looker = SqliteStore.OpenForReading(Options);
        var task = log.Submit();
        await broker.CommitAsync(log.Close(), 0, default);

        Same.Stored(log.Tasks[task.Id], await looker.FindTaskAsync(task.Id, default));
        log.Submit();
        var refusal = await Assert.ThrowsAsync<StoreException>(() => looker.CommitAsync(log.Close(), 0, default));
        Assert.Equal(StoreFault.ReadOnly, refusal.Fault);
    }

    [Fact]
    public async Task A_person_finds_everything_in_one_view()
    {
        var log = new BatchBuilder();
        await using var store = Open();
        var told = log.Finish(log.Submit(BatchBuilder.Spec("told", "{\"file\":\"a.txt\"}", "{\"team\":\"blue\"}")), "{\"lines\":3}");
        var patched = log.Submit(BatchBuilder.Spec("patched", "{\"file\":\"a.txt\"}"));
        log.Raise(patched, new TaskUpdated("patched", null, null, BatchBuilder.Json("{\"file\":\"b.txt\"}")));
        await store.CommitAsync(log.Close(), 0, default);

        using var shell = SqliteConnection.Open(Database, SqliteAccess.ReadOnly);
        Assert.Equal("{\"file\":\"a.txt\"} {\"lines\":3} {\"team\":\"blue\"}", shell.QueryText($"SELECT context || ' ' || result || ' ' || labels FROM tasks_full WHERE id = '{told.Id}'"));
        Assert.Equal("{\"file\":\"b.txt\"}", shell.QueryText($"SELECT context FROM tasks_full WHERE id = '{patched.Id}'"));
        Assert.Equal("completed 2026-09-21 14:13:20", shell.QueryText($"SELECT status || ' ' || completed FROM tasks_full WHERE id = '{told.Id}'"));
        Assert.Equal(1, shell.QueryInt64("SELECT count(*) FROM task_payloads"));
        Assert.Equal(0, shell.QueryInt64("SELECT count(*) FROM attempts WHERE result IS NOT NULL"));
    }

    [Fact]
    public async Task A_person_finds_what_was_reserved_and_spent_in_one_view()
    {
        var log = new BatchBuilder();
        await using var store = Open();
        await StoreContract.CommitLedgerAsync(log, () => store.CommitAsync(log.Close(), 0, default));

        using var shell = SqliteConnection.Open(Database, SqliteAccess.ReadOnly);
        Assert.Equal(
            "0/7 report, 60/40 held, 100/5 failed, 20/0 lost, 30/31 completed",
            shell.QueryText("SELECT group_concat(reserved || '/' || spent || ' ' || coalesce(outcome, iif(task_id IS NULL, 'report', 'held')), ', ') FROM (SELECT * FROM ledger WHERE balance = 'b/x' ORDER BY reserved = 0 DESC, outcome IS NULL DESC, outcome = 'failed' DESC, outcome = 'lost' DESC)"));
        Assert.Equal(92, shell.QueryInt64("SELECT sum(spent) FROM ledger WHERE balance LIKE 'b/%'"));
    }

    [MountFact]
    public async Task A_read_only_disk_is_refused_with_a_reason()
    {
        using var disk = new SmallDisk(directory.Path, "8m");
        disk.MakeReadOnly();
        var empty = Assert.Throws<StoreException>(Open);
        Assert.Equal(StoreFault.ReadOnly, empty.Fault);

        using var writable = new SmallDisk(directory.Path, "8m");
        await Open().DisposeAsync();
        writable.MakeReadOnly();
        var refusal = Assert.Throws<StoreException>(Open);
        Assert.Equal(StoreFault.ReadOnly, refusal.Fault);
        Assert.Contains("read-only", refusal.Message);
    }

    [Fact]
    public void A_directory_without_permission_is_refused_with_a_reason()
    {
        if (OperatingSystem.IsWindows() || Environment.IsPrivilegedProcess)
        {
            // Nothing is forbidden to root, so only the message is looked at.
            var fault = SqliteFaults.Translate(new UnauthorizedAccessException("Access to the path is denied."), Database);
            Assert.Equal(StoreFault.ReadOnly, fault.Fault);
            Assert.Contains("permission", fault.Message);
            return;
        }

        File.SetUnixFileMode(directory.Path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        try
        {
            var refusal = Assert.Throws<StoreException>(Open);
            Assert.Equal(StoreFault.ReadOnly, refusal.Fault);
            Assert.Contains("permission", refusal.Message);
        }
        finally
        {
            File.SetUnixFileMode(directory.Path, UnixFileMode.UserRead | UnixFileMode.UserExecute | UnixFileMode.UserWrite);
        }
    }

    [Fact]
    public void Settings_out_of_range_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => SqliteStore.Open(Options with { CheckpointKiB = 63 }, TimeProvider.System));
        Assert.Throws<ArgumentOutOfRangeException>(() => SqliteStore.Open(Options with { Readers = 65 }, TimeProvider.System));
        Assert.Throws<ArgumentOutOfRangeException>(() => SqliteStore.OpenForReading(Options with { WriteCacheKiB = 0 }));
        Assert.False(File.Exists(Database));
    }

    [Fact]
    public void A_directory_in_the_place_of_the_file_is_refused()
    {
        Directory.CreateDirectory(Database);

        Assert.Throws<StoreException>(Open);
    }

    [Theory]
    [InlineData(13, 0, StoreFault.Full)]
    [InlineData(10 | (3 << 8), 28, StoreFault.Full)]
    [InlineData(10 | (4 << 8), 28, StoreFault.Fatal)]
    [InlineData(10 | (5 << 8), 5, StoreFault.Fatal)]
    [InlineData(10 | (3 << 8), 5, StoreFault.Unavailable)]
    [InlineData(11, 0, StoreFault.Corrupt)]
    [InlineData(26, 0, StoreFault.Corrupt)]
    [InlineData(8, 0, StoreFault.ReadOnly)]
    [InlineData(14, 13, StoreFault.ReadOnly)]
    [InlineData(14, 2, StoreFault.Unavailable)]
    [InlineData(5, 0, StoreFault.Unavailable)]
    [InlineData(1, 0, StoreFault.Unavailable)]
    public void Each_refusal_of_sqlite_is_told_as_what_to_do_about_it(int code, int systemError, StoreFault fault)
    {
        var told = SqliteFaults.Translate(new SqliteException(code, systemError, "SQLite said so"), "/data/dispatch.db");

        Assert.Equal(fault, told.Fault);
        Assert.Contains("/data/dispatch.db", told.Message);
        Assert.Contains("SQLite said so", told.Message);
    }

    public void Dispose() => directory.Dispose();

    private SqliteStore Open() => SqliteStore.Open(Options, TimeProvider.System);

    // .NET would ask for a lock of its own.
    private static async Task<string> ReadAsync(string path)
    {
        using var cat = Process.Start(new ProcessStartInfo("cat", [path]) { RedirectStandardOutput = true, UseShellExecute = false })!;
        return await cat.StandardOutput.ReadToEndAsync();
    }
}

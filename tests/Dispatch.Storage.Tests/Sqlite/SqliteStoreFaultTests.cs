using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Storage.Tests.Contract;
using Dispatch.Storage.Tests.Sqlite.Faults;
using Dispatch.Tasks;

namespace Dispatch.Storage.Tests.Sqlite;

/// <summary>Disks that fail, fill up, hang, and power that goes: a commit is there as a whole or not at all.</summary>
public sealed class SqliteStoreFaultTests : IDisposable
{
    private static readonly CancellationToken None = CancellationToken.None;

    private readonly TemporaryDirectory directory = new();

    private string Database => directory.File("dispatch.db");

    [Fact]
    public async Task A_crash_at_any_write_leaves_whole_commits()
    {
        var log = new BatchBuilder();
        var snapshots = new List<(TemporaryDirectory Place, long Committed, bool IsCommitting)>();
        var (committed, committing) = (0L, false);
        FaultyFiles.Hook(directory.Path, (call, path) =>
        {
            // What a killed process leaves behind: the files as they are now.
            var place = new TemporaryDirectory();
            foreach (var file in new[] { Database, Database + "-wal" }.Where(File.Exists))
                File.Copy(file, place.File(Path.GetFileName(file)));
            snapshots.Add((place, committed, committing));
            return FaultyFiles.Ok;
        });
        var store = Open(checkpointKiB: 64);
        for (var n = 0; n < 4; n++)
        {
            FillBatch(log, 8);
            committing = true;
            await store.CommitAsync(log.Close(), 0, None);
            (committed, committing) = (log.Sequence, false);
        }

        await store.DisposeAsync();
        FaultyFiles.Unhook(directory.Path);

        Assert.True(snapshots.Count > 100, $"only {snapshots.Count} crashes");
        foreach (var (place, before, during) in snapshots)
        {
            using (place)
                await CheckWholeAsync(place.File("dispatch.db"), before, during ? before + EventsPerBatch(8) : before);
        }
    }

    [Fact]
    public async Task What_was_answered_survives_a_power_cut()
    {
        // What a disk is sure to hold is what was in a file when it was last synced.
        var synced = new Dictionary<string, byte[]>();
        FaultyFiles.Hook(directory.Path, (call, path) =>
        {
            if (call == FileCall.Sync)
                synced[path] = ReadShared(path);
            return FaultyFiles.Ok;
        });
        var log = new BatchBuilder();
        await using var store = Open(checkpointKiB: 64);
        for (var n = 0; n < 12; n++)
        {
            FillBatch(log, 3);
            await store.CommitAsync(log.Close(), 0, None);
            using var disk = new TemporaryDirectory();

            // The checkpoint may be going on; no two syncs happen at once.
            await store.ProbeAsync(None);
            foreach (var (path, content) in synced.Where(file => File.Exists(file.Key)))
                await File.WriteAllBytesAsync(disk.File(Path.GetFileName(path)), content);
            await CheckWholeAsync(disk.File("dispatch.db"), log.Sequence, log.Sequence);
        }
    }

    [Theory]
    [InlineData(FaultyFiles.IoErrorWrite, StoreFault.Unavailable)]
    [InlineData(FaultyFiles.Full, StoreFault.Full)]
    public async Task A_write_that_fails_takes_the_whole_commit_with_it_and_the_next_one_works(int code, StoreFault fault)
    {
        // The page cache is kept so small that pages are written before the commit, too.
        var failAt = 0;
        var (calls, failed) = (0, 0);
        FaultyFiles.Hook(directory.Path, (call, _) => call == FileCall.Write && ++calls == failAt ? code : FaultyFiles.Ok);
        await using var store = Open(cacheKiB: 8);
        var log = new BatchBuilder();
        while (true)
        {
            (calls, failAt) = (0, failAt + 1);
            var attempt = new BatchBuilder(log.Sequence);
            FillBatch(attempt, 30);
            var refusal = await Record.ExceptionAsync(() => store.CommitAsync(attempt.Close(), 0, None));
            var reached = calls >= failAt;
            failAt = reached ? failAt : int.MaxValue;
            if (refusal is not null)
            {
                failed++;
                Assert.Equal(fault, Assert.IsType<StoreException>(refusal).Fault);
                Assert.Equal(log.Sequence, (await store.LoadAsync(None)).Sequence);
                Assert.Equal(log.Totals, (await store.LoadAsync(None)).Totals);
                await store.ProbeAsync(None);
                continue;
            }

            // Nothing failed: the commit is through, at last.
            Assert.False(reached, "A failed write went unnoticed.");
            Assert.Equal(attempt.Sequence, (await store.LoadAsync(None)).Sequence);
            break;
        }

        Assert.True(failed > 20, $"only {failed} faults");
        await store.DisposeAsync();
        FaultyFiles.Unhook(directory.Path);
        await CheckWholeAsync(Database, EventsPerBatch(30), EventsPerBatch(30));
    }

    [Fact]
    public async Task After_a_failed_fsync_nothing_more_is_written()
    {
        var isBroken = false;
        FaultyFiles.Hook(directory.Path, (call, _) => isBroken && call == FileCall.Sync ? FaultyFiles.IoErrorFsync : FaultyFiles.Ok);
        var log = new BatchBuilder();
        await using var store = Open();
        log.Submit();
        await store.CommitAsync(log.Close(), 0, None);

        isBroken = true;
        log.Submit();
        var batch = log.Close();
        Assert.Equal(StoreFault.Fatal, (await Assert.ThrowsAsync<StoreException>(() => store.CommitAsync(batch, 0, None))).Fault);

        // The operating system says that all is well again. It isn't: what it lost, it forgot.
        isBroken = false;
        Assert.Equal(StoreFault.Fatal, (await Assert.ThrowsAsync<StoreException>(() => store.CommitAsync(batch, 0, None))).Fault);
        Assert.Equal(StoreFault.Fatal, (await Assert.ThrowsAsync<StoreException>(() => store.ProbeAsync(None))).Fault);
        Assert.Equal(1, (await store.LoadAsync(None)).Sequence);
    }

    [Fact]
    public async Task A_checkpoint_that_fails_stops_writing_until_a_probe_succeeds()
    {
        var isBroken = false;
        FaultyFiles.Hook(directory.Path, (call, path) => isBroken && call == FileCall.Write && path == Database ? FaultyFiles.IoErrorWrite : FaultyFiles.Ok);
        var log = new BatchBuilder();
        await using var store = Open(checkpointKiB: 64);
        log.Submit();
        await store.CommitAsync(log.Close(), 0, None);

        // The checkpoint that follows a commit is over when the next piece of work is.
        await store.ProbeAsync(None);

        // The commit itself goes to the write-ahead log, which works, and is as good as any.
        isBroken = true;
        FillBatch(log, 200);
        await store.CommitAsync(log.Close(), 0, None);
        var committed = log.Sequence;
        var next = new BatchBuilder(committed);
        next.Submit();
        var batch = next.Close();
        Assert.Equal(StoreFault.Unavailable, (await Assert.ThrowsAsync<StoreException>(() => store.CommitAsync(batch, 0, None))).Fault);
        Assert.Equal(StoreFault.Unavailable, (await Assert.ThrowsAsync<StoreException>(() => store.ProbeAsync(None))).Fault);
        Assert.Equal(committed, (await store.LoadAsync(None)).Sequence);

        isBroken = false;
        await store.ProbeAsync(None);
        await store.CommitAsync(batch, 0, None);
        Assert.Equal(next.Sequence, (await store.LoadAsync(None)).Sequence);
    }

    [Fact]
    public async Task A_commit_that_hangs_can_be_given_up_and_its_outcome_is_unknown()
    {
        using var release = new ManualResetEventSlim();
        using var hanging = new ManualResetEventSlim();
        var hangs = false;
        FaultyFiles.Hook(directory.Path, (call, _) =>
        {
            if (hangs && call == FileCall.Sync)
            {
                hanging.Set();
                release.Wait();
            }

            return FaultyFiles.Ok;
        });
        var log = new BatchBuilder();
        await using (var store = Open())
        {
            log.Submit();
            await store.CommitAsync(log.Close(), 0, None);
            hangs = true;
            log.Submit();
            using var patience = new CancellationTokenSource();
            var commit = store.CommitAsync(log.Close(), 0, patience.Token);
            Assert.True(hanging.Wait(TimeSpan.FromSeconds(30)));
            await patience.CancelAsync();

            Assert.Equal(StoreFault.Unknown, (await Assert.ThrowsAsync<StoreException>(() => commit)).Fault);
            Assert.Equal(1, (await store.LoadAsync(None)).Sequence);
            hangs = false;
            release.Set();
        }

        // This one happened after all.
        await using var again = Open();
        Assert.Equal(2, (await again.LoadAsync(None)).Sequence);
    }

    [MountFact]
    public async Task A_full_disk_refuses_whole_commits_and_works_again_when_there_is_room()
    {
        using var disk = new SmallDisk(directory.Path, "3m");
        var log = new BatchBuilder();
        await using (var store = Open())
        {
            StoreException? refusal = null;
            var committed = 0L;
            for (var n = 0; n < 1_000 && refusal is null; n++)
            {
                committed = log.Sequence;
                FillBatch(log, 50);
                refusal = await Record.ExceptionAsync(() => store.CommitAsync(log.Close(), 0, None)) as StoreException;
            }

            Assert.Equal(StoreFault.Full, refusal?.Fault);
            Assert.Contains("disk space", refusal!.Message);
            Assert.Equal(committed, (await store.LoadAsync(None)).Sequence);
            Assert.Equal(committed, (await store.ListEventsAsync(0, 100_000, None)).Count);

            // Something has always been left over: filled to the last page, a probe is refused too.
            await using (var filler = File.Create(directory.File("filler")))
                await Record.ExceptionAsync(async () => { while (true) { await filler.WriteAsync(new byte[4096]); await filler.FlushAsync(); } });
            var next = new BatchBuilder(committed);
            FillBatch(next, 50);
            var batch = next.Close();
            Assert.Equal(StoreFault.Full, (await Assert.ThrowsAsync<StoreException>(() => store.CommitAsync(batch, 0, None))).Fault);

            disk.Resize("30m");
            await store.ProbeAsync(None);
            await store.CommitAsync(batch, 0, None);
            Assert.Equal(next.Sequence, (await store.LoadAsync(None)).Sequence);
        }

        await using var again = Open();
        Assert.Empty(await again.CheckIntegrityAsync(None));
    }

    public void Dispose()
    {
        FaultyFiles.Unhook(directory.Path);
        directory.Dispose();
    }

    private SqliteStore Open(int checkpointKiB = 4096, int cacheKiB = 1024) => SqliteStore.Open(
        new SqliteStoreOptions { Path = Database, CheckpointKiB = checkpointKiB, WriteCacheKiB = cacheKiB, FileSystem = UseFaultyFiles() }, TimeProvider.System);

    // SQLite's locks belong to the process: closing any other handle to the file would give them up.
    private static byte[] ReadShared(string path)
    {
        using var copy = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("cat", [path]) { RedirectStandardOutput = true, UseShellExecute = false })!;
        using var content = new MemoryStream();
        copy.StandardOutput.BaseStream.CopyTo(content);
        return content.ToArray();
    }

    private string UseFaultyFiles()
    {
        FaultyFiles.HookIfNone(directory.Path);
        return FaultyFiles.Name;
    }

    private static void FillBatch(BatchBuilder log, int tasks)
    {
        for (var n = 0; n < tasks; n++)
            log.Finish(log.Submit(BatchBuilder.Spec(context: $"{{\"text\":\"{new string('x', 500)}\"}}", labels: "{\"team\":\"blue\"}")), "{\"ok\":true}");
    }

    private static long EventsPerBatch(int tasks) => tasks * 3L;

    /// <summary>The store holds the log up to one of the two sequences, and every table agrees with it.</summary>
    private static async Task CheckWholeAsync(string path, long without, long with)
    {
        await using var store = SqliteStore.Open(new SqliteStoreOptions { Path = path }, TimeProvider.System);
        var loaded = await store.LoadAsync(None);
        Assert.True(loaded.Sequence == without || loaded.Sequence == with, $"{loaded.Sequence} is neither {without} nor {with}");
        Assert.Equal(loaded.Sequence, (await store.ListEventsAsync(0, 1_000_000, None)).Count);
        var tasks = await store.ListTasksAsync(new TaskQuery { Limit = 1_000_000, Labels = ["team=blue"] }, None);
        Assert.Equal(loaded.Sequence, tasks.Count * 3L);
        Assert.Equal(tasks.Count, loaded.Totals[(int)TaskState.Completed]);
        Assert.All(tasks, task => Assert.Equal("{\"ok\":true}", task.Result!.ToString()));
        using var file = SqliteConnection.Open(path, SqliteAccess.ReadOnly);
        Assert.Equal(tasks.Count, file.QueryInt64("SELECT count(*) FROM attempts"));
        Assert.Equal("ok", file.QueryText("PRAGMA integrity_check"));
    }
}

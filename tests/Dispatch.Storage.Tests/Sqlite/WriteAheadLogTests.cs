using System.Diagnostics;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Storage.Tests.Contract;

namespace Dispatch.Storage.Tests.Sqlite;

/// <summary>The write-ahead log stays short, whatever readers do.</summary>
public sealed class WriteAheadLogTests : IAsyncLifetime
{
    private const int CheckpointKiB = 64;

    private readonly TemporaryDirectory directory = new();
    private readonly BatchBuilder log = new();
    private SqliteStore store = null!;

    private string Database => directory.File("dispatch.db");

    private long LogBytes => new FileInfo(Database + "-wal").Length;

    public Task InitializeAsync()
    {
        store = SqliteStore.Open(new SqliteStoreOptions { Path = Database, CheckpointKiB = CheckpointKiB }, TimeProvider.System);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await store.DisposeAsync();
        directory.Dispose();
    }

    [Fact]
    public async Task It_starts_over_again_and_again_under_load()
    {
        await WriteAsync(megabytes: 12);

        Assert.True(new FileInfo(Database).Length > 8 << 20, "too little was written to tell");
        Assert.True(LogBytes < 1 << 20, $"{LogBytes} bytes of log");
    }

    [Fact]
    public async Task It_stays_bounded_while_others_read_all_the_time()
    {
        using var writing = new CancellationTokenSource();
        var readers = Enumerable.Range(0, 2).Select(_ => Task.Run(async () =>
        {
            while (!writing.IsCancellationRequested)
                await store.ListTasksAsync(new TaskQuery { Limit = 200 }, default);
        })).ToList();

        await WriteAsync(megabytes: 12);
        await writing.CancelAsync();
        await Task.WhenAll(readers);

        // Sixteen times the usual length, and then as long as it takes until no reader is in the way.
        Assert.True(LogBytes < 4 << 20, $"{LogBytes} bytes of log");
    }

    [Fact]
    public async Task A_reader_that_never_ends_holds_nothing_up_and_it_is_emptied_once_it_has_gone()
    {
        await WriteAsync(megabytes: 1);
        using (var shell = SqliteConnection.Open(Database, SqliteAccess.ReadOnly))
        {
            shell.Execute("BEGIN");
            var seen = shell.QueryInt64("SELECT max(sequence) FROM events");
            await WriteAsync(megabytes: 6);
            Assert.Equal(seen, shell.QueryInt64("SELECT max(sequence) FROM events"));
            Assert.True(LogBytes > 4 << 20, "The reader still needs the log.");
        }

        await EmptiedAsync();
    }

    [Fact]
    public async Task It_is_emptied_when_nothing_happens()
    {
        for (var round = 0; round < 2; round++)
        {
            // On a stalled machine the pause may be over before the log is looked at.
            do
            {
                log.Submit();
                await store.CommitAsync(log.Close(), 0, default);
            }
            while (LogBytes == 0);

            await EmptiedAsync();
        }
    }

    [Fact]
    public async Task A_store_that_was_closed_is_one_file()
    {
        await WriteAsync(megabytes: 1);

        await store.DisposeAsync();

        Assert.Equal(["dispatch.db", "dispatch.db.lock"], Directory.GetFiles(directory.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal(0, new FileInfo(Database + ".lock").Length);
    }

    private async Task WriteAsync(int megabytes)
    {
        var spec = BatchBuilder.Spec(context: $"{{\"text\":\"{new string('x', 900)}\"}}");
        for (var n = 0; n < megabytes * 20; n++)
        {
            for (var i = 0; i < 50; i++)
                log.Submit(spec);
            await store.CommitAsync(log.Close(), 0, default);
        }
    }

    private async Task EmptiedAsync()
    {
        var waited = Stopwatch.StartNew();
        while (LogBytes != 0)
        {
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(30), $"{LogBytes} bytes of log were left.");
            await Task.Delay(20);
        }
    }
}

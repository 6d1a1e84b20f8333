using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Tests.Sqlite.Native;

public sealed class SqliteConnectionTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    [Fact]
    public void The_library_is_found_and_knows_what_we_need()
    {
        var version = Version.Parse(SqliteConnection.LibraryVersion);

        Assert.True(version >= new Version(3, 22, 0), $"SQLite {version} can't read a WAL through a read-only connection.");
    }

    [Fact]
    public void A_missing_file_is_made_by_a_writer_and_refused_to_a_reader()
    {
        var refusal = Assert.Throws<SqliteException>(() => SqliteConnection.Open(directory.File("a.db"), SqliteAccess.ReadOnly));
        Assert.True(refusal.IsCannotOpen, refusal.Message);

        using var writer = SqliteConnection.Open(directory.File("a.db"), SqliteAccess.ReadWriteCreate);
        writer.Execute("CREATE TABLE t(a)");

        using var reader = SqliteConnection.Open(directory.File("a.db"), SqliteAccess.ReadOnly);
        Assert.Equal(0, reader.QueryInt64("SELECT count(*) FROM t"));
    }

    [Fact]
    public void A_path_may_hold_any_character()
    {
        var path = directory.File("données ☃ #1?.db");
        using var connection = SqliteConnection.Open(path, SqliteAccess.ReadWriteCreate);
        connection.Execute("CREATE TABLE t(a)");

        Assert.True(File.Exists(path));
    }

    [Fact]
    public void Several_statements_run_in_order_and_an_error_names_the_statement()
    {
        using var connection = Open();
        connection.Execute("CREATE TABLE t(a); -- a comment\n INSERT INTO t VALUES(1); INSERT INTO t VALUES(2);\n");

        Assert.Equal(3, connection.QueryInt64("SELECT sum(a) FROM t"));
        var refusal = Assert.Throws<SqliteException>(() => connection.Execute("INSERT INTO nowhere VALUES(1)"));
        Assert.Contains("nowhere", refusal.Message);
        Assert.Contains("INSERT INTO nowhere", refusal.Message);
    }

    [Fact]
    public void Two_statements_are_not_one_prepared_statement()
    {
        using var connection = Open();

        Assert.Throws<ArgumentException>(() => connection.Prepare("SELECT 1; SELECT 2"));
        Assert.Throws<ArgumentException>(() => connection.Prepare("  "));
        using var trailing = connection.Prepare("SELECT 1;\n ");
        Assert.True(trailing.Step());
    }

    [Fact]
    public void A_reader_can_not_write()
    {
        Open().Dispose();
        using (var writer = Open())
            writer.Execute("CREATE TABLE t(a)");
        using var reader = SqliteConnection.Open(directory.File("t.db"), SqliteAccess.ReadOnly);

        var refusal = Assert.Throws<SqliteException>(() => reader.Execute("INSERT INTO t VALUES(1)"));

        Assert.True(refusal.IsReadOnly, refusal.Message);
    }

    [Fact]
    public void Changes_and_the_transaction_state_are_told()
    {
        using var connection = Open();
        connection.Execute("CREATE TABLE t(a); INSERT INTO t VALUES(1),(2),(3)");
        Assert.False(connection.IsInTransaction);

        connection.Execute("BEGIN IMMEDIATE");
        Assert.True(connection.IsInTransaction);
        connection.Execute("UPDATE t SET a=a+1 WHERE a>1");
        Assert.Equal(2, connection.Changes);
        connection.Execute("ROLLBACK");

        Assert.False(connection.IsInTransaction);
        Assert.Equal(6, connection.QueryInt64("SELECT sum(a) FROM t"));
    }

    [Fact]
    public void A_held_lock_is_busy()
    {
        using var first = Open();
        using var second = Open();
        first.Execute("PRAGMA journal_mode=WAL; CREATE TABLE t(a); BEGIN IMMEDIATE");

        var refusal = Assert.Throws<SqliteException>(() => second.Execute("BEGIN IMMEDIATE"));

        Assert.True(refusal.IsBusy, refusal.Message);
    }

    [Fact]
    public void A_broken_rule_is_a_constraint()
    {
        using var connection = Open();
        connection.Execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT NOT NULL UNIQUE); INSERT INTO t VALUES(1,'x')");

        Assert.True(Assert.Throws<SqliteException>(() => connection.Execute("INSERT INTO t VALUES(2,'x')")).IsConstraint);
        Assert.True(Assert.Throws<SqliteException>(() => connection.Execute("INSERT INTO t VALUES(2,NULL)")).IsConstraint);
    }

    [Fact]
    public void Another_file_is_not_a_database()
    {
        File.WriteAllText(directory.File("t.db"), string.Concat(Enumerable.Repeat("This is a letter, not a database. ", 100)));
        using var connection = Open();

        Assert.True(Assert.Throws<SqliteException>(() => connection.QueryInt64("SELECT count(*) FROM sqlite_schema")).IsNotADatabase);
    }

    [Fact]
    public void A_damaged_page_is_corrupt()
    {
        using (var connection = Open())
            connection.Execute("CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO t SELECT 'some text to fill pages with ' || i FROM n");
        using (var file = File.OpenWrite(directory.File("t.db")))
        {
            file.Position = 4096;
            file.Write(Enumerable.Repeat((byte)0xAB, 4096 * 10).ToArray());
        }

        using var damaged = Open();
        Assert.True(Assert.Throws<SqliteException>(() => damaged.QueryInt64("SELECT sum(length(a)) FROM t")).IsCorrupt);
    }

    [Fact]
    public void A_full_database_says_so()
    {
        using var connection = Open();
        connection.Execute("CREATE TABLE t(a); PRAGMA max_page_count=10");

        var refusal = Assert.Throws<SqliteException>(() => connection.Execute("INSERT INTO t VALUES(zeroblob(100000))"));

        Assert.True(refusal.IsFull, refusal.Message);
    }

    [Fact]
    public void A_checkpoint_moves_the_log_into_the_file_as_far_as_readers_let_it()
    {
        using var writer = Open();
        writer.Execute("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a); INSERT INTO t VALUES(1)");
        using var reader = SqliteConnection.Open(directory.File("t.db"), SqliteAccess.ReadOnly);
        using (var reading = reader.Prepare("SELECT a FROM t"))
        {
            Assert.True(reading.Step());
            writer.Execute("INSERT INTO t VALUES(2)");

            var passive = writer.Checkpoint(CheckpointMode.Passive);
            Assert.False(passive.IsBusy);
            Assert.True(passive.CheckpointedFrames < passive.LogFrames, $"{passive}");
            Assert.True(writer.Checkpoint(CheckpointMode.Truncate).IsBusy);
        }

        var all = writer.Checkpoint(CheckpointMode.Passive);
        Assert.Equal(all.LogFrames, all.CheckpointedFrames);
        Assert.Equal(new CheckpointResult(IsBusy: false, 0, 0), writer.Checkpoint(CheckpointMode.Truncate));
        Assert.Equal(0, new FileInfo(directory.File("t.db-wal")).Length);
    }

    [Fact]
    public async Task A_long_statement_is_ended_from_another_thread()
    {
        using var connection = Open();
        using var endless = connection.Prepare("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n");

        // The interrupt only counts while the statement runs, so it is repeated until it was noticed.
        using var noticed = new CancellationTokenSource();
        var interrupting = Task.Run(async () =>
        {
            while (!noticed.IsCancellationRequested)
            {
                connection.Interrupt();
                await Task.Delay(1);
            }
        });
        var refusal = Assert.Throws<SqliteException>(() => endless.Step());
        await noticed.CancelAsync();
        await interrupting;

        Assert.True(refusal.IsInterrupted, refusal.Message);
    }

    [Fact]
    public void Closing_twice_is_harmless_and_using_it_afterwards_is_not()
    {
        var connection = Open();
        var statement = connection.Prepare("SELECT 1");
        connection.Dispose();
        connection.Dispose();
        statement.Dispose();

        Assert.Throws<ObjectDisposedException>(() => connection.Prepare("SELECT 1"));
        Assert.Throws<ObjectDisposedException>(() => statement.Reset());
    }

    [Fact]
    public void A_failed_fsync_is_told_apart_from_other_io_errors()
    {
        var fsync = new SqliteException(1034, 5, "disk I/O error");
        var write = new SqliteException(778, 28, "disk I/O error");

        Assert.True(fsync is { IsIoError: true, IsFsync: true, IsFull: false });
        Assert.True(write is { IsIoError: true, IsFsync: false });
        Assert.Equal(!OperatingSystem.IsWindows(), write.IsFull);
    }

    public void Dispose() => directory.Dispose();

    private SqliteConnection Open() => SqliteConnection.Open(directory.File("t.db"), SqliteAccess.ReadWriteCreate);
}

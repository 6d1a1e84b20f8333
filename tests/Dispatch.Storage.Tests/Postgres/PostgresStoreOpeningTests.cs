using Dispatch.Sequencing;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Tests.Contract;
using Dispatch.Tasks;

namespace Dispatch.Storage.Tests.Postgres;

/// <summary>What a start makes of the database it finds, and of another broker on it.</summary>
[Collection(PostgresCollection.Name)]
public sealed class PostgresStoreOpeningTests(PostgresFixture fixture)
{
    private readonly BatchBuilder log = new();

    [PostgresFact]
    public async Task A_second_broker_is_refused_while_the_first_is_there()
    {
        var options = fixture.NewStore() with { LockPatience = TimeSpan.Zero };
        await using (await OpenAsync(options))
        {
            var refusal = await RefusalAsync(options);
            Assert.Equal(StoreFault.Locked, refusal.Fault);
            Assert.Contains($"process {Environment.ProcessId}", refusal.Message, StringComparison.Ordinal);
        }

        await using var next = await OpenAsync(options);
        Assert.Equal(2, next.Epoch);
    }

    [PostgresFact]
    public async Task A_writer_that_was_paused_until_its_hold_ran_out_commits_nothing_any_more()
    {
        // Its clock stands still: it renews nothing, as if it were paused.
        var options = fixture.NewStore() with { Lease = TimeSpan.FromSeconds(1) };
        await using var paused = await PostgresStore.OpenAsync(options, new StoppedClock(), default);
        log.Submit();
        await paused.CommitAsync(log.Close(), 0, default);
        await using var next = await OpenAsync(options with { LockPatience = TimeSpan.FromMinutes(1) });
        var kept = log.Submit(BatchBuilder.Spec("by the next"));
        await next.CommitAsync(log.Close(), 0, default);
        log.Submit(BatchBuilder.Spec("too late"));
        var late = log.Close();

        Assert.Equal(StoreFault.Locked, (await Assert.ThrowsAsync<StoreException>(() => WriteAsync(paused, late))).Fault);
        Assert.Equal(StoreFault.Locked, (await Assert.ThrowsAsync<StoreException>(() => paused.ProbeAsync(default))).Fault);
        Assert.Equal(StoreFault.Locked, (await Assert.ThrowsAsync<StoreException>(() => paused.SaveCursorsAsync([("x", 1)], [], default))).Fault);

        Assert.Equal(kept.Number, (await next.LoadAsync(default)).Sequence);
    }

    [PostgresFact]
    public async Task Namespaces_of_a_database_know_nothing_of_each_other()
    {
        await using var one = await OpenAsync(fixture.NewStore());
        await using var other = await OpenAsync(fixture.NewStore());
        log.Submit();
        await one.CommitAsync(log.Close(), 0, default);

        Assert.Equal(1, (await one.LoadAsync(default)).Sequence);
        Assert.Equal(0, (await other.LoadAsync(default)).Sequence);
    }

    [PostgresFact]
    public async Task A_schema_of_another_program_is_left_as_it_is()
    {
        var options = fixture.NewStore();
        await fixture.Server.QueryAsync($"CREATE SCHEMA {Schema(options)}; CREATE TABLE {Schema(options)}.tasks (id int)");

        var refusal = await RefusalAsync(options);

        Assert.Equal(StoreFault.Corrupt, refusal.Fault);
        Assert.Contains("another program", refusal.Message, StringComparison.Ordinal);
        Assert.Equal("tasks", await fixture.Server.QueryAsync($"SELECT relname FROM pg_class WHERE relnamespace = '{Schema(options)}'::regnamespace AND relkind = 'r'"));
    }

    [PostgresFact]
    public async Task A_schema_of_another_namespace_is_refused()
    {
        var (options, other) = (fixture.NewStore(), fixture.NewStore());
        await (await OpenAsync(options)).DisposeAsync();
        await fixture.Server.QueryAsync($"ALTER SCHEMA {Schema(options)} RENAME TO {Schema(other)}");

        var refusal = await RefusalAsync(other);

        Assert.Equal(StoreFault.Corrupt, refusal.Fault);
        Assert.Contains($"holds the namespace {options.Namespace}, not {other.Namespace}", refusal.Message, StringComparison.Ordinal);
    }

    [PostgresFact]
    public async Task A_layout_of_a_newer_release_is_refused()
    {
        var options = fixture.NewStore();
        await (await OpenAsync(options)).DisposeAsync();
        await fixture.Server.QueryAsync($"INSERT INTO {Schema(options)}.schema_migrations VALUES (99, 'later', '')");

        var refusal = await RefusalAsync(options);

        Assert.Equal(StoreFault.TooNew, refusal.Fault);
        Assert.Contains("layout 99", refusal.Message, StringComparison.Ordinal);
    }

    [PostgresFact]
    public async Task A_database_that_takes_no_writes_is_refused()
    {
        await fixture.Server.CreateDatabaseAsync("frozen");
        await fixture.Server.QueryAsync("ALTER DATABASE frozen SET default_transaction_read_only = on");

        var refusal = await RefusalAsync(fixture.NewStore() with { Url = fixture.Server.Url("frozen") });

        Assert.Equal(StoreFault.ReadOnly, refusal.Fault);
        Assert.Contains("default_transaction_read_only", refusal.Message, StringComparison.Ordinal);
    }

    [PostgresFact]
    public async Task A_database_of_another_encoding_is_refused()
    {
        await fixture.Server.CreateDatabaseAsync("latin", "-E", "LATIN1", "-T", "template0", "--locale=C");

        Assert.Contains("LATIN1", (await RefusalAsync(fixture.NewStore() with { Url = fixture.Server.Url("latin") })).Message, StringComparison.Ordinal);
    }

    [PostgresFact]
    public async Task What_is_missing_or_wrong_is_told_without_the_password()
    {
        var options = fixture.NewStore();
        var url = new Uri(options.Url);
        var password = url.UserInfo.Split(':')[1];
        var cases = new[]
        {
            (options with { Url = fixture.Server.Url("nowhere") }, "no such database"),
            (options with { Url = options.Url.Replace(password, "hunter2", StringComparison.Ordinal) }, "password"),
            (options with { Url = $"postgresql://dispatch:{password}@127.0.0.1:1/postgres" }, "can't be reached"),
            (options with { Url = options.Url + "?sslmode=require" }, "can't be reached"),
        };
        foreach (var (wrong, said) in cases)
        {
            var refusal = await RefusalAsync(wrong);
            Assert.Contains(said, refusal.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(password, refusal.ToString(), StringComparison.Ordinal);
            Assert.DoesNotContain("hunter2", refusal.ToString(), StringComparison.Ordinal);
        }
    }

    [PostgresFact]
    public async Task A_store_that_is_not_there_is_not_made_by_looking_at_it()
    {
        var options = fixture.NewStore();
        await using var store = PostgresStore.OpenForReading(options, TimeProvider.System);

        var refusal = await Assert.ThrowsAsync<StoreException>(() => store.LoadAsync(default));

        Assert.Contains("It is made when the broker starts", refusal.Message, StringComparison.Ordinal);
        Assert.Equal("0", await fixture.Server.QueryAsync($"SELECT count(*) FROM pg_namespace WHERE nspname = '{Schema(options)}'"));
    }

    [PostgresFact]
    public async Task Text_may_hold_any_character()
    {
        await using var store = await OpenAsync(fixture.NewStore());
        var task = log.Submit(new TaskSpec { Title = "a\0b\u001Ac\u001A0", Labels = BatchBuilder.Json("{\"k\":\"\\u0000\"}") }, "bob");
        await store.CommitAsync(log.Close(), 0, default);

        Assert.Equal("a\0b\u001Ac\u001A0", (await store.FindTaskAsync(task.Id, default))!.Spec.Title);
        Assert.Single(await store.ListTasksAsync(new TaskQuery { Labels = ["k=\0"] }, default));
    }

    private static string Schema(PostgresStoreOptions options) => "dispatch_" + options.Namespace;

    private static Task<PostgresStore> OpenAsync(PostgresStoreOptions options) => PostgresStore.OpenAsync(options, TimeProvider.System, default);

    private static async Task WriteAsync(PostgresStore store, Batch batch) => await store.CommitAsync(batch, 0, default);

    private static async Task<StoreException> RefusalAsync(PostgresStoreOptions options) => await Assert.ThrowsAsync<StoreException>(async () =>
    {
        await using var store = await OpenAsync(options);
    });

    private sealed class StoppedClock : TimeProvider
    {
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            base.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }
}

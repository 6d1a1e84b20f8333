using Dispatch.Invariants;
using Dispatch.Sequencing;
using Dispatch.Servers;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Tests.Contract;

namespace Dispatch.Storage.Tests.Postgres;

/// <summary>The server goes away, has no room for connections, ends sessions in the middle of commits: callers are told the truth, and what was acknowledged is there.</summary>
public sealed class PostgresStoreFaultTests : IAsyncLifetime
{
    private readonly TemporaryDirectory directory = new();
    private readonly StateOptions stateOptions = new() { RetryBaseMs = 1, RetryCapMs = 2 };
    private PostgresServer server = null!;

    public async Task InitializeAsync()
    {
        if (PostgresServer.Missing is null)
            server = await PostgresServer.StartAsync(directory.Path, "max_connections=20", "superuser_reserved_connections=3");
    }

    public async Task DisposeAsync()
    {
        if (server is not null)
            await server.DisposeAsync();
        directory.Dispose();
    }

    [PostgresFact]
    public async Task What_was_answered_is_stored_though_the_server_is_killed_and_stopped_meanwhile()
    {
        var swarm = new BusySwarm { TasksEach = 1_500 };
        await UnderFaultsAsync(swarm, async () =>
        {
            await server.KillAsync();
            await server.StartAgainAsync();
            await Task.Delay(500);
            await server.StopAsync();
            await server.StartAgainAsync();
        });
    }

    [PostgresFact]
    public async Task What_was_answered_is_stored_though_sessions_are_ended_in_the_middle()
    {
        var swarm = new BusySwarm { TasksEach = 1_500 };
        await UnderFaultsAsync(swarm, async () =>
        {
            for (var n = 0; n < 10; n++)
            {
                await server.QueryAsync("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dispatch'");
                await Task.Delay(50);
            }
        });
    }

    [PostgresFact]
    public async Task A_commit_whose_session_is_ended_is_settled_by_what_is_stored()
    {
        await using var store = await OpenAsync();
        var log = new BatchBuilder();
        log.Submit();
        await store.CommitAsync(log.Close(), 0, default);

        // The batch waits for a lock that somebody holds, until its session is ended.
        var locking = server.QueryAsync("BEGIN; LOCK TABLE dispatch_default.tasks IN EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT");
        while (await server.QueryAsync("SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND relation = 'dispatch_default.tasks'::regclass") == "0")
            await Task.Delay(5);
        log.Submit();
        var batch = log.Close();
        var commit = store.CommitAsync(batch, 0, default);
        while (await server.QueryAsync("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0")
            await Task.Delay(5);
        await server.QueryAsync("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted");

        Assert.Equal(StoreFault.Unavailable, (await Assert.ThrowsAsync<StoreException>(() => commit)).Fault);
        await locking;
        Assert.Equal(1, (await store.LoadAsync(default)).Sequence);
        await store.ProbeAsync(default);
        await store.CommitAsync(batch, 0, default);
        Assert.Equal(2, (await store.LoadAsync(default)).Sequence);
    }

    [PostgresFact]
    public async Task A_commit_that_the_server_can_not_be_asked_about_is_told_as_unknown()
    {
        await using var store = await OpenAsync();
        var log = new BatchBuilder();
        log.Submit();
        var locking = server.QueryAsync("BEGIN; LOCK TABLE dispatch_default.tasks IN EXCLUSIVE MODE; SELECT pg_sleep(60)");
        while (await server.QueryAsync("SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND relation = 'dispatch_default.tasks'::regclass") == "0")
            await Task.Delay(5);
        var commit = store.CommitAsync(log.Close(), 0, default);
        while (await server.QueryAsync("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0")
            await Task.Delay(5);

        await server.KillAsync();

        Assert.Equal(StoreFault.Unknown, (await Assert.ThrowsAsync<StoreException>(() => commit)).Fault);
        Assert.Equal(StoreFault.Unavailable, (await Assert.ThrowsAsync<StoreException>(() => store.ProbeAsync(default))).Fault);
        await Assert.ThrowsAsync<InvalidOperationException>(() => locking);
        await server.StartAgainAsync();
        await store.ProbeAsync(default);
        Assert.Equal(0, (await store.LoadAsync(default)).Sequence);
    }

    [PostgresFact]
    public async Task A_database_that_becomes_read_only_refuses_writes_and_is_read()
    {
        await using var store = await OpenAsync();
        var log = new BatchBuilder();
        log.Submit();
        await store.CommitAsync(log.Close(), 0, default);
        await server.QueryAsync("ALTER SYSTEM SET default_transaction_read_only = on");
        await server.QueryAsync("SELECT pg_reload_conf()");
        log.Submit();
        var batch = log.Close();
        StoreException? refusal = null;
        while (refusal is null)
        {
            // The server reads its settings in its own time.
            refusal = await Record.ExceptionAsync(() => store.ProbeAsync(default)) as StoreException;
        }

        Assert.Equal(StoreFault.ReadOnly, refusal.Fault);
        Assert.Equal(StoreFault.ReadOnly, (await Assert.ThrowsAsync<StoreException>(() => store.CommitAsync(batch, 0, default))).Fault);
        Assert.Equal(1, (await store.LoadAsync(default)).Sequence);
        await server.QueryAsync("ALTER SYSTEM RESET default_transaction_read_only");
        await server.QueryAsync("SELECT pg_reload_conf()");
        while (await Record.ExceptionAsync(() => store.ProbeAsync(default)) is not null)
            await Task.Delay(20);
        await store.CommitAsync(batch, 0, default);
        Assert.Equal(2, (await store.LoadAsync(default)).Sequence);
    }

    [PostgresFact]
    public async Task Without_a_free_connection_a_start_says_so()
    {
        await server.QueryAsync("CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT CREATE ON DATABASE postgres TO plain");
        var url = server.Url().Replace(new Uri(server.Url()).UserInfo, "plain:plain", StringComparison.Ordinal);
        var held = Enumerable.Range(0, 17).Select(_ => server.QueryAsync("SELECT pg_sleep(30)")).ToList();
        while (int.Parse(await server.QueryAsync("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)'"), System.Globalization.CultureInfo.InvariantCulture) < 17)
            await Task.Delay(20);

        var refusal = await Assert.ThrowsAsync<StoreException>(() => PostgresStore.OpenAsync(new PostgresStoreOptions { Url = url }, TimeProvider.System, default));

        Assert.Equal(StoreFault.Unavailable, refusal.Fault);
        Assert.Contains("no connection left", refusal.Message, StringComparison.Ordinal);
        await server.QueryAsync("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)'");
        foreach (var sleeping in held)
            await Assert.ThrowsAsync<InvalidOperationException>(() => sleeping);
    }

    private async Task UnderFaultsAsync(BusySwarm swarm, Func<Task> faults)
    {
        await using (var store = await OpenAsync())
        {
            var sequencer = new Sequencer(store, stateOptions, new SequencerOptions(), TimeProvider.System, new Random(1), swarm);
            await sequencer.StartAsync(default);
            var life = swarm.LiveAsync(sequencer);
            await Task.Delay(200);
            await faults();
            await life;
            await sequencer.StopAsync(TimeSpan.FromSeconds(30));
        }

        Assert.True(swarm.Failures > 0);
        await using var again = await OpenAsync();
        var report = await StoreCheck.RunAsync(again, stateOptions, ownerFilter: true, progress: null, default);
        Assert.True(report.IsSound, string.Join('\n', report.Findings));
        await swarm.FindAllAsync(again);
    }

    private Task<PostgresStore> OpenAsync() => PostgresStore.OpenAsync(new PostgresStoreOptions { Url = server.Url() }, TimeProvider.System, default);
}

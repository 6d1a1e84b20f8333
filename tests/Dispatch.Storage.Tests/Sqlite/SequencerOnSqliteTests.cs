using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Invariants;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite;
using Dispatch.Storage.Tests.Contract;
using Dispatch.Storage.Tests.Sqlite.Faults;
using Dispatch.Tasks;

namespace Dispatch.Storage.Tests.Sqlite;

/// <summary>The real sequencer on the real store, also while the disk refuses writes now and then.</summary>
public sealed class SequencerOnSqliteTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();
    private readonly StateOptions stateOptions = new() { RetryBaseMs = 1, RetryCapMs = 2 };
    private readonly BusySwarm swarm = new();

    [Theory]
    [InlineData(0)]
    [InlineData(60)]
    public async Task What_was_answered_is_stored_and_the_log_folds_to_the_tables(int faultEvery)
    {
        var calls = 0;
        FaultyFiles.Hook(directory.Path, (call, _) =>
            faultEvery > 0 && call == FileCall.Write && Interlocked.Increment(ref calls) % faultEvery == 0 ? FaultyFiles.Full : FaultyFiles.Ok);

        // Until the layout is there, the disk behaves.
        await using (Open(useFaults: false))
        {
        }

        await using (var store = Open(useFaults: true))
        {
            var sequencer = new Sequencer(store, stateOptions, new SequencerOptions(), TimeProvider.System, new Random(1), swarm);
            await sequencer.StartAsync(default);
            await swarm.LiveAsync(sequencer);
            await sequencer.StopAsync(TimeSpan.FromSeconds(30));
        }

        Assert.Equal(faultEvery > 0, swarm.Failures > 0);
        await using var again = Open(useFaults: false);
        var report = await StoreCheck.RunAsync(again, stateOptions, ownerFilter: true, progress: null, default);
        Assert.True(report.IsSound, string.Join('\n', report.Findings));
        Assert.Empty(await again.CheckIntegrityAsync(default));
        await swarm.FindAllAsync(again);
    }

    [Fact]
    public async Task What_tasks_of_a_kind_used_before_a_restart_is_what_the_next_one_reserves()
    {
        await using (var store = Open(useFaults: false))
        {
            var sequencer = await StartAsync(store);
            await sequencer.ExecuteAsync(new RegisterAgent("w", ["work"], null, null, 10, AgentStatus.Ready, null) { Caller = "w" });
            for (var n = 0; n < 6; n++)
            {
                var task = await SubmitAsync(sequencer);
                await sequencer.ExecuteAsync(new ReportTask(new TaskReport.Completed(task, null, null, JsonBytes.Parse("""{"tokens_in":70,"tokens_out":7}"""))) { Caller = "w" });
            }

            // While nothing is limited nobody asks what was used.
            await sequencer.StopAsync(TimeSpan.FromSeconds(30));
            Assert.Empty((await store.LoadAsync(default)).Usage);
        }

        await using (var store = Open(useFaults: false))
        {
            var sequencer = await StartAsync(store);
            await sequencer.ExecuteAsync(new SetLimit(Tokens) { ByAdmin = true });
            Assert.Equal(10_000, await ReservedAsync(store, await SubmitAsync(sequencer)));
            await sequencer.StopAsync(TimeSpan.FromSeconds(30));
        }

        await using (var store = Open(useFaults: false))
        {
            Assert.Equal(6, (await store.LoadAsync(default)).Usage.Count);
            var sequencer = await StartAsync(store);
            Assert.Equal(77, await ReservedAsync(store, await SubmitAsync(sequencer)));
            await sequencer.StopAsync(TimeSpan.FromSeconds(30));
        }

        async Task<Sequencer> StartAsync(SqliteStore store)
        {
            var sequencer = new Sequencer(store, stateOptions, new SequencerOptions(), TimeProvider.System, new Random(1), swarm);
            await sequencer.StartAsync(default);
            return sequencer;
        }

        static async Task<TaskId> SubmitAsync(Sequencer sequencer)
        {
            var task = new NewTask { Spec = new TaskSpec { Title = "work" }, Required = ["work"] };
            return Assert.IsType<SubmitOutcome.Accepted>(await sequencer.ExecuteAsync(new SubmitTasks([task], null) { Caller = "c" })).Tasks[0].Id;
        }

        static async Task<long> ReservedAsync(SqliteStore store, TaskId task) => (await store.FindTaskAsync(task, default))!.Task.Charge!.Reserved["tokens"];
    }

    private static Limit Tokens { get; } = new()
    {
        Id = "tokens",
        Level = LimitLevel.Swarm,
        Target = "",
        Unit = LimitUnit.Tokens,
        Amount = 1_000_000,
        Window = LimitWindow.Lifetime,
        Version = 0,
        CreatedAt = 0,
        UpdatedAt = 0,
        LastSequence = 0,
    };

    public void Dispose()
    {
        FaultyFiles.Unhook(directory.Path);
        directory.Dispose();
    }

    private SqliteStore Open(bool useFaults) => SqliteStore.Open(
        new SqliteStoreOptions { Path = directory.File("dispatch.db"), CheckpointKiB = 256, FileSystem = useFaults ? FaultyFiles.Name : null }, TimeProvider.System);
}

using System.Collections.Concurrent;
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
    private const int Clients = 4;
    private const int TasksEach = 150;

    private readonly TemporaryDirectory directory = new();
    private readonly StateOptions stateOptions = new() { RetryBaseMs = 1, RetryCapMs = 2 };
    private readonly ConcurrentDictionary<TaskId, byte> accepted = new();
    private readonly ConcurrentDictionary<TaskId, byte> completed = new();
    private int failures;

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
            var sequencer = new Sequencer(store, stateOptions, new SequencerOptions(), TimeProvider.System, new Random(1), new Watcher(this));
            await sequencer.StartAsync(default);
            await Task.WhenAll(Enumerable.Range(0, Clients).Select(n => LiveAsync(sequencer, n)));
            await sequencer.StopAsync(TimeSpan.FromSeconds(30));
        }

        Assert.Equal(faultEvery > 0, failures > 0);
        await using var again = Open(useFaults: false);
        var report = await StoreCheck.RunAsync(again, stateOptions, ownerFilter: true, progress: null, default);
        Assert.True(report.IsSound, string.Join('\n', report.Findings));
        Assert.Empty(await again.CheckIntegrityAsync(default));
        Assert.NotEmpty(completed);
        foreach (var id in accepted.Keys)
            Assert.NotNull(await again.FindTaskAsync(id, default));
        foreach (var id in completed.Keys)
            Assert.Equal(TaskState.Completed, (await again.FindTaskAsync(id, default))!.Task.Status);
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
            var sequencer = new Sequencer(store, stateOptions, new SequencerOptions(), TimeProvider.System, new Random(1), new Watcher(this));
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

    /// <summary>One client that submits, works, changes its mind and reports, until all that it wanted to submit was accepted.</summary>
    private async Task LiveAsync(Sequencer sequencer, int number)
    {
        var random = new Random(number);
        var name = $"client-{number}";
        var submitted = 0;
        while (submitted < TasksEach)
        {
            try
            {
                await sequencer.ExecuteAsync(new RegisterAgent(name, ["python"], null, null, 5, AgentStatus.Ready, null) { Caller = name });
                var tasks = Enumerable.Range(0, random.Next(1, 20)).Select(n => new NewTask
                {
                    Spec = BatchBuilder.Spec($"task {n}", $"{{\"n\":{n},\"text\":\"{new string('x', 300)}\"}}", random.Next(3) == 0 ? "{\"team\":\"blue\"}" : null),
                    Required = random.Next(4) == 0 ? ["python"] : [],
                    Owner = random.Next(10) == 0 ? "nobody" : null,
                }).ToList();
                if (await sequencer.ExecuteAsync(new SubmitTasks(tasks, null) { Caller = name }) is SubmitOutcome.Accepted { Tasks: var fresh })
                {
                    submitted += fresh.Length;
                    foreach (var task in fresh)
                        accepted[task.Id] = 1;
                }

                await WorkAsync(sequencer, name, random);
                await ChangeAsync(sequencer, name, random);
            }
            catch (RefusedException)
            {
                // The store is away for a moment. A worker forgets what it held: it will be given it again, or lose it.
                await Task.Delay(5);
            }
        }
    }

    private async Task WorkAsync(Sequencer sequencer, string name, Random random)
    {
        var given = await sequencer.ExecuteAsync(new ExchangeWork(name, [], [], null, 5) { Caller = name });
        var reports = (given?.Tasks ?? []).Select(granted => Report(granted.Task, random)).ToList();
        var taken = await sequencer.ExecuteAsync(new ExchangeWork(name, reports, [], null, 0) { Caller = name });
        foreach (var (report, verdict) in reports.Zip(taken!.Reports))
        {
            if (report is TaskReport.Completed && verdict == ReportVerdict.Accepted)
                completed[report.Task] = 1;
        }
    }

    private static TaskReport Report(WorkTask task, Random random) => random.Next(6) switch
    {
        0 => new TaskReport.Failed(task.Id, task.Attempt, "It broke.", random.Next(2) == 0, null, BatchBuilder.Json("{\"tokens\":3}")),
        1 => new TaskReport.Released(task.Id, task.Attempt, null),
        2 => new TaskReport.Progressed(task.Id, task.Attempt, 10, "half-way", null),
        _ => new TaskReport.Completed(task.Id, task.Attempt, BatchBuilder.Json($"{{\"by\":\"{task.Assignee}\"}}"), BatchBuilder.Json("{\"tokens\":7}")),
    };

    private async Task ChangeAsync(Sequencer sequencer, string name, Random random)
    {
        var some = accepted.Keys.ElementAt(random.Next(accepted.Count));
        if (random.Next(2) == 0)
            await sequencer.ExecuteAsync(new CancelTask(some, "not wanted") { Caller = name });
        else
            await sequencer.ExecuteAsync(new PatchTask(some, (byte)random.Next(11), null, null) { Caller = name });
        if (random.Next(10) == 0)
            await sequencer.ExecuteAsync(new DeregisterAgent(name) { Caller = name });
    }

    private SqliteStore Open(bool useFaults) => SqliteStore.Open(
        new SqliteStoreOptions { Path = directory.File("dispatch.db"), CheckpointKiB = 256, FileSystem = useFaults ? FaultyFiles.Name : null }, TimeProvider.System);

    private sealed class Watcher(SequencerOnSqliteTests test) : ISequencerObserver
    {
        public void Committed(ClosedBatch batch, TimeSpan commit)
        {
        }

        public void StoreFailed(Exception failure) => Interlocked.Increment(ref test.failures);

        public void Loaded(State state)
        {
        }
    }
}

using System.Diagnostics;
using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite;
using Dispatch.Tasks;

namespace Dispatch.Bench.Rows;

/// <summary>The sequencer on a SQLite store in a directory of its own, without a wire: what a life costs the broker itself.</summary>
internal sealed class StoredBroker : IAsyncDisposable, ISequencerObserver
{
    private const int AtOnce = 100;
    private const int Submitters = 8;
    private const int SetAtOnce = 4_000;

    private static readonly LimitUnit[] Units = [LimitUnit.Tokens, LimitUnit.Jobs, LimitUnit.TokensIn, LimitUnit.TokensOut, LimitUnit.Requests];
    private static readonly LimitWindow[] Windows = [new(WindowKind.Day), new(WindowKind.Month)];

    private readonly SqliteStore store;
    private readonly Sequencer sequencer;

    private StoredBroker(string directory)
    {
        store = SqliteStore.Open(new SqliteStoreOptions { Path = Path.Combine(directory, "dispatch.db") }, TimeProvider.System);
        sequencer = new Sequencer(store, new StateOptions { LeaseMs = 3_600_000 }, new SequencerOptions(), TimeProvider.System, new Random(1), this);
    }

    /// <summary>Starts one with so many agents, and for each of them so many limits.</summary>
    public static Task<StoredBroker> StartAsync(Bench bench, int agents, int limits) => StartAsync(bench.NewDirectory(), agents, limits, bench.Cancellation);

    /// <summary>The same in a directory that outlives it: the store is <c>dispatch.db</c> there.</summary>
    public static async Task<StoredBroker> StartAsync(string directory, int agents, int limits, CancellationToken cancellation)
    {
        var broker = new StoredBroker(directory);
        await broker.sequencer.StartAsync(cancellation);
        var taken = new List<Task>();
        for (var i = 0; i < agents; i++)
        {
            taken.Add(broker.sequencer.ExecuteAsync(Registration($"agent-{i}")));
            for (var limit = 0; limit < limits; limit++)
                taken.Add(broker.sequencer.ExecuteAsync(Setting($"agent-{i}", limit)));
            if (taken.Count < SetAtOnce)
                continue;
            await Task.WhenAll(taken);
            taken.Clear();
        }

        await Task.WhenAll(taken);
        return broker;
    }

    public static RegisterAgent Registration(string agent) => new(agent, ["work"], "bench", null, AtOnce * Submitters, AgentStatus.Ready, null) { Caller = agent };

    public static SetLimit Setting(string agent, int limit) => new(new Limit
    {
        Id = $"{agent}-{limit}",
        Level = LimitLevel.Agent,
        Target = agent,
        Unit = Units[limit % Units.Length],
        Amount = long.MaxValue / 4,
        Window = Windows[limit / Units.Length],
        Version = 0,
        CreatedAt = 0,
        UpdatedAt = 0,
        LastSequence = 0,
    })
    { ByAdmin = true };

    public static SubmitTasks Submission(int count)
    {
        var spec = new TaskSpec { Title = "work", Estimate = JsonBytes.Parse("""{"tokens_in":900,"tokens_out":200}""") };
        return new SubmitTasks([.. Enumerable.Repeat(new NewTask { Spec = spec, Required = ["work"] }, count)], null) { Caller = "bench" };
    }

    /// <summary>Submits and completes tasks; returns the microseconds each took.</summary>
    public async Task<double> LiveAsync(int count)
    {
        var usage = JsonBytes.Parse("""{"tokens_in":800,"tokens_out":150}""");
        var began = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, Submitters).Select(_ => SubmitAsync()));
        return Stopwatch.GetElapsedTime(began).TotalMicroseconds / count;

        async Task SubmitAsync()
        {
            for (var done = 0; done < count / Submitters; done += AtOnce)
            {
                if (await sequencer.ExecuteAsync(Submission(AtOnce)) is not SubmitOutcome.Accepted accepted)
                    throw new RunFailedException("Tasks were refused.");
                var ends = await Task.WhenAll(accepted.Tasks.Select(task => sequencer.ExecuteAsync(new ReportTask(new TaskReport.Completed(task.Id, null, null, usage)) { ByAdmin = true })));
                if (Array.Find(ends, static end => end.Verdict != ReportVerdict.Accepted) is { } refused)
                    throw new RunFailedException($"A completion was refused: {refused.Verdict}");
            }
        }
    }

    void ISequencerObserver.Committed(ClosedBatch batch, TimeSpan commit)
    {
    }

    void ISequencerObserver.StoreFailed(Exception failure) => Console.Error.WriteLine($"The store failed: {failure.Message}");

    void ISequencerObserver.Loaded(State state)
    {
    }

    public async ValueTask DisposeAsync()
    {
        await sequencer.StopAsync(TimeSpan.FromSeconds(5));
        await store.DisposeAsync();
    }
}

using System.Collections.Concurrent;
using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Storage.Tests.Contract;

/// <summary>Clients that submit, work and change their minds on a sequencer whose store may fail now and then, and know what they were told.</summary>
internal sealed class BusySwarm : ISequencerObserver
{
    private const int Clients = 4;

    private readonly ConcurrentDictionary<TaskId, byte> accepted = new();
    private readonly ConcurrentDictionary<TaskId, byte> completed = new();
    private int failures;

    /// <summary>How many commits and loads failed.</summary>
    public int Failures => Volatile.Read(ref failures);

    /// <summary>How many tasks each client gets accepted.</summary>
    public int TasksEach { get; init; } = 150;

    /// <summary>Until all that they wanted to submit was accepted.</summary>
    public Task LiveAsync(Sequencer sequencer) => Task.WhenAll(Enumerable.Range(0, Clients).Select(n => LiveAsync(sequencer, n)));

    /// <summary>What they were told is what is stored.</summary>
    public async Task FindAllAsync(IStore store)
    {
        Assert.NotEmpty(completed);
        foreach (var id in accepted.Keys)
            Assert.NotNull(await store.FindTaskAsync(id, default));
        foreach (var id in completed.Keys)
            Assert.Equal(TaskState.Completed, (await store.FindTaskAsync(id, default))!.Task.Status);
    }

    public void Committed(ClosedBatch batch, TimeSpan commit)
    {
    }

    public void StoreFailed(Exception failure) => Interlocked.Increment(ref failures);

    public void Loaded(State state)
    {
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
}

using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Invariants;
using Dispatch.Sequencing;
using Dispatch.Simulation.Checks;
using Dispatch.Simulation.Disk;
using Dispatch.Simulation.Time;
using Dispatch.Tasks;

namespace Dispatch.Simulation;

/// <summary>How a run of one seed ended.</summary>
/// <param name="Violation">What broke, or null.</param>
/// <param name="Last">The last things that happened.</param>
internal sealed record Outcome(long Seed, string? Violation, ulong Hash, long Steps, long Events, Rare Rare, IReadOnlyList<string> Last);

/// <summary>One run: a broker that dies and comes back, the disk that stays, and everybody who wants something of them.</summary>
internal sealed class Universe
{
    private const int MostBatchesLost = 3;

    // A day of virtual time: clocks are set by an hour at most, a few times.
    private const long MostMs = 86_400_000;

    private readonly List<Batch> written = [];
    private readonly FindingList findings = new();
    private readonly Sightings sightings;
    private LogChecker log;
    private Auditor auditor;
    private string? violation;

    public Universe(long seed, Bug bug, int operations, TextWriter? writer)
    {
        Seed = seed;
        Bug = bug;
        Operations = operations;
        Scheduler = new SimScheduler(Dice.Of(seed, 1));
        Context = new SimContext(Scheduler);
        Clock = new SimTimeProvider(Scheduler, Context, Wall);
        Wall.Offset = BeforeMidnight(Dice.Of(seed, 7));
        Trace = new Trace(() => Scheduler.Ticks, writer);
        Weather = Weather.Draw(Dice.Of(seed, 2), bug);
        Machine = new Machine(Weather, bug, Rare) { Write = Written, Refuse = Fail };
        Ledger = new Ledger(this);
        Nemesis = new Nemesis(this, Dice.Of(seed, 3));
        Edge = new Edge(this, Dice.Of(seed, 4));
        Planted = new PlantedBug(this, Dice.Of(seed, 5));
        sightings = new Sightings(this);
        log = NewLog();
        auditor = new Auditor(this);
    }

    // Hours, days, weeks and months begin while a run lasts: the eve of Monday, June the first.
    private long BeforeMidnight(Random random) => new DateTime(2026, 6, 1, 0, 0, 0, DateTimeKind.Utc).Ticks - Wall.Start - (random.Next(60_000) * TimeSpan.TicksPerMillisecond);

    public long Seed { get; }

    public Bug Bug { get; }

    public SimScheduler Scheduler { get; }

    /// <summary>Where everybody outside the broker's process goes on.</summary>
    public SimContext Context { get; }

    public TimeProvider Clock { get; }

    public WallClock Wall { get; } = new();

    public Weather Weather { get; }

    public Machine Machine { get; }

    public SimDisk Disk => Machine.Disk;

    public Trace Trace { get; }

    public Rare Rare { get; } = new();

    public Ledger Ledger { get; }

    public Nemesis Nemesis { get; }

    public Edge Edge { get; }

    public PlantedBug Planted { get; }

    /// <summary>The process that runs now, or the one that died last.</summary>
    public Broker? Broker { get; set; }

    /// <summary>Things that clients will still do in the storm.</summary>
    public int Operations { get; private set; }

    /// <summary>The memory is held against itself after every so many commits.</summary>
    public int CheckEvery => 7;

    /// <summary>Tasks that somebody may name: those that were acknowledged, and those that were asked for under an id.</summary>
    public List<TaskId> Known { get; } = [];

    /// <summary>Batches that reached the disk.</summary>
    public int Commits { get; private set; }

    public bool HasFailed => violation is not null;

    public long Milliseconds => Scheduler.Ticks / TimeSpan.TicksPerMillisecond;

    /// <summary>Unix milliseconds by the wall clock.</summary>
    public long Now => Clock.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>Takes one operation from what the storm has left; false when it is over.</summary>
    public bool TakeOperation() => Operations > 0 && Operations-- > 0;

    public void AbandonOperations() => Operations = 0;

    public void Reached(Situation situation) => Rare.Reached(situation);

    /// <summary>Notes the first thing that must not be; the run ends with it.</summary>
    public void Fail(string rule, string problem)
    {
        if (violation is not null)
            return;
        violation = $"{rule}: {problem}";
        Trace.Add("VIOLATION", rule, problem);
    }

    public Task DelayAsync(double milliseconds) => Task.Delay(TimeSpan.FromMilliseconds(milliseconds), Clock);

    public Outcome Run()
    {
        var run = Task.CompletedTask;
        Context.Post(_ => run = new Course(this).RunAsync(), null);
        try
        {
            while (!HasFailed && Scheduler.Step() && !(run.IsCompleted && Scheduler.Steps > 1))
            {
                if (Milliseconds > MostMs)
                    Fail("I-22", "The run does not come to its end.");
            }

            if (run.IsFaulted)
                Fail("exception", run.Exception!.InnerException!.ToString());
            else if (!HasFailed && !run.IsCompleted)
                Fail("simulation", "Nothing is left to happen and the run is not done.");
        }
        catch (Exception failure)
        {
            Fail("exception", failure.ToString());
        }

        return new Outcome(Seed, violation, Trace.Hash, Scheduler.Steps, Disk.Events.Count, Rare, violation is null ? [] : Trace.Last().ToList());
    }

    /// <summary>A commit reaches the disk.</summary>
    private void Written(Batch batch)
    {
        if (HasFailed)
            return;
        var before = batch.PrunedTasks.Select(number => Disk.Tasks.GetValueOrDefault(number)?.Task.Id ?? default).ToArray();
        IReadOnlyList<DispatchEvent> events;
        try
        {
            var planted = Planted.Mangle(batch, Disk);
            events = Disk.Apply(planted);
            written.Add(planted);
            Commits++;
        }
        catch (InvalidOperationException refused)
        {
            Fail("store", refused.Message);
            throw;
        }

        Ledger.NoteRemoved(before);
        sightings.Note(batch);
        CheckLog(events);
    }

    /// <summary>Planted: the disk forgets what it had said was safe.</summary>
    public void LoseTail(Random random)
    {
        var lost = Math.Min(written.Count, random.Next(1, MostBatchesLost + 1));
        if (lost == 0)
            return;
        written.RemoveRange(written.Count - lost, lost);
        var before = Disk;
        Machine.Disk = Machine.NewDisk();
        Disk.Prepared = before.Prepared;
        var head = written.Count == 0 ? 0 : written[^1].LastSequence;
        foreach (var (sequence, taken) in before.Bases.Where(pair => pair.Key <= head))
            Disk.Bases.Add(sequence, taken);
        Ledger.Forget();
        log = NewLog();
        auditor = new Auditor(this);
        foreach (var batch in written)
        {
            Ledger.NoteRemoved(batch.PrunedTasks.Select(number => Disk.Tasks[number].Task.Id).ToArray());
            CheckLog(Disk.Apply(batch));
        }
    }

    /// <summary>The whole store, as the doctor would check it.</summary>
    public async Task CheckStoreAsync()
    {
        var report = await StoreCheck.RunAsync(new SimStore(Machine, Clock, Dice.Of(Seed, 6)), Weather.State, Weather.OwnerFilter, null, CancellationToken.None);
        if (report.Horizon > 1)
            Reached(Situation.FoldedFromBase);
        if (!report.IsSound)
            Fail("store", string.Join("; ", report.Findings.Take(5)));
        if (report.LastSequence != Disk.Sequence)
            Fail("store", $"The check ended at event {report.LastSequence} of {Disk.Sequence}.");
    }

    private LogChecker NewLog() => new(findings, Weather.OwnerFilter);

    private void CheckLog(IReadOnlyList<DispatchEvent> events)
    {
        foreach (var happened in events)
        {
            Trace.Add(happened.Type, happened.Subject, happened.Actor, happened.Sequence, happened.Timestamp);
            Ledger.Note(happened);
            log.Check(happened);
            auditor.Check(happened);
            if (happened.Data is AgentOffline gone)
                CheckSilence(happened.Subject, gone);
        }

        log.Finish();
        if (findings.Count > 0)
            Fail("log", findings.Kept[0].ToString());
    }

    /// <summary>No lease dies early: the agent was really silent for as long as the event says, and that is a whole lease.</summary>
    private void CheckSilence(string agent, AgentOffline gone)
    {
        if (gone.SilentMs < Weather.State.LeaseMs)
            Fail("I-27", $"Agent {agent} is called offline after {gone.SilentMs} ms, the lease is {Weather.State.LeaseMs} ms.");
        var silent = (Scheduler.Ticks - (Broker?.SeenAt(agent) ?? 0)) / TimeSpan.TicksPerMillisecond;
        if (silent + 1 < gone.SilentMs)
            Fail("I-27", $"Agent {agent} is called offline after {gone.SilentMs} ms of silence, and was answered {silent} ms ago.");
    }
}

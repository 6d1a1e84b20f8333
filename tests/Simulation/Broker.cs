using Dispatch.Invariants;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Simulation.Disk;
using Dispatch.Simulation.Time;
using Dispatch.Tasks;

namespace Dispatch.Simulation;

/// <summary>One life of the broker's process: the real sequencer over a connection to the disk that outlives it.</summary>
internal sealed class Broker : ISequencerObserver
{
    private readonly Universe universe;
    private readonly SimContext context;
    private readonly Sequencer sequencer;
    private readonly TaskCompletionSource died = new();
    private readonly List<Task> pending = [];
    private readonly Dictionary<string, long> seen = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TaskCompletionSource> bells = new(StringComparer.Ordinal);
    private State? state;
    private long loadedAt;
    private int commits;
    private bool stopping;

    public Broker(Universe universe, Random random)
    {
        this.universe = universe;
        context = new SimContext(universe.Scheduler);
        Clock = new SimTimeProvider(universe.Scheduler, context, universe.Wall);
        Store = new SimStore(universe.Machine, Clock, random);
        var loopClock = universe.Bug == Bug.TimersDie ? new SimTimeProvider(universe.Scheduler, context, universe.Wall, deafFrom: 5 * TimeSpan.TicksPerSecond) : Clock;
        sequencer = new Sequencer(Store, universe.Weather.State, universe.Weather.Loop, loopClock, random, this);
        context.Post(_ => Observe(RunAsync()), null);
    }

    public TimeProvider Clock { get; }

    public SimStore Store { get; }

    /// <summary>True while it takes requests.</summary>
    public bool IsReady { get; private set; }

    /// <summary>Ends with the process.</summary>
    public Task Died => died.Task;

    public bool IsDead => died.Task.IsCompleted;

    public long CommittedSequence => sequencer.CommittedSequence;

    /// <summary>Runs a request's handler as part of the process: it dies with it.</summary>
    public void Post(Func<Task> handler) => context.Post(_ => Observe(handler()), null);

    /// <summary>Hands a command to the sequencer, as the edge does.</summary>
    public async Task<T> ExecuteAsync<T>(Command<T> command)
    {
        var handed = universe.Scheduler.Ticks;
        var answer = sequencer.ExecuteAsync(command);
        pending.Add(answer);
        if (pending.Count > 64)
            pending.RemoveAll(task => task.IsCompleted);
        var outcome = await answer;
        if (command.Caller is { } caller)
            seen[caller] = Math.Max(seen.GetValueOrDefault(caller), handed);
        return outcome;
    }

    /// <summary>Ends when the agent is called, or after the time; what rang since <paramref name="before"/> was taken is not missed.</summary>
    public async Task WaitForCallAsync(Task before, TimeSpan most) => await Task.WhenAny(before, Task.Delay(most, Clock));

    public Task NextCall(string agent)
    {
        if (!bells.TryGetValue(agent, out var bell))
            bells[agent] = bell = new TaskCompletionSource();
        return bell.Task;
    }

    /// <summary>When the broker last had a sign of life of the agent for certain, in ticks.</summary>
    public long SeenAt(string agent) => Math.Max(loadedAt, seen.GetValueOrDefault(agent));

    /// <summary>True when the task waits for a sleeping agent just now.</summary>
    public bool IsKeptForSleeper(TaskId id) => !IsDead && state?.Tasks.Find(id)?.Waking is not null;

    public void Freeze() => context.Freeze();

    public void Thaw() => context.Thaw();

    /// <summary>Everything it was about to do never happens.</summary>
    public void Die()
    {
        if (IsDead)
            return;
        IsReady = false;
        context.Die();
        Store.Die();
        died.TrySetResult();
    }

    /// <summary>Stops as a service does: within its patience, and nobody is left without an answer.</summary>
    public void Stop(TimeSpan patience)
    {
        if (stopping || IsDead)
            return;
        stopping = true;
        Post(async () =>
        {
            IsReady = false;
            var began = universe.Scheduler.Ticks;
            await sequencer.StopAsync(patience);
            var took = universe.Scheduler.Ticks - began;
            if (took > patience.Ticks + TimeSpan.TicksPerMillisecond && !universe.Nemesis.HasFrozen)
                universe.Fail("stop", $"Stopping took {TimeSpan.FromTicks(took)} with a patience of {patience}.");
            universe.Reached(took >= patience.Ticks ? Situation.StoppedWithHangingStore : Situation.StoppedGracefully);
            if (pending.Exists(answer => !answer.IsCompleted))
                universe.Fail("stop", "A caller was left without an answer when the broker had stopped.");

            // A process that is slow to exit: a store that comes back by then may finish the commit it had, and no other.
            var written = universe.Disk.Sequence;
            var commits = universe.Commits;
            if (took >= patience.Ticks)
                await Task.Delay(TimeSpan.FromMinutes(1), Clock);
            if (universe.Commits > commits + 1)
                universe.Fail("stop", $"After the broker had stopped at event {written} it wrote {universe.Commits - commits} batches.");
            Die();
        });
    }

    public void Committed(ClosedBatch batch, TimeSpan commit)
    {
        if (!batch.Batch.IsEmpty && batch.Batch.LastSequence > universe.Disk.Sequence && universe.Bug != Bug.EventDropped)
            universe.Fail("I-1", $"Event {batch.Batch.LastSequence} is reported as committed and the disk ends at {universe.Disk.Sequence}.");
        if (batch.Answers.Count > 3)
            universe.Reached(Situation.BatchOfMany);
        foreach (var agent in batch.Called)
        {
            if (bells.Remove(agent, out var bell))
                bell.TrySetResult();
        }

        if (commits++ % universe.CheckEvery == 0)
            CheckState();
    }

    public void StoreFailed(Exception failure) => universe.Trace.Add("store.failed", null, (failure as StoreException)?.Fault.ToString());

    public void Loaded(State state)
    {
        this.state = state;
        if (loadedAt == 0 && state.Agents.All.Any(agent => agent.Agent.Drained))
            universe.Reached(Situation.DrainedAcrossRestart);
        loadedAt = universe.Scheduler.Ticks;
        seen.Clear();
        CheckState();
    }

    /// <summary>Holds what is in memory against itself and, when nothing is open, against the disk.</summary>
    public void CheckState()
    {
        if (state is null || IsDead)
            return;
        foreach (var fault in StateConsistency.Check(state))
            universe.Fail("state", fault);
        foreach (var entry in state.Tasks.All.Take(5))
            CheckExplanation(Explanation.Of(state, entry), isFirst: entry.Line is null || entry.Line.Peek(state.Options.AgingMs) == entry);
        if (state.Sequence != universe.Disk.Sequence)
            return;

        var live = state.Tasks.All.Where(entry => !entry.Task.IsFinal).ToList();
        foreach (var entry in live)
        {
            if (universe.Disk.Find(entry.Task.Id)?.Task != entry.Task)
                universe.Fail("I-14", $"Task {entry.Task.Id} in memory is not the one on the disk.");
        }

        if (live.Count != universe.Disk.Tasks.Values.Count(stored => !stored.Task.IsFinal))
            universe.Fail("I-14", $"There are {live.Count} live tasks in memory and another number on the disk.");
    }

    // In a line the first decides: those behind it may need somewhat less.
    private void CheckExplanation(Explanation told, bool isFirst)
    {
        if (told.Message.Length == 0 || told.Candidates.Count > state!.Agents.Count)
            universe.Fail("explain", $"Task {told.Task.Id}: '{told.Message}' with {told.Candidates.Count} candidates.");
        var waits = told.Task.Status == TaskState.Pending && told.Reason is not (WaitReason.Backoff or WaitReason.Waking);
        if (waits && !state!.Matcher.HasWork && state.WallDue.NextDue > state.Now && (told.Reason == WaitReason.None || (isFirst && told.Candidates.Any(agent => agent.Eligible))))
            universe.Fail("explain", $"Task {told.Task.Id} waits ({told.Reason}), and could be given to {told.Candidates.FirstOrDefault(agent => agent.Eligible)?.Agent}.");
    }

    private async Task RunAsync()
    {
        try
        {
            await sequencer.StartAsync(CancellationToken.None);
            IsReady = !stopping;
            await sequencer.Completion;
            if (!stopping)
                universe.Fail("loop", "The loop ended by itself.");
        }
        catch (StoreException failure)
        {
            // As the service would: it says why and exits, and is started again.
            universe.Trace.Add("process.exits", null, failure.Fault.ToString());
            if (!stopping)
                Die();
        }
    }

    // The handlers' own faults are found here: a handler answers its caller whatever happens, so one that throws is a fault of the simulation or the core.
    private void Observe(Task task)
    {
        if (!task.IsCompleted)
        {
            _ = ObserveAsync(task);
            return;
        }

        if (task.Exception is { } failure)
            universe.Fail("exception", failure.InnerException!.ToString());
    }

    private async Task ObserveAsync(Task task)
    {
        try
        {
            await task;
        }
        catch (Exception failure)
        {
            universe.Fail("exception", failure.ToString());
        }
    }
}

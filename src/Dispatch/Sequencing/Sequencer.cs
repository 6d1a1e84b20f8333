using System.Threading.Channels;

namespace Dispatch.Sequencing;

/// <summary>Settings of the loop itself.</summary>
public sealed record SequencerOptions
{
    /// <summary>Commands that may wait in front of the loop, 16..1,000,000; further ones are refused.</summary>
    public int QueueCapacity { get; init; } = 16_384;

    /// <summary>A batch is closed when it holds so many commands or so many events.</summary>
    public int BatchCommands { get; init; } = 2_048;

    public int BatchEvents { get; init; } = 8_192;

    /// <summary>
    /// A batch with so many commands and events is closed while the one before is still being committed, so that the store need not wait
    /// for the matching. Fewer would make commits that carry too little.
    /// </summary>
    public int ReadyCommands { get; init; } = 3;

    public int ReadyEvents { get; init; } = 1_024;

    /// <summary>The writer's epoch; single-node stores ignore it.</summary>
    public long Epoch { get; init; }

    /// <summary>Answer before the commit: a planted bug by which the crash test proves that it can fail. Never set outside that test.</summary>
    public bool AnswerBeforeCommit { get; init; }

    /// <summary>Ends when another has taken the writing over, rather than waiting for that one to let go.</summary>
    public bool EndsWhenSuperseded { get; init; }
}

/// <summary>Why a command was not taken, or not carried through.</summary>
public enum Refusal
{
    /// <summary>The queue in front of the sequencer is full.</summary>
    Busy,

    /// <summary>The broker is stopping.</summary>
    Stopping,

    /// <summary>The store does not take writes.</summary>
    StoreUnavailable,

    /// <summary>The commit was under way and its outcome is not known.</summary>
    Unknown,
}

/// <summary>The command was not carried out, or (Unknown) may have been.</summary>
public sealed class RefusedException(Refusal refusal, string message, Exception? inner = null) : Exception(message, inner)
{
    public Refusal Refusal { get; } = refusal;
}

/// <summary>
/// What the loop tells whoever watches it: one call at a time, while the next batch may be being decided. Be quick, never throw.
/// </summary>
public interface ISequencerObserver
{
    /// <summary>A batch is durable; its callers have been answered.</summary>
    void Committed(ClosedBatch batch, TimeSpan commit);

    /// <summary>The store refused a commit or a load; the loop tries again until it works.</summary>
    void StoreFailed(Exception failure);

    /// <summary>State was loaded: at the start, and after each failed commit.</summary>
    void Loaded(State state);
}

/// <summary>
/// The one writer. Commands queue in front of it; it decides as many as are there into one batch, commits the batch in one
/// transaction, and answers their callers after that. While a batch is being committed the next one is being decided: its
/// callers are answered only after its own commit, which comes after.
/// </summary>
public sealed class Sequencer
{
    private readonly IStore store;
    private readonly SequencerOptions options;
    private readonly TimeProvider clock;
    private readonly Random random;
    private readonly ISequencerObserver observer;
    private readonly IdSource ids;
    private readonly Channel<(Command Command, Answer Answer)> queue;
    private readonly CancellationTokenSource abort = new();
    private readonly long startedAt;

    // As of the last commit: what a state that has to be loaded again goes by.
    private StateOptions stateOptions;
    private Core? core;
    private Task loop = Task.CompletedTask;
    private ClosedBatch? inFlight;
    private ClosedBatch? ready;
    private Task<bool>? more;
    private volatile Exception? storeLoss;
    private volatile bool stopping;
    private int waiting;
    private long committedSequence;
    private long lastTurn;

    /// <param name="random">The source of jitter and ids; only the loop uses it.</param>
    public Sequencer(
        IStore store, StateOptions stateOptions, SequencerOptions options, TimeProvider clock, Random random, ISequencerObserver observer)
    {
        this.store = store;
        this.stateOptions = stateOptions;
        this.options = options;
        this.clock = clock;
        this.random = random;
        this.observer = observer;
        ids = new IdSource(random);
        startedAt = clock.GetTimestamp();
        queue = Channel.CreateUnbounded<(Command, Answer)>();
    }

    /// <summary>Commands that wait in front of the loop.</summary>
    public int QueueDepth => Volatile.Read(ref waiting);

    /// <summary>Null while commands are taken; else why not.</summary>
    public Refusal? Refusing => stopping ? Refusal.Stopping : storeLoss is not null ? Refusal.StoreUnavailable : null;

    /// <summary>Sequence of the last committed event.</summary>
    public long CommittedSequence => Volatile.Read(ref committedSequence);

    /// <summary>Time of the last turn of the loop, for health checks (see <see cref="TimeProvider.GetTimestamp"/>).</summary>
    public long LastTurn => Volatile.Read(ref lastTurn);

    /// <summary>Ends when the loop ends; faulted when it can't go on.</summary>
    public Task Completion => loop;

    /// <summary>Loads the state and starts the loop.</summary>
    /// <exception cref="StoreException">The store can't be read.</exception>
    public async Task StartAsync(CancellationToken cancel)
    {
        await LoadAsync(cancel);
        loop = GuardAsync();
    }

    /// <summary>Queues the command and waits for its outcome to be durable.</summary>
    /// <exception cref="RefusedException">It was not taken, or its commit failed.</exception>
    public Task<T> ExecuteAsync<T>(Command<T> command)
    {
        if (Refusing is { } refusal)
            return Task.FromException<T>(Refuse(refusal, storeLoss));
        if (Interlocked.Increment(ref waiting) > options.QueueCapacity)
        {
            Interlocked.Decrement(ref waiting);
            return Task.FromException<T>(Refuse(Refusal.Busy));
        }

        var answer = new Answer<T>(command);
        if (!queue.Writer.TryWrite((command, answer)))
        {
            Interlocked.Decrement(ref waiting);
            return Task.FromException<T>(Refuse(Refusal.Stopping));
        }

        return answer.Task;
    }

    /// <summary>
    /// Takes no more commands, commits and answers what is queued, and returns; after <paramref name="patience"/> it returns anyway
    /// and the callers still waiting are refused with Unknown.
    /// </summary>
    public async Task StopAsync(TimeSpan patience)
    {
        stopping = true;
        queue.Writer.TryComplete();

        // Why the loop ended, if by itself, Completion tells; whoever stops goes on with what else there is to close.
        await loop.WaitAsync(patience, clock).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        if (!loop.IsCompleted)
        {
            // The store hangs. Nobody waits for it any longer: what it does with the commit in flight, a restart will see.
            abort.Cancel();
            RefuseAll(inFlight?.Answers ?? [], Refusal.Unknown, null);
            RefuseDecided(Refusal.Stopping, null);
        }

        RefuseQueued(Refusal.Stopping, null);
    }

    private long Elapsed => (long)clock.GetElapsedTime(startedAt).TotalMilliseconds;

    private long Now => clock.GetUtcNow().ToUnixTimeMilliseconds();

    // A fault in a decision leaves a state nobody can trust. Callers are refused and the loop ends; a restart loads what is durable.
    private async Task GuardAsync()
    {
        try
        {
            await LoopAsync();
        }
        catch
        {
            stopping = true;
            queue.Writer.TryComplete();
            RefuseAll(inFlight?.Answers ?? [], Refusal.Unknown, null);
            RefuseDecided(Refusal.StoreUnavailable, null);
            RefuseQueued(Refusal.Stopping, null);
            throw;
        }
    }

    private async Task LoopAsync()
    {
        Task<Exception?> committing = Task.FromResult<Exception?>(null);
        var reader = queue.Reader;
        while (true)
        {
            // Stopped while the store hung, and those who waited were told so: a store that comes back now must not carry it through.
            if (abort.IsCancellationRequested)
            {
                RefuseDecided(Refusal.Stopping, null);
                return;
            }

            Volatile.Write(ref lastTurn, clock.GetTimestamp());
            core!.MoveClocks(Now, Elapsed);
            while (core.OpenCommands < options.BatchCommands && core.OpenEvents < options.BatchEvents && reader.TryRead(out var next))
            {
                Interlocked.Decrement(ref waiting);
                core.Take(next.Command, next.Answer);
            }

            // While the batch before is being committed this one stays open and grows: that is the group in group commit.
            if (!committing.IsCompleted)
            {
                if (ready is null && core.OpenCommands >= options.ReadyCommands && core.OpenEvents >= options.ReadyEvents)
                {
                    ready = core.Close();
                    continue;
                }

                if (core.OpenCommands >= options.BatchCommands || core.OpenEvents >= options.BatchEvents || reader.Completion.IsCompleted)
                    await committing;
                else
                    await Task.WhenAny(committing, MoreAsync(reader));
                continue;
            }

            if (await committing is { } failure)
            {
                if (!await RecoverAsync(inFlight!, failure))
                    return;
                (committing, inFlight) = (Task.FromResult<Exception?>(null), null);
                continue;
            }

            inFlight = ready;
            ready = null;
            if (inFlight is null && core.HasWork)
                inFlight = core.Close();
            if (inFlight is not null)
            {
                committing = CommitAsync(inFlight);
                continue;
            }

            if (reader.Completion.IsCompleted)
                return;
            await PauseAsync(reader);
        }
    }

    /// <summary>Commits, then answers and tells. Returns what went wrong, if anything did.</summary>
    private async Task<Exception?> CommitAsync(ClosedBatch closed)
    {
        var began = clock.GetTimestamp();
        if (options.AnswerBeforeCommit)
            Deliver(closed);
        if (!closed.Batch.IsEmpty)
        {
            try
            {
                await store.CommitAsync(closed.Batch, options.Epoch, abort.Token);
            }
            catch (Exception failure) when (failure is StoreException or OperationCanceledException)
            {
                return failure;
            }

            stateOptions = closed.Settings;
            Volatile.Write(ref committedSequence, closed.Batch.LastSequence);
        }

        Deliver(closed);
        observer.Committed(closed, clock.GetElapsedTime(began));
        closed.Batch.Texts.Release();
        return null;
    }

    private static void Deliver(ClosedBatch closed)
    {
        foreach (var answer in closed.Answers)
            answer.Deliver();
    }

    /// <summary>
    /// After a failed commit: refuse its callers, and those of the open batch, which was decided on a state that never came to be;
    /// wait until the store takes writes again; load. False when the loop must end.
    /// </summary>
    private async Task<bool> RecoverAsync(ClosedBatch failed, Exception failure)
    {
        var unchanged = failure is StoreException { Fault: StoreFault.Unavailable or StoreFault.Full or StoreFault.ReadOnly or StoreFault.Locked };
        storeLoss = failure;
        RefuseAll(failed.Answers, unchanged ? Refusal.StoreUnavailable : Refusal.Unknown, failure);
        RefuseDecided(Refusal.StoreUnavailable, failure);
        observer.StoreFailed(failure);
        if (failure is StoreException { Fault: StoreFault.Fatal } || IsSuperseded(failure))
            throw failure;

        for (var delay = 50; ; delay = Math.Min(delay * 2, 2_000))
        {
            RefuseQueued(Refusal.StoreUnavailable, failure);
            if (stopping || abort.IsCancellationRequested)
                return false;
            try
            {
                await store.ProbeAsync(abort.Token);
                await LoadAsync(abort.Token);
                storeLoss = null;
                return true;
            }
            catch (StoreException again) when (again.Fault is not (StoreFault.Fatal or StoreFault.Corrupt) && !IsSuperseded(again))
            {
                observer.StoreFailed(again);
            }
            catch (OperationCanceledException)
            {
                return false;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(delay), clock, abort.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        }
    }

    private bool IsSuperseded(Exception failure) => options.EndsWhenSuperseded && failure is StoreException { Fault: StoreFault.Locked };

    private async Task LoadAsync(CancellationToken cancel)
    {
        var loaded = await store.LoadAsync(cancel);
        var state = State.Load(loaded, stateOptions, Now, Elapsed);
        core = new Core(state, ids, random);
        Volatile.Write(ref committedSequence, loaded.Sequence);
        Volatile.Write(ref lastTurn, clock.GetTimestamp());
        observer.Loaded(state);
    }

    private Task<bool> MoreAsync(ChannelReader<(Command, Answer)> reader) => more is { IsCompleted: false } ? more : more = WaitAsync(reader);

    // Awaited rather than turned into a task: the channel then goes on where the loop runs, which is what lets a simulation own every step.
    private static async Task<bool> WaitAsync(ChannelReader<(Command, Answer)> reader) => await reader.WaitToReadAsync();

    private async Task PauseAsync(ChannelReader<(Command, Answer)> reader)
    {
        var untilDue = Math.Min(core!.NextDue - Elapsed, core.NextWallDue - Now);
        var pause = TimeSpan.FromMilliseconds(Math.Clamp(untilDue, 1, core.State.Options.TickMs));
        var arrival = MoreAsync(reader);
        if (arrival.IsCompleted)
            return;

        using var timer = new CancellationTokenSource();
        await Task.WhenAny(arrival, Task.Delay(pause, clock, timer.Token));
        timer.Cancel();
    }

    private void RefuseQueued(Refusal refusal, Exception? cause)
    {
        while (queue.Reader.TryRead(out var next))
        {
            Interlocked.Decrement(ref waiting);
            next.Answer.Refuse(Refuse(refusal, cause));
        }
    }

    /// <summary>Refuses what was decided but never reached the store.</summary>
    private void RefuseDecided(Refusal refusal, Exception? cause)
    {
        RefuseAll(ready?.Answers ?? [], refusal, cause);
        ready = null;
        RefuseAll(core?.Abandon() ?? [], refusal, cause);
    }

    private static void RefuseAll(IEnumerable<Answer> answers, Refusal refusal, Exception? cause)
    {
        foreach (var answer in answers)
            answer.Refuse(Refuse(refusal, cause));
    }

    private static RefusedException Refuse(Refusal refusal, Exception? cause = null) => new(refusal, refusal switch
    {
        Refusal.Busy => "The queue in front of the sequencer is full; nothing was changed. Try again.",
        Refusal.Stopping => "The broker is stopping; nothing was changed. Try again when it is back.",
        // The cause names files and statements of this machine: it is for the log, and not for whoever calls.
        Refusal.StoreUnavailable when cause is StoreException { Fault: StoreFault.Full } => "The broker's disk is full, so nothing was changed; try again later.",
        Refusal.StoreUnavailable => "The store does not take writes now, so nothing was changed; try again later.",
        _ => "The store was lost during the commit; whether it happened is not known. Repeat with the same idempotency key.",
    }, cause);
}

using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Settings;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Sequencing;

public sealed class SequencerTests : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly MemoryStore store = new();
    private readonly Watcher watcher = new();
    private readonly List<TaskCompletionSource> gates = [];
    private Sequencer? sequencer;

    public async ValueTask DisposeAsync()
    {
        foreach (var gate in gates)
            gate.TrySetResult();
        if (sequencer is not null)
            await sequencer.StopAsync(Patience);
    }

    [Fact]
    public async Task Nobody_is_answered_before_the_commit()
    {
        await StartAsync();
        var gate = HoldCommits();
        var answer = Submit();
        await gate.Reached;
        Assert.False(answer.IsCompleted);
        Assert.Equal(0, sequencer!.CommittedSequence);

        gate.Open();
        await answer.WaitAsync(Patience);
        Assert.Equal(store.Sequence, sequencer.CommittedSequence);
    }

    [Fact]
    public async Task What_comes_during_a_commit_goes_into_the_next_one_together()
    {
        await StartAsync();
        var gate = HoldCommits();
        var first = Submit();
        await gate.Reached;
        var rest = Enumerable.Range(0, 200).Select(_ => Submit()).ToArray();
        await EventuallyAsync(() => sequencer!.QueueDepth == 0);
        Assert.DoesNotContain(rest, answer => answer.IsCompleted);

        gate.Open();
        await first.WaitAsync(Patience);
        await Task.WhenAll(rest).WaitAsync(Patience);
        Assert.Equal([2, 400], store.CommittedEvents);
    }

    [Fact]
    public async Task A_batch_is_closed_when_it_is_full()
    {
        await StartAsync(new SequencerOptions { BatchCommands = 10 });
        var gate = HoldCommits();
        var first = Submit();
        await gate.Reached;
        var rest = Enumerable.Range(0, 95).Select(_ => Submit()).ToArray();
        gate.Open();
        await Task.WhenAll(rest.Append(first)).WaitAsync(Patience);
        Assert.Equal(96 * 2, store.CommittedEvents.Sum());
        Assert.Equal(20, store.CommittedEvents.Max());
    }

    [Fact]
    public async Task What_changes_nothing_needs_no_commit_but_waits_for_the_one_before()
    {
        await StartAsync();
        await sequencer!.ExecuteAsync(new ReadStats()).WaitAsync(Patience);
        Assert.Empty(store.CommittedEvents);

        var gate = HoldCommits();
        var submitted = Submit();
        await gate.Reached;
        var read = sequencer.ExecuteAsync(new ReadStats());
        await EventuallyAsync(() => sequencer.QueueDepth == 0);
        Assert.False(read.IsCompleted);
        gate.Open();
        Assert.Equal(2, (await read.WaitAsync(Patience)).Sequence);
        Assert.True(submitted.IsCompletedSuccessfully);
    }

    [Fact]
    public async Task A_large_batch_is_closed_while_the_one_before_is_committed_and_waits_for_it()
    {
        await StartAsync(new SequencerOptions { ReadyEvents = 100 });
        var gate = HoldCommits();
        var first = Submit();
        await gate.Reached;
        var ready = Enumerable.Range(0, 100).Select(_ => Submit()).ToArray();
        await EventuallyAsync(() => sequencer!.QueueDepth == 0);
        var rest = Enumerable.Range(0, 5).Select(_ => Submit()).ToArray();
        await EventuallyAsync(() => sequencer!.QueueDepth == 0);
        Assert.Empty(store.CommittedEvents);
        Assert.DoesNotContain(ready, answer => answer.IsCompleted);

        gate.Open();
        await Task.WhenAll([first, .. ready, .. rest]).WaitAsync(Patience);
        Assert.Equal(106 * 2, store.CommittedEvents.Sum());
        Assert.Equal(3, store.CommittedEvents.Count);
    }

    [Theory]
    [InlineData(StoreFault.Unavailable, 1)]
    [InlineData(StoreFault.Unavailable, 1_000)]
    [InlineData(StoreFault.Full, 1_000)]
    [InlineData(StoreFault.ReadOnly, 1_000)]
    public async Task A_failed_commit_is_as_if_nothing_was_asked(StoreFault fault, int readyEvents)
    {
        await StartAsync(new SequencerOptions { ReadyCommands = 1, ReadyEvents = readyEvents });
        await Submit().WaitAsync(Patience);
        var gate = HoldCommits(() => throw new StoreException(fault, "Not now."));
        var failing = Submit("lost");
        await gate.Reached;
        var behind = Submit("behind");
        await EventuallyAsync(() => sequencer!.QueueDepth == 0);
        store.OnCommit = null;
        gate.Open();

        Assert.Equal(Refusal.StoreUnavailable, await RefusalOf(failing));
        Assert.Equal(Refusal.StoreUnavailable, await RefusalOf(behind));
        await EventuallyAsync(() => sequencer!.Refusing is null);
        Assert.Equal((2, 2), (store.Loads, watcher.Loads));
        Assert.Equal(fault, Assert.IsType<StoreException>(Assert.Single(watcher.Failures)).Fault);

        var again = Assert.IsType<SubmitOutcome.Accepted>(await Submit("lost").WaitAsync(Patience)).Tasks.Single();
        Assert.True(again.IsNew);
        Assert.Equal([2, 2], store.CommittedEvents);
    }

    [Theory]
    [InlineData(true, 1)]
    [InlineData(true, 1_000)]
    [InlineData(false, 1)]
    [InlineData(false, 1_000)]
    public async Task A_commit_of_unknown_outcome_is_told_as_such_and_settled_by_the_reload(bool happened, int readyEvents)
    {
        await StartAsync(new SequencerOptions { ReadyCommands = 1, ReadyEvents = readyEvents });
        var gate = HoldCommits(write =>
        {
            if (happened)
                write();
            throw new StoreException(StoreFault.Unknown, "Lost on the way.");
        });
        var unknown = Submit("k");
        await gate.Reached;
        var behind = Submit("behind");
        await EventuallyAsync(() => sequencer!.QueueDepth == 0);
        store.OnCommit = null;
        gate.Open();

        Assert.Equal(Refusal.Unknown, await RefusalOf(unknown));
        Assert.Equal(Refusal.StoreUnavailable, await RefusalOf(behind));
        await EventuallyAsync(() => sequencer!.Refusing is null);
        var repeat = Assert.IsType<SubmitOutcome.Accepted>(await Submit("k").WaitAsync(Patience)).Tasks.Single();
        Assert.Equal(!happened, repeat.IsNew);
    }

    [Fact]
    public async Task While_the_store_is_lost_commands_are_refused_at_once_and_it_is_tried_until_it_works()
    {
        await StartAsync();
        var probes = 0;
        store.OnCommit = (_, _, _) => throw new StoreException(StoreFault.Full, "No room.");
        store.OnProbe = () => ++probes < 3 ? throw new StoreException(StoreFault.Full, "No room.") : Task.CompletedTask;
        Assert.Equal(Refusal.StoreUnavailable, await RefusalOf(Submit()));
        Assert.Equal(Refusal.StoreUnavailable, sequencer!.Refusing);
        Assert.Equal(Refusal.StoreUnavailable, await RefusalOf(Submit()));

        store.OnCommit = null;
        await EventuallyAsync(() => sequencer.Refusing is null);
        Assert.Equal(3, probes);
        await Submit().WaitAsync(Patience);
    }

    [Fact]
    public async Task A_store_that_lost_data_ends_the_loop()
    {
        await StartAsync();
        store.OnCommit = (_, _, _) => throw new StoreException(StoreFault.Fatal, "fsync failed.");
        Assert.Equal(Refusal.Unknown, await RefusalOf(Submit()));
        Assert.Equal(StoreFault.Fatal, (await Assert.ThrowsAsync<StoreException>(() => sequencer!.Completion.WaitAsync(Patience))).Fault);
        Assert.Equal(Refusal.Stopping, await RefusalOf(Submit()));
        Assert.Equal(1, store.Loads);
        sequencer = null;
    }

    [Fact]
    public async Task A_full_queue_is_refused_and_what_was_taken_is_carried_through()
    {
        await StartAsync(new SequencerOptions { QueueCapacity = 16, BatchCommands = 4 });
        var gate = HoldCommits();
        var taken = new List<Task<SubmitOutcome>> { Submit() };
        await gate.Reached;
        Task<SubmitOutcome> refused;
        while (true)
        {
            var answer = Submit();
            if (answer.IsFaulted)
            {
                refused = answer;
                if (taken.Count == 1 + 4 + 16)
                    break;
            }
            else
            {
                taken.Add(answer);
                Assert.InRange(taken.Count, 1, 1 + 4 + 16);
            }

            await Task.Yield();
        }

        Assert.Equal(Refusal.Busy, await RefusalOf(refused));
        Assert.Equal(16, sequencer!.QueueDepth);
        gate.Open();
        await Task.WhenAll(taken).WaitAsync(Patience);
        Assert.Equal(taken.Count * 2, store.Sequence);
        await Submit().WaitAsync(Patience);
    }

    [Fact]
    public async Task Stopping_carries_through_what_is_queued_and_takes_no_more()
    {
        await StartAsync();
        var gate = HoldCommits();
        var queued = Enumerable.Range(0, 50).Select(_ => Submit()).ToArray();
        await gate.Reached;
        var stopping = sequencer!.StopAsync(Patience);
        Assert.Equal(Refusal.Stopping, await RefusalOf(Submit()));
        Assert.False(stopping.IsCompleted);
        gate.Open();
        await stopping.WaitAsync(Patience);
        await Task.WhenAll(queued).WaitAsync(Patience);
        Assert.True(sequencer.Completion.IsCompletedSuccessfully);
        Assert.Equal(100, store.Sequence);
    }

    [Fact]
    public async Task Stopping_ends_in_time_although_the_store_hangs_and_nothing_more_is_committed()
    {
        await StartAsync(new SequencerOptions { BatchCommands = 2 });
        var gate = HoldCommits();
        var inFlight = Submit();
        await gate.Reached;
        var open = Enumerable.Range(0, 2).Select(_ => Submit()).ToArray();
        await EventuallyAsync(() => sequencer!.QueueDepth == 0);
        var queued = Enumerable.Range(0, 5).Select(_ => Submit()).ToArray();

        await sequencer!.StopAsync(TimeSpan.FromMilliseconds(50)).WaitAsync(Patience);
        Assert.Equal(Refusal.Unknown, await RefusalOf(inFlight));
        foreach (var answer in open.Concat(queued))
            Assert.Equal(Refusal.Stopping, await RefusalOf(answer));

        gate.Open();
        await sequencer.Completion.WaitAsync(Patience);
        Assert.Equal([2], store.CommittedEvents);
    }

    [Fact]
    public async Task Stopping_while_the_store_is_lost_ends_in_time()
    {
        await StartAsync();
        store.OnCommit = (_, _, _) => throw new StoreException(StoreFault.Full, "No room.");
        store.OnProbe = () => throw new StoreException(StoreFault.Full, "No room.");
        await RefusalOf(Submit());
        await sequencer!.StopAsync(Patience).WaitAsync(Patience);
        Assert.True(sequencer.Completion.IsCompletedSuccessfully);
    }

    [Fact]
    public async Task A_fault_in_a_decision_ends_the_loop_and_refuses_everyone()
    {
        await StartAsync();
        var gate = HoldCommits();
        var inFlight = Submit();
        await gate.Reached;
        var open = Submit();
        await EventuallyAsync(() => sequencer!.QueueDepth == 0);
        var faulty = sequencer!.ExecuteAsync(new Faulty());
        Assert.Equal(Refusal.StoreUnavailable, await RefusalOf(faulty));
        Assert.Equal(Refusal.StoreUnavailable, await RefusalOf(open));
        Assert.Equal(Refusal.Unknown, await RefusalOf(inFlight));
        await Assert.ThrowsAsync<NotSupportedException>(() => sequencer.Completion.WaitAsync(Patience));
        Assert.Equal(Refusal.Stopping, await RefusalOf(Submit()));
        gate.Open();
        sequencer = null;
    }

    [Theory]
    [InlineData(false, 90_000)]
    [InlineData(true, 30_000)]
    public async Task Settings_outlive_a_reload_of_the_state_when_their_commit_succeeded_and_only_then(bool fails, long expected)
    {
        var options = new StateOptions { LeaseMs = 30_000 };
        await StartAsync(new SequencerOptions { ReadyCommands = 1, ReadyEvents = 1 }, options);
        var change = new ChangeSettings(options with { LeaseMs = 90_000 }, ["agents.lease_ms"], []);
        if (!fails)
            await sequencer!.ExecuteAsync(change).WaitAsync(Patience);

        var gate = HoldCommits(() => throw new StoreException(StoreFault.Unavailable, "Not now."));
        var failing = fails ? (Task)sequencer!.ExecuteAsync(change) : Submit();
        await gate.Reached;
        store.OnCommit = null;
        gate.Open();
        await Assert.ThrowsAsync<RefusedException>(() => failing.WaitAsync(Patience));
        await EventuallyAsync(() => sequencer!.Refusing is null);

        Assert.Equal(expected, await sequencer!.ExecuteAsync(new ReadLease()).WaitAsync(Patience));
    }

    [Fact]
    public async Task What_falls_due_is_done_without_a_command_and_not_by_the_tick()
    {
        await StartAsync(new SequencerOptions(), new StateOptions { LeaseMs = 60, TickMs = 600_000 });
        var offline = watcher.Until(batch => batch.Batch.Events.Any(happened => happened.Data is AgentOffline));
        await sequencer!.ExecuteAsync(CoreRun.Registration("w", "a")).WaitAsync(Patience);
        await offline.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_store_that_can_not_be_read_is_told_at_the_start()
    {
        await using var unreadable = new MemoryStore { OnLoad = () => throw new StoreException(StoreFault.Corrupt, "Damaged.") };
        var starting = new Sequencer(unreadable, new StateOptions(), new SequencerOptions(), TimeProvider.System, new Random(1), watcher);
        Assert.Equal(StoreFault.Corrupt, (await Assert.ThrowsAsync<StoreException>(() => starting.StartAsync(CancellationToken.None))).Fault);
    }

    [Fact]
    public async Task A_thousand_callers_at_once_each_get_their_own_answer()
    {
        await StartAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 1_000).Select(i => Task.Factory.StartNew(
            () => sequencer!.ExecuteAsync(new SubmitTasks([CoreRun.Task(title: $"t{i}")], null) { Caller = $"c{i}" }),
            CancellationToken.None, TaskCreationOptions.None, TaskScheduler.Default).Unwrap())).WaitAsync(Patience);
        for (var i = 0; i < answers.Length; i++)
        {
            var task = Assert.IsType<SubmitOutcome.Accepted>(answers[i]).Tasks.Single();
            Assert.Equal(($"t{i}", $"c{i}"), (task.Spec!.Title, task.Task!.Requester));
        }

        Assert.Equal(Enumerable.Range(1, 2_000).Select(i => (long)i), store.Events.Select(happened => happened.Sequence));
    }

    private async Task StartAsync(SequencerOptions? options = null, StateOptions? state = null)
    {
        sequencer = new Sequencer(store, state ?? new StateOptions(), options ?? new SequencerOptions(), TimeProvider.System, new Random(1), watcher);
        await sequencer.StartAsync(CancellationToken.None);
    }

    // Two events: created, and told that nobody can do it.
    private Task<SubmitOutcome> Submit(string? key = null)
    {
        var facts = key is null ? null : store.Facts([], [new IdempotencyKey("alice", key)]);
        return sequencer!.ExecuteAsync(new SubmitTasks([CoreRun.Task("a", key: key, hash: key)], facts) { Caller = "alice" });
    }

    private static async Task<Refusal> RefusalOf(Task answer) => (await Assert.ThrowsAsync<RefusedException>(() => answer.WaitAsync(Patience))).Refusal;

    private Gate HoldCommits(Action? then = null) => HoldCommits(_ => then?.Invoke());

    private Gate HoldCommits(Action<Action> then)
    {
        var gate = new Gate();
        gates.Add(gate.Source);
        store.OnCommit = async (_, write, _) =>
        {
            gate.Arrived.TrySetResult();
            await gate.Source.Task;
            then(write);
        };
        return gate;
    }

    private static async Task EventuallyAsync(Func<bool> holds)
    {
        for (var began = TimeProvider.System.GetTimestamp(); !holds(); await Task.Delay(1))
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Patience, "It never came to be.");
    }

    private sealed class Gate
    {
        public TaskCompletionSource Arrived { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Source { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Reached => Arrived.Task.WaitAsync(Patience);

        public void Open() => Source.TrySetResult();
    }

    private sealed record ReadLease : Command<long>
    {
        public override long Decide(State state, Decision decision) => state.Options.LeaseMs;
    }

    private sealed record Faulty : Command<int>
    {
        public override int Decide(State state, Decision decision) => throw new NotSupportedException("A planted fault.");
    }

    private sealed class Watcher : ISequencerObserver
    {
        private readonly List<(Func<ClosedBatch, bool> Wanted, TaskCompletionSource Seen)> waiting = [];

        public int Loads { get; private set; }

        public List<Exception> Failures { get; } = [];

        public Task Until(Func<ClosedBatch, bool> wanted)
        {
            var seen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (waiting)
                waiting.Add((wanted, seen));
            return seen.Task;
        }

        public void Committed(ClosedBatch batch, TimeSpan commit)
        {
            lock (waiting)
            {
                foreach (var (wanted, seen) in waiting)
                {
                    if (wanted(batch))
                        seen.TrySetResult();
                }
            }
        }

        public void StoreFailed(Exception failure) => Failures.Add(failure);

        public void Loaded(State state) => Loads++;
    }
}

using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Sequencing;

public sealed class EventFeedTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly MemoryStore store = new();
    private readonly HashChain chain = new(HashChain.Start);
    private readonly EventFeed feed;
    private long sequence;

    public EventFeedTests() => feed = new EventFeed(store);

    [Fact]
    public async Task A_cursor_reads_what_was_before_it_from_the_store_and_what_comes_from_memory()
    {
        Commit(10);
        using var cursor = feed.Follow(EventSight.Owner, EventFilter.All, 0);
        Assert.Equal(10, cursor.Lag);
        Assert.Equal(Numbers(1, 10), await ReadAsync(cursor));
        Commit(5);
        var reads = store.LogReads;
        Assert.Equal(Numbers(11, 15), await ReadAsync(cursor));
        Assert.Equal(reads, store.LogReads);
        Assert.Equal((15, 0), (cursor.Position, cursor.Lag));
        Assert.Empty(await ReadAsync(cursor));
    }

    [Fact]
    public async Task One_that_fell_far_behind_loses_nothing()
    {
        using var slow = feed.Follow(EventSight.Owner, EventFilter.All, 0);
        for (var n = 0; n < 30; n++)
            Commit(1_000);

        var seen = new List<long>();
        while (slow.Lag > 0)
            seen.AddRange(await ReadAsync(slow));

        Assert.Equal(Numbers(1, 30_000), seen);
    }

    [Fact]
    public async Task A_wait_ends_with_the_next_commit_and_not_before()
    {
        using var cursor = feed.Follow(EventSight.Owner, EventFilter.All, 0);
        var waiting = cursor.WaitAsync(default);
        Assert.False(waiting.IsCompleted);
        Commit(1);
        await waiting.WaitAsync(Patience);
        Assert.Equal(Numbers(1, 1), await ReadAsync(cursor));

        using var gone = new CancellationTokenSource();
        var given = cursor.WaitAsync(gone.Token);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given);
    }

    [Fact]
    public async Task Everybody_who_waits_is_woken_and_nobody_misses_anything()
    {
        var readers = Enumerable.Range(0, 20).Select(_ => Task.Run(async () =>
        {
            using var cursor = feed.Follow(EventSight.Owner, EventFilter.All, 0);
            var seen = new List<long>();
            while (seen.Count < 2_000)
            {
                await cursor.WaitAsync(default).WaitAsync(Patience);
                seen.AddRange(await ReadAsync(cursor));
            }

            return seen;
        })).ToArray();
        for (var n = 0; n < 1_000; n++)
        {
            Commit(2);
            if (n % 50 == 0)
                await Task.Yield();
        }

        foreach (var seen in await Task.WhenAll(readers))
            Assert.Equal(Numbers(1, 2_000), seen);
    }

    [Fact]
    public async Task A_filter_moves_past_what_it_does_not_take()
    {
        Commit(3_000);
        using var cursor = feed.Follow(EventSight.Owner, new EventFilter { Subjects = ["t-2999"] }, 0);
        var found = new List<long>();
        var reads = 0;
        while (cursor.Lag > 0)
        {
            found.AddRange(await ReadAsync(cursor));
            reads++;
        }

        Assert.Equal([2_999L], found);
        Assert.InRange(reads, 2, 10);
    }

    [Fact]
    public async Task A_guest_sees_its_session_and_nothing_of_the_rest()
    {
        Commit(20);
        using var guest = feed.Follow(EventSight.Guest("s-1"), EventFilter.All, 0);
        using var widened = feed.Follow(EventSight.Guest("s-1"), new EventFilter { Sessions = ["s-2"] }, 0);

        Assert.Equal(Numbers(1, 20).Where(n => n % 4 == 1), await ReadAsync(guest));
        Assert.Empty(await ReadAsync(widened));
    }

    [Fact]
    public async Task What_is_in_the_store_and_not_yet_answered_for_is_not_told()
    {
        Commit(2);
        Commit(3, tell: false);
        using var cursor = feed.Follow(EventSight.Owner, EventFilter.All, 0);
        Assert.Equal(Numbers(1, 2), await ReadAsync(cursor));
    }

    [Fact]
    public async Task A_page_is_no_longer_than_asked_for_and_the_next_goes_on()
    {
        Commit(10);
        using var cursor = feed.Follow(EventSight.Owner, EventFilter.All, 2);
        Assert.Equal(Numbers(3, 6), (await cursor.ReadAsync(4, default)).Select(happened => happened.Sequence));
        Assert.Equal(Numbers(7, 10), (await cursor.ReadAsync(4, default)).Select(happened => happened.Sequence));
    }

    [Fact]
    public void Who_has_left_is_no_longer_counted()
    {
        var cursor = feed.Follow(EventSight.System, EventFilter.All, 0);
        Assert.Equal(1, feed.Followers);
        cursor.Dispose();
        cursor.Dispose();
        Assert.Equal(0, feed.Followers);
    }

    [Fact]
    public async Task What_is_no_longer_kept_is_told_with_the_oldest_that_is()
    {
        Commit(10);
        store.Forget(6);
        using var late = feed.Follow(EventSight.Owner, EventFilter.All, 5);
        using var onTime = feed.Follow(EventSight.Owner, EventFilter.All, 6);

        Assert.Equal(7, (await Assert.ThrowsAsync<EventsGoneException>(() => ReadAsync(late))).Horizon);
        Assert.Equal(Numbers(7, 10), await ReadAsync(onTime));
    }

    [Fact]
    public async Task What_is_below_the_horizon_is_not_told_from_memory_either()
    {
        using var late = feed.Follow(EventSight.Owner, EventFilter.All, 0);
        using var onTime = feed.Follow(EventSight.Owner, EventFilter.All, 4);
        Commit(5);
        Commit(5, horizon: 5);

        Assert.Equal(5, (await Assert.ThrowsAsync<EventsGoneException>(() => ReadAsync(late))).Horizon);
        Assert.Equal(Numbers(5, 10), await ReadAsync(onTime));
        Assert.Equal(5, feed.Horizon);
    }

    [Fact]
    public async Task A_large_event_is_read_from_the_store_and_not_kept_in_memory()
    {
        using var cursor = feed.Follow(EventSight.Owner, EventFilter.All, 0);
        Commit(3);
        Commit(1, agent: new string('a', 5_000));
        Commit(3);

        Assert.Equal(Numbers(1, 3), await ReadAsync(cursor));
        Assert.Equal(0, store.LogReads);
        Assert.Equal(Numbers(4, 7), await ReadAsync(cursor));
        Assert.Equal(1, store.LogReads);
    }

    private static IEnumerable<long> Numbers(int first, int last) => Enumerable.Range(first, last - first + 1).Select(n => (long)n);

    private static async Task<IReadOnlyList<long>> ReadAsync(EventCursor cursor) => [.. (await cursor.ReadAsync(int.MaxValue, default)).Select(happened => happened.Sequence)];

    private void Commit(int count, bool tell = true, string agent = "a-1", long? horizon = null)
    {
        var events = new List<DispatchEvent>();
        for (var n = 0; n < count; n++)
        {
            sequence++;
            var session = (sequence % 4) switch { 1 => "s-1", 2 => "s-2", _ => null };
            events.Add(new DispatchEvent(sequence, 1_000 + sequence, $"t-{sequence}", session, "a-1", 0, 0, new TaskStarted(agent, 1)));
        }

        var batch = new Batch
        {
            Events = events,
            Texts = EventTexts.Of(events, chain),
            Tasks = [],
            Attempts = [],
            Keys = [],
            Agents = [],
            RemovedAgents = [],
            Tokens = [],
            Sessions = [],
            ClosedSessions = [],
            Publishers = [],
            RemovedPublishers = [],
            Published = [],
            Webhooks = [],
            RemovedWebhooks = [],
            Questions = [],
            Responders = [],
            RemovedResponders = [],
            Limits = [],
            RemovedLimits = [],
            Balances = [],
            RemovedBalances = [],
            BalancesWritten = null,
            Usage = [],
            PrunedTasks = [],
            Horizon = horizon,
            Totals = new long[9],
        };
        store.Write(batch);
        if (tell)
            feed.Append(batch);
    }
}

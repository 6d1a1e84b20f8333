using System.Collections.Concurrent;
using Dispatch.Events;
using Dispatch.Host.Configuration;
using Dispatch.Host.Telemetry;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite;
using Dispatch.Tasks;
using Dispatch.Webhooks;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Tests;

/// <summary>When bases are taken, how far the horizon moves, and who holds it back.</summary>
public sealed class LogRetentionTests : IAsyncLifetime
{
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);
    private static readonly CancellationToken None = CancellationToken.None;

    private readonly TemporaryDirectory directory = new();
    private readonly FakeTime clock = new();
    private readonly Lines lines = new();
    private readonly DispatchMetrics metrics = new();
    private SqliteStore store = null!;
    private Sequencer sequencer = null!;
    private LogRetention retention = null!;
    private readonly LiveConfig live = new(new DispatchConfig { Retention = new RetentionSettings { Events = 40 * Day } });

    public async Task InitializeAsync()
    {
        store = SqliteStore.Open(new SqliteStoreOptions { Path = directory.File("dispatch.db") }, clock);
        sequencer = new Sequencer(store, new StateOptions(), new SequencerOptions(), clock, new Random(1), new Silent());
        await sequencer.StartAsync(None);
        retention = new LogRetention(sequencer, store, live, _ => Task.CompletedTask, metrics, clock, lines);
    }

    public async Task DisposeAsync()
    {
        await sequencer.StopAsync(TimeSpan.FromSeconds(10));
        await store.DisposeAsync();
        metrics.Dispose();
        directory.Dispose();
    }

    [Fact]
    public async Task What_is_older_than_the_limit_goes_in_quarters_of_it()
    {
        var kept = new List<double>();
        for (var day = 0; day < 200; day++)
        {
            await SubmitAsync(2);
            await retention.RunOnceAsync(None);
            var oldest = (await store.ListEventsAsync(0, 1, None))[0];
            kept.Add((clock.GetUtcNow() - DateTimeOffset.FromUnixTimeMilliseconds(oldest.Timestamp)).TotalDays);
            Assert.InRange((await store.FindExtentAsync(None)).Bases.Count, 0, 5);
            clock.Advance(Day);
        }

        Assert.All(kept.Skip(60), days => Assert.InRange(days, 38, 51));
        Assert.Contains(lines.All, line => line.Contains("for their Age", StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_is_more_than_the_limit_goes_in_quarters_of_it()
    {
        Set(new RetentionSettings { Events = TimeSpan.Zero, EventsBytes = 40_000 });
        var largest = 0L;
        for (var n = 0; n < 100; n++)
        {
            await SubmitAsync(4);
            await retention.RunOnceAsync(None);
            largest = Math.Max(largest, (await store.FindExtentAsync(None)).KeptBytes);
        }

        var extent = await store.FindExtentAsync(None);
        Assert.True(extent.Horizon > 1);
        Assert.InRange(extent.KeptBytes, 40_000, 60_000);
        Assert.InRange(largest, 40_000, 60_000);
        Assert.True(extent.IsTrimmed);
        Assert.Contains(lines.All, line => line.Contains("for their Size", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_limits_nothing_goes()
    {
        Set(new RetentionSettings { Events = TimeSpan.Zero });
        await SubmitAsync(10);
        clock.Advance(4_000 * Day);
        await SubmitAsync(10);

        await retention.RunOnceAsync(None);

        Assert.Equal((1, 0), ((await store.FindExtentAsync(None)).Horizon, (await store.FindExtentAsync(None)).Bases.Count));
    }

    [Fact]
    public async Task Where_nothing_happens_nothing_is_taken()
    {
        await SubmitAsync(3);
        clock.Advance(15 * Day);
        await retention.RunOnceAsync(None);
        Assert.Single((await store.FindExtentAsync(None)).Bases);

        for (var n = 0; n < 30; n++)
        {
            clock.Advance(15 * Day);
            await retention.RunOnceAsync(None);
        }

        var extent = await store.FindExtentAsync(None);
        Assert.Single(extent.Bases);
        Assert.Equal(extent.Horizon, extent.Head);
    }

    [Fact]
    public async Task A_durable_cursor_holds_the_horizon_back_and_is_named_until_it_moves()
    {
        await OldAsync(10);
        await store.SaveCursorsAsync([("handler/mail", 3)], [], None);
        await retention.RunOnceAsync(None);
        await retention.RunOnceAsync(None);
        Assert.Equal(1, (await store.FindExtentAsync(None)).Horizon);
        Assert.Single(lines.All, line => line.Contains("handler/mail has come to event 3 only", StringComparison.Ordinal));

        var head = (await store.FindExtentAsync(None)).Bases[^1].Sequence;
        await store.SaveCursorsAsync([("handler/mail", head)], [], None);
        await retention.RunOnceAsync(None);

        Assert.Equal(head + 1, (await store.FindExtentAsync(None)).Horizon);
    }

    [Fact]
    public async Task The_horizon_moves_to_the_last_base_that_no_follower_is_behind()
    {
        await SubmitAsync(5);
        clock.Advance(11 * Day);
        await retention.RunOnceAsync(None);
        var first = Assert.Single((await store.FindExtentAsync(None)).Bases);
        await OldAsync(5);
        await store.SaveCursorsAsync([("handler/mail", first.Sequence + 1)], [], None);

        await retention.RunOnceAsync(None);

        Assert.Equal(first.Sequence + 1, (await store.FindExtentAsync(None)).Horizon);
    }

    [Fact]
    public async Task A_cursor_that_could_have_moved_and_did_not_is_taken_for_dead()
    {
        await store.SaveCursorsAsync([("handler/mail", 0)], [], None);
        await OldAsync(10);
        Set(live.Current.Retention with { SubscriberDead = 100 * Day });
        await retention.RunOnceAsync(None);
        Assert.Equal(1, (await store.FindExtentAsync(None)).Horizon);

        Set(live.Current.Retention with { SubscriberDead = 7 * Day });
        await retention.RunOnceAsync(None);
        await retention.RunOnceAsync(None);

        Assert.True((await store.FindExtentAsync(None)).Horizon > 1);
        Assert.Single(lines.All, line => line.Contains("handler/mail is taken for dead: it stands at event 0", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_cursor_that_had_nothing_to_move_to_is_not_dead()
    {
        await SubmitAsync(5);
        clock.Advance(11 * Day);
        await retention.RunOnceAsync(None);
        var first = Assert.Single((await store.FindExtentAsync(None)).Bases);
        await store.SaveCursorsAsync([("handler/mail", first.Sequence)], [], None);
        clock.Advance(50 * Day);
        await SubmitAsync(5);

        await retention.RunOnceAsync(None);
        var extent = await store.FindExtentAsync(None);

        Assert.Equal(first.Sequence + 1, extent.Horizon);
        Assert.DoesNotContain(lines.All, line => line.Contains("dead", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_broker_that_was_away_does_not_take_its_followers_for_dead_at_once()
    {
        await store.SaveCursorsAsync([("handler/mail", 0)], [], None);
        await OldAsync(10);
        var again = new LogRetention(sequencer, store, live, _ => Task.CompletedTask, metrics, clock, lines);
        await again.RunOnceAsync(None);
        Assert.Equal(1, (await store.FindExtentAsync(None)).Horizon);

        clock.Advance(TimeSpan.FromHours(2));
        await again.RunOnceAsync(None);

        Assert.True((await store.FindExtentAsync(None)).Horizon > 1);
    }

    [Fact]
    public async Task An_enabled_webhook_holds_the_horizon_back_and_a_disabled_one_does_not()
    {
        await SubmitAsync(1);
        var webhook = await sequencer.ExecuteAsync(new CreateWebhook("whk_1", new Uri("http://example.org"), null, EventFilter.All, "whsec_x") { ByAdmin = true });
        await OldAsync(10);
        Set(live.Current.Retention with { SubscriberDead = 1_000 * Day });
        await retention.RunOnceAsync(None);
        Assert.Equal(1, (await store.FindExtentAsync(None)).Horizon);

        Assert.NotNull(await sequencer.ExecuteAsync(new DisableWebhook("whk_1", "It fails.", (await sequencer.ExecuteAsync(new ListWebhooks()))[0].LastSequence) { ByAdmin = true }));
        await retention.RunOnceAsync(None);

        Assert.True((await store.FindExtentAsync(None)).Horizon > webhook.StartsAfter + 1);
    }

    [Fact]
    public async Task Followers_are_asked_to_write_down_their_places_before()
    {
        await store.SaveCursorsAsync([("handler/mail", 0)], [], None);
        await OldAsync(10);
        var told = new LogRetention(
            sequencer, store, live, cancel => store.SaveCursorsAsync([("handler/mail", sequencer.CommittedSequence)], [], cancel), metrics, clock, lines);

        await told.RunOnceAsync(None);

        Assert.True((await store.FindExtentAsync(None)).Horizon > 1);
    }

    private void Set(RetentionSettings retention) => live.Change(live.Current with { Retention = retention });

    /// <summary>Events that are all past their retention, and a base at their end.</summary>
    private async Task OldAsync(int tasks)
    {
        await SubmitAsync(tasks);
        clock.Advance(11 * Day);
        await store.TakeBaseAsync(None);
        clock.Advance(50 * Day);
    }

    private async Task SubmitAsync(int tasks)
    {
        for (var n = 0; n < tasks; n++)
            await sequencer.ExecuteAsync(new SubmitTasks([new NewTask { Spec = new TaskSpec { Title = "x" } }], null) { Caller = "alice" });
    }

    private sealed class Silent : ISequencerObserver
    {
        public void Committed(ClosedBatch batch, TimeSpan commit)
        {
        }

        public void StoreFailed(Exception failure)
        {
        }

        public void Loaded(State state)
        {
        }
    }

    private sealed class Lines : ILogger<LogRetention>
    {
        public ConcurrentQueue<string> All { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            All.Enqueue(formatter(state, exception));
    }
}

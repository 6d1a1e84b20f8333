using System.Reflection;
using Dispatch.Host.Bus;
using Dispatch.Sequencing;
using Dispatch.Tests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Dispatch.Host.Tests.Bus;

public sealed class DurableHandlerTests
{
    private readonly MemoryStore store = new();

    [Fact]
    public async Task After_a_stop_it_goes_on_behind_what_it_handled()
    {
        await using (var run = await StartAsync(out var before))
        {
            await run.PublishAsync(0, 20);
            Assert.Equal(Enumerable.Range(0, 20), await before.NextAsync(20));
            await HandlerTests.UntilAsync(() => run.Status("indexer").Lag == 0);
        }

        await using (var away = await BusUnderTest.StartAsync(BusUnderTest.TakesNotes, store))
            await away.PublishAsync(20, 5);

        await using var again = await StartAsync(out var after);
        await again.PublishAsync(25, 5);
        Assert.Equal(Enumerable.Range(20, 10), await after.NextAsync(10));
    }

    [Fact]
    public async Task After_a_crash_it_misses_nothing_and_at_most_repeats()
    {
        await using (var run = await StartAsync(out var before))
        {
            await run.PublishAsync(0, 20);
            await before.NextAsync(10);
            await run.CrashAsync();
        }

        await using var again = await StartAsync(out var after);
        await again.PublishAsync(20, 5);
        var got = new List<int>();
        while (got.LastOrDefault() != 24)
            got.AddRange(await after.NextAsync(1));

        Assert.InRange(got[0], 0, 20);
        Assert.Equal(Enumerable.Range(got[0], 25 - got[0]), got);
    }

    [Fact]
    public async Task Its_place_is_kept_while_it_runs()
    {
        await using var run = await StartAsync(out var reader);
        await run.PublishAsync(0, 3);
        await reader.NextAsync(3);

        var cursors = await store.LoadCursorsAsync(CancellationToken.None);
        await HandlerTests.UntilAsync(() => cursors["handler/indexer"] == store.Sequence);
    }

    [Fact]
    public async Task Parked_it_starts_again_from_the_event_it_failed_at()
    {
        await using (var run = await StartAsync(out var before))
        {
            before.Then = (happened, _) => happened.Data.Number == 3 ? throw new InvalidOperationException("no room") : Task.CompletedTask;
            await run.PublishAsync(0, 10);
            await HandlerTests.ParkedAsync(run, "indexer");
        }

        await using var again = await StartAsync(out var after);
        Assert.Equal(Enumerable.Range(3, 7), await after.NextAsync(7));
    }

    [Fact]
    public async Task What_was_being_handled_when_it_stopped_is_handled_again()
    {
        await using (var run = await StartAsync(out var before))
        {
            before.Then = (happened, cancel) => happened.Data.Number == 1 ? Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancel) : Task.CompletedTask;
            await run.PublishAsync(0, 2);
            await before.NextAsync(2);
        }

        await using var again = await StartAsync(out var after);
        Assert.Equal([1], await after.NextAsync(1));
    }

    [Fact]
    public async Task A_new_one_starts_with_what_comes_next_or_where_it_is_told()
    {
        await using (var before = await BusUnderTest.StartAsync(BusUnderTest.TakesNotes, store))
            await before.PublishAsync(0, 5);
        NoteReader next = new();
        OtherReader all = new();

        await using var run = await BusUnderTest.StartAsync(
            services =>
            {
                BusUnderTest.TakesNotes(services);
                services.AddSingleton(next).AddSingleton(all)
                    .AddEventHandler<NoteTaken, NoteReader>(options => (options.Name, options.Durable) = ("next", true))
                    .AddEventHandler<NoteTaken, OtherReader>(options => (options.Name, options.Durable, options.StartAfter) = ("all", true, 0));
            },
            store);
        await run.PublishAsync(5, 2);

        Assert.Equal([5, 6], await next.NextAsync(2));
        Assert.Equal(Enumerable.Range(0, 7), await all.NextAsync(7));
    }

    [Fact]
    public async Task One_whose_next_event_is_gone_is_parked_and_skipped_goes_on_with_the_oldest_that_is_kept()
    {
        await using (var before = await BusUnderTest.StartAsync(BusUnderTest.TakesNotes, store))
            await before.PublishAsync(0, 10);
        var shortened = DispatchProxy.Create<IStore, ShortenedStore>();
        ((ShortenedStore)(object)shortened).Whole = store;
        var reader = new NoteReader();
        await using var run = await BusUnderTest.StartAsync(
            services =>
            {
                BusUnderTest.TakesNotes(services);
                services.AddSingleton(reader).AddEventHandler<NoteTaken, NoteReader>(options => (options.Name, options.StartAfter) = ("late", 0));
            },
            shortened);

        await HandlerTests.ParkedAsync(run, "late");
        Assert.Equal((0, 1, "Events before 6 are no longer kept."), (run.Status("late").Position, run.Status("late").FailedAt, run.Status("late").LastError));
        Assert.True(run.Bus.Resume("late"));
        await HandlerTests.ParkedAsync(run, "late");
        Assert.True(run.Bus.Skip("late"));

        // The first entry of the log registers the program.
        Assert.Equal(Enumerable.Range(4, 6), await reader.NextAsync(6));
        await HandlerTests.UntilAsync(() => run.Status("late") is { State: HandlerState.Running, Lag: 0 });
    }

    private Task<BusUnderTest> StartAsync(out NoteReader reader)
    {
        var made = reader = new NoteReader();
        return BusUnderTest.StartAsync(
            services =>
            {
                BusUnderTest.TakesNotes(services);
                services.AddSingleton(made).AddEventHandler<NoteTaken, NoteReader>(options => (options.Name, options.Durable, options.Retry) = ("indexer", true, HandlerRetry.None));
            },
            store);
    }

    /// <summary>A log whose first five entries were removed.</summary>
    public class ShortenedStore : DispatchProxy
    {
        public IStore Whole { get; set; } = null!;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => targetMethod!.Name == nameof(IStore.ListEventsAsync)
            ? Whole.ListEventsAsync(Math.Max(5, (long)args![0]!), (int)args[1]!, (CancellationToken)args[2]!)
            : targetMethod.Invoke(Whole, args);
    }
}

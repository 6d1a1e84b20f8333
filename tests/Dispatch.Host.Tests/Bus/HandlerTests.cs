using Dispatch.Events;
using Dispatch.Host.Bus;
using Dispatch.Publishing;
using Microsoft.Extensions.DependencyInjection;

namespace Dispatch.Host.Tests.Bus;

public sealed class HandlerTests
{
    private static readonly HandlerRetry AtOnce = new() { Attempts = 3, Base = TimeSpan.Zero };

    private readonly NoteReader reader = new();
    private readonly OtherReader other = new();

    [Fact]
    public async Task A_handler_gets_every_event_in_order_as_the_object_that_was_published()
    {
        await using var run = await StartAsync(options => options.Name = "reader");
        var note = new NoteTaken(0);
        var published = await run.Bus.PublishAsync(note, "pad", "s-1");
        await run.PublishAsync(1, 199);

        var first = await reader.NextAsync();
        Assert.Same(note, first.Data);
        Assert.Equal((published.Sequence, "note.taken", "notes", "pad", "s-1", "notes", 1), (first.Entry.Sequence, first.Entry.Type, first.Entry.Source, first.Entry.Subject, first.Entry.Session, first.Entry.Actor, first.Attempt));
        Assert.Equal(Enumerable.Range(1, 199), await reader.NextAsync(199));
    }

    [Fact]
    public async Task A_slow_handler_holds_up_neither_publishers_nor_other_handlers()
    {
        var gate = new TaskCompletionSource();
        reader.Then = (_, _) => gate.Task;
        await using var run = await StartAsync(options => options.Name = "slow");

        await run.PublishAsync(0, 50);
        Assert.Equal(Enumerable.Range(0, 50), await other.NextAsync(50));
        Assert.Equal([0], await reader.NextAsync(1));
        Assert.Empty(reader.Rest());
        Assert.Equal((HandlerState.Running, 50L), (run.Status("slow").State, run.Status("slow").Lag));

        gate.SetResult();
        Assert.Equal(Enumerable.Range(1, 49), await reader.NextAsync(49));
    }

    [Fact]
    public async Task Handlers_run_at_the_same_time()
    {
        TaskCompletionSource one = new(), two = new();
        reader.Then = (_, cancel) =>
        {
            one.TrySetResult();
            return two.Task.WaitAsync(cancel);
        };
        other.Then = (_, cancel) =>
        {
            two.TrySetResult();
            return one.Task.WaitAsync(cancel);
        };
        await using var run = await StartAsync(options => options.Name = "reader");

        await run.PublishAsync(0, 2);

        Assert.Equal([0, 1], await reader.NextAsync(2));
        Assert.Equal([0, 1], await other.NextAsync(2));
    }

    [Fact]
    public async Task A_handler_that_blocks_its_thread_holds_up_neither_who_starts_it_nor_the_others()
    {
        using var gate = new ManualResetEventSlim();
        reader.Then = (_, _) =>
        {
            gate.Wait(CancellationToken.None);
            return Task.CompletedTask;
        };
        await using var run = await StartAsync(options => options.Name = "blocks");
        try
        {
            await run.PublishAsync(0, 3);
            Assert.Equal([0, 1, 2], await other.NextAsync(3));
        }
        finally
        {
            gate.Set();
        }
    }

    [Fact]
    public async Task One_that_throws_is_tried_again_then_parked_where_it_failed_while_others_go_on()
    {
        reader.Then = (happened, _) => happened.Data.Number == 2 ? throw new InvalidOperationException("no room") : Task.CompletedTask;
        await using var run = await StartAsync(options => (options.Name, options.Retry) = ("fails", AtOnce));
        await run.PublishAsync(0, 2);
        var failing = await run.Bus.PublishAsync(new NoteTaken(2), "pad");
        await run.PublishAsync(3, 10);

        Assert.Equal([0, 1, 2, 2, 2], await reader.NextAsync(5));
        Assert.Equal(Enumerable.Range(0, 13), await other.NextAsync(13));
        await ParkedAsync(run, "fails");
        Assert.Equal(
            new HandlerStatus("fails", false, HandlerState.Parked, failing.Sequence - 1, 11, failing.Sequence, 3, "InvalidOperationException: no room"),
            run.Status("fails"));
        Assert.Empty(reader.Rest());

        reader.Then = (_, _) => Task.CompletedTask;
        Assert.True(run.Bus.Resume("fails"));
        Assert.Equal(Enumerable.Range(2, 11), await reader.NextAsync(11));
        Assert.False(run.Bus.Resume("fails"));
    }

    [Fact]
    public async Task Resumed_too_early_it_is_parked_again_and_skipped_it_goes_on_behind()
    {
        reader.Then = (happened, _) => happened.Data.Number == 0 ? Task.FromException(new TimeoutException()) : Task.CompletedTask;
        await using var run = await StartAsync(options => (options.Name, options.Retry) = ("fails", HandlerRetry.None));
        await run.PublishAsync(0, 3);
        await ParkedAsync(run, "fails");

        Assert.True(run.Bus.Resume("fails"));
        Assert.Equal([0, 0], await reader.NextAsync(2));
        await ParkedAsync(run, "fails");
        Assert.True(run.Bus.Skip("fails"));

        Assert.Equal([1, 2], await reader.NextAsync(2));
        await UntilAsync(() => run.Status("fails") is { State: HandlerState.Running, Lag: 0, FailedAt: null, LastError: null });
    }

    [Fact]
    public async Task One_that_fails_now_and_then_loses_nothing()
    {
        var attempts = new List<int>();
        reader.Then = (happened, _) =>
        {
            attempts.Add(happened.Attempt);
            return happened.Attempt < 3 ? throw new OperationCanceledException("a time limit of its own") : Task.CompletedTask;
        };
        await using var run = await StartAsync(options => (options.Name, options.Retry) = ("fails", AtOnce));

        await run.PublishAsync(0, 2);

        Assert.Equal([0, 0, 0, 1, 1, 1], await reader.NextAsync(6));
        await UntilAsync(() => run.Status("fails") is { State: HandlerState.Running, Lag: 0 });
        Assert.Equal([1, 2, 3, 1, 2, 3], attempts);
    }

    [Fact]
    public async Task A_predicate_that_throws_parks_its_handler_there()
    {
        await using var run = await StartAsync(options => (options.Name, options.Retry, options.Filter) =
            ("picky", HandlerRetry.None, EventFilter.Custom(happened => happened.Subject == "pad" ? throw new FormatException("odd") : true)));

        var published = await run.Bus.PublishAsync(new NoteTaken(0), "pad");

        await ParkedAsync(run, "picky");
        Assert.Equal((published.Sequence, "FormatException: odd"), (run.Status("picky").FailedAt, run.Status("picky").LastError));
        Assert.Equal([0], await other.NextAsync(1));
    }

    [Fact]
    public async Task A_handler_may_publish()
    {
        await using var run = await BusUnderTest.StartAsync(services =>
        {
            BusUnderTest.TakesNotes(services);
            services.AddSingleton(other).AddEventHandler<NoteTaken, Doubler>().AddEventHandler<NoteTaken, OtherReader>();
        });

        await run.PublishAsync(1, 1);

        Assert.Equal([1, 2, 4, 8], await other.NextAsync(4));
    }

    [Fact]
    public async Task A_handler_of_a_family_gets_all_of_it()
    {
        var seen = new NamesOf<PublisherEvent>();
        await using var run = await BusUnderTest.StartAsync(services => services.AddSingleton(seen).AddEventHandler<PublisherEvent, NamesOf<PublisherEvent>>());

        await run.Sequencer.ExecuteAsync(new RegisterPublisher("crawler", ["memory.updated"], null));
        await run.Sequencer.ExecuteAsync(new RemovePublisher("crawler"));

        Assert.Equal(["publisher.registered crawler", "publisher.removed crawler"], await seen.NextAsync(2));
    }

    [Fact]
    public async Task A_stop_cancels_what_is_handled_and_does_not_wait_for_ever()
    {
        var cancelled = new TaskCompletionSource();
        reader.Then = async (_, cancel) =>
        {
            try
            {
                await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancel);
            }
            finally
            {
                cancelled.SetResult();
            }
        };
        var hangs = new TaskCompletionSource();
        other.Then = (_, _) => hangs.Task;
        await using var run = await StartAsync(options => options.Name = "reader");
        await run.PublishAsync(0, 1);
        await reader.NextAsync(1);
        await other.NextAsync(1);

        await run.Bus.StopAsync(TimeSpan.Zero);

        await cancelled.Task.WaitAsync(BusUnderTest.Patience);
        Assert.Throws<InvalidOperationException>(() => run.Bus.Subscribe(EventFilter.All, (_, _) => Task.CompletedTask));
        hangs.SetResult();
    }

    internal static Task ParkedAsync(BusUnderTest run, string name) => UntilAsync(() => run.Status(name).State == HandlerState.Parked);

    internal static async Task UntilAsync(Func<bool> isSo)
    {
        for (var left = BusUnderTest.Patience.TotalMilliseconds; !isSo(); left--)
        {
            Assert.True(left > 0, "not in time");
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }

    private Task<BusUnderTest> StartAsync(Action<EventHandlerOptions> configure) => BusUnderTest.StartAsync(services =>
    {
        BusUnderTest.TakesNotes(services);
        services.AddSingleton(reader).AddSingleton(other).AddEventHandler<NoteTaken, NoteReader>(configure).AddEventHandler<NoteTaken, OtherReader>();
    });

    private sealed class Doubler(EventBus bus) : IEventHandler<NoteTaken>
    {
        public async Task HandleAsync(EventContext<NoteTaken> happened, CancellationToken cancel)
        {
            if (happened.Data.Number < 8)
                await bus.PublishAsync(new NoteTaken(happened.Data.Number * 2), "pad", id: $"double-{happened.Entry.Sequence}", cancel: cancel);
        }
    }
}

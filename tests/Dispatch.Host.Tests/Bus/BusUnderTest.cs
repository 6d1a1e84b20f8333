using System.Threading.Channels;
using Dispatch.Host.Bus;
using Dispatch.Sequencing;
using Dispatch.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace Dispatch.Host.Tests.Bus;

/// <summary>A bus on a real sequencer, with a store in memory.</summary>
internal sealed class BusUnderTest : ISequencerObserver, IAsyncDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly EventFeed feed;
    private readonly ServiceProvider services;
    private bool isStopped;

    private BusUnderTest(IStore store, Action<IServiceCollection> compose)
    {
        feed = new EventFeed(store);
        Sequencer = new Sequencer(store, new StateOptions(), new SequencerOptions(), TimeProvider.System, new Random(1), this);
        var collection = new ServiceCollection();
        collection.AddSingleton(_ => Bus!);
        compose(collection);
        services = collection.BuildServiceProvider();
        Bus = new EventBus(feed, Sequencer, store, services, TimeProvider.System, NullLogger<EventBus>.Instance);
    }

    public EventBus Bus { get; }

    public Sequencer Sequencer { get; }

    public static async Task<BusUnderTest> StartAsync(Action<IServiceCollection> compose, IStore? store = null)
    {
        var made = new BusUnderTest(store ?? new MemoryStore(), compose);
        await made.Sequencer.StartAsync(CancellationToken.None);
        try
        {
            await made.Bus.StartAsync(CancellationToken.None);
        }
        catch
        {
            await made.DisposeAsync();
            throw;
        }

        return made;
    }

    /// <summary>A program named "notes" that takes notes.</summary>
    public static void TakesNotes(IServiceCollection services) => services.AddEventSource("notes").AddEvent<NoteTaken>("note.taken");

    public async Task PublishAsync(int first, int count)
    {
        for (var n = first; n < first + count; n++)
            await Bus.PublishAsync(new NoteTaken(n), "pad");
    }

    public HandlerStatus Status(string name) => Bus.Handlers.Single(handler => handler.Name == name);

    /// <summary>Stops without a last word to the store, as a crash would.</summary>
    public async Task CrashAsync()
    {
        isStopped = true;
        await Bus.StopAsync(Patience);
        await Sequencer.StopAsync(Patience);
    }

    public async ValueTask DisposeAsync()
    {
        if (!isStopped)
        {
            await CrashAsync();
            await Bus.CloseAsync();
        }

        await services.DisposeAsync();
    }

    public void Committed(ClosedBatch batch, TimeSpan commit) => feed.Append(batch.Batch);

    public void StoreFailed(Exception failure)
    {
    }

    public void Loaded(State state) => feed.Start(state.Sequence);
}

internal sealed record NoteTaken(int Number);

/// <summary>Tells what it gets, then does what the test wants.</summary>
internal class NoteReader : IEventHandler<NoteTaken>
{
    private readonly Channel<EventContext<NoteTaken>> got = Channel.CreateUnbounded<EventContext<NoteTaken>>();

    public Func<EventContext<NoteTaken>, CancellationToken, Task> Then { get; set; } = static (_, _) => Task.CompletedTask;

    public Task HandleAsync(EventContext<NoteTaken> happened, CancellationToken cancel)
    {
        got.Writer.TryWrite(happened);
        return Then(happened, cancel);
    }

    public async Task<EventContext<NoteTaken>> NextAsync() => await got.Reader.ReadAsync().AsTask().WaitAsync(BusUnderTest.Patience);

    public async Task<IEnumerable<int>> NextAsync(int count)
    {
        var numbers = new int[count];
        for (var i = 0; i < count; i++)
            numbers[i] = (await NextAsync()).Data.Number;
        return numbers;
    }

    /// <summary>What it got and nobody asked for.</summary>
    public int[] Rest()
    {
        var rest = new List<int>();
        while (got.Reader.TryRead(out var happened))
            rest.Add(happened.Data.Number);
        return [.. rest];
    }
}

internal sealed class OtherReader : NoteReader;

using System.Collections.Concurrent;
using Dispatch.Api.Tests.Support;
using Dispatch.Events;
using Dispatch.Host;
using Dispatch.Host.Bus;
using Dispatch.Tasks;
using Microsoft.Extensions.DependencyInjection;

namespace Dispatch.Api.Tests.Embedding;

public sealed class EmbeddedBrokerTests
{
    private readonly Seen seen = new();

    [Fact]
    public async Task The_programs_events_are_in_the_one_log_and_go_out_like_any_other()
    {
        await using var broker = await StartAsync();
        var published = await broker.Broker.Events.PublishAsync(new MemoryCreated("fact-1", "The user prefers dark mode"), "fact-1", "s-1", "m-1");

        var told = (await broker.Admin.GetAsync("/api/v1/events?type=memory.created")).Expect(200).Items("events").Single();
        Assert.Equal(("dispatch.memory.created", "/dispatch/default/alexandria", "fact-1", "s-1"), (told.Text("type"), told.Text("source"), told.Text("subject"), told.Text("session")));
        Assert.Equal("""{"id":"m-1","content":{"memory":"fact-1","text":"The user prefers dark mode"}}""", told.GetProperty("data").GetRawText());
        Assert.Equal([published.Sequence], await seen.NumbersAsync("memory.created", 1));
    }

    [Fact]
    public async Task Handlers_follow_the_tasks_of_others()
    {
        await using var broker = await StartAsync();
        var worker = await broker.RegisterAsync("counter", "count");

        var id = await broker.As("alice").SubmitForAsync("count");

        await Eventually.HoldsAsync(() => seen.Tasks.Contains(id), "the task is seen");
        await worker.Api.DeleteAsync("/api/v1/agents/counter");
    }

    [Fact]
    public async Task A_durable_handler_goes_on_over_restarts_and_the_log_stays_sound()
    {
        await using var broker = await StartAsync();
        for (var round = 0; round < 3; round++)
        {
            for (var n = 0; n < 20; n++)
                await broker.Broker.Events.PublishAsync(new MemoryCreated($"fact-{n}", "text"), $"fact-{n}", id: $"{round}-{n}");
            if (round < 2)
                await broker.RestartAsync();
        }

        var repeat = await broker.Broker.Events.PublishAsync(new MemoryCreated("fact-0", "text"), "fact-0", id: "0-0");
        var numbers = await seen.NumbersAsync("memory.created", 60);
        Assert.False(repeat.IsNew);
        Assert.Equal(numbers.Order(), numbers);
        Assert.Equal(60, numbers.Distinct().Count());
        Assert.Equal(repeat.Sequence, numbers[0]);

        // Read from the store alone, as after an update of the program that declares other types.
        var stored = new ConcurrentQueue<long>();
        await broker.StopAsync();
        await using (var plain = await Broker.StartAsync(broker.Config, TimeProvider.System, CancellationToken.None, Stream.Null, compose: services => services.AddSingleton(stored)
            .AddEventHandler<EventData, FromTheStart>(options => options.StartAfter = 0)))
            await Eventually.HoldsAsync(() => stored.Count == 60, "the stored events are seen");
        Assert.Equal(numbers, stored);

        var report = await StoreCheck.RunAsync(broker.Config.Database.FilePath, null, CancellationToken.None);
        Assert.Empty(report.Findings);
        Assert.Equal(0, report.Count);
    }

    [Fact]
    public async Task Nobody_outside_takes_the_programs_name()
    {
        await using var broker = await StartAsync();

        var refused = (await broker.Admin.PutAsync("/api/v1/publishers/alexandria", new { types = new[] { "memory.updated" } })).ExpectProblem(400, "validation");

        Assert.Contains("is the name of the program that the broker runs in", refused.GetRawText(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_parked_handler_shows_in_the_metrics_and_stops_nothing()
    {
        await using var broker = await StartAsync();
        broker.MayLogErrors = true;
        using var failing = broker.Broker.Events.Subscribe<TaskCreated>(EventFilter.All, (_, _) => throw new InvalidOperationException("no room"), "failing", HandlerRetry.None);

        var id = await broker.As("alice").SubmitForAsync("nobody");

        await Eventually.HoldsAsync(() => seen.Tasks.Contains(id), "the other handler goes on");
        await Eventually.HoldsAsync(() => broker.Broker.Events.Handlers.Single(handler => handler.Name == "failing").State == HandlerState.Parked, "it is parked");
        using var http = new HttpClient { BaseAddress = broker.Broker.OperationsUrl };
        var page = await http.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Contains("dispatch_event_handlers{state=\"parked\"} 1\n", page, StringComparison.Ordinal);
        Assert.Contains("dispatch_event_handler_lag{handler=\"failing\"} ", page, StringComparison.Ordinal);
        Assert.Contains("Event handler failing is parked at event ", broker.Log, StringComparison.Ordinal);
    }

    private Task<TestBroker> StartAsync() => TestBroker.StartAsync(compose: services => services
        .AddSingleton(seen)
        .AddEventSource("alexandria")
        .AddEvent<MemoryCreated>("memory.created")
        .AddEventHandler<MemoryCreated, Indexer>(options => (options.Name, options.Durable) = ("indexer", true))
        .AddEventHandler<TaskEvent, TaskBoard>());

    private sealed record MemoryCreated(string Memory, string Text);

    private sealed class Seen
    {
        private readonly ConcurrentQueue<(string Type, long Sequence)> all = [];

        public ConcurrentBag<string> Tasks { get; } = [];

        public void Add(FeedEvent happened) => all.Enqueue((happened.Type, happened.Sequence));

        public Task<long[]> NumbersAsync(string type, int count) => Eventually.GetAsync(
            () => Task.FromResult(all.Where(one => one.Type == type).Select(one => one.Sequence).ToArray()), numbers => numbers.Length >= count, $"{count} of {type} are seen");
    }

    private sealed class Indexer(Seen seen) : IEventHandler<MemoryCreated>
    {
        public Task HandleAsync(EventContext<MemoryCreated> happened, CancellationToken cancel)
        {
            seen.Add(happened.Entry);
            return Task.CompletedTask;
        }
    }

    private sealed class TaskBoard(Seen seen) : IEventHandler<TaskEvent>
    {
        public Task HandleAsync(EventContext<TaskEvent> happened, CancellationToken cancel)
        {
            if (happened.Data is TaskCreated)
                seen.Tasks.Add(happened.Entry.Subject);
            return Task.CompletedTask;
        }
    }

    private sealed class FromTheStart(ConcurrentQueue<long> stored) : IEventHandler<EventData>
    {
        public Task HandleAsync(EventContext<EventData> happened, CancellationToken cancel)
        {
            if (happened.Entry.Type == "memory.created")
                stored.Enqueue(happened.Entry.Sequence);
            return Task.CompletedTask;
        }
    }
}

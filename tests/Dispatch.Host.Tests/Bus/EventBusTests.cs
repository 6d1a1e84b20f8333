using System.Threading.Channels;
using Dispatch.Events;
using Dispatch.Host.Bus;
using Dispatch.Publishing;
using Dispatch.Sequencing;
using Dispatch.Tests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Dispatch.Host.Tests.Bus;

public sealed class EventBusTests
{
    [Fact]
    public async Task Publishing_needs_no_handlers()
    {
        var store = new MemoryStore();
        await using var run = await BusUnderTest.StartAsync(BusUnderTest.TakesNotes, store);

        var published = await run.Bus.PublishAsync(new NoteTaken(7), "pad");

        Assert.Equal((store.Sequence, true), (published.Sequence, published.IsNew));
        Assert.Equal("""{"number":7}""", Assert.IsType<ProgramEvent>(store.Events[^1].Data).Content.ToString());
        Assert.Empty(run.Bus.Handlers);
    }

    [Theory]
    [InlineData("all", "publisher.registered notes, note.taken pad, note.taken book, publisher.registered crawler, publisher.removed crawler")]
    [InlineData("type", "publisher.registered notes, publisher.registered crawler")]
    [InlineData("below", "publisher.registered notes, publisher.registered crawler, publisher.removed crawler")]
    [InlineData("source", "note.taken pad, note.taken book")]
    [InlineData("session", "note.taken book")]
    [InlineData("subject", "note.taken pad, publisher.registered crawler, publisher.removed crawler")]
    [InlineData("custom", "note.taken pad")]
    public async Task A_subscription_gets_what_its_filter_takes(string kind, string expected)
    {
        var store = new MemoryStore();
        var filter = kind switch
        {
            "all" => EventFilter.All,
            "type" => EventFilter.Type("publisher.registered"),
            "below" => EventFilter.Type("publisher.*"),
            "source" => EventFilter.Source("notes"),
            "session" => EventFilter.Session("s-1"),
            "subject" => EventFilter.Subject("pad", "crawler"),
            _ => EventFilter.Custom(happened => happened.Event.Data is ProgramEvent && happened.Session is null),
        };
        NamesOf<EventData> live = new(), stored = new();
        await using (var run = await BusUnderTest.StartAsync(_ => { }, store))
        {
            // Declared names are only known where they are declared.
            using var subscription = run.Bus.Subscribe<EventData>(filter, live.HandleAsync);
            await PublishAllAsync(run.Sequencer);
            Assert.Equal(expected.Split(", "), await live.NextAsync(expected.Split(", ").Length));
        }

        await using var again = await BusUnderTest.StartAsync(
            services => services.AddSingleton(stored).AddEventHandler<EventData, NamesOf<EventData>>(options => (options.Filter, options.StartAfter) = (filter, 0)), store);
        Assert.Equal(expected.Split(", "), await stored.NextAsync(expected.Split(", ").Length));
    }

    [Fact]
    public async Task A_typed_subscription_reads_stored_events_as_they_were()
    {
        var store = new MemoryStore();
        await using (var before = await BusUnderTest.StartAsync(BusUnderTest.TakesNotes, store))
            await before.Bus.PublishAsync(new NoteTaken(42), "pad", id: "n-42");
        var reader = new NoteReader();
        await using var run = await BusUnderTest.StartAsync(
            services =>
            {
                BusUnderTest.TakesNotes(services);
                services.AddSingleton(reader).AddEventHandler<NoteTaken, NoteReader>(options => options.StartAfter = 0);
            },
            store);

        var happened = await reader.NextAsync();

        Assert.Equal((new NoteTaken(42), "note.taken", "notes"), (happened.Data, happened.Entry.Type, happened.Entry.Source));
        Assert.False(happened.Entry.IsInternal);
        Assert.Same(happened.Data, ((ProgramEvent)happened.Entry.Event.Data).Read<NoteTaken>(null!));
    }

    [Fact]
    public async Task A_disposed_subscription_gets_nothing_more_and_its_name_is_free()
    {
        await using var run = await BusUnderTest.StartAsync(BusUnderTest.TakesNotes);
        NoteReader gone = new(), stays = new();
        var first = run.Bus.Subscribe<NoteTaken>(EventFilter.All, gone.HandleAsync, "reader");
        Assert.Contains("'reader'", Assert.Throws<ArgumentException>(() => run.Bus.Subscribe<NoteTaken>(EventFilter.All, stays.HandleAsync, "reader")).Message, StringComparison.Ordinal);
        await run.PublishAsync(0, 1);
        Assert.Equal([0], await gone.NextAsync(1));

        first.Dispose();
        using var second = run.Bus.Subscribe<NoteTaken>(EventFilter.All, stays.HandleAsync, "reader");
        first.Dispose();
        await run.PublishAsync(1, 2);

        Assert.Equal([1, 2], await stays.NextAsync(2));
        Assert.Empty(gone.Rest());
        Assert.Equal(["reader"], run.Bus.Handlers.Select(handler => handler.Name));
    }

    [Fact]
    public async Task An_id_is_used_once()
    {
        var store = new MemoryStore();
        var reader = new NoteReader();
        await using var run = await BusUnderTest.StartAsync(BusUnderTest.TakesNotes, store);
        using var subscription = run.Bus.Subscribe<NoteTaken>(EventFilter.All, reader.HandleAsync);
        var first = await run.Bus.PublishAsync(new NoteTaken(1), "pad", id: "n-1");

        var repeat = await run.Bus.PublishAsync(new NoteTaken(1), "pad", id: "n-1");
        Assert.Equal((first.Sequence, false), (repeat.Sequence, repeat.IsNew));
        var refused = await Assert.ThrowsAsync<ArgumentException>(() => run.Bus.PublishAsync(new NoteTaken(2), "pad", id: "n-1"));
        Assert.StartsWith($"id: 'n-1' was used for another event, number {first.Sequence}. Use a new id for a new event.", refused.Message, StringComparison.Ordinal);
        await run.PublishAsync(3, 1);

        Assert.Equal([1, 3], await reader.NextAsync(2));
        Assert.Equal(first.Sequence + 1, store.Sequence);
    }

    [Fact]
    public async Task What_can_not_be_published_is_refused_with_its_name_value_and_remedy()
    {
        await using var run = await BusUnderTest.StartAsync(services => services.AddEventSource("notes").AddEvent<Tagged>("note.tagged"));

        await RefusedAsync<InvalidOperationException>(
            () => run.Bus.PublishAsync(new NoteTaken(1), "pad"),
            "TEvent: NoteTaken is no event of Dispatch, and was not declared. Add services.AddEvent<NoteTaken>(\"some.name\") where the broker is started.");
        await RefusedAsync<ArgumentException>(() => run.Bus.PublishAsync(new Tagged(""), " "), "subject: ' ' must be one name of 1 to 256 printable characters.");
        await RefusedAsync<ArgumentException>(() => run.Bus.PublishAsync(new Tagged(""), "pad", session: "a\nb"), "session: 'a\nb' must be");
        await RefusedAsync<ArgumentException>(() => run.Bus.PublishAsync(new Tagged(""), "pad", id: ""), "id: '' must be");
        await RefusedAsync<ArgumentException>(() => run.Bus.PublishAsync(new Tagged(new string('x', 70_000)), "pad"), "happened: is 70010 bytes as JSON; at most 65536 are allowed.");
        await run.Sequencer.ExecuteAsync(new RemovePublisher("notes"));
        await RefusedAsync<InvalidOperationException>(() => run.Bus.PublishAsync(new Tagged(""), "pad"), "'notes' was removed from the publishers by an administrator.");
    }

    [Fact]
    public async Task What_names_nothing_is_refused_with_what_may_have_been_meant()
    {
        await using var run = await BusUnderTest.StartAsync(BusUnderTest.TakesNotes);

        Refused<InvalidOperationException>(() => run.Bus.Subscribe(EventFilter.Type("task.complted"), (_, _) => Task.CompletedTask), "subscription-1: Filter.Types: 'task.complted' is no type of event. Did you mean 'task.completed'?");
        Refused<InvalidOperationException>(() => run.Bus.Subscribe(EventFilter.Type("note.takn"), (_, _) => Task.CompletedTask, "one"), "one: Filter.Types: 'note.takn' is no type of event. Did you mean 'note.taken'?");
        Refused<InvalidOperationException>(() => run.Bus.Subscribe<Tagged>(EventFilter.All, (_, _) => Task.CompletedTask), "TEvent: Tagged is no event of Dispatch");
        Refused<ArgumentException>(() => run.Bus.Subscribe(EventFilter.All, (_, _) => Task.CompletedTask, "\t"), "Name: '\t' must be one name");
        Refused<ArgumentException>(() => run.Bus.Subscribe(EventFilter.All, (_, _) => Task.CompletedTask, "one", new HandlerRetry { Attempts = 0 }), "Retry.Attempts: 0 is not allowed; it must be 1 to 1000.");
        using var there = run.Bus.Subscribe(EventFilter.All, (_, _) => Task.CompletedTask, "there");
        Refused<ArgumentException>(() => run.Bus.Resume("their"), "name: there is no handler 'their'. EventBus.Handlers lists them: there.");
    }

    [Theory]
    [InlineData("Note.Taken", "name: 'Note.Taken' must be two or more lower-case words with dots between, as in 'memory.created'.")]
    [InlineData("note", "name: 'note' must be two or more lower-case words")]
    [InlineData("note.taken\n", "name: 'note.taken\n' must be two or more")]
    [InlineData("memory.updated", "name: 'memory.updated' is an event of Dispatch. Choose another name.")]
    [InlineData("task.noted", "name: 'task.noted' begins with a word that Dispatch keeps for its own events. Begin with another, as in 'my_task.noted'.")]
    [InlineData("question.noted", "name: 'question.noted' begins with a word")]
    public void A_type_has_a_name_of_its_own(string name, string problem) => Refused<ArgumentException>(() => new ServiceCollection().AddEvent<NoteTaken>(name), problem);

    [Fact]
    public void Options_are_checked_when_they_are_given()
    {
        var services = new ServiceCollection();

        Refused<ArgumentException>(() => services.AddEventHandler<NoteTaken, NoteReader>(options => options.Durable = true), "Name: is missing. The durable handler NoteReader keeps its place in the log under it;");
        Refused<ArgumentException>(() => services.AddEventHandler<NoteTaken, NoteReader>(options => options.StartAfter = -1), "StartAfter: -1 is not allowed; it must be 0 or more, or null for what comes next.");
        Refused<ArgumentException>(() => services.AddEventHandler<NoteTaken, NoteReader>(options => options.Retry = new HandlerRetry { Base = TimeSpan.FromMinutes(1) }), "Retry.Base: 00:01:00 is not allowed; it must be 0 to Retry.Cap (00:00:30).");
        Refused<ArgumentException>(() => services.AddEventSource("tasks"), "source: 'tasks' is the name of a part of the broker. Choose the program's own name.");
        Refused<ArgumentException>(() => services.AddEvent<PublisherRemoved>("note.removed"), "TEvent: PublisherRemoved is an event of Dispatch, and needs no declaration.");
        Refused<ArgumentException>(() => services.AddEvent<string>("note.text"), "TEvent: String is not written as a JSON object.");
    }

    [Fact]
    public async Task Declarations_that_contradict_each_other_stop_the_start()
    {
        await NotStartedAsync(services => services.AddEvent<NoteTaken>("note.taken"), "AddEventSource: is missing, and 'note.taken' is declared.");
        await NotStartedAsync(services => services.AddEventSource("a").AddEventSource("b"), "AddEventSource: the program is named 'a' and 'b'.");
        await NotStartedAsync(services => services.AddEventSource("a").AddEvent<NoteTaken>("note.taken").AddEvent<Tagged>("note.taken"), "AddEvent: 'note.taken' is declared for NoteTaken and for Tagged.");
        await NotStartedAsync(services => services.AddEventSource("a").AddEvent<NoteTaken>("note.taken").AddEvent<NoteTaken>("note.made"), "AddEvent: NoteTaken is declared as 'note.taken' and as 'note.made'.");
        await NotStartedAsync(services => services.AddEventHandler<NoteTaken, NoteReader>(), "TEvent: NoteTaken is no event of Dispatch, and was not declared.");
        await NotStartedAsync(
            services =>
            {
                BusUnderTest.TakesNotes(services);
                services.AddEventHandler<NoteTaken, NoteReader>(options => options.Name = "reader").AddEventHandler<NoteTaken, OtherReader>(options => options.Name = "reader");
            },
            "Name: 'reader' is the name of two event handlers.");
    }

    [Fact]
    public async Task A_program_does_not_take_the_name_of_a_publisher_outside()
    {
        var store = new MemoryStore();
        await using (var before = await BusUnderTest.StartAsync(_ => { }, store))
            await before.Sequencer.ExecuteAsync(new RegisterPublisher("notes", ["memory.updated"], null));

        await NotStartedAsync(BusUnderTest.TakesNotes, "AddEventSource: 'notes' is a publisher outside the program.", store);
    }

    private static async Task PublishAllAsync(Sequencer sequencer)
    {
        await sequencer.ExecuteAsync(new RegisterPublisher("notes", ["note.taken"], null));
        foreach (var (subject, session) in ((string, string?)[])[("pad", null), ("book", "s-1")])
        {
            var note = new ProgramEvent(ProgramEvent.KindOf("note.taken"), subject, JsonBytes.EmptyObject, null);
            await sequencer.ExecuteAsync(new PublishEvents([new NewOutsideEvent(note, subject, session)], new PublishedFacts(long.MaxValue, new Dictionary<string, PublishedRow>())) { Caller = "notes" });
        }

        await sequencer.ExecuteAsync(new RegisterPublisher("crawler", ["memory.updated"], null));
        await sequencer.ExecuteAsync(new RemovePublisher("crawler"));
    }

    private static async Task NotStartedAsync(Action<IServiceCollection> compose, string problem, IStore? store = null)
    {
        var refused = await Assert.ThrowsAsync<BrokerStartException>(() => BusUnderTest.StartAsync(compose, store));
        Assert.StartsWith(problem, refused.Message, StringComparison.Ordinal);
    }

    private static void Refused<T>(Action act, string problem)
        where T : Exception => Assert.StartsWith(problem, Assert.Throws<T>(act).Message, StringComparison.Ordinal);

    private static async Task RefusedAsync<T>(Func<Task> act, string problem)
        where T : Exception => Assert.StartsWith(problem, (await Assert.ThrowsAsync<T>(act)).Message, StringComparison.Ordinal);

    private sealed record Tagged(string Tag);
}

/// <summary>Tells types and subjects of what it gets.</summary>
internal sealed class NamesOf<T> : IEventHandler<T>
    where T : class
{
    private readonly Channel<string> got = Channel.CreateUnbounded<string>();

    public Task HandleAsync(EventContext<T> happened, CancellationToken cancel) => got.Writer.WriteAsync($"{happened.Entry.Type} {happened.Entry.Subject}", cancel).AsTask();

    public async Task<IEnumerable<string>> NextAsync(int count)
    {
        var names = new string[count];
        for (var i = 0; i < count; i++)
            names[i] = await got.Reader.ReadAsync().AsTask().WaitAsync(BusUnderTest.Patience);
        return names;
    }
}

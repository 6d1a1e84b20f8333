using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Tasks;

namespace Dispatch.Tests.Events;

public sealed class EventFilterTests
{
    private static readonly FeedEvent Started = Of(new TaskStarted("a-1", 1), "s-1");

    [Theory]
    [InlineData("task.started", true)]
    [InlineData("task.*", true)]
    [InlineData("*", true)]
    [InlineData("task.start", false)]
    [InlineData("task", false)]
    [InlineData("tas.*", false)]
    [InlineData("agent.*", false)]
    [InlineData("Task.started", false)]
    public void A_type_is_taken_exactly_or_by_what_it_is_below(string pattern, bool taken) =>
        Assert.Equal(taken, new EventFilter { Types = ["agent.offline", pattern] }.Takes(Started));

    [Theory]
    [InlineData(null, null, null, true)]
    [InlineData("tasks", "t-1", "s-1", true)]
    [InlineData("agents", null, null, false)]
    [InlineData(null, "t-2", null, false)]
    [InlineData(null, null, "s-2", false)]
    [InlineData("tasks", "t-1", "s-2", false)]
    public void Each_list_that_is_given_must_hold(string? source, string? subject, string? session, bool taken) => Assert.Equal(taken, new EventFilter
    {
        Sources = source is null ? [] : [source],
        Subjects = subject is null ? [] : [subject],
        Sessions = session is null ? [] : [session],
    }.Takes(Started));

    [Fact]
    public void A_predicate_is_asked_last_and_must_hold_too()
    {
        var asked = new List<long>();
        var filter = EventFilter.Custom(happened =>
        {
            asked.Add(happened.Sequence);
            return happened.Event.Data is TaskStarted;
        });

        Assert.True(filter.Takes(Started));
        Assert.False((filter with { Sources = ["agents"] }).Takes(Started));
        Assert.Single(asked);
        Assert.True((EventFilter.Type("task.*") with { Sessions = ["s-1"] }).Takes(Started));
        Assert.False(EventFilter.Subject("t-2").Takes(Started));
        Assert.False(EventFilter.Session("s-2").Takes(Started));
        Assert.True(EventFilter.Source("tasks").Takes(Started));
    }

    [Theory]
    [InlineData("s-1", true, true, true)]
    [InlineData("s-2", true, false, true)]
    [InlineData(null, true, false, true)]
    public void Who_sees_an_event_of_a_session(string? session, bool owner, bool guestOfOne, bool system)
    {
        var happened = Of(new TaskStarted("a-1", 1), session);

        Assert.Equal((owner, guestOfOne, system), (EventSight.Owner.Sees(happened), EventSight.Guest("s-1").Sees(happened), EventSight.System.Sees(happened)));
    }

    [Theory]
    [InlineData("s-1")]
    [InlineData(null)]
    public void What_is_internal_is_seen_by_the_broker_alone(string? session)
    {
        var made = Of(new TokenCreated("hash", "a-1", null, null), session);
        var unknown = new FeedEvent(new LogEntry(1, 1, "later.thing", "later", "x", session, "system", 0, 0, JsonBytes.EmptyObject, new byte[32]), null);

        Assert.All([made, unknown], happened =>
            Assert.Equal((false, false, true), (EventSight.Owner.Sees(happened), EventSight.Guest("s-1").Sees(happened), EventSight.System.Sees(happened))));
    }

    [Fact]
    public void Nobody_by_default_sees_anything_of_a_session_that_is_not_named() =>
        Assert.False(EventSight.Guest("").Sees(Of(new TaskStarted("a-1", 1), null)));

    [Fact]
    public void The_envelope_is_a_cloud_event_whether_it_comes_from_memory_or_from_the_store()
    {
        var happened = new DispatchEvent(7, 1_790_000_000_123, "t-1", "s-1", "a-1", 6, 5, new TaskStarted("a-1", 1));
        var entry = Dispatch.Sequencing.EventTexts.Of([happened], new HashChain(HashChain.Start)).Entry(happened, 0);

        const string expected = """{"specversion":"1.0","id":"default/7","source":"/dispatch/default/tasks","type":"dispatch.task.started","time":"2026-09-21T14:13:20.123Z","subject":"t-1","datacontenttype":"application/json","sequence":"7","session":"s-1","actor":"a-1","causedby":"6","data":{"agent":"a-1","attempt":1}}""";
        Assert.Equal(expected, System.Text.Encoding.UTF8.GetString(new FeedEvent(happened).CloudEvent("default")));
        Assert.Equal(expected, System.Text.Encoding.UTF8.GetString(new FeedEvent(entry, happened.Data.Kind).CloudEvent("default")));
        Assert.Equal(happened, new FeedEvent(entry, happened.Data.Kind).Event);
    }

    private static FeedEvent Of(EventData data, string? session) => new(new DispatchEvent(1, 1, "t-1", session, "a-1", 0, 0, data));
}

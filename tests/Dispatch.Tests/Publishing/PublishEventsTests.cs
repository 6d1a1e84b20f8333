using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Sequencing;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Publishing;

public sealed class PublishEventsTests
{
    private readonly CoreRun run = new(new StateOptions { RecentKept = 4 });

    [Fact]
    public async Task They_are_in_the_log_as_their_publishers()
    {
        Register("crawler");

        var accepted = Assert.IsType<PublishOutcome.Accepted>(Publish("crawler", Event("e-1"), Event("e-2")));

        Assert.Equal([new PublishedEvent("e-1", 2, true), new PublishedEvent("e-2", 3, true)], accepted.Events);
        Assert.Equal(("tool.executed", "crawler", "crawler", "grep", "s"), Told(run.Store.Events[1]));
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task A_repeat_is_the_first_event_also_when_it_left_memory_and_after_a_restart()
    {
        Register("crawler");
        Publish("crawler", Event("first"));
        for (var n = 0; n < 10; n++)
            Publish("crawler", Event($"e-{n}"));

        PublishedEvent[] repeat = [new PublishedEvent("first", 2, false)];
        Assert.Equal(repeat, Assert.IsType<PublishOutcome.Accepted>(Publish("crawler", Event("first"))).Events);
        Assert.Equal(12, run.Store.Sequence);
        run.Restart();
        Assert.Equal(repeat, Assert.IsType<PublishOutcome.Accepted>(Publish("crawler", Event("first"))).Events);
        Assert.Equal(12, run.Store.Sequence);
        await run.CheckStoreAsync();
    }

    [Fact]
    public void A_repeat_within_the_batch_of_the_first_is_known()
    {
        Register("crawler");
        var facts = run.Store.Published("crawler", ["e"]);
        var first = run.Take(new PublishEvents([Event("e")], facts) { Caller = "crawler" });
        var second = run.Take(new PublishEvents([Event("e")], facts) { Caller = "crawler" });
        run.Close();

        Assert.True(Assert.IsType<PublishOutcome.Accepted>(first.Outcome).Events[0].IsNew);
        Assert.False(Assert.IsType<PublishOutcome.Accepted>(second.Outcome).Events[0].IsNew);
    }

    [Fact]
    public void Facts_from_before_what_memory_holds_are_read_again()
    {
        Register("crawler");
        var early = run.Store.Published("crawler", ["first"]);
        Publish("crawler", Event("first"));
        for (var n = 0; n < 10; n++)
            Publish("crawler", Event($"e-{n}"));

        Assert.IsType<PublishOutcome.NeedsFacts>(run.Run(new PublishEvents([Event("first")], early) { Caller = "crawler" }));
    }

    [Theory]
    [InlineData("subject")]
    [InlineData("session")]
    [InlineData("type")]
    [InlineData("content")]
    public void The_same_id_with_something_else_takes_nothing(string changed)
    {
        Register("crawler");
        Publish("crawler", Event("e"));
        var other = changed switch
        {
            "subject" => Event("e") with { Subject = "sed" },
            "session" => new NewOutsideEvent(Event("e").Data, "grep", null),
            "type" => new NewOutsideEvent(new MemoryUpdated("e", JsonBytes.Parse("{\"n\":1}")), "grep", "s"),
            _ => new NewOutsideEvent(new ToolExecuted("e", JsonBytes.Parse("{\"n\":2}")), "grep", "s"),
        };
        other = new NewOutsideEvent(other.Data, other.Subject, other.Session);

        Assert.Equal(new PublishOutcome.Mismatch(1, 2), Publish("crawler", Event("new"), other));
        Assert.Equal(2, run.Store.Sequence);
    }

    [Fact]
    public void Publishers_do_not_share_their_ids()
    {
        Register("crawler");
        Register("watcher");
        Publish("crawler", Event("e"));

        Assert.True(Assert.IsType<PublishOutcome.Accepted>(Publish("watcher", Event("e"))).Events[0].IsNew);
    }

    [Fact]
    public async Task Only_what_one_is_registered_for_is_taken()
    {
        Assert.IsType<PublishOutcome.NotRegistered>(Publish("crawler", Event("e")));
        run.Run(new RegisterPublisher("crawler", ["memory.updated"], null) { ByAdmin = true });
        Assert.Equal("type", Assert.IsType<PublishOutcome.NotAllowed>(Publish("crawler", Event("e"))).Member);
        run.Run(new RegisterPublisher("crawler", ["tool.executed"], "other") { ByAdmin = true });
        Assert.Equal("session", Assert.IsType<PublishOutcome.NotAllowed>(Publish("crawler", Event("e"))).Member);
        run.Run(new RegisterPublisher("crawler", ["tool.executed"], "s") { ByAdmin = true });
        Assert.IsType<PublishOutcome.Accepted>(Publish("crawler", Event("e")));
        Assert.NotNull(run.Run(new RemovePublisher("crawler") { ByAdmin = true }));
        Assert.IsType<PublishOutcome.NotRegistered>(Publish("crawler", Event("e")));
        Assert.Null(run.Run(new RemovePublisher("crawler") { ByAdmin = true }));
        await run.CheckStoreAsync();
    }

    [Fact]
    public void The_same_registration_again_changes_nothing()
    {
        Assert.True(Register("crawler").IsNew);
        Assert.False(Register("crawler").IsNew);
        Assert.Single(run.Store.Events);
    }

    private static (string, string, string, string, string?) Told(DispatchEvent happened) =>
        (happened.Type, happened.Source, happened.Actor, happened.Subject, happened.Session);

    private static NewOutsideEvent Event(string id) => new(new ToolExecuted(id, JsonBytes.Parse("{\"n\":1}")), "grep", "s");

    private RegisteredPublisher Register(string id) => run.Run(new RegisterPublisher(id, ["memory.updated", "tool.executed"], null) { ByAdmin = true });

    private PublishOutcome Publish(string publisher, params NewOutsideEvent[] events) =>
        run.Run(new PublishEvents(events, run.Store.Published(publisher, events.Select(happened => happened.Data.Id))) { Caller = publisher });
}

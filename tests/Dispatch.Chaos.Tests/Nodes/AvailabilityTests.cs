using Dispatch.Chaos.Nodes;

namespace Dispatch.Chaos.Tests.Nodes;

public sealed class AvailabilityTests
{
    [Fact]
    public void All_are_back_once_each_answered_what_it_was_asked_since()
    {
        var availability = new Availability(nodes: 2);
        availability.Note(0, askedAtUs: 100, answeredAtUs: 110);
        Assert.False(availability.HaveAllSince(100));

        // Asked before: the answer says nothing of how things are since.
        availability.Note(1, askedAtUs: 99, answeredAtUs: 120);
        Assert.False(availability.HaveAllSince(100));

        availability.Note(1, askedAtUs: 121, answeredAtUs: 130);
        Assert.True(availability.HaveAllSince(100));
    }

    [Fact]
    public void A_gap_is_the_longest_time_without_an_answer_of_any_node()
    {
        var availability = new Availability(nodes: 2);
        availability.Note(1, 0, 5_000);
        availability.Note(0, 0, 1_000);
        availability.Note(0, 0, 9_500);

        Assert.Equal(TimeSpan.FromMilliseconds(4.5), availability.LongestGap(0, 10_000));
        Assert.Equal(TimeSpan.FromMilliseconds(4), availability.LongestGap(2_000, 9_000));
    }

    [Fact]
    public void Without_an_answer_all_of_the_time_is_a_gap() =>
        Assert.Equal(TimeSpan.FromMilliseconds(8), new Availability(nodes: 3).LongestGap(2_000, 10_000));
}

using Dispatch.Webhooks;

namespace Dispatch.Tests.Webhooks;

public sealed class RetryScheduleTests
{
    [Theory]
    [InlineData(1, 5_000)]
    [InlineData(2, 10_000)]
    [InlineData(3, 20_000)]
    [InlineData(9, 1_280_000)]
    [InlineData(10, 1_800_000)]
    [InlineData(500, 1_800_000)]
    public void Delays_double_to_half_an_hour_with_full_jitter(int failures, long bound)
    {
        var random = new Random(7);
        var delays = Enumerable.Range(0, 2_000).Select(_ => RetrySchedule.DelayMs(failures, null, random)).ToList();

        Assert.All(delays, delay => Assert.InRange(delay, RetrySchedule.LeastMs, bound));
        Assert.InRange(delays.Max(), bound * 95 / 100, bound);
        Assert.InRange(delays.Average(), (bound + RetrySchedule.LeastMs) / 2.0 * 0.93, (bound + RetrySchedule.LeastMs) / 2.0 * 1.07);
    }

    [Fact]
    public void A_receiver_may_ask_for_more_as_far_as_an_hour()
    {
        Assert.Equal(60_000, RetrySchedule.DelayMs(1, 60_000, new Random(1)));
        Assert.Equal(3_600_000, RetrySchedule.DelayMs(1, 86_400_000, new Random(1)));
        Assert.InRange(RetrySchedule.DelayMs(1, -5, new Random(1)), 1_000, 5_000);
    }

    [Fact]
    public void It_is_over_after_a_day()
    {
        Assert.False(RetrySchedule.IsOver(1_000, 86_400_999));
        Assert.True(RetrySchedule.IsOver(1_000, 86_401_000));
    }
}

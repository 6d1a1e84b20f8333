using Dispatch.Host.Http;

namespace Dispatch.Host.Tests.Http;

public sealed class TaskTimesTests
{
    [Theory]
    [InlineData(2499)]
    [InlineData(1)]
    [InlineData(0)]
    public void Every_quantile_of_one_sample_is_that_sample(long ms)
    {
        var times = new TaskTimes();
        times.Queued(ms);

        Assert.Equal(new TimeSummary(1, ms, ms, ms, ms), times.Read().Queued);
    }

    [Fact]
    public void Quantiles_are_near_the_truth_and_within_what_was_seen()
    {
        var times = new TaskTimes();
        for (var ms = 1; ms <= 1000; ms++)
            times.Queued(ms);

        var (_, average, p50, p95, p99) = times.Read().Queued;

        Assert.Equal(500.5, average);
        Assert.InRange(p50, 475, 525);
        Assert.InRange(p95, 902, 998);
        Assert.InRange(p99, 940, 1000);
    }
}

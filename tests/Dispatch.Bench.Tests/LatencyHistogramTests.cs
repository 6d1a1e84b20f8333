using Dispatch.Bench.Measuring;

namespace Dispatch.Bench.Tests;

public sealed class LatencyHistogramTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(127)]
    [InlineData(128)]
    [InlineData(1_000_000)]
    [InlineData(123_456_789)]
    [InlineData(long.MaxValue)]
    public void A_duration_comes_back_within_a_hundredth(long nanoseconds)
    {
        var histogram = new LatencyHistogram();
        histogram.RecordNs(nanoseconds);

        // A longer one, so that the answer is the bucket's and not the exact maximum.
        histogram.RecordNs(long.MaxValue);

        Assert.InRange(histogram.PercentileMs(50) * 1e6, nanoseconds * 0.9999, nanoseconds * 1.01);
    }

    [Fact]
    public void Percentiles_are_those_of_the_sorted_list()
    {
        var random = new Random(7);
        var values = Enumerable.Range(0, 20_000).Select(_ => (long)Math.Exp(random.NextDouble() * 20)).ToList();
        var histogram = new LatencyHistogram();
        foreach (var value in values)
            histogram.RecordNs(value);

        values.Sort();
        foreach (var percent in new[] { 0.1, 10, 50, 90, 99, 99.9, 100 })
        {
            var exact = values[(int)Math.Ceiling(values.Count * percent / 100) - 1];
            Assert.InRange(histogram.PercentileMs(percent) * 1e6, exact * 0.9999, (exact * 1.01) + 1);
        }

        Assert.Equal(values[^1], histogram.MaximumNs);
    }

    [Fact]
    public void Nothing_recorded_is_no_number()
    {
        var histogram = new LatencyHistogram();
        histogram.RecordNs(5);
        histogram.Clear();

        Assert.Equal(double.NaN, histogram.PercentileMs(50));
    }
}

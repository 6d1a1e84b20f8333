using Dispatch.Bench.Reporting;

namespace Dispatch.Bench.Tests;

public sealed class MeasureTests
{
    [Theory]
    [InlineData("/s", 24_999, 25_000, 50_000, "BELOW MUST")]
    [InlineData("/s", 25_000, 25_000, 50_000, "meets must")]
    [InlineData("/s", 50_000, 25_000, 50_000, "reaches aim")]
    [InlineData("ms", 1.1, 1.0, 0.6, "BELOW MUST")]
    [InlineData("ms", 1.0, 1.0, 0.6, "meets must")]
    [InlineData("ms", 0.6, 1.0, 0.6, "reaches aim")]
    [InlineData("ms", double.NaN, 1.0, 0.6, "BELOW MUST")]
    public void Rates_must_be_high_and_everything_else_low(string unit, double value, double must, double aim, string verdict) =>
        Assert.Equal(verdict, new Measure("row", "what", value, unit) { Must = must, Aim = aim }.Verdict);

    [Fact]
    public void A_number_without_a_promise_has_no_verdict() => Assert.Equal("", new Measure("row", "what", 1, "ms").Verdict);

    [Fact]
    public void A_number_that_says_little_is_not_judged() =>
        Assert.Equal("not judged: only 10 tasks", new Measure("row", "what", 1, "MiB") { Must = 2, NotJudged = "only 10 tasks" }.Verdict);

    [Fact]
    public void The_ratio_is_to_the_bare_endpoint() =>
        Assert.Equal(0.5, new Measure("row", "what", 40_000, "/s") { Bare = 80_000 }.RatioToBare);
}

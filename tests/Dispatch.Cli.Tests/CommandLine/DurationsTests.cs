using Dispatch.Cli.CommandLine;

namespace Dispatch.Cli.Tests.CommandLine;

public sealed class DurationsTests
{
    [Theory]
    [InlineData("500ms", 500)]
    [InlineData("30s", 30_000)]
    [InlineData("5m", 300_000)]
    [InlineData("1h30m", 5_400_000)]
    [InlineData("2d", 172_800_000)]
    [InlineData("1.5s", 1_500)]
    [InlineData("0s", 0)]
    public void Durations_are_numbers_with_units(string text, long milliseconds)
    {
        Assert.True(Durations.TryParse(text, out var duration));
        Assert.Equal(milliseconds, duration.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("30")]
    [InlineData("s")]
    [InlineData("-5s")]
    [InlineData("5 s")]
    [InlineData("5x")]
    [InlineData("99999999999d")]
    public void What_could_mean_anything_is_refused(string text) => Assert.False(Durations.TryParse(text, out _));

    [Theory]
    [InlineData(0.35, "0.4ms")]
    [InlineData(850, "850ms")]
    [InlineData(12_340, "12.3s")]
    [InlineData(245_000, "4m05s")]
    [InlineData(12_000_000, "3h20m")]
    [InlineData(187_200_000, "2d4h")]
    [InlineData(-2000, "-2.0s")]
    public void They_are_shown_in_the_two_units_that_matter(double milliseconds, string shown) =>
        Assert.Equal(shown, Durations.Show(TimeSpan.FromMilliseconds(milliseconds)));
}

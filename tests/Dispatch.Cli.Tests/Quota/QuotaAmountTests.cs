using Dispatch.Cli.Quota;

namespace Dispatch.Cli.Tests.Quota;

public sealed class QuotaAmountTests
{
    [Theory]
    [InlineData("12.50", "money", 12_500_000)]
    [InlineData("0.000001", "money", 1)]
    [InlineData("5", "money", 5_000_000)]
    [InlineData("0.1", "money", 100_000)]
    [InlineData("9007199254.740991", "money", 9_007_199_254_740_991)]
    [InlineData("0", "tokens", 0)]
    [InlineData("9007199254740991", "tokens", 9_007_199_254_740_991)]
    [InlineData("30m", "job_ms", 1_800_000)]
    [InlineData("1500", "cooldown_ms", 1_500)]
    public void An_amount_is_read_exactly(string text, string unit, long amount)
    {
        Assert.True(QuotaAmount.TryParse(text, unit, out var read, out _));
        Assert.Equal(amount, read);
    }

    [Theory]
    [InlineData("1.2345678", "money")]
    [InlineData("1.", "money")]
    [InlineData(".5", "money")]
    [InlineData("1.2.3", "money")]
    [InlineData("-1", "money")]
    [InlineData("1e3", "money")]
    [InlineData("1,5", "money")]
    [InlineData("9007199254.740992", "money")]
    [InlineData("99999999999999999999999999999999999999999999", "money")]
    [InlineData("1.5", "tokens")]
    [InlineData("9007199254740992", "tokens")]
    [InlineData("", "tokens")]
    [InlineData("30m", "tokens")]
    [InlineData("soon", "job_ms")]
    public void What_is_no_amount_is_refused(string text, string unit)
    {
        Assert.False(QuotaAmount.TryParse(text, unit, out _, out var fault));
        Assert.Contains($"'{text}' is no amount", fault, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(12_500_000, "money", "12.50 money")]
    [InlineData(1_234_567_000_001, "money", "1,234,567.000001 money")]
    [InlineData(5_000_000, "tokens", "5,000,000 tokens")]
    [InlineData(1, "pull_requests", "1 pull request")]
    [InlineData(1, "tokens_in", "1 tokens in")]
    [InlineData(1_800_000, "job_ms", "30m00s")]
    public void An_amount_is_shown_as_people_write_it(long amount, string unit, string shown) => Assert.Equal(shown, QuotaAmount.Show(amount, unit));
}

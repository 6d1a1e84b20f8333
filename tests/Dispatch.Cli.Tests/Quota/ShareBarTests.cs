using Dispatch.Cli.Quota;

namespace Dispatch.Cli.Tests.Quota;

public sealed class ShareBarTests
{
    [Theory]
    [InlineData(0, 0, 100, 0, 0, 20)]
    [InlineData(50, 25, 100, 10, 5, 5)]
    [InlineData(1, 0, 1_000_000, 1, 0, 19)]
    [InlineData(1, 1, 1_000_000, 1, 1, 18)]
    [InlineData(0, 1, 1_000_000, 0, 1, 19)]
    [InlineData(999_999, 0, 1_000_000, 19, 0, 1)]
    [InlineData(999_998, 1, 1_000_000, 19, 0, 1)]
    [InlineData(50, 50, 100, 10, 10, 0)]
    [InlineData(50, 90, 100, 10, 10, 0)]
    [InlineData(120, 0, 100, 20, 0, 0)]
    [InlineData(0, 0, 0, 20, 0, 0)]
    [InlineData(long.MaxValue - 1, long.MaxValue, long.MaxValue, 19, 1, 0)]
    public void What_is_not_nothing_shows_and_nothing_is_full_that_is_not(long used, long reserved, long amount, int usedCells, int reservedCells, int leftCells) =>
        Assert.Equal((usedCells, reservedCells, leftCells), new ShareBar(used, reserved, amount, "ok").Cells(20));
}

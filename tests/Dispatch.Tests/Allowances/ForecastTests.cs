using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

public sealed class ForecastTests
{
    private readonly CoreRun run = new();

    [Fact]
    public void A_rolling_window_that_gives_back_as_much_as_is_used_is_never_used_up()
    {
        Set(LimitUnit.Tokens, 200_000, new LimitWindow(WindowKind.Rolling, RollingMs: CoreRun.Hour));
        Use("1", "tokens", 9_000);
        run.Pass(30 * CoreRun.Minute);

        Assert.Null(Standing().ExhaustedAt);
    }

    [Fact]
    public void A_rolling_window_is_used_up_when_that_comes_before_the_first_use_leaves_it()
    {
        Set(LimitUnit.Tokens, 100_000, new LimitWindow(WindowKind.Rolling, RollingMs: CoreRun.Hour));
        Use("1", "tokens", 60_000);
        run.Pass(20 * CoreRun.Minute);

        // 60,000 in some twenty minutes: the other 40,000 in some thirteen more.
        var inMinutes = (Standing().ExhaustedAt - run.State.Now) / (double)CoreRun.Minute;
        Assert.InRange(inMinutes!.Value, 13, 15);
    }

    [Fact]
    public void A_refusal_tells_money_as_people_write_it()
    {
        Set(LimitUnit.Money, 12_500_000, LimitWindow.Lifetime);
        Use("1", "money", 12_000_001);

        var answer = run.Run(new CheckAllowance("coder-1", new TaskCost(null, null, default, new Estimate(Money: 600_000))));

        Assert.Equal("Limit 'l' of agent coder-1 has 0.499999 of 12.50 money left (12.000001 used, 0.00 reserved) and 0.60 is needed; it does not free by itself.", answer.Refusal!.Message);
    }

    private LimitStanding Standing() => Assert.Single(run.Run(new ReadAllowance("coder-1")).Limits);

    private void Set(LimitUnit unit, long amount, LimitWindow window) => Assert.IsType<LimitOutcome.Done>(run.Run(new SetLimit(new Limit
    {
        Id = "l",
        Level = LimitLevel.Agent,
        Target = "coder-1",
        Unit = unit,
        Amount = amount,
        Window = window,
        Version = 0,
        CreatedAt = 0,
        UpdatedAt = 0,
        LastSequence = 0,
    })));

    private void Use(string id, string name, long amount) => Assert.IsType<UsageOutcome.Taken>(run.Run(
        new ReportUsage(id, "coder-1", null, null, null, null, JsonBytes.Parse($$"""{"{{name}}":{{amount}}}"""), new UsageFacts(run.State.Sequence, null, null)) { Caller = "coder-1" }));
}

using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

public sealed class RollingAlertTests
{
    private readonly CoreRun run = new();
    private int reports;

    public RollingAlertTests() => Assert.IsType<LimitOutcome.Done>(run.Run(new SetLimit(new Limit
    {
        Id = "l",
        Level = LimitLevel.Agent,
        Target = "coder-1",
        Unit = LimitUnit.Tokens,
        Amount = 10_500,
        Window = new LimitWindow(WindowKind.Rolling, RollingMs: CoreRun.Hour),
        Version = 0,
        CreatedAt = 0,
        UpdatedAt = 0,
        LastSequence = 0,
    })));

    [Fact]
    public void Use_that_goes_on_below_the_warning_does_not_tell_again_that_the_limit_binds()
    {
        Use(1_000);
        run.Register("coder-1", "code");
        run.Submit(CoreRun.Task());
        run.Settle();
        Assert.Equal(1, Told<AllowanceExceeded>());

        Use(1_000);
        run.Submit(CoreRun.Task("code"));
        run.Settle();

        Assert.Equal(1, Told<AllowanceExceeded>());
    }

    [Fact]
    public void Once_it_came_back_the_next_time_is_told_anew()
    {
        Use(9_000);
        Use(500);
        Assert.Equal(1, Told<AllowanceWarning>());

        run.Pass(2 * CoreRun.Hour);
        Use(1_000);
        Use(8_000);

        Assert.Equal(2, Told<AllowanceWarning>());
    }

    private int Told<T>() => run.HistoryOf("l").OfType<T>().Count();

    private void Use(long tokens)
    {
        Assert.IsType<UsageOutcome.Taken>(run.Run(new ReportUsage(
            $"{++reports}", "coder-1", null, null, null, null, JsonBytes.Parse($$"""{"tokens":{{tokens}}}"""), new UsageFacts(run.State.Sequence, null, null))
        { Caller = "coder-1" }));
        run.Settle();
    }
}

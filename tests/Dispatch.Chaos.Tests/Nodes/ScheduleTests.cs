using Dispatch.Chaos.Nodes;

namespace Dispatch.Chaos.Tests.Nodes;

public sealed class ScheduleTests
{
    [Fact]
    public void The_same_seed_draws_the_same_faults_and_another_seed_others()
    {
        Assert.Equal(Schedule.Draw(7, 30), Schedule.Draw(7, 30));
        Assert.NotEqual(Schedule.Draw(7, 30), Schedule.Draw(8, 30));
    }

    [Fact]
    public void A_longer_run_begins_as_the_shorter_does() =>
        Assert.Equal(Schedule.Draw(7, 4).Select(fault => fault.Kind), Schedule.Draw(7, 30).Take(4).Select(fault => fault.Kind));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_short_run_has_what_matters_most(int seed) =>
        Assert.Equal(
            [FaultKind.KillWriter, FaultKind.PauseWriter, FaultKind.KillDatabase, FaultKind.CutAfterBatch], Schedule.Draw(seed, 4).Select(fault => fault.Kind).Order());

    [Fact]
    public void No_kind_comes_again_before_each_has_come()
    {
        var kinds = Enum.GetValues<FaultKind>();

        var drawn = Schedule.Draw(5, kinds.Length * 2).Select(fault => fault.Kind).ToList();

        Assert.Equal(kinds, drawn.Take(kinds.Length).Order());
        Assert.Equal(kinds, drawn.Skip(kinds.Length).Order());
    }

    [Fact]
    public void A_run_of_one_kind_has_no_other() =>
        Assert.All(Schedule.Draw(5, 6, FaultKind.PauseWriter), fault => Assert.Equal(FaultKind.PauseWriter, fault.Kind));

    [Fact]
    public void A_pause_outlasts_the_lease_of_a_writer_and_not_the_patience_of_an_actor() =>
        Assert.All(Schedule.Draw(5, 50, FaultKind.PauseWriter), fault => Assert.InRange(fault.Length, TimeSpan.FromSeconds(7), Chaos.Wire.Line.Patience - TimeSpan.FromMilliseconds(500)));
}

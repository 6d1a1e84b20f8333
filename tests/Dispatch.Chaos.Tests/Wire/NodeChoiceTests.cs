using Dispatch.Chaos.Wire;

namespace Dispatch.Chaos.Tests.Wire;

public sealed class NodeChoiceTests
{
    [Fact]
    public void A_change_is_always_to_another_and_comes_to_all()
    {
        var nodes = new NodeChoice([1, 2, 3], new Random(1));
        var seen = new HashSet<int> { nodes.Port };
        for (var change = 0; change < 50; change++)
        {
            var before = nodes.Port;
            Assert.True(nodes.Change());
            Assert.NotEqual(before, nodes.Port);
            seen.Add(nodes.Port);
        }

        Assert.Equal([1, 2, 3], seen.Order());
    }

    [Fact]
    public void Where_there_is_one_there_is_no_change()
    {
        var nodes = NodeChoice.Only(7);

        Assert.False(nodes.Change());
        Assert.DoesNotContain(true, Enumerable.Range(0, 500).Select(_ => nodes.Wanders()));
        Assert.Equal(7, nodes.Port);
    }

    [Fact]
    public void Where_there_are_several_it_stays_a_while_and_wanders_in_the_end()
    {
        var nodes = new NodeChoice([1, 2], new Random(3));

        var wandered = Enumerable.Range(0, 2_000).Count(_ => nodes.Wanders());

        Assert.InRange(wandered, 1, 200);
    }
}

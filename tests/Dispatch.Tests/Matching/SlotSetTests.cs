using Dispatch.Matching;

namespace Dispatch.Tests.Matching;

public sealed class SlotSetTests
{
    [Fact]
    public void It_does_what_a_set_of_numbers_does()
    {
        for (var seed = 0; seed < 100; seed++)
        {
            var random = new Random(seed);
            var (set, model) = Filled(random);
            var (other, otherModel) = Filled(random);
            AssertSame(model, set);

            var from = random.Next(0, 700);
            Assert.Equal(Next(model, otherModel, from), set.NextInBoth(other, from));

            var copy = set.Copy();
            copy.IntersectWith(other);
            AssertSame([.. model.Intersect(otherModel)], copy);
            AssertSame(model, set);
        }
    }

    [Fact]
    public void The_next_one_goes_round()
    {
        var all = new SlotSet();
        foreach (var slot in (int[])[3, 64, 200])
            all.Add(slot);

        Assert.Equal([3, 3, 64, 64, 200, 200, 3, 3], ((int[])[0, 3, 4, 64, 65, 200, 201, 5_000]).Select(from => all.NextInBoth(all, from)));
        Assert.Equal(-1, all.NextInBoth(new SlotSet(), 0));
    }

    private static (SlotSet Set, SortedSet<int> Model) Filled(Random random)
    {
        var set = new SlotSet();
        var model = new SortedSet<int>();
        var size = random.Next(1, 600);
        for (var step = random.Next(0, 300); step > 0; step--)
        {
            var slot = random.Next(size);
            if (random.Next(3) > 0)
            {
                set.Add(slot);
                model.Add(slot);
            }
            else
            {
                set.Remove(slot);
                model.Remove(slot);
            }
        }

        return (set, model);
    }

    private static int Next(SortedSet<int> one, SortedSet<int> other, int from)
    {
        var both = one.Intersect(other).Order().ToList();
        return both.Count == 0 ? -1 : both.Cast<int?>().FirstOrDefault(slot => slot >= from) ?? both[0];
    }

    private static void AssertSame(SortedSet<int> model, SlotSet set)
    {
        Assert.Equal(model, set.All());
        Assert.Equal(model.Count, set.Count);
        Assert.All(Enumerable.Range(0, 700), slot => Assert.Equal(model.Contains(slot), set.Contains(slot)));
    }
}

using Dispatch.Matching;

namespace Dispatch.Tests.Matching;

public sealed class LoadLevelsTests
{
    [Fact]
    public void It_finds_the_occupied_levels_as_a_list_does()
    {
        var random = new Random(1);
        var levels = new LoadLevels();
        var model = new HashSet<(int Slot, int Level)>();
        for (var step = 0; step < 3_000; step++)
        {
            if (model.Count > 0 && random.Next(5) > 1)
            {
                var gone = model.ElementAt(random.Next(model.Count));
                levels.Remove(gone.Slot, gone.Level);
                model.Remove(gone);
            }
            else
            {
                var added = (random.Next(100), random.Next(1_024));
                levels.Add(added.Item1, added.Item2);
                model.Add(added);
            }

            var from = random.Next(1_024);
            Assert.Equal(model.Where(known => known.Level >= from).Select(known => known.Level).DefaultIfEmpty(int.MaxValue).Min(), levels.NextOccupied(from));
        }
    }

    [Fact]
    public void A_higher_share_never_stands_on_a_lower_level()
    {
        foreach (var max in (int[])[1, 2, 3, 7, 100, 1_024, 10_000])
        {
            var last = -1;
            for (var active = 0; active < max; active++)
            {
                var level = LoadLevels.LevelOf(active, max);
                Assert.InRange(level, Math.Max(last, 0), 1_023);
                Assert.True(max > 1_024 || level > last, $"{active} of {max} stands with {active - 1}");
                last = level;
            }
        }
    }
}

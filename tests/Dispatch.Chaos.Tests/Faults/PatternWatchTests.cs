using System.Text;
using Dispatch.Chaos.Faults;

namespace Dispatch.Chaos.Tests.Faults;

public sealed class PatternWatchTests
{
    [Theory]
    [InlineData("COMMIT", "BEGIN;COMMIT;", 1, 12)]
    [InlineData("COMMIT", "COMCOMMIT", 1, 9)]
    [InlineData("COMMIT", "COMMIX", 1, -1)]
    [InlineData("aab", "aaaaab", 1, 6)]
    [InlineData("abab", "ababab", 2, 6)]
    [InlineData("x", "xxx", 3, 3)]
    [InlineData("x", "xxx", 4, -1)]
    public void A_match_is_found_however_the_stream_is_split(string pattern, string stream, int occurrence, int end)
    {
        for (var size = 1; size <= stream.Length; size++)
        {
            var watch = new PatternWatch(NewTrap(pattern, occurrence));
            var (found, passed) = (-1, 0);
            foreach (var piece in Encoding.ASCII.GetBytes(stream).Chunk(size))
            {
                if (found < 0 && watch.Find(piece) is >= 0 and var at)
                    found = passed + at;
                passed += piece.Length;
            }

            Assert.Equal(end, found);
        }
    }

    [Fact]
    public void What_is_found_in_any_stream_is_what_a_search_of_the_whole_finds()
    {
        var chance = new Random(7);
        for (var run = 0; run < 2_000; run++)
        {
            var stream = Draw(chance, chance.Next(1, 40));
            var pattern = Draw(chance, chance.Next(1, 5));
            var watch = new PatternWatch(NewTrap(pattern, 1));
            var (found, passed) = (-1, 0);
            while (passed < stream.Length && found < 0)
            {
                var piece = stream.Substring(passed, Math.Min(chance.Next(1, 6), stream.Length - passed));
                if (watch.Find(Encoding.ASCII.GetBytes(piece)) is >= 0 and var at)
                    found = passed + at;
                passed += piece.Length;
            }

            var expected = stream.IndexOf(pattern, StringComparison.Ordinal);
            Assert.Equal(expected < 0 ? -1 : expected + pattern.Length, found);
        }
    }

    [Fact]
    public void A_trap_springs_once()
    {
        var trap = NewTrap("x", 1);

        Assert.True(trap.TrySpring());
        Assert.False(trap.TrySpring());
    }

    [Fact]
    public void An_empty_pattern_and_a_match_before_the_first_are_refused()
    {
        Assert.Throws<ArgumentException>(() => NewTrap("", 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => NewTrap("x", 0));
    }

    // Two letters: many near misses.
    private static string Draw(Random chance, int length) => new([.. Enumerable.Range(0, length).Select(_ => chance.Next(2) == 0 ? 'a' : 'b')]);

    private static Trap NewTrap(string pattern, int occurrence) => new(Flow.ToTarget, Encoding.ASCII.GetBytes(pattern), CutPoint.Before, occurrence);
}

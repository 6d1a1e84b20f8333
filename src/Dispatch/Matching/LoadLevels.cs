using System.Numerics;

namespace Dispatch.Matching;

/// <summary>
/// The agents of one availability that have a free slot, grouped by load: level = active x 1024 / max_concurrent. Finding the
/// least loaded candidate looks at the occupied levels from below, whatever the number of agents.
/// </summary>
internal sealed class LoadLevels
{
    private const int Levels = 1024;

    private readonly SlotSet?[] sets = new SlotSet?[Levels];
    private readonly ulong[] occupied = new ulong[Levels / 64];

    public static int LevelOf(int active, int max) => (int)((long)active * Levels / max);

    public void Add(int slot, int level)
    {
        (sets[level] ??= new SlotSet()).Add(slot);
        occupied[level >> 6] |= 1UL << (level & 63);
    }

    public void Remove(int slot, int level)
    {
        var set = sets[level]!;
        set.Remove(slot);
        if (set.Count == 0)
            occupied[level >> 6] &= ~(1UL << (level & 63));
    }

    public SlotSet? At(int level) => sets[level];

    /// <summary>The first occupied level at or above <paramref name="level"/>, or <see cref="int.MaxValue"/>.</summary>
    public int NextOccupied(int level)
    {
        for (var word = level >> 6; word < occupied.Length; word++)
        {
            var bits = occupied[word];
            if (word == level >> 6)
                bits &= ulong.MaxValue << (level & 63);
            if (bits != 0)
                return (word << 6) + BitOperations.TrailingZeroCount(bits);
        }

        return int.MaxValue;
    }
}

using System.Numerics;

namespace Dispatch.Matching;

/// <summary>A growing set of small numbers (agent slots), one bit each.</summary>
internal sealed class SlotSet
{
    private ulong[] words = [];

    public int Count { get; private set; }

    public bool Contains(int slot) => (slot >> 6) < words.Length && (words[slot >> 6] & (1UL << (slot & 63))) != 0;

    public void Add(int slot)
    {
        var word = slot >> 6;
        if (word >= words.Length)
            Array.Resize(ref words, Math.Max(word + 1, words.Length * 2));
        var bit = 1UL << (slot & 63);
        if ((words[word] & bit) == 0)
        {
            words[word] |= bit;
            Count++;
        }
    }

    public void Remove(int slot)
    {
        var word = slot >> 6;
        if (word >= words.Length)
            return;
        var bit = 1UL << (slot & 63);
        if ((words[word] & bit) != 0)
        {
            words[word] &= ~bit;
            Count--;
        }
    }

    /// <summary>Keeps what is also in the other set.</summary>
    public void IntersectWith(SlotSet other)
    {
        Count = 0;
        for (var i = 0; i < words.Length; i++)
        {
            words[i] &= i < other.words.Length ? other.words[i] : 0;
            Count += BitOperations.PopCount(words[i]);
        }
    }

    public SlotSet Copy()
    {
        var copy = new SlotSet { words = (ulong[])words.Clone(), Count = Count };
        return copy;
    }

    /// <summary>The first number at or after <paramref name="from"/>, going round, that is in both sets; -1 when there is none.</summary>
    public int NextInBoth(SlotSet other, int from)
    {
        var length = Math.Min(words.Length, other.words.Length);
        if (length == 0)
            return -1;

        var start = from >> 6;
        if (start < length)
        {
            var head = words[start] & other.words[start] & (ulong.MaxValue << (from & 63));
            if (head != 0)
                return (start << 6) + BitOperations.TrailingZeroCount(head);
            for (var i = start + 1; i < length; i++)
            {
                var both = words[i] & other.words[i];
                if (both != 0)
                    return (i << 6) + BitOperations.TrailingZeroCount(both);
            }
        }

        for (var i = 0; i < Math.Min(start + 1, length); i++)
        {
            var both = words[i] & other.words[i];
            if (both != 0)
                return (i << 6) + BitOperations.TrailingZeroCount(both);
        }

        return -1;
    }

    /// <summary>Those that are in both sets.</summary>
    public IEnumerable<int> AllInBoth(SlotSet other) => All().Where(other.Contains);

    public IEnumerable<int> All()
    {
        for (var i = 0; i < words.Length; i++)
        {
            for (var rest = words[i]; rest != 0; rest &= rest - 1)
                yield return (i << 6) + BitOperations.TrailingZeroCount(rest);
        }
    }
}

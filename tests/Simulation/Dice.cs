namespace Dispatch.Simulation;

/// <summary>Independent random sources from one seed: a part that draws once more does not change what the others draw.</summary>
internal static class Dice
{
    /// <param name="stream">Which source.</param>
    public static Random Of(long seed, int stream) => new(unchecked((int)Mix((ulong)seed * 1_000_003 + (ulong)stream)));

    public static bool Chance(this Random random, double probability) => probability > 0 && random.NextDouble() < probability;

    public static T Pick<T>(this Random random, IReadOnlyList<T> choices) => choices[random.Next(choices.Count)];

    /// <summary>One of the numbers 0..weights.Length-1, each as often as its weight says.</summary>
    public static int Weighted(this Random random, ReadOnlySpan<int> weights)
    {
        var sum = 0;
        foreach (var weight in weights)
            sum += weight;
        var drawn = random.Next(sum);
        for (var i = 0; ; i++)
        {
            drawn -= weights[i];
            if (drawn < 0)
                return i;
        }
    }

    public static Guid NextGuid(this Random random)
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        bytes[6] = (byte)((bytes[6] & 0x0F) | 0x40);
        bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);
        return new Guid(bytes, bigEndian: true);
    }

    // SplitMix64.
    private static ulong Mix(ulong x)
    {
        unchecked
        {
            x += 0x9E3779B97F4A7C15;
            x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
            x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
            return x ^ (x >> 31);
        }
    }
}

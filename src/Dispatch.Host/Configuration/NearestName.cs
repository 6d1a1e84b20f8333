namespace Dispatch.Host.Configuration;

/// <summary>Finds what a mistyped name was probably meant to be.</summary>
internal static class NearestName
{
    /// <summary>The candidate with the fewest edits (a swap of neighbours is one), at most a third of the name's length; null when none is near.</summary>
    public static string? Find(string name, IEnumerable<string> candidates)
    {
        string? nearest = null;
        int least = Math.Max(2, name.Length / 3) + 1;
        foreach (string candidate in candidates)
        {
            int edits = Edits(name, candidate);
            if (edits < least)
            {
                least = edits;
                nearest = candidate;
            }
        }

        return nearest;
    }

    private static int Edits(string from, string to)
    {
        // Names in a file may be of any length; a long one is near to nothing.
        if (from.Length > 64)
            return int.MaxValue;

        var cost = new int[from.Length + 1, to.Length + 1];
        for (int i = 0; i <= from.Length; i++)
            cost[i, 0] = i;
        for (int j = 0; j <= to.Length; j++)
            cost[0, j] = j;

        for (int i = 1; i <= from.Length; i++)
        {
            for (int j = 1; j <= to.Length; j++)
            {
                int swap = from[i - 1] == to[j - 1] ? 0 : 1;
                int best = Math.Min(Math.Min(cost[i - 1, j] + 1, cost[i, j - 1] + 1), cost[i - 1, j - 1] + swap);
                if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1])
                    best = Math.Min(best, cost[i - 2, j - 2] + 1);
                cost[i, j] = best;
            }
        }

        return cost[from.Length, to.Length];
    }
}

namespace Dispatch.Cli.CommandLine;

/// <summary>How far two names are apart.</summary>
internal static class Spelling
{
    /// <summary>Letters to insert, remove or replace to make one of the other (Levenshtein).</summary>
    public static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var next = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = row[j];
                row[j] = next;
            }
        }

        return row[b.Length];
    }
}

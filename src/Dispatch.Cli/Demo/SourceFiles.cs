namespace Dispatch.Cli.Demo;

/// <summary>Text files for the demo to work on.</summary>
/// <param name="Chosen">Full paths, in order.</param>
/// <param name="Found">How many there were to choose from.</param>
internal sealed record SourceFiles(IReadOnlyList<string> Chosen, int Found)
{
    private const long LargestFile = 1 << 20;
    private const int LookedAt = 8 * 1024;

    private static readonly HashSet<string> Skipped = new(StringComparer.Ordinal) { ".git", "artifacts", "bin", "obj", "node_modules" };

    /// <summary>Finds the text files under a directory; of too many it takes every n-th.</summary>
    /// <param name="directory">Where to look; .git, artifacts and other products of builds are left out, and so are links.</param>
    /// <param name="most">How many are wanted at most.</param>
    public static SourceFiles Find(string directory, int most)
    {
        var found = new List<string>();
        Walk(new DirectoryInfo(directory), found);
        var chosen = found.Count <= most ? found : Enumerable.Range(0, most).Select(i => found[(int)((long)i * found.Count / most)]).ToList();
        return new SourceFiles(chosen, found.Count);
    }

    private static void Walk(DirectoryInfo directory, List<string> found)
    {
        var options = new EnumerationOptions { IgnoreInaccessible = true, AttributesToSkip = FileAttributes.ReparsePoint | FileAttributes.Device };
        foreach (var file in directory.EnumerateFiles("*", options).OrderBy(file => file.Name, StringComparer.Ordinal))
        {
            if (file.Length is > 0 and <= LargestFile && IsText(file.FullName))
                found.Add(file.FullName);
        }

        foreach (var sub in directory.EnumerateDirectories("*", options).OrderBy(sub => sub.Name, StringComparer.Ordinal))
        {
            if (!Skipped.Contains(sub.Name))
                Walk(sub, found);
        }
    }

    private static bool IsText(string path)
    {
        try
        {
            using var file = File.OpenRead(path);
            var beginning = new byte[LookedAt];
            var length = file.ReadAtLeast(beginning, beginning.Length, throwOnEndOfStream: false);
            return !beginning.AsSpan(0, length).Contains((byte)0);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // What can not be read is nothing to count lines in.
            return false;
        }
    }
}

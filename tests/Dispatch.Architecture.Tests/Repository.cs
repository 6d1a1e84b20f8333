namespace Dispatch.Architecture.Tests;

/// <summary>The working copy the tests run in, found from where the test assembly was built to.</summary>
internal static class Repository
{
    /// <summary>The folder that holds <c>Dispatch.slnx</c>.</summary>
    public static string Root { get; } = FindRoot();

    public static string Read(string path) => File.ReadAllText(At(path));

    public static string At(string path) => Path.Combine(Root, path);

    /// <summary>Files below <paramref name="folder"/>, as paths from the root, in ordinal order. Nothing when there is no such folder.</summary>
    public static IReadOnlyList<string> Files(string folder, string pattern)
    {
        if (!Directory.Exists(At(folder)))
            return [];
        return Directory.EnumerateFiles(At(folder), pattern, SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(Root, path).Replace('\\', '/'))
            .Where(path => !path.Split('/').Any(part => part is "bin" or "obj" or "artifacts" or "node_modules"))
            .Order(StringComparer.Ordinal)
            .ToList();
    }

    // Not from the path of this source file: a build for continuous integration maps source paths away.
    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Dispatch.slnx")))
                return folder.FullName;
        }
        throw new InvalidOperationException($"{AppContext.BaseDirectory} is not inside the repository.");
    }
}

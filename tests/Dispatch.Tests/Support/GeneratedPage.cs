using System.Text;

namespace Dispatch.Tests.Support;

/// <summary>A page under docs/ that is written from a table in the code. With UPDATE_DOCS=1 it is written, otherwise compared.</summary>
internal static class GeneratedPage
{
    /// <summary>The root of the repository.</summary>
    public static string Root { get; } = FindRoot();

    public static void Check(string name, string text)
    {
        string path = Path.Combine(Root, "docs", name);
        if (Environment.GetEnvironmentVariable("UPDATE_DOCS") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, text, new UTF8Encoding(false));
        }

        Assert.True(File.Exists(path), $"docs/{name} is missing: run the tests with UPDATE_DOCS=1");
        Assert.True(text == File.ReadAllText(path), $"docs/{name} is not what the code says: run the tests with UPDATE_DOCS=1 and look at the difference");
    }

    private static string FindRoot()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Dispatch.slnx")))
            directory = directory.Parent;
        return directory?.FullName ?? throw new InvalidOperationException("Dispatch.slnx was not found above " + AppContext.BaseDirectory);
    }
}

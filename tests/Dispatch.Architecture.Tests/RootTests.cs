using Xunit;

namespace Dispatch.Architecture.Tests;

public sealed class RootTests
{
    private static readonly string[] Face =
    [
        ".ci", ".editorconfig", ".git", ".gitattributes", ".github", ".gitignore",
        "CHANGELOG.md", "CONTRIBUTING.md", "Directory.Build.props", "Directory.Packages.props",
        "Dispatch.slnx", "LICENSE", "Makefile", "README.md", "global.json",
        "bench", "build", "deploy", "docs", "samples", "src", "tests",
    ];

    [Fact]
    public void The_root_holds_the_face_of_the_house_and_nothing_else()
    {
        var ignored = File.ReadLines(Repository.At(".gitignore")).Select(line => line.TrimEnd('/')).ToList();
        var strangers = Directory.EnumerateFileSystemEntries(Repository.Root)
            .Select(path => Path.GetFileName(path)!)
            .Except(Face, StringComparer.Ordinal)
            .Except(ignored, StringComparer.Ordinal);

        Assert.Empty(strangers);
    }

    [Theory]
    [InlineData("README.md")]
    [InlineData("CHANGELOG.md")]
    [InlineData("CONTRIBUTING.md")]
    [InlineData("LICENSE")]
    [InlineData("Makefile")]
    public void A_visitor_finds(string file) => Assert.True(File.Exists(Repository.At(file)), $"{file} is missing");

    [Fact]
    public void Every_project_is_in_the_solution()
    {
        var solution = Repository.Read("Dispatch.slnx");
        var projects = new[] { "src", "tests", "bench", "samples" }.SelectMany(folder => Repository.Files(folder, "*.csproj")).ToList();

        Assert.NotEmpty(projects);
        Assert.All(projects, project => Assert.Contains($"\"{project}\"", solution, StringComparison.Ordinal));
    }
}

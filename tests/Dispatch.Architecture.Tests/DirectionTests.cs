using System.Xml.Linq;
using Xunit;

namespace Dispatch.Architecture.Tests;

/// <summary>Who may use whom. The tables here and in docs/architecture.md say the same.</summary>
public sealed class DirectionTests
{
    private static readonly Dictionary<string, string[]> AllowedProjects = new(StringComparer.Ordinal)
    {
        ["Dispatch"] = [],
        ["Dispatch.Storage"] = ["Dispatch"],
        ["Dispatch.Host"] = ["Dispatch", "Dispatch.Storage"],
        ["Dispatch.Client"] = [],
        ["Dispatch.Cli"] = ["Dispatch.Host", "Dispatch.Client"],
    };

    // Tasks, agents, matching and allowances are one state machine in four folders and know each other: what may be given is decided,
    // and what is reserved is written, with the assignment itself. What comes on top of them may use them, and they must not know it.
    // Sequencing holds the loop, and the state that the four make up.
    private static readonly Dictionary<string, string[]> AllowedFolders = new(StringComparer.Ordinal)
    {
        ["Events"] = [],
        ["Tasks"] = ["Events", "Questions", "Agents", "Matching", "Allowances", "Sequencing"],
        ["Agents"] = ["Events", "Tasks", "Matching", "Allowances", "Sequencing"],
        ["Matching"] = ["Events", "Questions", "Tasks", "Agents", "Allowances", "Sequencing"],
        ["Allowances"] = ["Events", "Tasks", "Agents", "Matching", "Sequencing"],
        ["Questions"] = ["Events", "Sequencing"],
        ["Webhooks"] = ["Events", "Sequencing"],
        ["Sessions"] = ["Events", "Sequencing"],
        ["Publishing"] = ["Events", "Sequencing"],
        ["Settings"] = ["Events", "Sequencing"],
        ["Retention"] = ["Events", "Tasks", "Agents", "Matching", "Allowances", "Sessions", "Publishing", "Webhooks", "Questions", "Settings", "Retention", "Sequencing"],
        ["Sequencing"] = ["Events", "Tasks", "Agents", "Matching", "Allowances", "Sessions", "Publishing", "Webhooks", "Questions", "Settings", "Retention"],
        ["Invariants"] = ["Events", "Tasks", "Agents", "Matching", "Allowances", "Sessions", "Publishing", "Webhooks", "Questions", "Settings", "Retention", "Sequencing"],
    };

    public static TheoryData<string> Projects => [.. Repository.Files("src", "*.csproj")];

    public static TheoryData<string> Folders =>
        [.. Directory.EnumerateDirectories(Repository.At("src/Dispatch")).Select(path => Path.GetFileName(path)!).Where(name => name is not ("bin" or "obj"))];

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_project_refers_only_to_those_below_it(string project)
    {
        var name = Path.GetFileNameWithoutExtension(project);
        Assert.True(AllowedProjects.TryGetValue(name, out var allowed), $"{name} is not in the table: what may it use, and does it ship apart?");

        var used = XDocument.Load(Repository.At(project)).Descendants("ProjectReference")
            .Select(reference => Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value));

        Assert.Empty(used.Except(allowed, StringComparer.Ordinal));
    }

    [Fact]
    public void The_core_uses_no_package_and_no_framework_but_the_base_library()
    {
        var project = XDocument.Load(Repository.At("src/Dispatch/Dispatch.csproj"));

        Assert.Empty(project.Descendants("PackageReference"));
        Assert.Empty(project.Descendants("FrameworkReference"));
        Assert.All(Assemblies.Core.GetReferencedAssemblies(), used => Assert.StartsWith("System.", used.Name, StringComparison.Ordinal));
    }

    [Fact]
    public void The_client_stands_alone() =>
        Assert.DoesNotContain(Assemblies.Client.GetReferencedAssemblies(), used => used.Name!.StartsWith("Dispatch", StringComparison.Ordinal));

    [Theory]
    [MemberData(nameof(Folders))]
    public void A_folder_of_the_core_uses_only_those_it_may(string folder)
    {
        Assert.True(AllowedFolders.TryGetValue(folder, out var allowed), $"{folder} is not in the table: what may it use?");

        var wrong = TypesOf(folder)
            .SelectMany(type => Uses.TypesUsedBy(type).Select(used => (User: Uses.Written(type).Name, Used: used)))
            .Where(use => use.Used.Assembly == Assemblies.Core)
            .Select(use => (use.User, Folder: FolderOf(use.Used), Used: use.Used.Name))
            .Where(use => use.Folder.Length > 0 && use.Folder != folder && !allowed.Contains(use.Folder, StringComparer.Ordinal))
            .Distinct();

        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData("IStore")]
    [InlineData("Sequencer")]
    public void What_decides_does_not_know_the(string part)
    {
        var hidden = Assemblies.Core.GetType($"Dispatch.Sequencing.{part}", throwOnError: true)!;

        var users = Assemblies.Core.GetTypes()
            .Where(type => Uses.Written(type).Name is not ("Sequencer" or "EventFeed") && Uses.Written(type) != hidden && FolderOf(type) != "Invariants" && Uses.TypesUsedBy(type).Contains(hidden))
            .Select(type => Uses.Written(type).FullName)
            .Distinct();

        Assert.Empty(users);
    }

    [Fact]
    public void A_namespace_is_its_folder()
    {
        var strangers = Repository.Files("src", "*.cs")
            .Select(path => (path, Declared: File.ReadLines(Repository.At(path)).FirstOrDefault(line => line.StartsWith("namespace ", StringComparison.Ordinal))))
            .Where(file => file.Declared is not null && file.Declared != $"namespace {NamespaceOf(file.path)};")
            .Select(file => $"{file.path}: {file.Declared}");

        Assert.Empty(strangers);
    }

    // Who adds the client to a project needs one using line; its folders are for those who read it.
    private static string NamespaceOf(string path) => path.StartsWith("src/Dispatch.Client/", StringComparison.Ordinal)
        ? "Dispatch.Client"
        : Path.GetDirectoryName(path)!.Replace("src/", "", StringComparison.Ordinal).Replace('/', '.');

    private static IEnumerable<Type> TypesOf(string folder) => Assemblies.Core.GetTypes().Where(type => FolderOf(type) == folder);

    private static string FolderOf(Type type)
    {
        var parts = (Uses.Written(type).Namespace ?? "").Split('.');
        return parts is ["Dispatch", var folder, ..] ? folder : "";
    }
}

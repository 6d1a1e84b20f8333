using System.Text.RegularExpressions;
using Xunit;

namespace Dispatch.Architecture.Tests;

public sealed partial class InterfaceTests
{
    // An interface with one implementation needs a reason.
    private static readonly Dictionary<string, string> Excused = new(StringComparer.Ordinal);

    [Fact]
    public void An_interface_has_two_implementations_or_a_reason()
    {
        var lonely =
            from assembly in Assemblies.All
            from seam in assembly.GetTypes()
            where seam.IsInterface && !seam.Name.Contains('<', StringComparison.Ordinal) && !Excused.ContainsKey(seam.Name)
            let count = Implementations(seam) + ImplementationsInTests(seam.Name)
            where count < 2
            select $"{seam.FullName} has {count}";

        Assert.Empty(lonely);
    }

    private static int Implementations(Type seam) =>
        Assemblies.All.SelectMany(assembly => assembly.GetTypes()).Count(type => type is { IsInterface: false, IsAbstract: false } && type.GetInterfaces().Any(one => Same(one, seam)));

    private static bool Same(Type one, Type seam) => one == seam || (one.IsGenericType && one.GetGenericTypeDefinition() == seam);

    // The tests of other projects are not beside these: their source is looked at.
    private static int ImplementationsInTests(string seam)
    {
        var name = seam.Split('`')[0];
        return new[] { "tests", "bench", "samples" }.SelectMany(folder => Repository.Files(folder, "*.cs"))
            .SelectMany(path => TypeDeclaration().Matches(Repository.Read(path)))
            .Count(declaration => Regex.IsMatch(declaration.Groups["bases"].Value, $@"\b{name}\b"));
    }

    [GeneratedRegex(@"\b(class|struct|record)\s+\w+[^:{;]*:(?<bases>[^{;]+)[{;]")]
    private static partial Regex TypeDeclaration();
}

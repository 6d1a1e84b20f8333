using System.Diagnostics;
using System.Text.RegularExpressions;
using Xunit;

namespace Dispatch.Architecture.Tests;

/// <summary>What people are told is true: links lead somewhere, commands exist.</summary>
public sealed partial class DocumentTests
{
    private static readonly string[] MakeTargets = [.. Target().Matches(Repository.Read("Makefile")).Select(rule => rule.Groups["name"].Value)];

    public static TheoryData<string> Pages => [.. MarkdownPage.All.Select(page => page.Path)];

    [Theory]
    [MemberData(nameof(Pages))]
    public void Links_lead_somewhere(string path)
    {
        var page = Page(path);
        var broken = page.LocalLinks.Where(link => !Resolves(path, link));

        Assert.Empty(broken);
    }

    [Fact]
    public void Every_make_target_has_a_line_of_help()
    {
        var makefile = Repository.Read("Makefile");
        var phony = Regex.Match(makefile, @"^\.PHONY: (?<names>.+)$", RegexOptions.Multiline).Groups["names"].Value.Split(' ');

        Assert.NotEmpty(MakeTargets);
        Assert.Equal(MakeTargets.Order(StringComparer.Ordinal), phony.Order(StringComparer.Ordinal));
        Assert.All(MakeTargets, target => Assert.Matches($@"(?m)^{target}:.* ## \S", makefile));
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public void Make_targets_named_in_documents_exist(string path)
    {
        var named = Page(path).Code.SelectMany(code => MakeCall().Matches(code)).Select(call => call.Groups["target"].Value);

        Assert.Empty(named.Except(MakeTargets, StringComparer.Ordinal));
    }

    [Fact]
    public async Task Commands_named_in_documents_exist()
    {
        var named = MarkdownPage.All.SelectMany(page => page.Code).SelectMany(code => DispatchCall().Matches(code))
            .Select(call => call.Groups["words"].Value).Distinct(StringComparer.Ordinal).ToList();
        Assert.NotEmpty(named);

        var unknown = new List<string>();
        foreach (var words in named)
        {
            if (!await HasHelpAsync(words))
                unknown.Add($"dispatch {words}");
        }

        Assert.Empty(unknown);
    }

    private static MarkdownPage Page(string path) => MarkdownPage.All.Single(page => page.Path == path);

    private static bool Resolves(string page, string link)
    {
        var parts = link.Split('#', 2);
        var target = parts[0].Length == 0 ? page : Path.GetRelativePath(Repository.Root, Path.Combine(Repository.Root, Path.GetDirectoryName(page)!, parts[0]));
        if (!Path.Exists(Repository.At(target)))
            return false;
        return parts.Length == 1 || new MarkdownPage(target).Anchors.Contains(parts[1], StringComparer.Ordinal);
    }

    // The help of a command names it in its usage line; that of an unknown one is the help of the command above it.
    private static async Task<bool> HasHelpAsync(string words)
    {
        var start = new ProcessStartInfo("dotnet", [Assemblies.Command.Location, .. words.Split(' '), "--help"]) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var help = await process.StandardOutput.ReadToEndAsync();
        await errors;
        await process.WaitForExitAsync();
        return process.ExitCode == 0 && Regex.IsMatch(help, $@"dispatch {Regex.Escape(words)}\b");
    }

    [GeneratedRegex("^(?<name>[a-z][a-z-]*):", RegexOptions.Multiline)]
    private static partial Regex Target();

    [GeneratedRegex(@"(?<![\w-])make (?<target>[a-z][a-z-]*)")]
    private static partial Regex MakeCall();

    // A command and, for those that have any, its subcommand.
    [GeneratedRegex(@"(?<![\w/.-])dispatch (?<words>(task|agent|token|config|dead-letter) [a-z]+|[a-z]+)")]
    private static partial Regex DispatchCall();
}

using System.Text.RegularExpressions;

namespace Dispatch.Architecture.Tests;

/// <summary>A page people read: its links, headings and what it tells them to type.</summary>
internal sealed partial class MarkdownPage(string path)
{
    private readonly string text = Repository.Read(path);

    /// <summary>Path from the root.</summary>
    public string Path { get; } = path;

    public static IReadOnlyList<MarkdownPage> All { get; } =
        [.. new[] { "README.md", "CHANGELOG.md", "CONTRIBUTING.md" }.Concat(Repository.Files("docs", "*.md")).Select(path => new MarkdownPage(path))];

    /// <summary>Targets of the links that stay within the repository.</summary>
    public IEnumerable<string> LocalLinks =>
        Link().Matches(WithoutCode).Select(link => link.Groups["target"].Value).Where(target => !target.Contains(':', StringComparison.Ordinal));

    /// <summary>Headings in the form in which links name them.</summary>
    public IEnumerable<string> Anchors =>
        Heading().Matches(WithoutCode).Select(heading => NotInAnchor().Replace(heading.Groups["text"].Value.Trim().ToLowerInvariant(), "").Replace(' ', '-'));

    /// <summary>Everything set as code, in blocks and within lines.</summary>
    public IEnumerable<string> Code => CodeBlock().Matches(text).Concat(InlineCode().Matches(CodeBlock().Replace(text, ""))).Select(code => code.Groups["code"].Value);

    private string WithoutCode => CodeBlock().Replace(text, "");

    [GeneratedRegex(@"\[[^\]]*\]\((?<target>[^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex("^#+ (?<text>.+)$", RegexOptions.Multiline)]
    private static partial Regex Heading();

    [GeneratedRegex(@"[^\w\- ]")]
    private static partial Regex NotInAnchor();

    [GeneratedRegex("^```[^\n]*\n(?<code>.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex CodeBlock();

    [GeneratedRegex("`(?<code>[^`\n]+)`")]
    private static partial Regex InlineCode();
}

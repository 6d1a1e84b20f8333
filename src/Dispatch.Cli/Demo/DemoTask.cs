using System.Text.Json;
using Dispatch.Client;

namespace Dispatch.Cli.Demo;

/// <summary>The demo's tasks: three for each file, and a report on all of them.</summary>
internal static class DemoTask
{
    public const string Lines = "lines";
    public const string Longest = "longest-line";
    public const string Hash = "sha256";
    public const string Report = "report";

    /// <summary>Enough that a flaky worker's bad luck never fails the demo.</summary>
    private const int Retries = 20;

    /// <summary>Three tasks for each file.</summary>
    public static IReadOnlyList<NewTask> ForFiles(IReadOnlyList<string> files) =>
        [.. from file in files
            from kind in new[] { Lines, Longest, Hash }
            select Make(kind, $"{kind} of {Path.GetFileName(file)}", file) with { Priority = kind == Lines ? 4 : 5 }];

    /// <summary>The report, which waits for all the others.</summary>
    public static NewTask ReportOn(IReadOnlyList<string> ids) => Make(Report, "report on all files", "-") with { DependsOn = ids };

    private static NewTask Make(string kind, string title, string path) => new()
    {
        Title = title.Length <= 200 ? title : title[..200],
        RequiredCapabilities = [kind],
        MaxRetries = Retries,
        Timeout = TimeSpan.FromSeconds(30),
        Context = JsonSerializer.SerializeToElement(new Dictionary<string, string> { ["kind"] = kind, ["path"] = path }, DemoJson.Default.DictionaryStringString),
    };
}

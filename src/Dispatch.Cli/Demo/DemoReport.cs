using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Demo;

/// <summary>The demo's last task: puts together what all the others found.</summary>
internal sealed record DemoReport
{
    public required int Files { get; init; }

    public required long Lines { get; init; }

    /// <summary>The file with the most lines.</summary>
    public required string Largest { get; init; }

    public required long LargestLines { get; init; }

    /// <summary>The file with the longest line.</summary>
    public required string Widest { get; init; }

    public required long WidestColumns { get; init; }

    /// <summary>How many different contents the files have.</summary>
    public required int DistinctHashes { get; init; }

    /// <summary>The hidden command the report's worker runs; its standard output is the task's result.</summary>
    public static Command CreateCommand() => new DispatchCommand("demo-report", "Report on the demo's files; run by its worker")
    {
        Hidden = true,
        Examples = ["dispatch demo-report"],
    }.Does(async run =>
    {
        using var client = run.Connect(Brokers.Access.Agent, TimeSpan.FromSeconds(10));
        Console.Error.WriteLine("progress 10 reading what the others found");
        var done = new List<DispatchTask>();
        await foreach (var task in client.ListAllTasksAsync(new TaskFilter { Status = [TaskState.Completed], Limit = 1000 }, run.Stop))
            done.Add(task);
        Console.Error.WriteLine($"progress 80 putting {done.Count} results together");
        Console.Out.WriteLine(JsonSerializer.Serialize(Of(done), DemoJson.Default.DemoReport));
        return ExitCode.Ok;
    });

    private static DemoReport Of(IReadOnlyList<DispatchTask> done)
    {
        var lines = Numbers(done, DemoTask.Lines);
        var widths = Numbers(done, DemoTask.Longest);
        var hashes = Words(done, DemoTask.Hash);
        var largest = lines.MaxBy(entry => entry.Value);
        var widest = widths.MaxBy(entry => entry.Value);
        return new DemoReport
        {
            Files = lines.Count,
            Lines = lines.Sum(entry => entry.Value),
            Largest = largest.Path,
            LargestLines = largest.Value,
            Widest = widest.Path,
            WidestColumns = widest.Value,
            DistinctHashes = hashes.Select(entry => entry.Word).Distinct().Count(),
        };
    }

    private static List<(string Path, long Value)> Numbers(IEnumerable<DispatchTask> done, string kind) =>
        [.. Words(done, kind).Select(entry => (entry.Path, long.Parse(entry.Word, CultureInfo.InvariantCulture)))];

    /// <summary>The first word each program wrote, with the file it was about.</summary>
    private static IEnumerable<(string Path, string Word)> Words(IEnumerable<DispatchTask> done, string kind)
    {
        foreach (var task in done.Where(task => task.RequiredCapabilities.Contains(kind)))
        {
            var output = task.Result?.GetProperty("output") ?? throw new InvalidOperationException($"task {task.Id} has no result");
            var text = output.ValueKind == JsonValueKind.String ? output.GetString()! : output.GetRawText();
            yield return (task.Context.GetProperty("path").GetString()!, text.Split(' ', 2)[0]);
        }
    }
}

/// <summary>The demo's own JSON.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(DemoReport))]
[JsonSerializable(typeof(DemoSummary))]
[JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class DemoJson : JsonSerializerContext;

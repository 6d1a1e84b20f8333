using System.Text.Json;
using Dispatch.Chaos.Brokers;
using Dispatch.Servers;

namespace Dispatch.Chaos.Checking;

/// <summary>What can be asked of the store once the broker has stopped: its own doctor, and the log's table by SQL.</summary>
/// <param name="dispatch">Path of the command.</param>
/// <param name="directory">That of the run.</param>
/// <param name="postgres">Where the store is; null: a file in the data directory.</param>
public sealed class StoreChecks(string dispatch, RunDirectory directory, PostgresServer? postgres)
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(120);

    /// <summary>Runs <c>dispatch doctor</c>; its words stay in the run's directory.</summary>
    public async Task<IReadOnlyList<Finding>> RunDoctorAsync(CancellationToken cancel)
    {
        var result = await Command.RunAsync(Command.Describe(dispatch, "doctor", "--config", directory.Config, "--data-dir", directory.Data, "--json"), Limit, cancel);
        await File.WriteAllTextAsync(Path.Combine(directory.Path, "doctor.json"), result.Output, cancel);
        if (result.ExitCode != 0)
            return [new Finding(FindingKind.Log, "I-14", "doctor", $"ended with {result.ExitCode?.ToString() ?? "nothing in time"}: {Short(result)}")];
        return IsJson(result.Output) ? [] : [new Finding(FindingKind.Breach, "I-14", "doctor", $"--json did not print JSON: {Short(result)}")];
    }

    /// <summary>Counts the events by SQL: from the first, or from any on when the broker keeps only the newest. The second value says why that could not be done, or is null.</summary>
    public async Task<(IReadOnlyList<Finding> Findings, string? Skipped)> CountEventsAsync(bool isWhole, CancellationToken cancel)
    {
        if (postgres is not null)
            return (Judge((await postgres.QueryAsync("select count(*) || ' ' || coalesce(min(sequence), 1) || ' ' || coalesce(max(sequence), 0) from dispatch_default.events")).Split(' '), isWhole), null);
        if (Command.Find("sqlite3") is not { } sqlite)
            return ([], "sqlite3 is not on PATH");

        const string Sql = "select count(*), ifnull(min(sequence), 1), ifnull(max(sequence), 0) from events";
        var result = await Command.RunAsync(
            Command.Describe(sqlite, "-readonly", "-separator", " ", Path.Combine(directory.Data, "dispatch.db"), Sql), Limit, cancel);
        var numbers = result.Output.Split(' ', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (result.ExitCode != 0 || numbers.Length != 3)
            return ([new Finding(FindingKind.Breach, "I-11", "events", $"sqlite3 could not read the log: {Short(result)}")], null);
        return (Judge(numbers, isWhole), null);
    }

    private static IReadOnlyList<Finding> Judge(string[] numbers, bool isWhole)
    {
        var (count, first, last) = (long.Parse(numbers[0]), long.Parse(numbers[1]), long.Parse(numbers[2]));
        return (first == 1 || !isWhole) && count == last - first + 1
            ? []
            : [new Finding(FindingKind.Log, "I-11", "events", $"{numbers[0]} events with sequences from {numbers[1]} to {numbers[2]}")];
    }

    private static bool IsJson(string text)
    {
        try
        {
            using var json = JsonDocument.Parse(text);
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static string Short(CommandResult result)
    {
        var text = (result.Error + result.Output).Trim().ReplaceLineEndings(" ");
        return text.Length <= 600 ? text : text[..600] + " ...";
    }
}

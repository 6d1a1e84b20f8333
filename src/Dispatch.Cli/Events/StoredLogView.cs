using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Host;

namespace Dispatch.Cli.Events;

/// <summary>What is read from the store itself. Apart from the commands, so that those that ask a broker never load its assemblies.</summary>
internal static class StoredLogView
{
    public static async Task<int> ReplayAsync(Invocation run, long? to)
    {
        var state = await Guarded(() => StoredLog.ReplayAsync(Database(run), to, withTasks: run.Screen.Json, Progress(run, "events folded"), run.Stop));
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(state.Json);
            return ExitCode.Ok;
        }

        run.Screen.Line($"as of event {state.Sequence}, {state.Time:yyyy-MM-dd'T'HH:mm:ss.fff'Z'}");
        run.Screen.Line();
        var tasks = new Listing("TASKS", ">COUNT");
        foreach (var (status, count) in state.Totals)
            tasks.Add(status, count);
        tasks.Write(run.Screen);
        if (state.Agents.Count > 0)
        {
            run.Screen.Line();
            var agents = new Listing("AGENT", "STATUS", ">IN HAND");
            foreach (var (id, status, active) in state.Agents)
                agents.Add(id, status, active);
            agents.Write(run.Screen);
        }

        return ExitCode.Ok;
    }

    public static async Task<int> VerifyAsync(Invocation run, IReadOnlyList<string> checkpointFiles)
    {
        var checkpoints = checkpointFiles.SelectMany(ReadCheckpoints).ToList();
        var broken = checkpoints.Select(checkpoint => (checkpoint, Fault: checkpoint.FaultOfSignature(checkpoints[0].Key))).Where(pair => pair.Fault is not null)
            .Select(pair => $"the checkpoint of event {pair.checkpoint.Sequence}: {pair.Fault}").ToList();
        var report = await Guarded(() => StoredLog.VerifyAsync(Database(run), checkpoints, Progress(run, "events checked"), run.Stop));
        var faults = report.Faults.Concat(broken).ToList();
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(CliJson.Write(new AuditBody(faults.Count == 0, report.Events, report.LastSequence, report.LastHash, report.FirstBad, faults, report.Checkpoints, report.Horizon, report.CheckpointsBefore)));
        }
        else if (faults.Count == 0)
        {
            run.Screen.Line($"{Plural.Of(report.Events, "event")} are as they were written; the last is {report.LastSequence}, with the hash {report.LastHash}");
            if (report.Horizon > 1)
                run.Screen.Line($"the events before {report.Horizon} are no longer kept; the state that stands for them is the one the log tells of");
            run.Screen.Line(checkpoints.Count == 0
                ? "nobody can tell from the file alone whether its end was cut off, or all of it written anew: give a checkpoint that was kept elsewhere (dispatch audit checkpoint)"
                : $"{Plural.Of(report.Checkpoints, "checkpoint")} found where signed{(report.CheckpointsBefore > 0 ? $"; {report.CheckpointsBefore} of events that are no longer kept" : "")}");
        }
        else
        {
            run.Screen.Line(report.FirstBad is { } bad ? $"NOT as it was written, from event {bad} on:" : "NOT as it was written:");
            foreach (var fault in faults)
                run.Screen.Line($"  {fault}");
        }

        return faults.Count == 0 ? ExitCode.Ok : ExitCode.Failed;
    }

    public static async Task<int> CheckpointAsync(Invocation run, string? file)
    {
        var config = Operations.Configuration.Load(run, new Dictionary<string, string>()).Config;
        var report = await Guarded(() => StoredLog.VerifyAsync(config.Database.Location, [], Progress(run, "events checked"), run.Stop));
        if (report.FirstBad is { } bad)
            throw new CommandException(new CommandFault(ExitCode.Failed, "log_changed", $"The log is not as it was written from event {bad} on; nothing was signed.", "See: dispatch audit verify"));

        var checkpoint = await Guarded(() => Task.FromResult(LogCheckpoint.Sign(config.DataDirectory, report.LastSequence, report.LastHash, TimeProvider.System.GetUtcNow())));
        var line = CliJson.Write(new CheckpointBody(checkpoint.Sequence, checkpoint.Hash, checkpoint.Time, checkpoint.Key, checkpoint.Signature));
        if (file is not null)
            await File.AppendAllTextAsync(file, line + "\n", run.Stop);
        if (file is null || run.Screen.Json)
            run.Screen.WriteJson(line);
        else
            run.Screen.Line($"event {checkpoint.Sequence} signed; added to {file}. Keep it where whoever can write the store can not.");
        return ExitCode.Ok;
    }

    private static string Database(Invocation run) =>
        Operations.Configuration.Load(run, new Dictionary<string, string>()).Config.Database.Location;

    private static IEnumerable<LogCheckpoint> ReadCheckpoints(string file)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CommandException.Usage($"The checkpoints can't be read: {e.Message}", "Make one with: dispatch audit checkpoint --out FILE");
        }

        for (var n = 0; n < lines.Length; n++)
        {
            if (lines[n].Length == 0)
                continue;
            CheckpointBody? body;
            try
            {
                body = System.Text.Json.JsonSerializer.Deserialize(lines[n], CliJson.Default.CheckpointBody);
            }
            catch (System.Text.Json.JsonException e)
            {
                throw CommandException.Usage($"{file}, line {n + 1} is no checkpoint: {e.Message}", "Make one with: dispatch audit checkpoint --out FILE");
            }

            if (body is { Hash: not null, Key: not null, Signature: not null })
                yield return new LogCheckpoint(body.Sequence, body.Hash, body.Time, body.Key, body.Signature);
        }
    }

    private static IProgress<long>? Progress(Invocation run, string what) =>
        run.Screen is { NotesAreTerminal: true, Json: false } ? new Counter(run.Screen, what) : null;

    private static async Task<T> Guarded<T>(Func<Task<T>> work)
    {
        try
        {
            return await work();
        }
        catch (BrokerStartException e)
        {
            throw new CommandException(new CommandFault(ExitCode.Failed, "store", e.Message, e.Next));
        }
    }

    private sealed class Counter(Screen screen, string what) : IProgress<long>
    {
        public void Report(long value)
        {
            if (value % 100_000 == 0)
                screen.Note($"{value:N0} {what}");
        }
    }
}

/// <summary>What <c>dispatch audit verify --json</c> writes.</summary>
internal sealed record AuditBody(bool Sound, long Events, long LastSequence, string LastHash, long? FirstBad, IReadOnlyList<string> Faults, int Checkpoints, long Horizon, int CheckpointsBefore);

/// <summary>A checkpoint as it is kept: one line of JSON.</summary>
internal sealed record CheckpointBody(long Sequence, string Hash, DateTimeOffset Time, string Key, string Signature);

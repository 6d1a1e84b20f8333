using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Invariants;
using Dispatch.Sequencing;

namespace Dispatch.Tests.Events;

/// <summary>
/// Logs that earlier releases wrote (each by the simulation: <c>--seed S --record FILE</c>), with what they came to then. A file is never changed: a build that can't
/// read one, or makes something else of it, can't take over a store of that release.
/// </summary>
public sealed class RecordedLogTests
{
    [Theory]
    [InlineData("0.2", 983, 35, "ef8dfcd1")]
    public void The_log_of_an_earlier_release_comes_to_what_it_came_to_then(string release, int events, int kinds, string digest)
    {
        var findings = new FindingList();
        var links = new ChainChecker(findings);
        var rules = new LogChecker(findings);
        var state = new State(new StateOptions(), live: false);
        var seen = new HashSet<string>();
        foreach (var entry in Read(release))
        {
            links.Check(entry);
            var happened = State.Read(entry);
            rules.Check(happened);
            state.Apply(happened);
            seen.Add(entry.Type);

            // What is written now reads the same, whatever members were added since.
            Assert.Equal(happened, State.Read(entry with { Data = Written(happened) }), Same);
        }

        rules.Finish();
        Assert.Empty(findings.Kept);
        Assert.Equal((events, kinds, digest), ((int)state.Sequence, seen.Count, Digest(state)));
    }

    private static readonly IEqualityComparer<DispatchEvent> Same = EqualityComparer<DispatchEvent>.Create(
        (one, other) => Written(one!).Equals(Written(other!)) && one! with { Data = other!.Data } == other, _ => 0);

    private static JsonBytes Written(DispatchEvent happened)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
            happened.Data.WriteJson(json);
        return new JsonBytes(buffer.ToArray());
    }

    // Of every column of tasks and agents that decisions look at.
    private static string Digest(State state)
    {
        var text = new StringBuilder();
        foreach (var entry in state.Tasks.All.OrderBy(entry => entry.Task.Number))
        {
            var task = entry.Task;
            text.AppendLine(FormattableString.Invariant(
                $"{task.Number} {task.Id} {task.Status} {task.Requester} {task.Priority} {task.RunAt} {task.Deadline} {task.QueuedAt} {task.NextAttemptAt} {task.Assignee} {task.Attempt} {task.RetryCount} {task.AssignedAt} {task.StartedAt} {task.CompletedAt} {task.LastAgent} {task.LastOutcome} {task.DeadLettered} {task.Error} {task.Usage} {task.LastSequence}"));
        }

        foreach (var entry in state.Agents.All)
            text.AppendLine(FormattableString.Invariant($"{entry.Agent.Id} {entry.Agent.Status} {entry.Agent.Drained} {entry.Agent.MaxConcurrent} {string.Join(',', entry.Agent.Capabilities)} {entry.Agent.LastSequence}"));
        text.AppendJoin(' ', state.Tasks.Totals);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString().ReplaceLineEndings("\n"))))[..8];
    }

    private static IEnumerable<LogEntry> Read(string release)
    {
        foreach (var line in File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Recorded", $"{release}.jsonl")))
        {
            using var document = JsonDocument.Parse(line);
            var root = document.RootElement;
            yield return new LogEntry(
                root.GetProperty("sequence").GetInt64(), root.GetProperty("timestamp").GetInt64(), root.GetProperty("type").GetString()!, root.GetProperty("source").GetString()!,
                root.GetProperty("subject").GetString()!, root.GetProperty("session").GetString(), root.GetProperty("actor").GetString()!, root.GetProperty("caused_by").GetInt64(),
                root.GetProperty("previous").GetInt64(), new JsonBytes(Encoding.UTF8.GetBytes(root.GetProperty("data").GetString()!)), Convert.FromHexString(root.GetProperty("hash").GetString()!));
        }
    }
}

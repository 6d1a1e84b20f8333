using Dispatch.Chaos.Histories;

namespace Dispatch.Chaos.Checking;

/// <summary>
/// What an agent was told about its attempt holds: an accepted report is what became of the attempt, a false one was
/// refused, and a task has one valid result (I-5, I-6, I-7).
/// </summary>
public static class Reports
{
    public static IEnumerable<Finding> Check(History history, Snapshot snapshot) =>
        Taken(history, snapshot).Concat(Results(history, snapshot));

    private static IEnumerable<Finding> Taken(History history, Snapshot snapshot)
    {
        foreach (var (operation, report, end) in history.Reports)
        {
            if (end != Phase.Ok)
                continue;
            if (report.MustBeRefused)
                yield return Stale(operation, report, "not its attempt, and accepted");
            // A lost task is told of elsewhere, once.
            if (report.MustBeRefused || !snapshot.ById.TryGetValue(report.Task, out var task))
                continue;

            var holder = task.HolderOf(report.Attempt);
            var ended = task.FindEnded(report.Attempt);
            if (holder is null)
                yield return Undone(operation, report, "accepted, but the broker knows of no such attempt");
            else if (holder != report.Agent)
                yield return Stale(operation, report, $"accepted, but the attempt is {holder}'s");
            else if (report.Outcome is "started" or "progress")
            {
                if (ended is { IsStarted: false })
                    yield return Undone(operation, report, "accepted, but the attempt never began");
            }
            else if (ended is null)
                yield return Undone(operation, report, "accepted, but the attempt goes on");
            else if (ended.Outcome != report.Outcome)
                yield return report.Outcome == "completed" ? Stale(operation, report, $"accepted, but the attempt ended as {ended.Outcome}")
                    : Undone(operation, report, $"accepted, but the attempt ended as {ended.Outcome}");
        }
    }

    private static IEnumerable<Finding> Results(History history, Snapshot snapshot)
    {
        var completions = history.Reports.Where(one => one.Report.Outcome == "completed").ToLookup(one => one.Report.Task);
        foreach (var task in snapshot.Tasks)
        {
            var accepted = completions[task.Id].Where(one => one is { End: Phase.Ok, Report.MustBeRefused: false })
                .Select(one => one.Report.Result).Distinct().ToList();
            if (accepted.Count > 1)
                yield return new Finding(FindingKind.WrongResult, "I-7", task.Id, $"accepted {accepted.Count} results: {string.Join(' ', accepted)}");
            if (task.Attempts.Count(ended => ended.Outcome == "completed") is > 1 and var times)
                yield return new Finding(FindingKind.WrongResult, "I-7", task.Id, $"{times} attempts are completed");

            if (accepted.Count > 0 && (task.Status != Histories.TaskStatus.Completed || !accepted.Contains(task.Result)))
                yield return new Finding(
                    FindingKind.Undone, "I-7", task.Id, $"accepted the result {accepted[0]}, and is {task.Status} with {task.Result ?? "none"}");
            if (task.Status == Histories.TaskStatus.Completed && !completions[task.Id].Any(one => MayHaveSet(one, task)))
                yield return new Finding(
                    FindingKind.WrongResult, "I-6", task.Id, $"completed with {task.Result ?? "none"} by attempt {task.Attempt}, which nobody may have reported");
        }
    }

    private static bool MayHaveSet(ReportedAttempt one, FinalTask task) =>
        one.End is Phase.Ok or Phase.Unknown && !one.Report.MustBeRefused && one.Report.Result == task.Result && one.Report.Attempt == task.Attempt
        && one.Report.Agent == task.HolderOf(task.Attempt);

    private static Finding Stale(Operation operation, Report report, string text) =>
        new(FindingKind.StaleAccepted, "I-6", report.Task, $"{operation.Id}: {report.Agent} reported {report.Outcome} of attempt {report.Attempt}: {text}");

    private static Finding Undone(Operation operation, Report report, string text) =>
        new(FindingKind.Undone, "I-6", report.Task, $"{operation.Id}: {report.Agent} reported {report.Outcome} of attempt {report.Attempt}: {text}");
}

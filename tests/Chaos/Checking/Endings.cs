using Dispatch.Chaos.Histories;
using TaskStatus = Dispatch.Chaos.Histories.TaskStatus;

namespace Dispatch.Chaos.Checking;

/// <summary>
/// What is final stays as it is unless somebody retries it (I-7); what is cancelled stays cancelled; an acknowledged
/// retry is not forgotten; and everything comes to an end (I-9).
/// </summary>
public static class Endings
{
    public static IEnumerable<Finding> Check(History history, Snapshot snapshot)
    {
        var retries = history.Of<Invocation.Retry>().Where(one => one.Operation.MayHaveHappened).ToLookup(one => one.What.Task, one => one.Operation);
        var cancels = history.Of<Invocation.Cancel>().Where(one => one.Operation.MayHaveHappened).ToLookup(one => one.What.Task, one => one.Operation);
        return Seen(history, snapshot, retries).Concat(Retried(snapshot, retries, cancels)).Concat(Stuck(snapshot));
    }

    private static IEnumerable<Finding> Seen(History history, Snapshot snapshot, ILookup<string, Operation> retries)
    {
        foreach (var operation in history.Operations)
        {
            if (operation.Answer is not Answer.Seen { Task: var sight } || !snapshot.ById.TryGetValue(sight.Id, out var task))
                continue;
            if (sight.Attempt > task.Attempt)
                yield return new Finding(FindingKind.Undone, "I-5", task.Id, $"{operation.Id} saw attempt {sight.Attempt}, and now it is at {task.Attempt}");

            // A retry of a completed task is never legal; any other final task may have been put back by one that was not over before.
            var wasRetried = sight.Status != TaskStatus.Completed && retries[sight.Id].Any(retry => !retry.IsBefore(operation));
            if (sight.IsFinal && !wasRetried && (task.Status != sight.Status || task.Result != sight.Result))
                yield return new Finding(
                    FindingKind.Resurrected, "I-7", task.Id,
                    $"{operation.Id} saw it {sight.Status} with {sight.Result ?? "no result"}, and it is {task.Status} with {task.Result ?? "none"}");
            if (operation.Invocation is Invocation.Cancel && sight.Status != TaskStatus.Cancelled)
                yield return new Finding(FindingKind.Breach, "I-7", task.Id, $"{operation.Id} cancelled it and was shown {sight.Status}");
        }
    }

    /// <summary>A cancelled task that was put back, and cancelled by nobody afterwards, can't still be cancelled.</summary>
    private static IEnumerable<Finding> Retried(Snapshot snapshot, ILookup<string, Operation> retries, ILookup<string, Operation> cancels)
    {
        foreach (var task in snapshot.Tasks.Where(task => task is { Status: TaskStatus.Cancelled, DependsOn.Count: 0 }))
        {
            if (retries[task.Id].LastOrDefault(retry => retry.End == Phase.Ok) is { } retried && cancels[task.Id].All(cancel => cancel.IsBefore(retried)))
                yield return new Finding(FindingKind.Undone, "I-1", task.Id, $"{retried.Id} put it back, nobody cancelled it since, and it is cancelled");
        }
    }

    private static IEnumerable<Finding> Stuck(Snapshot snapshot) => !snapshot.IsDrained ? []
        : snapshot.Tasks.Where(task => !TaskStatus.IsFinal(task.Status))
            .Select(task => new Finding(FindingKind.Stuck, "I-9", task.Id, $"still {task.Status} in the end (attempt {task.Attempt})"));
}

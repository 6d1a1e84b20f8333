using TaskStatus = Dispatch.Chaos.Histories.TaskStatus;

namespace Dispatch.Chaos.Checking;

/// <summary>The histories of all tasks fit together and each fits its task (I-7, I-11, I-13).</summary>
public static class Log
{
    public static IEnumerable<Finding> Check(Snapshot snapshot) => Repeats(snapshot).Concat(snapshot.Tasks.Where(task => !task.IsCut).SelectMany(task => Walk(task, snapshot.IsDrained)));

    private static IEnumerable<Finding> Repeats(Snapshot snapshot) =>
        snapshot.Tasks.SelectMany(task => task.Events.Select(happened => (happened.Sequence, task.Id))).GroupBy(pair => pair.Sequence)
            .Where(same => same.Count() > 1)
            .Select(same => new Finding(FindingKind.Log, "I-11", same.First().Id, $"sequence {same.Key} stands in {same.Count()} histories"));

    /// <summary>Goes through one task's history as its state machine would.</summary>
    /// <param name="isStill">The task did not change between the reading of it and of its history, even if it is not final.</param>
    private static IEnumerable<Finding> Walk(FinalTask task, bool isStill)
    {
        if (task.Events.Count == 0 || task.Events[0].Type != "task.created" || task.Events.Count(happened => happened.Type == "task.created") != 1)
        {
            yield return Wrong(task, $"its history begins with {(task.Events.Count == 0 ? "nothing" : task.Events[0].Type)}, not with one task.created");
            yield break;
        }

        var last = 0L;
        var attempt = 0;
        var ended = "";
        foreach (var happened in task.Events)
        {
            if (happened.Sequence <= last)
                yield return Wrong(task, $"sequence {happened.Sequence} after {last}");
            last = happened.Sequence;

            if (ended.Length > 0 && happened.Type is not ("task.dead_lettered" or "task.updated") && !(happened is { Type: "task.retried", IsManual: true } && ended != TaskStatus.Completed))
                yield return new Finding(FindingKind.Resurrected, "I-7", task.Id, $"{happened.Type} at {happened.Sequence}, after it was {ended}");
            switch (happened.Type)
            {
                case "task.assigned" when happened.Attempt <= attempt:
                    yield return new Finding(FindingKind.Fence, "I-5", task.Id, $"attempt {happened.Attempt} given out at {happened.Sequence}, after {attempt}");
                    break;
                case "task.assigned":
                    attempt = happened.Attempt ?? attempt;
                    break;
                case "task.completed":
                    ended = TaskStatus.Completed;
                    break;
                case "task.cancelled":
                    ended = TaskStatus.Cancelled;
                    break;
                case "task.dead_lettered":
                    ended = "dead-lettered";
                    break;
                case "task.retried":
                    ended = "";
                    break;
            }
        }

        if (!isStill && !TaskStatus.IsFinal(task.Status))
            yield break;
        var isDead = task.Status is TaskStatus.Failed or TaskStatus.Timeout;
        if (ended != (isDead ? "dead-lettered" : TaskStatus.IsFinal(task.Status) ? task.Status : ""))
            yield return Wrong(task, $"it is {task.Status}, and its history ends {(ended.Length == 0 ? "open" : ended)}");
        if (attempt != task.Attempt)
            yield return Wrong(task, $"it is at attempt {task.Attempt}, and its history at {attempt}");
    }

    private static Finding Wrong(FinalTask task, string text) => new(FindingKind.Log, "I-13", task.Id, text);
}

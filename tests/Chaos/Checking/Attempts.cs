using Dispatch.Chaos.Histories;
using TaskStatus = Dispatch.Chaos.Histories.TaskStatus;

namespace Dispatch.Chaos.Checking;

/// <summary>Attempt numbers strictly rise, each is one agent's, and there are no more than retries allow (I-4, I-5, I-8).</summary>
public static class Attempts
{
    public static IEnumerable<Finding> Check(History history, Snapshot snapshot)
    {
        var retries = history.Of<Invocation.Retry>().Where(one => one.Operation.MayHaveHappened)
            .GroupBy(one => one.What.Task).ToDictionary(same => same.Key, same => same.Count());
        return snapshot.Tasks.SelectMany(task => Numbers(task, snapshot.IsDrained).Concat(Charged(task, retries.GetValueOrDefault(task.Id)))).Concat(Grants(history, snapshot));
    }

    /// <param name="isStill">The task did not change between the reading of it and of its attempts, even if it is not final.</param>
    private static IEnumerable<Finding> Numbers(FinalTask task, bool isStill)
    {
        if (!isStill && !TaskStatus.IsFinal(task.Status))
            yield break;
        var numbers = task.Attempts.Select(ended => ended.Attempt).ToList();
        if (numbers.Zip(numbers.Skip(1)).Any(pair => pair.First >= pair.Second) || numbers.Any(number => number < 1 || number > task.Attempt))
            yield return new Finding(FindingKind.Fence, "I-5", task.Id, $"ended attempts {string.Join(' ', numbers)}, last given out {task.Attempt}");
        if (numbers.Count + (task.Assignee is not null && task.FindEnded(task.Attempt) is null ? 1 : 0) < task.Attempt)
            yield return new Finding(FindingKind.Log, "I-14", task.Id, $"{task.Attempt} attempts were given out and {numbers.Count} are on record");
    }

    private static IEnumerable<Finding> Charged(FinalTask task, int retries)
    {
        var most = (task.MaxRetries + 1) * (retries + 1);
        var charged = task.Attempts.Count(ended => ended.IsCharged) + task.Attempts.Count(ended => ended.Outcome == "completed");
        if (charged > most)
            yield return new Finding(
                FindingKind.Overrun, "I-8", task.Id, $"{charged} charged attempts; max_retries {task.MaxRetries} and {retries} retries by hand allow {most}");
    }

    private static IEnumerable<Finding> Grants(History history, Snapshot snapshot)
    {
        var holders = new Dictionary<Grant, (string Agent, string Op)>();
        foreach (var operation in history.Operations)
        {
            if (operation.Answer is not Answer.Exchanged answer)
                continue;
            foreach (var grant in answer.Grants)
            {
                if (!holders.TryAdd(grant, (operation.Actor, operation.Id)))
                {
                    if (holders[grant].Agent != operation.Actor)
                        yield return new Finding(
                            FindingKind.Fence, "I-4", grant.Task,
                            $"attempt {grant.Attempt} was given to {holders[grant].Agent} ({holders[grant].Op}) and to {operation.Actor} ({operation.Id})");
                    continue;
                }

                if (snapshot.ById.TryGetValue(grant.Task, out var task) && task.HolderOf(grant.Attempt) != operation.Actor)
                    yield return new Finding(
                        FindingKind.Undone, "I-5", grant.Task,
                        $"{operation.Id} was given attempt {grant.Attempt}, and the broker has it as {task.HolderOf(grant.Attempt) ?? "nobody"}'s");
            }
        }
    }
}

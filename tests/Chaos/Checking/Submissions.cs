using Dispatch.Chaos.Histories;

namespace Dispatch.Chaos.Checking;

/// <summary>Every acknowledged task is there exactly once (I-1, I-3), and none that nobody submitted (I-2).</summary>
public static class Submissions
{
    public static IEnumerable<Finding> Check(History history, Snapshot snapshot)
    {
        var submitted = history.Of<Invocation.Submit>().ToList();
        var byToken = snapshot.Tasks.Where(task => task.Token is not null).ToLookup(task => task.Token!);
        return Acknowledged(submitted, byToken)
            .Concat(ListedTwice(snapshot))
            .Concat(NotSubmitted(submitted, snapshot, byToken))
            .Concat(HalfDone(submitted, byToken))
            .Concat(Looks(history));
    }

    private static IEnumerable<Finding> Acknowledged(List<(Operation, Invocation.Submit)> submitted, ILookup<string, FinalTask> byToken)
    {
        var ids = new Dictionary<string, string>();
        foreach (var (operation, what) in submitted)
        {
            if (operation.Answer is not Answer.Submitted answer)
                continue;
            if (what.MustBeRefused)
                yield return new Finding(FindingKind.Duplicated, "I-3", operation.Id, "a used idempotency key was taken with another body");

            foreach (var (task, id) in what.Tasks.Zip(answer.Ids))
            {
                if (!ids.TryAdd(task.Token, id))
                {
                    if (ids[task.Token] != id)
                        yield return new Finding(FindingKind.Duplicated, "I-3", task.Token, $"acknowledged as {ids[task.Token]} and as {id}");
                    continue;
                }

                if (task.Id is not null && task.Id != id)
                    yield return new Finding(FindingKind.Invented, "I-3", task.Token, $"submitted as {task.Id}, acknowledged as {id}");
                if (byToken[task.Token].All(found => found.Id != id))
                    yield return new Finding(FindingKind.Lost, "I-1", id, $"acknowledged to {operation.Id}, and not there");
            }
        }
    }

    private static IEnumerable<Finding> ListedTwice(Snapshot snapshot) =>
        snapshot.Tasks.GroupBy(task => task.Id).Where(same => same.Count() > 1)
            .Select(same => new Finding(FindingKind.Duplicated, "I-1", same.Key, $"listed {same.Count()} times"));

    private static IEnumerable<Finding> NotSubmitted(
        List<(Operation Operation, Invocation.Submit What)> submitted, Snapshot snapshot, ILookup<string, FinalTask> byToken)
    {
        var sent = submitted.SelectMany(one => one.What.Tasks.Select(task => (task.Token, one.Operation))).ToLookup(pair => pair.Token, pair => pair.Operation);
        foreach (var task in snapshot.Tasks.Where(task => task.Token is null || !sent.Contains(task.Token)))
            yield return new Finding(FindingKind.Invented, "I-2", task.Id, $"nobody submitted it (token {task.Token ?? "none"})");

        foreach (var token in sent)
        {
            var found = byToken[token.Key].Select(task => task.Id).Distinct().ToList();
            // Each sending without a key or an id may make a task; here such a token is sent once, so one is always the most.
            if (found.Count > 1)
                yield return new Finding(FindingKind.Duplicated, "I-3", token.Key, $"one submission, {found.Count} tasks: {string.Join(' ', found)}");
            if (found.Count > 0 && !token.Any(operation => operation.MayHaveHappened))
                yield return new Finding(FindingKind.Invented, "I-2", found[0], $"every submission of {token.Key} was refused ({token.First().Code})");
        }
    }

    private static IEnumerable<Finding> HalfDone(List<(Operation, Invocation.Submit What)> submitted, ILookup<string, FinalTask> byToken)
    {
        foreach (var (operation, what) in submitted.Where(one => one.What.Tasks.Count > 1 && one.Item1.End == Phase.Unknown))
        {
            var there = what.Tasks.Count(task => byToken.Contains(task.Token));
            if (there > 0 && there < what.Tasks.Count)
                yield return new Finding(FindingKind.HalfDone, "I-13", operation.Id, $"{there} of the {what.Tasks.Count} tasks of one submission are there");
        }
    }

    /// <summary>Whoever was told of a task finds it from then on.</summary>
    private static IEnumerable<Finding> Looks(History history)
    {
        var known = new Dictionary<string, Operation>();
        foreach (var (operation, _) in history.Of<Invocation.Submit>().OrderBy(one => one.Operation.ReturnedAt))
        {
            if (operation.Answer is Answer.Submitted answer)
            {
                foreach (var id in answer.Ids)
                    known.TryAdd(id, operation);
            }
        }

        foreach (var (operation, what) in history.Of<Invocation.Look>())
        {
            if (operation is { End: Phase.Refused, Code: "task_not_found" } && known.TryGetValue(what.Task, out var told) && told.IsBefore(operation))
                yield return new Finding(FindingKind.Lost, "I-1", what.Task, $"acknowledged to {told.Id}, and {operation.Id} did not find it");
        }
    }
}

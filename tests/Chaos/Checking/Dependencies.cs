using Dispatch.Chaos.Histories;
using TaskStatus = Dispatch.Chaos.Histories.TaskStatus;

namespace Dispatch.Chaos.Checking;

/// <summary>No task is given out before all it waits for is completed, and none outlives the end of that hope (I-10).</summary>
public static class Dependencies
{
    public static IEnumerable<Finding> Check(History history, Snapshot snapshot)
    {
        var asked = history.Of<Invocation.Submit>().Where(one => one.Operation.MayHaveHappened && !one.What.MustBeRefused)
            .SelectMany(one => one.What.Tasks).DistinctBy(task => task.Token).ToDictionary(task => task.Token, task => task.DependsOn);
        var retried = history.Of<Invocation.Retry>().Where(one => one.Operation.MayHaveHappened).Select(one => one.What.Task).ToHashSet();

        foreach (var task in snapshot.Tasks)
        {
            if (task.Token is not null && asked.TryGetValue(task.Token, out var wanted) && !wanted.ToHashSet().SetEquals(task.DependsOn))
                yield return new Finding(
                    FindingKind.Dependency, "I-10", task.Id, $"submitted to wait for {Names(wanted)}, and waits for {Names(task.DependsOn)}");

            foreach (var dependency in task.DependsOn.Select(id => snapshot.ById.GetValueOrDefault(id)).OfType<FinalTask>())
            {
                var given = task.Events.FirstOrDefault(happened => happened.Type == "task.assigned")?.Sequence;
                var met = dependency.Events.FirstOrDefault(happened => happened.Type == "task.completed")?.Sequence;
                if (given is not null && (met is null ? !dependency.IsCut : met > given))
                {
                    var byHand = task.Events.Any(happened => happened.IsManual && happened.Sequence < given) ? " (after a retry by hand)" : "";
                    yield return new Finding(
                        FindingKind.Dependency, "I-10", task.Id,
                        $"given out at {given}{byHand}, but {dependency.Id} was {(met is null ? "never completed" : $"completed at {met}")}");
                }

                // By hand a task can be put back on either side, and then what came first decides; the order above still holds.
                if (TaskStatus.IsFinal(dependency.Status) && dependency.Status != TaskStatus.Completed && task.Status != TaskStatus.Cancelled
                    && snapshot.IsDrained && !retried.Contains(task.Id) && !retried.Contains(dependency.Id))
                    yield return new Finding(
                        FindingKind.Dependency, "I-10", task.Id, $"is {task.Status}, though {dependency.Id}, which it waits for, is {dependency.Status}");
            }
        }
    }

    private static string Names(IReadOnlyCollection<string> ids) => ids.Count == 0 ? "nothing" : string.Join(' ', ids.Order(StringComparer.Ordinal));
}

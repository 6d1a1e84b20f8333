using System.Security.Cryptography;
using Dispatch.Sequencing;

namespace Dispatch.Tasks;

/// <summary>A task as its requester asks for it; shape and ranges are checked at the edge.</summary>
public sealed record NewTask
{
    /// <summary>Chosen by the requester, or null: the broker makes one.</summary>
    public TaskId? Id { get; init; }

    public required TaskSpec Spec { get; init; }

    /// <summary>Required capabilities, the scope included.</summary>
    public string[] Required { get; init; } = [];

    public string[] Preferred { get; init; } = [];

    public string? Owner { get; init; }

    public string? Session { get; init; }

    public byte Priority { get; init; } = TaskLimits.DefaultPriority;

    public long TimeoutMs { get; init; } = TaskLimits.DefaultTimeoutMs;

    public int MaxRetries { get; init; } = TaskLimits.DefaultRetries;

    public long? RunAt { get; init; }

    public long? Deadline { get; init; }

    public TaskId[] DependsOn { get; init; } = [];

    public TaskId? Parent { get; init; }

    /// <summary>Hash of the request in canonical form; null only without an idempotency key and without an id of the requester's.</summary>
    public string? BodyHash { get; init; }
}

/// <summary>What became of a submission.</summary>
public abstract record SubmitOutcome
{
    /// <summary>Accepted as a whole, in the order given.</summary>
    public sealed record Accepted(SubmittedTask[] Tasks) : SubmitOutcome;

    /// <summary>Something asked for is not in memory, and what the command brought along is out of date: read again as of now.</summary>
    public sealed record NeedsFacts : SubmitOutcome;

    /// <summary>The key was used for another request.</summary>
    public sealed record Mismatch(int Index, TaskId Existing) : SubmitOutcome;

    /// <summary>The id is taken by another task.</summary>
    public sealed record IdTaken(int Index, TaskId Id) : SubmitOutcome;

    /// <summary>A task referred to does not exist, or the references go round in a circle.</summary>
    public sealed record BadReference(int Index, string Member, string Problem) : SubmitOutcome;
}

/// <param name="Task">As it stood at the end of its batch; for a repeat, null: the store has it.</param>
public readonly record struct SubmittedTask(TaskId Id, bool IsNew, WorkTask? Task, TaskSpec? Spec);

/// <summary>Takes in one task or many: all or none.</summary>
/// <param name="Facts">What the store knows about the ids and keys named; null when none are.</param>
public sealed record SubmitTasks(IReadOnlyList<NewTask> Tasks, StoreFacts? Facts) : Command<SubmitOutcome>
{
    public override SubmitOutcome Decide(State state, Decision decision)
    {
        var requester = Caller!;
        var results = new SubmittedTask[Tasks.Count];
        Dictionary<TaskId, int>? named = null;
        HashSet<string>? keys = null;
        for (var i = 0; i < Tasks.Count; i++)
        {
            if (Tasks.Count > 1 && Tasks[i].Spec.IdempotencyKey is { } key && !(keys ??= new(StringComparer.Ordinal)).Add(key))
                return new SubmitOutcome.BadReference(i, "idempotency_key", $"The key '{key}' appears twice in this request.");
            if (FindRepeat(state, requester, Tasks[i], i) is { } found)
            {
                if (found.Refused is not null)
                    return found.Refused;
                results[i] = new SubmittedTask(found.Existing, false, null, null);
            }

            if (Tasks[i].Id is { } id && !(named ??= []).TryAdd(id, i))
                return new SubmitOutcome.BadReference(i, "id", $"The id {id} appears twice in this request.");
        }

        if (CheckReferences(state, named, results) is { } refused)
            return refused;
        if (OrderByDependency(named, out var order) is { } circle)
            return circle;

        foreach (var i in order)
        {
            if (results[i].Id != default)
                continue;
            var id = Tasks[i].Id ?? decision.Ids.NewTaskId(decision.Now);
            results[i] = new SubmittedTask(id, true, null, null);
            Create(state, decision, requester, id, Tasks[i], named);
        }

        return new SubmitOutcome.Accepted(results);
    }

    public override SubmitOutcome Conclude(State state, Decision decision, SubmitOutcome outcome)
    {
        if (outcome is SubmitOutcome.Accepted { Tasks: var tasks })
        {
            for (var i = 0; i < tasks.Length; i++)
            {
                if (tasks[i].IsNew && state.Tasks.Find(tasks[i].Id) is { } entry)
                    tasks[i] = tasks[i] with { Task = entry.Task, Spec = entry.Spec };
            }
        }

        return outcome;
    }

    private (TaskId Existing, SubmitOutcome? Refused)? FindRepeat(State state, string requester, NewTask task, int index)
    {
        if (task.Spec.IdempotencyKey is { } key)
        {
            var identity = new IdempotencyKey(requester, key);
            if (!state.Tasks.RecentKeys.TryGet(identity, out var row))
            {
                if (Facts is null || Facts.AsOf < state.Tasks.RecentKeys.Floor || Facts.AsOf < state.Tasks.RecentlyPruned.Floor)
                    return (default, new SubmitOutcome.NeedsFacts());
                if (Facts.Keys.TryGetValue(identity, out row!) && state.Tasks.RecentlyPruned.TryGet(row.TaskNumber, out var removed) && removed > Facts.AsOf)
                    return (default, new SubmitOutcome.NeedsFacts());
            }

            if (row is not null)
            {
                var same = string.Equals(row.BodyHash, task.BodyHash, StringComparison.Ordinal);
                return (row.Task, same ? null : new SubmitOutcome.Mismatch(index, row.Task));
            }
        }

        if (task.Id is not { } id)
            return null;
        if (state.Tasks.Find(id) is { } live)
            return SameId(live.Task, live.Spec, task, index, requester);
        if (IsOutOfDate(state, id))
            return (default, new SubmitOutcome.NeedsFacts());
        return Facts!.Tasks.TryGetValue(id, out var stored) ? SameId(stored.Task, stored.Spec, task, index, requester) : null;
    }

    private (TaskId, SubmitOutcome?)? SameId(WorkTask known, TaskSpec? spec, NewTask task, int index, string requester)
    {
        if (spec is null)
        {
            if (Facts is null || !Facts.Tasks.TryGetValue(known.Id, out var stored))
                return (default, new SubmitOutcome.NeedsFacts());
            spec = stored.Spec;
        }

        // What it was asked for with; the task itself may have been changed since.
        var same = string.Equals(known.Requester, requester, StringComparison.Ordinal)
            && string.Equals(spec.RequestHash, task.BodyHash, StringComparison.Ordinal);
        return (known.Id, same ? null : new SubmitOutcome.IdTaken(index, known.Id));
    }

    private bool IsOutOfDate(State state, TaskId id) =>
        Facts is null || state.Tasks.IsOutOfDate(id, Facts.Tasks.GetValueOrDefault(id), Facts.AsOf);

    private SubmitOutcome? CheckReferences(State state, Dictionary<TaskId, int>? named, SubmittedTask[] results)
    {
        for (var i = 0; i < Tasks.Count; i++)
        {
            // A repeat was checked when it was taken in; what it refers to may have been removed since.
            if (results[i].Id != default)
                continue;

            var task = Tasks[i];
            for (var d = 0; d < task.DependsOn.Length; d++)
            {
                if (Check(state, named, results, task.DependsOn[d], i, $"depends_on[{d}]") is { } refused)
                    return refused;
            }

            if (task.Parent is { } parent && Check(state, named, results, parent, i, "parent_id") is { } missing)
                return missing;
            if (task.Spec.Budget is not null && !BudgetAbove(state, named, task).IsNone)
                return new SubmitOutcome.BadReference(i, "budget", "A task above it has a budget, which it draws on: it can't have one of its own.");
            if (IsOwnAncestor(named, i))
                return new SubmitOutcome.BadReference(i, "parent_id", "The task would be its own ancestor.");
        }

        return null;
    }

    /// <summary>The task above this one whose budget it draws on; none when there is none.</summary>
    private TaskId BudgetAbove(State state, Dictionary<TaskId, int>? named, NewTask task)
    {
        for (var step = 0; step <= Tasks.Count && task.Parent is { } parent; step++)
        {
            if ((state.Tasks.Find(parent)?.Task ?? Facts?.Tasks.GetValueOrDefault(parent)?.Task) is { } known)
                return known.Cost?.BudgetOf ?? default;
            if (named is null || !named.TryGetValue(parent, out var above))
                return default;
            if (Tasks[above].Spec.Budget is not null)
                return parent;
            task = Tasks[above];
        }

        return default;
    }

    // As with dependencies, only tasks of one request can form a circle. Most have no parent among them: one look each.
    private bool IsOwnAncestor(Dictionary<TaskId, int>? named, int index)
    {
        var at = index;
        for (var step = 0; named is not null && step <= Tasks.Count; step++)
        {
            if (Tasks[at].Parent is not { } parent || !named.TryGetValue(parent, out at))
                return false;
            if (at == index)
                return true;
        }

        return false;
    }

    private SubmitOutcome? Check(State state, Dictionary<TaskId, int>? named, SubmittedTask[] results, TaskId id, int index, string member)
    {
        if ((named is not null && named.TryGetValue(id, out var with) && results[with].Id == default) || state.Tasks.Find(id) is not null)
            return null;
        if (IsOutOfDate(state, id))
            return new SubmitOutcome.NeedsFacts();
        return Facts!.Tasks.ContainsKey(id) ? null : new SubmitOutcome.BadReference(index, member, $"There is no task {id}.");
    }

    // Only tasks of one request can form a circle: everything else they refer to existed before them.
    private SubmitOutcome? OrderByDependency(Dictionary<TaskId, int>? named, out IReadOnlyList<int> order)
    {
        order = Enumerable.Range(0, Tasks.Count).ToArray();
        if (named is null)
            return null;

        var sorted = new List<int>(Tasks.Count);
        var missing = new int[Tasks.Count];
        var followers = new List<int>?[Tasks.Count];
        for (var i = 0; i < Tasks.Count; i++)
        {
            foreach (var dependency in Tasks[i].DependsOn.Distinct())
            {
                if (!named.TryGetValue(dependency, out var first))
                    continue;
                missing[i]++;
                (followers[first] ??= []).Add(i);
            }
        }

        var ready = new Queue<int>(order.Where(i => missing[i] == 0));
        while (ready.TryDequeue(out var next))
        {
            sorted.Add(next);
            foreach (var follower in followers[next] ?? [])
            {
                if (--missing[follower] == 0)
                    ready.Enqueue(follower);
            }
        }

        if (sorted.Count < Tasks.Count)
        {
            var stuck = order.First(i => missing[i] > 0);
            return new SubmitOutcome.BadReference(stuck, "depends_on", "The dependencies go round in a circle.");
        }

        order = sorted;
        return null;
    }

    private void Create(State state, Decision decision, string requester, TaskId id, NewTask task, Dictionary<TaskId, int>? named)
    {
        var unmet = false;
        (TaskId Id, TaskState Status)? broken = null;
        foreach (var dependency in task.DependsOn)
        {
            var status = state.Tasks.Find(dependency)?.Task.Status ?? Facts!.Tasks[dependency].Task.Status;
            if (status < TaskState.Completed)
                unmet = true;
            else if (status != TaskState.Completed)
                broken ??= (dependency, status);
        }

        // One that can never run is cancelled below; until then it waits, for pending means that it may be given out.
        var spec = task.Spec;
        var start = task.RunAt > decision.Now ? TaskState.Scheduled : unmet || broken is not null || spec.Confirm ? TaskState.Blocked : TaskState.Pending;
        var created = decision.Raise(id.ToString(), task.Session, 0, new TaskCreated(
            start, requester, spec.Title, spec.Description, spec.Scope, task.Required, task.Preferred, task.Owner, spec.Submitter, spec.IdempotencyKey,
            spec.IdempotencyKey is null && task.Id is null ? null : task.BodyHash, task.Priority, spec.Labels, spec.Context, spec.Estimate, task.TimeoutMs, task.MaxRetries,
            task.RunAt, task.Deadline, task.DependsOn.Length == 0 ? null : task.DependsOn, task.Parent, spec.Confirm ? true : null, spec.Budget,
            spec.Budget is null && BudgetAbove(state, named, task) is { IsNone: false } budget ? budget : null));
        if (broken is null && !spec.Confirm)
            return;

        decision.Cause = created.Sequence;
        var entry = state.Tasks.Find(id)!;
        if (broken is not { } ended)
        {
            Confirmation.Ask(state, decision, entry.Task, spec);
            decision.Cause = 0;
            return;
        }

        decision.Raise(entry.Task, new TaskCancelled($"Dependency {ended.Id} ended as {TaskEnding.Word(ended.Status)}."));
        decision.Ended.Enqueue(entry);
        decision.Cause = 0;
    }

    /// <summary>The hash by which a repeated request is known: first half of SHA-256, lower-case hexadecimal.</summary>
    public static string HashBody(ReadOnlySpan<byte> canonical) => Convert.ToHexStringLower(SHA256.HashData(canonical).AsSpan(0, 16));
}

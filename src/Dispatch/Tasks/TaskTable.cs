using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Questions;
using Dispatch.Sequencing;

namespace Dispatch.Tasks;

/// <summary>
/// The live tasks and what is derived from them. Finished tasks leave at the end of the batch that finished them; the store keeps them.
/// </summary>
public sealed class TaskTable
{
    private readonly State state;
    private readonly Dictionary<TaskId, TaskEntry> entries = [];

    // Only a folded state keeps tasks until they are removed, and removal names them by number.
    private readonly Dictionary<long, TaskId>? numbers;
    private readonly RequirementPool requirements = new();
    private readonly long[] totals = new long[9];

    private List<TaskEntry> dirty = [];
    private List<EndedAttempt> ended = [];
    private List<IdempotencyRow> keys = [];
    private List<long> pruned = [];
    private readonly List<TaskEntry> leaving = [];
    private readonly Dictionary<TaskCost, TaskCost> costs = [];
    private long specBytes;

    internal TaskTable(State state)
    {
        this.state = state;
        numbers = state.IsLive ? null : [];
        RecentlyLeft = new RecentWindow<TaskId, long>(state.Options.RecentKept);
        RecentlyPruned = new RecentWindow<long, long>(state.Options.RecentKept);
        RecentKeys = new RecentWindow<IdempotencyKey, IdempotencyRow>(state.Options.RecentKept);
    }

    /// <summary>Tasks in each state, finished ones included, indexed by <see cref="TaskState"/>.</summary>
    public IReadOnlyList<long> Totals => totals;

    public int Count => entries.Count;

    public IEnumerable<TaskEntry> All => entries.Values;

    /// <summary>Tasks that finished lately, with the sequence of their end: what was read from the store before that is out of date.</summary>
    internal RecentWindow<TaskId, long> RecentlyLeft { get; }

    /// <summary>Numbers of tasks that were removed lately, with the sequence of their removal.</summary>
    internal RecentWindow<long, long> RecentlyPruned { get; }

    internal RecentWindow<IdempotencyKey, IdempotencyRow> RecentKeys { get; }

    public TaskEntry? Find(TaskId id) => entries.GetValueOrDefault(id);

    /// <summary>True when what the store said about a task that is not in memory may have changed since.</summary>
    /// <param name="stored">What it said; null: that there is none.</param>
    /// <param name="asOf">The sequence number as of which it said so.</param>
    internal bool IsOutOfDate(TaskId id, StoredTask? stored, long asOf) =>
        asOf < RecentlyLeft.Floor || asOf < RecentlyPruned.Floor
        || (RecentlyLeft.TryGet(id, out var ended) && ended > asOf)
        || (stored is not null && RecentlyPruned.TryGet(stored.Task.Number, out var removed) && removed > asOf);

    internal void Load(IReadOnlyList<WorkTask> tasks, IReadOnlyList<long> stored)
    {
        for (var i = 0; i < totals.Length; i++)
            totals[i] = stored[i];
        RecentlyLeft.Floor = RecentlyPruned.Floor = RecentKeys.Floor = state.Sequence;
        entries.EnsureCapacity(tasks.Count);
        foreach (var task in tasks)
            entries.Add(task.Id, new TaskEntry(WithPooledCost(task), null));
        foreach (var task in tasks)
        {
            var entry = entries[task.Id];
            if (task.Status is TaskState.Blocked or TaskState.Scheduled)
                AwaitDependencies(entry);
            Settle(entry, null, arrived: false);
        }
    }

    /// <summary>Takes over a task of the base from which a folded state begins.</summary>
    internal void Restore(StoredTask stored)
    {
        var needs = stored.Task.Needs;
        var task = WithPooledCost(stored.Task) with { Needs = requirements.Get(needs.Required, needs.Preferred, needs.Owner) };
        var entry = new TaskEntry(task, null);
        entries.Add(task.Id, entry);
        numbers!.Add(task.Number, task.Id);
        Hold(entry, stored.Spec);
    }

    /// <summary>Puts a finished task, as the store has it, back into memory; an event that revives it must follow.</summary>
    internal TaskEntry Recall(StoredTask stored)
    {
        var entry = new TaskEntry(WithPooledCost(stored.Task), stored.Spec);
        entries.Add(stored.Task.Id, entry);
        Hold(entry, stored.Spec);
        return entry;
    }

    internal void Apply(DispatchEvent happened, TaskEvent data)
    {
        if (data is TaskPruned prune)
        {
            Prune(prune, happened.Sequence);
            return;
        }

        if (!TaskId.TryParse(happened.Subject, out var id))
            throw new InvalidOperationException($"Event {happened.Sequence} ({happened.Type}) is about '{happened.Subject}', which is no task id.");
        if (data is TaskCreated created)
        {
            Add(id, created, happened);
            return;
        }

        if (!entries.TryGetValue(id, out var entry))
            throw new InvalidOperationException($"Event {happened.Sequence} ({happened.Type}) is about task {id}, which is not there.");

        var before = entry.Task;
        if (!TaskTransitions.Allows(before.Status, data))
            throw new InvalidOperationException($"Event {happened.Sequence}: {happened.Type} can't happen to a task that is {before.Status}.");
        var after = TaskTransitions.Next(before, data, happened.Timestamp) with { LastSequence = happened.Sequence };
        if (TaskTransitions.EndOfAttempt(before, data, happened.Timestamp) is { } attempt)
            ended.Add(attempt);

        var change = RowChange.State;
        if (data is TaskUpdated update && (update.Context is not null || update.Title is not null || update.Description is not null))
        {
            var spec = entry.Spec!;
            var changed = spec with { Title = update.Title ?? spec.Title, Description = update.Description ?? spec.Description, Context = update.Context ?? spec.Context };
            specBytes += changed.Size - spec.Size;
            entry.Spec = changed;
            change = RowChange.StateAndSpec;
        }

        state.Allowances.Follow(before, after, data, happened.Timestamp);
        Replace(entry, before, after, change);
        if (after.IsFinal && !before.IsFinal)
        {
            leaving.Add(entry);
            RecentlyLeft.Add(id, happened.Sequence, happened.Sequence);
        }
    }

    internal (List<TaskRow> Tasks, List<EndedAttempt> Attempts, List<IdempotencyRow> Keys, List<long> Pruned) TakeChanges()
    {
        dirty.Sort(static (a, b) => a.Task.Number.CompareTo(b.Task.Number));
        var rows = new List<TaskRow>(dirty.Count);
        foreach (var entry in dirty)
        {
            var change = entry.Dirty!.Value;
            rows.Add(new TaskRow(entry.Task, change == RowChange.State ? null : entry.Spec, change));
            entry.Dirty = null;
            if (state.IsLive && entry.Spec is { } spec && !entry.Task.IsHeld)
                Thin(entry, spec);
        }

        if (state.IsLive)
        {
            foreach (var entry in leaving)
            {
                if (entry.Task.IsFinal && entries.Remove(entry.Task.Id))
                    Forget(entry);
            }
        }

        var taken = (rows, ended, keys, pruned);
        dirty.Clear();
        leaving.Clear();
        (ended, keys, pruned) = ([], [], []);
        return taken;
    }

    private void Add(TaskId id, TaskCreated created, DispatchEvent happened)
    {
        var task = new WorkTask
        {
            Id = id,
            Number = happened.Sequence,
            Status = created.Status,
            Needs = requirements.Get(created.RequiredCapabilities, created.PreferredCapabilities, created.Owner),
            Requester = created.Requester,
            Session = happened.Session,
            Parent = created.ParentId ?? default,
            DependsOn = created.DependsOn ?? [],
            Priority = created.Priority,
            MaxRetries = created.MaxRetries,
            TimeoutMs = created.TimeoutMs,
            RunAt = created.RunAt ?? 0,
            Deadline = created.Deadline ?? 0,
            CreatedAt = happened.Timestamp,
            QueuedAt = happened.Timestamp,
            LastSequence = happened.Sequence,
            Cost = CostOf(id, created),
        };
        if (created.Budget is { } budget)
            state.Allowances.AddBudget(id, happened.Sequence, budget, happened.Timestamp);
        var spec = new TaskSpec
        {
            Title = created.Title,
            Description = created.Description,
            Scope = created.Scope,
            Labels = created.Labels,
            Context = created.Context,
            Estimate = created.Estimate,
            Submitter = created.Submitter,
            IdempotencyKey = created.IdempotencyKey,
            Confirm = created.Confirm ?? false,
            Budget = created.Budget,
            RequestHash = created.BodyHash,
        };
        var entry = new TaskEntry(task, spec);
        entries.Add(id, entry);
        numbers?.Add(task.Number, id);
        Hold(entry, spec);
        totals[(int)task.Status]++;
        Mark(entry, RowChange.Insert);
        if (created.IdempotencyKey is { } key)
        {
            var row = new IdempotencyRow(created.Requester, key, created.BodyHash ?? "", id, task.Number);
            keys.Add(row);
            RecentKeys.Add(new IdempotencyKey(created.Requester, key), row, happened.Sequence);
        }

        if (state.IsLive && task.Status is TaskState.Blocked or TaskState.Scheduled)
            AwaitDependencies(entry);
        Settle(entry, null, arrived: true);
    }

    private TaskCost? CostOf(TaskId id, TaskCreated created)
    {
        if (created.Estimate is null && created.Labels is null && created.Budget is null && created.BudgetOf is null)
            return null;
        return Pooled(TaskCost.Of(created.Estimate, created.Labels, created.Budget is null ? created.BudgetOf ?? default : id));
    }

    // Most tasks say nothing of it, and need no copy.
    private WorkTask WithPooledCost(WorkTask task) => task.Cost is null ? task : task with { Cost = Pooled(task.Cost) };

    // Many tasks say the same.
    private TaskCost? Pooled(TaskCost? cost)
    {
        if (cost is null)
            return null;
        if (costs.TryGetValue(cost, out var known))
            return known;
        if (costs.Count >= 4096)
            costs.Clear();
        return costs[cost] = cost.Class is null ? cost.WithClass() : cost;
    }

    /// <summary>A usage report was booked for the attempt in hand.</summary>
    internal void Charge(TaskId id, TaskCharge charge)
    {
        var entry = entries[id];
        entry.Task = entry.Task with { Charge = charge };
        Mark(entry, RowChange.State);
    }

    private void Replace(TaskEntry entry, WorkTask before, WorkTask after, RowChange change)
    {
        entry.Task = after;
        totals[(int)before.Status]--;
        totals[(int)after.Status]++;
        Mark(entry, change);
        if (state.IsLive && before.IsFinal && after.Status is TaskState.Blocked or TaskState.Scheduled)
            AwaitDependencies(entry);
        Settle(entry, before, arrived: after.Status == TaskState.Pending && before.Status != TaskState.Pending);
    }

    private void Mark(TaskEntry entry, RowChange change)
    {
        if (entry.Dirty is null)
            dirty.Add(entry);
        entry.Dirty = entry.Dirty is { } known && known > change ? known : change;
    }

    private void Prune(TaskPruned prune, long sequence)
    {
        pruned.AddRange(prune.Numbers);
        state.Allowances.Prune(prune.Numbers);
        totals[(int)TaskState.Completed] -= prune.Completed;
        totals[(int)TaskState.Failed] -= prune.Failed;
        totals[(int)TaskState.Timeout] -= prune.Timeout;
        totals[(int)TaskState.Cancelled] -= prune.Cancelled;
        if (state.IsLive)
        {
            var gone = prune.Numbers.ToHashSet();
            RecentKeys.Remove(row => gone.Contains(row.TaskNumber));
            foreach (var number in prune.Numbers)
                RecentlyPruned.Add(number, sequence, sequence);
            return;
        }

        foreach (var number in prune.Numbers)
        {
            if (numbers!.Remove(number, out var id))
                entries.Remove(id);
        }
    }

    // ---- derived: who holds it, where it queues, when it is due ---------------------------------------------------------

    private void AwaitDependencies(TaskEntry entry)
    {
        if (state.Questions.OpenCount > 0 && state.Questions.ConfirmationOf(entry.Task.Id.ToString()) is not null)
            entry.Unmet++;
        foreach (var dependency in entry.Task.DependsOn)
        {
            // A younger one was made under the id of one that completed and was removed: it is not what was meant.
            if (entries.TryGetValue(dependency, out var awaited) && !awaited.Task.IsFinal && awaited.Task.Number < entry.Task.Number)
            {
                (awaited.Dependants ??= []).Add(entry);
                entry.Unmet++;
            }
        }
    }

    /// <summary>Until the question about a task is settled, it waits as for a dependency.</summary>
    /// <param name="question">As it stands after the event.</param>
    internal void Follow(Question question, QuestionEvent data)
    {
        if (!state.IsLive || Confirmation.TaskOf(state, question) is not { } entry)
            return;
        if (data is QuestionAsked)
            entry.Unmet++;
        else if (!question.IsOpen)
            entry.Unmet--;
    }

    private void Settle(TaskEntry entry, WorkTask? before, bool arrived)
    {
        if (!state.IsLive)
            return;

        var task = entry.Task;
        SettleHolder(entry, task);
        if (entry.Waking is { } waking && task.Status != TaskState.Pending)
        {
            entry.Waking = null;
            waking.Reserved.Remove(entry);
            state.Matcher.Refresh(waking);
        }

        SettleTimers(entry, task, before);
        SettleQueue(entry, task, before, arrived);
    }

    private void SettleHolder(TaskEntry entry, WorkTask task)
    {
        if (entry.Holder is { } holder && (!task.IsHeld || !string.Equals(holder.Agent.Id, task.Assignee, StringComparison.Ordinal)))
        {
            var last = holder.Held[^1];
            holder.Held[entry.HeldIndex] = last;
            last.HeldIndex = entry.HeldIndex;
            holder.Held.RemoveAt(holder.Held.Count - 1);
            entry.Holder = null;
            entry.Delivered = false;
            holder.Disown();
            state.Matcher.Refresh(holder);
        }

        if (task.IsHeld && entry.Holder is null && state.Agents.Find(task.Assignee!) is { } agent)
        {
            entry.Holder = agent;
            entry.HeldIndex = agent.Held.Count;
            entry.Delivered = false;
            entry.Told = WaitReason.None;
            agent.Held.Add(entry);
            agent.Owe(entry);
            state.Matcher.Refresh(agent);
        }
    }

    private void SettleQueue(TaskEntry entry, WorkTask task, WorkTask? before, bool arrived)
    {
        var waits = task.Status == TaskState.Pending && entry.Waking is null && entry.RunTimer is not { IsArmed: true };
        var moved = before is not null && (before.Priority != task.Priority || before.QueuedAt != task.QueuedAt);
        if (entry.Line is not null && (!waits || moved))
            state.Matcher.Dequeue(entry);
        if (waits && entry.Line is null)
            state.Matcher.Enqueue(entry, arrived);
    }

    private void SettleTimers(TaskEntry entry, WorkTask task, WorkTask? before)
    {
        if (task.IsHeld)
        {
            if (before is null || !before.IsHeld || before.StartedAt != task.StartedAt)
            {
                var start = Math.Max(task.AssignedAt, task.StartedAt);
                ArmRun(entry, Math.Clamp(start + task.LongestRunMs - state.Now, 0, task.LongestRunMs));
            }
        }
        else if (task.Status == TaskState.Pending && before is { Status: TaskState.Pending } && before.NextAttemptAt == task.NextAttemptAt)
        {
            // A backoff that runs goes on and one that ended stays so, wherever the wall clock has been set since.
        }
        else if (task.Status == TaskState.Pending && task.NextAttemptAt > state.Now)
        {
            ArmRun(entry, Math.Min(task.NextAttemptAt - state.Now, Math.Max(state.Options.RetryCapMs, TaskLimits.MaxRetryAfterMs)));
        }
        else if (entry.RunTimer is { } run)
        {
            state.Due.Disarm(run);
        }

        var wall = task.Status == TaskState.Scheduled ? task.RunAt : long.MaxValue;
        if (task.Deadline > 0 && !task.IsFinal)
            wall = Math.Min(wall, task.Deadline);
        if (wall != long.MaxValue)
            state.WallDue.Arm(entry.WallTimer ??= new TaskTimer(entry), wall);
        else if (entry.WallTimer is { } timer)
            state.WallDue.Disarm(timer);
    }

    private void ArmRun(TaskEntry entry, long inMs) => state.Due.Arm(entry.RunTimer ??= new TaskTimer(entry), state.Elapsed + inMs);

    /// <summary>The task's backoff or wake is over: it may be given out again.</summary>
    internal void Rejoin(TaskEntry entry, bool arrived)
    {
        if (entry.Task.Status == TaskState.Pending && entry.Line is null && entry.Waking is null)
            state.Matcher.Enqueue(entry, arrived);
    }

    internal void Reserve(TaskEntry entry, AgentEntry agent)
    {
        state.Matcher.Dequeue(entry);
        entry.Waking = agent;
        agent.Reserved.Add(entry);
        state.Matcher.Refresh(agent);
    }

    // ---- specs in memory -----------------------------------------------------------------------------------------------

    /// <summary>What the specs in memory take, in bytes.</summary>
    internal long SpecBytes => specBytes;

    /// <summary>Puts the spec back that the store has, before an event changes it.</summary>
    internal void RestoreSpec(TaskEntry entry, TaskSpec spec)
    {
        if (entry.Spec is null)
            Hold(entry, spec);
    }

    private void Hold(TaskEntry entry, TaskSpec spec)
    {
        entry.Spec = spec;
        specBytes += spec.Size;
    }

    private void Thin(TaskEntry entry, TaskSpec spec)
    {
        if (specBytes <= state.Options.SpecBudget && spec.Size <= state.Options.SpecLimit)
            return;
        entry.Spec = null;
        specBytes -= spec.Size;
    }

    private void Forget(TaskEntry entry)
    {
        if (entry.Spec is { } spec)
            specBytes -= spec.Size;
    }
}

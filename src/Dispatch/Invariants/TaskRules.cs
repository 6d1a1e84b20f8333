using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Invariants;

/// <summary>What the log says about a task so far.</summary>
internal sealed class TaskTrack
{
    public required TaskCreated Born { get; init; }

    public required long Number { get; init; }

    public required string[] Required { get; init; }

    public TaskState Status { get; set; }

    /// <summary>Highest attempt number given out.</summary>
    public int Attempt { get; set; }

    public string? Holder { get; set; }

    public int Retries { get; set; }

    public bool DeadLettered { get; set; }

    public long LastSequence { get; set; }

    /// <summary>Set while an attempt ended badly and the log has yet to say what follows.</summary>
    public bool Open { get; set; }

    /// <summary>True once it may be given out although it asked to be confirmed.</summary>
    public bool Confirmed { get; set; }

    /// <summary>True from the event that denied it until the one that cancels it, which must be its next.</summary>
    public bool Denied { get; set; }

    public bool IsHeld => Status is TaskState.Assigned or TaskState.Running;

    public bool IsFinal => Status is TaskState.Completed or TaskState.Failed or TaskState.Timeout or TaskState.Cancelled;
}

/// <summary>The rules for the events of tasks.</summary>
internal sealed class TaskRules(LogChecker log, AgentRules agents, bool? ownerFilter)
{
    private readonly Dictionary<TaskId, TaskTrack> tasks = [];
    private readonly Dictionary<long, TaskId> numbers = [];
    private readonly Dictionary<IdempotencyKey, TaskId> keys = [];
    private readonly HashSet<TaskId> completedAndGone = [];
    private readonly HashSet<TaskId> open = [];

    public int Count => tasks.Count;

    /// <summary>A task as the base has it. Of those it depends on and that are gone, only what follows from its own state is known.</summary>
    /// <param name="isConfirmed">False while a question about it is open.</param>
    public void Begin(StoredTask stored, bool isConfirmed)
    {
        var (task, spec) = (stored.Task, stored.Spec);
        var born = new TaskCreated(
            task.Status, task.Requester, spec.Title, null, null, task.Needs.Required, [], task.Needs.Owner, null, spec.IdempotencyKey, null, task.Priority,
            null, null, null, task.TimeoutMs, task.MaxRetries, task.RunAt == 0 ? null : task.RunAt, null, task.DependsOn, null, spec.Confirm);
        tasks[task.Id] = new TaskTrack
        {
            Born = born,
            Number = task.Number,
            Required = [.. task.Needs.Required.Select(AgentRules.Fold)],
            Status = task.Status,
            Attempt = task.Attempt,
            Holder = task.IsHeld ? task.Assignee : null,
            Retries = task.RetryCount,
            DeadLettered = task.DeadLettered,
            LastSequence = task.LastSequence,
            Confirmed = isConfirmed,
        };
        numbers[task.Number] = task.Id;
        if (spec.IdempotencyKey is { } key)
            keys[new IdempotencyKey(task.Requester, key)] = task.Id;
        if (task.IsHeld && agents.Find(task.Assignee!) is { } agent)
            agent.Held++;

        // Older ones came before. One that ended otherwise would have taken this one with it, unless it had ended by itself.
        if (task.Attempt > 0 || task.Status is not (TaskState.Cancelled or TaskState.Timeout))
            completedAndGone.UnionWith(task.DependsOn.Where(dependency => !tasks.ContainsKey(dependency)));
    }

    public void Check(TaskEvent data)
    {
        if (data is TaskPruned pruned)
        {
            Prune(pruned);
            return;
        }

        if (!TaskId.TryParse(log.Current.Subject, out var id))
        {
            log.Find("I-13", "its subject is not a task id");
            return;
        }

        var known = tasks.GetValueOrDefault(id);
        log.CheckChain(known?.LastSequence ?? 0);
        if (data is TaskCreated born)
        {
            Create(id, born, known);
            return;
        }

        if (known is null)
        {
            log.Find("I-13", "there is no such task");
            return;
        }

        if (known.Denied && data is not TaskCancelled)
            log.Find("I-10", "it was not confirmed and goes on");
        known.Denied = false;
        known.LastSequence = log.Current.Sequence;
        var follows = known.Open ? data is TaskRetried { Manual: false } or TaskDeadLettered : data is TaskRetried { Manual: true };
        if (known.IsFinal && !follows)
            log.Find("I-7", $"the task is {known.Status}");
        Take(id, known, data);
        SetOpen(id, known);
    }

    public TaskTrack? Find(TaskId id) => tasks.GetValueOrDefault(id);

    public void Finish()
    {
        foreach (var id in open.Order())
            log.FindAtEnd("I-13", id.ToString(), $"the task stays {tasks[id].Status} without being retried or a dead letter");
        open.Clear();
    }

    private void Create(TaskId id, TaskCreated born, TaskTrack? known)
    {
        if (known is not null)
            log.Find("I-3", "the task exists already");
        if (born.IdempotencyKey is { } key && !keys.TryAdd(new IdempotencyKey(born.Requester, key), id))
            log.Find("I-3", $"the key '{key}' of {born.Requester} belongs to task {keys[new IdempotencyKey(born.Requester, key)]}");
        if (log.Current.Actor != born.Requester && log.Current.Actor != "admin")
            log.Find("I-2", $"the requester is {born.Requester}, and it was caused by {log.Current.Actor}");

        var required = born.RequiredCapabilities.Select(AgentRules.Fold).ToArray();
        var task = new TaskTrack { Born = born, Number = log.Current.Sequence, Required = required, Status = born.Status, LastSequence = log.Current.Sequence };
        foreach (var dependency in born.DependsOn ?? [])
        {
            // Each must be older than the task: that is why no circle can be stored.
            if (dependency == id || (!tasks.ContainsKey(dependency) && !completedAndGone.Contains(dependency)))
                log.Find("I-10", $"its dependency {dependency} does not exist");
        }

        if (born.Status is not (TaskState.Pending or TaskState.Scheduled or TaskState.Blocked))
            log.Find("I-13", $"it starts as {born.Status}");
        if (born.Status == TaskState.Scheduled != (born.RunAt > log.Timestamp))
            log.Find("I-10", $"it starts as {born.Status} and is to run at {born.RunAt}");
        if (born.Status == TaskState.Pending)
            DemandReady(task);
        tasks[id] = task;
        numbers[task.Number] = id;
    }

    private void Take(TaskId id, TaskTrack task, TaskEvent data)
    {
        switch (data)
        {
            case TaskAssigned e:
                Assign(task, e);
                break;
            case TaskStarted e:
                DemandHolder(task, e.Agent, e.Attempt, mayBeLate: false);
                Demand(task.Status != TaskState.Running, "it runs already");
                task.Status = TaskState.Running;
                break;
            case TaskProgressed e:
                DemandHolder(task, e.Agent, e.Attempt, mayBeLate: false);
                Demand(task.Status == TaskState.Running, $"it is {task.Status}");
                break;
            case TaskCompleted e:
                DemandHolder(task, e.Agent, e.Attempt, mayBeLate: false);
                End(task, TaskState.Completed);
                break;
            case TaskFailed e:
                DemandHolder(task, e.Agent, e.Attempt, mayBeLate: false);
                End(task, TaskState.Failed);
                task.Open = true;
                break;
            case TaskReleased e:
                DemandHolder(task, e.Agent, e.Attempt, mayBeLate: true);
                End(task, TaskState.Pending);
                break;
            case TaskTimedOut e:
                Demand(e.Attempt == task.Attempt, $"it names attempt {e.Attempt} of {task.Attempt}");
                Demand(e.Agent == task.Holder, $"it names {e.Agent ?? "nobody"} as the holder, which is {task.Holder ?? "nobody"}");
                End(task, TaskState.Timeout);
                task.Open = true;
                break;
            case TaskReassigned e:
                DemandHolder(task, e.Agent, e.Attempt, mayBeLate: true);
                Demand(agents.Find(e.Agent) is { Status: AgentStatus.Offline }, $"agent {e.Agent} has not vanished");
                Charge(task, e.RetryCount, e.Requeued);
                End(task, e.Requeued ? TaskState.Pending : TaskState.Failed);
                task.Open = !e.Requeued;
                break;
            case TaskRetried { Manual: true } e:
                DemandFinal(task, e);
                break;
            case TaskRetried e:
                Demand(task.Open && task.Status is TaskState.Failed or TaskState.Timeout, $"no attempt has just ended, it is {task.Status}");
                Charge(task, e.RetryCount, charged: true);
                (task.Status, task.Open) = (TaskState.Pending, false);
                break;
            case TaskDeadLettered e:
                Demand(task.Status == e.Status, $"it is {task.Status}, not {e.Status}");
                (task.Open, task.DeadLettered) = (false, true);
                break;
            case TaskCancelled:
                End(task, TaskState.Cancelled);
                task.Open = false;
                break;
            case TaskUpdated e:
                Update(task, e);
                break;
            case TaskUnmatched:
                Demand(task.Status == TaskState.Pending, $"it is {task.Status}");
                break;
            default:
                log.Find("I-13", $"the event of task {id} is not known");
                break;
        }
    }

    private void Assign(TaskTrack task, TaskAssigned e)
    {
        if (task.Holder is not null)
            log.Find("I-4", $"{task.Holder} holds attempt {task.Attempt}");
        else
            Demand(task.Status == TaskState.Pending, $"it is {task.Status}");
        if (e.Attempt <= task.Attempt)
            log.Find("I-5", $"attempt {e.Attempt} comes after {task.Attempt}");
        DemandReady(task);

        if (agents.Find(e.Agent) is not { } agent)
        {
            log.Find("I-9", $"agent {e.Agent} is not registered");
        }
        else
        {
            if (agent.Status is not (AgentStatus.Ready or AgentStatus.Busy) || agent.Drained)
                log.Find("I-9", $"agent {e.Agent} is {(agent.Drained ? "drained" : agent.Status)}");
            if (agent.Held >= agent.MaxConcurrent)
                log.Find("I-23", $"agent {e.Agent} holds {agent.Held} tasks and may hold {agent.MaxConcurrent}");
            if (!Array.TrueForAll(task.Required, agent.Capabilities.Contains))
                log.Find("I-9", $"agent {e.Agent} lacks a required capability");
            if (ownerFilter == true && task.Born.Owner is { } owner && owner != agent.Owner)
                log.Find("I-9", $"agent {e.Agent} belongs to {agent.Owner ?? "nobody"}, the task asks for {owner}");
            agent.Held++;
        }

        (task.Status, task.Holder, task.Attempt) = (TaskState.Assigned, e.Agent, Math.Max(task.Attempt, e.Attempt));
    }

    private void Update(TaskTrack task, TaskUpdated e)
    {
        Demand(e.Priority is null or <= TaskLimits.MaxPriority, $"priority {e.Priority}");
        if (e.Status is not { } status)
            return;

        var legal = (task.Status, status) is (TaskState.Scheduled, TaskState.Pending or TaskState.Blocked) or (TaskState.Blocked, TaskState.Pending);
        Demand(legal, $"{task.Status} does not become {status}");
        if (task.Status == TaskState.Scheduled && task.Born.RunAt > log.Timestamp)
            log.Find("I-10", $"it is due at {task.Born.RunAt}");
        task.Status = status;
        if (status == TaskState.Pending)
            DemandReady(task);
    }

    // Being put back is the one way out of a final state, and only for one that did not succeed.
    private void DemandFinal(TaskTrack task, TaskRetried e)
    {
        if (task.Open || task.Status is not (TaskState.Failed or TaskState.Timeout or TaskState.Cancelled))
            log.Find("I-7", $"the task is {task.Status}");
        Demand(e.RetryCount == 0, $"it starts with {e.RetryCount} retries");
        (task.Status, task.Retries, task.DeadLettered, task.Open) = (e.Status ?? TaskState.Pending, 0, false, false);
        Demand(task.Status is TaskState.Pending or TaskState.Scheduled or TaskState.Blocked, $"it becomes {task.Status}");
        if (task.Status == TaskState.Pending)
            DemandReady(task);
    }

    private void DemandReady(TaskTrack task)
    {
        if (task.Born.Confirm == true && !task.Confirmed)
            log.Find("I-10", "nobody has confirmed it");
        if (task.Born.RunAt > log.Timestamp)
            log.Find("I-10", $"it is to run at {task.Born.RunAt}, and it is {log.Timestamp}");
        foreach (var dependency in task.Born.DependsOn ?? [])
        {
            // A younger task of that id is another one.
            var met = tasks.GetValueOrDefault(dependency) is { } known && known.Number < task.Number ? known.Status == TaskState.Completed : completedAndGone.Contains(dependency);
            if (!met)
                log.Find("I-10", $"its dependency {dependency} is {tasks.GetValueOrDefault(dependency)?.Status.ToString() ?? "gone"}");
        }
    }

    /// <summary>The rule that keeps a worker that lost its lease from finishing somebody else's attempt.</summary>
    /// <param name="mayBeLate">True for events that others than the holder cause.</param>
    private void DemandHolder(TaskTrack task, string agent, int attempt, bool mayBeLate)
    {
        if (!task.IsHeld || task.Holder != agent || task.Attempt != attempt)
            log.Find("I-6", $"it names attempt {attempt} of {agent}; attempt {task.Attempt} is {task.Status}, held by {task.Holder ?? "nobody"}");
        if (!mayBeLate && log.Current.Actor != agent && log.Current.Actor != "admin")
            log.Find("I-6", $"it was caused by {log.Current.Actor}, and {agent} holds the task");
        if (!mayBeLate && agents.Find(agent) is null or { Status: AgentStatus.Offline })
            log.Find("I-6", $"agent {agent} is not there");
    }

    private void Charge(TaskTrack task, int count, bool charged)
    {
        if (count != task.Retries + (charged ? 1 : 0) || count > task.Born.MaxRetries)
            log.Find("I-8", $"{count} charged retries after {task.Retries}, of at most {task.Born.MaxRetries}");
        if (!charged && task.Retries < task.Born.MaxRetries)
            log.Find("I-8", $"it is given up after {task.Retries} of {task.Born.MaxRetries} retries");
        task.Retries = count;
    }

    private void End(TaskTrack task, TaskState status)
    {
        if (task.Holder is { } holder && agents.Find(holder) is { } agent)
            agent.Held--;
        (task.Status, task.Holder) = (status, null);
    }

    private void Prune(TaskPruned pruned)
    {
        var ends = new Dictionary<TaskState, int>();
        foreach (var number in pruned.Numbers)
        {
            if (!numbers.Remove(number, out var id) || !tasks.Remove(id, out var task))
            {
                log.Find("I-1", $"there is no task with number {number}");
                continue;
            }

            if (!task.IsFinal)
                log.Find("I-1", $"task {id} is {task.Status}");
            if (task.Status == TaskState.Completed)
                completedAndGone.Add(id);
            if (task.Born.IdempotencyKey is { } key)
                keys.Remove(new IdempotencyKey(task.Born.Requester, key));
            ends[task.Status] = ends.GetValueOrDefault(task.Status) + 1;
        }

        DemandCount(TaskState.Completed, pruned.Completed);
        DemandCount(TaskState.Failed, pruned.Failed);
        DemandCount(TaskState.Timeout, pruned.Timeout);
        DemandCount(TaskState.Cancelled, pruned.Cancelled);

        void DemandCount(TaskState status, int said)
        {
            if (ends.GetValueOrDefault(status) != said)
                log.Find("I-13", $"it removes {ends.GetValueOrDefault(status)} {status} tasks and says {said}");
        }
    }

    private void SetOpen(TaskId id, TaskTrack task)
    {
        if (task.Open)
            open.Add(id);
        else if (open.Count > 0)
            open.Remove(id);
    }

    private void Demand(bool holds, string otherwise)
    {
        if (!holds)
            log.Find("I-13", otherwise);
    }
}

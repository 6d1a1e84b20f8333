using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Tests.Support;

/// <summary>A store that keeps its tables in memory: what a commit wrote is there, and nothing else.</summary>
internal sealed class MemoryStore : IStore, IStoreAudit
{
    private readonly List<DispatchEvent> events = [];
    private readonly SortedDictionary<long, StoredTask> tasks = [];
    private readonly Dictionary<TaskId, long> numbers = [];
    private readonly SortedDictionary<(long Task, int Attempt), EndedAttempt> attempts = [];
    private readonly Dictionary<IdempotencyKey, IdempotencyRow> keys = [];
    private readonly SortedDictionary<string, Agent> agents = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, AgentToken> tokens = new(StringComparer.Ordinal);
    private IReadOnlyList<long> totals = new long[9];

    /// <summary>Stands in front of each commit; what it throws, the commit throws, unless it called the action before, which writes.</summary>
    public Func<Batch, Action, CancellationToken, Task>? OnCommit { get; set; }

    /// <summary>Stands in front of each probe.</summary>
    public Func<Task>? OnProbe { get; set; }

    /// <summary>Stands in front of each load.</summary>
    public Action? OnLoad { get; set; }

    public IReadOnlyList<DispatchEvent> Events => events;

    /// <summary>How many events each commit wrote.</summary>
    public List<int> CommittedEvents { get; } = [];

    public int Loads { get; private set; }

    public long Sequence => events.Count;

    public Task<LoadedState> LoadAsync(CancellationToken cancel)
    {
        OnLoad?.Invoke();
        Loads++;
        return Task.FromResult(Loaded());
    }

    Task<LoadedState> IStoreAudit.LoadAsync(CancellationToken cancel) => Task.FromResult(Loaded());

    public LoadedState Loaded() => new(
        Sequence, events.Count == 0 ? 0 : events[^1].Timestamp, [.. tasks.Values.Select(stored => stored.Task).Where(task => !task.IsFinal)],
        [.. agents.Values.OrderBy(agent => agent.RegisteredAt).ThenBy(agent => agent.Id, StringComparer.Ordinal)], [.. tokens.Values], totals);

    public async Task CommitAsync(Batch batch, long epoch, CancellationToken cancel)
    {
        if (OnCommit is not { } hook)
        {
            Write(batch);
            return;
        }

        var written = false;
        await hook(batch, WriteOnce, cancel);
        WriteOnce();

        void WriteOnce()
        {
            if (!written)
                Write(batch);
            written = true;
        }
    }

    public Task ProbeAsync(CancellationToken cancel) => OnProbe?.Invoke() ?? Task.CompletedTask;

    public void Write(Batch batch)
    {
        foreach (var happened in batch.Events)
        {
            Assert.Equal(Sequence + 1, happened.Sequence);
            events.Add(happened);
        }

        CommittedEvents.Add(batch.Events.Count);
        foreach (var row in batch.Tasks)
            WriteTask(row);
        foreach (var attempt in batch.Attempts)
        {
            attempts.Add((attempt.TaskNumber, attempt.Attempt), attempt);
            if (attempt.Result is { } result && tasks.TryGetValue(attempt.TaskNumber, out var stored))
                tasks[attempt.TaskNumber] = stored with { Result = result };
        }

        foreach (var key in batch.Keys)
            keys.Add(new IdempotencyKey(key.Caller, key.Key), key);
        foreach (var id in batch.RemovedAgents)
            agents.Remove(id);
        foreach (var agent in batch.Agents)
            agents[agent.Id] = agent;
        foreach (var token in batch.Tokens)
            tokens[token.Id] = token;
        foreach (var number in batch.PrunedTasks)
            Prune(number);
        totals = batch.Totals;
    }

    public StoredTask? Find(TaskId id) => numbers.TryGetValue(id, out var number) ? tasks[number] : null;

    public IReadOnlyList<EndedAttempt> Attempts(TaskId id) => [.. attempts.Values.Where(attempt => attempt.TaskNumber == numbers[id])];

    public StoreFacts Facts(IEnumerable<TaskId> about, IEnumerable<IdempotencyKey> used) => new(
        Sequence,
        about.Where(id => Find(id) is not null).ToDictionary(id => id, id => Find(id)!),
        used.Where(keys.ContainsKey).ToDictionary(key => key, key => keys[key]));

    public Task<StoredTask?> FindTaskAsync(TaskId id, CancellationToken cancel) => Task.FromResult(Find(id));

    public Task<IReadOnlyList<TaskSpec?>> FindSpecsAsync(IReadOnlyList<long> numbers, CancellationToken cancel) =>
        Task.FromResult<IReadOnlyList<TaskSpec?>>([.. numbers.Select(number => tasks.GetValueOrDefault(number)?.Spec)]);

    public Task<IReadOnlyList<StoredTask>> ListTasksAsync(TaskQuery query, CancellationToken cancel) =>
        Task.FromResult<IReadOnlyList<StoredTask>>([.. tasks.Values.Reverse().Where(stored => query.Statuses.Count == 0 || query.Statuses.Contains(stored.Task.Status)).Take(query.Limit)]);

    public Task<IReadOnlyList<EndedAttempt>> ListAttemptsAsync(long taskNumber, CancellationToken cancel) =>
        Task.FromResult<IReadOnlyList<EndedAttempt>>([.. attempts.Values.Where(attempt => attempt.TaskNumber == taskNumber)]);

    public Task<IReadOnlyList<DispatchEvent>> ListHistoryAsync(long lastSequence, int limit, CancellationToken cancel)
    {
        var history = new List<DispatchEvent>();
        for (var at = lastSequence; at > 0 && history.Count < limit; at = history[^1].Previous)
            history.Add(events[(int)at - 1]);
        history.Reverse();
        return Task.FromResult<IReadOnlyList<DispatchEvent>>(history);
    }

    public Task<IReadOnlyList<DispatchEvent>> ListEventsAsync(long after, int limit, CancellationToken cancel) =>
        Task.FromResult<IReadOnlyList<DispatchEvent>>([.. events.Skip((int)after).Take(limit)]);

    public Task<StoreFacts> FindFactsAsync(IReadOnlyList<TaskId> tasks, IReadOnlyList<IdempotencyKey> keys, CancellationToken cancel) =>
        Task.FromResult(Facts(tasks, keys));

    public Task<(IReadOnlyList<StoredTask> Expired, long Next)> FindExpiredAsync(long after, long finishedBefore, int examine, CancellationToken cancel)
    {
        var looked = tasks.Values.Where(stored => stored.Task.Number > after).Take(examine).ToList();
        IReadOnlyList<StoredTask> expired = [.. looked.Where(stored => stored.Task.IsFinal && stored.Task.CompletedAt < finishedBefore)];
        return Task.FromResult((expired, looked.Count < examine ? 0 : looked[^1].Task.Number));
    }

    public Task<IStoreAudit> OpenAuditAsync(CancellationToken cancel) => Task.FromResult<IStoreAudit>(this);

    public IAsyncEnumerable<DispatchEvent> EventsAsync(CancellationToken cancel) => events.ToAsyncEnumerable();

    public IAsyncEnumerable<StoredTask> TasksAsync(CancellationToken cancel) => tasks.Values.ToAsyncEnumerable();

    public IAsyncEnumerable<EndedAttempt> AttemptsAsync(CancellationToken cancel) => attempts.Values.ToAsyncEnumerable();

    public IAsyncEnumerable<IdempotencyRow> KeysAsync(CancellationToken cancel) => keys.Values
        .OrderBy(row => row.TaskNumber).ThenBy(row => row.Caller, StringComparer.Ordinal).ThenBy(row => row.Key, StringComparer.Ordinal).ToAsyncEnumerable();

    public ValueTask DisposeAsync() => default;

    private void WriteTask(TaskRow row)
    {
        var number = row.Task.Number;
        if (row.Change == RowChange.Insert)
        {
            numbers.Add(row.Task.Id, number);
            tasks.Add(number, new StoredTask(row.Task, row.Spec!, null));
            return;
        }

        var before = tasks[number];
        tasks[number] = before with { Task = row.Task, Spec = row.Change == RowChange.StateAndSpec ? row.Spec! : before.Spec };
    }

    private void Prune(long number)
    {
        numbers.Remove(tasks[number].Task.Id);
        tasks.Remove(number);
        foreach (var gone in attempts.Keys.Where(key => key.Task == number).ToList())
            attempts.Remove(gone);
        foreach (var gone in keys.Where(pair => pair.Value.TaskNumber == number).Select(pair => pair.Key).ToList())
            keys.Remove(gone);
    }
}

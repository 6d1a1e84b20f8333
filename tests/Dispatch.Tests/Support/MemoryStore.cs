using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Tests.Support;

/// <summary>A store that keeps its tables in memory: what a commit wrote is there, and nothing else.</summary>
internal sealed class MemoryStore : IStore, IStoreAudit
{
    private readonly List<DispatchEvent> events = [];
    private readonly List<LogEntry> log = [];
    private readonly SortedDictionary<long, (LogBase About, byte[][] Parts)> bases = [];
    private long horizon = 1;
    private readonly SortedDictionary<long, StoredTask> tasks = [];
    private readonly Dictionary<TaskId, long> numbers = [];
    private readonly SortedDictionary<(long Task, int Attempt), EndedAttempt> attempts = [];
    private readonly Dictionary<IdempotencyKey, IdempotencyRow> keys = [];
    private readonly SortedDictionary<string, Agent> agents = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, AgentToken> tokens = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Session> sessions = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Publisher> publishers = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Publisher, string Id), PublishedRow> published = [];
    private readonly SortedDictionary<string, WebhookEndpoint> webhooks = new(StringComparer.Ordinal);
    private readonly SortedDictionary<long, StoredQuestion> questions = [];
    private readonly SortedDictionary<string, Responder> responders = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Limit> limits = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, WrittenBalance> balances = new(StringComparer.Ordinal);
    private long? balancesWritten;
    private readonly Dictionary<(string Reporter, string Id), UsageRow> usage = [];
    private readonly Dictionary<string, long> cursors = new(StringComparer.Ordinal);
    private readonly List<WebhookDelivery> deliveries = [];
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

    public LoadedState Loaded() => BalanceRecovery.Recover(Rows(), [.. balances.Values], balancesWritten ?? Sequence, log.Where(entry => entry.Sequence > balancesWritten));

    private LoadedState Rows() => new(
        Sequence, events.Count == 0 ? 0 : events[^1].Timestamp, log.Count == 0 ? new byte[HashChain.Size] : log[^1].Hash, [.. tasks.Values.Select(stored => stored.Task).Where(task => !task.IsFinal)],
        [.. agents.Values.OrderBy(agent => agent.RegisteredAt).ThenBy(agent => agent.Id, StringComparer.Ordinal)], [.. tokens.Values], [.. sessions.Values], [.. publishers.Values], totals)
    {
        Webhooks = [.. webhooks.Values],
        Questions = [.. questions.Values.Select(stored => stored.Question).Where(question => question.IsOpen)],
        Responders = [.. responders.Values],
        Limits = [.. limits.Values],
        Horizon = horizon,
    };

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
            lock (log)
                log.Add(batch.Texts.Entry(happened, (int)(happened.Sequence - batch.Events[0].Sequence)));
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
        foreach (var session in batch.Sessions)
            sessions[session.Id] = session;
        foreach (var id in batch.ClosedSessions)
            sessions.Remove(id);
        foreach (var publisher in batch.Publishers)
            publishers[publisher.Id] = publisher;
        foreach (var id in batch.RemovedPublishers)
            publishers.Remove(id);
        foreach (var row in batch.Published)
            published[(row.Publisher, row.Id)] = row;
        foreach (var webhook in batch.Webhooks)
            webhooks[webhook.Id] = webhook;
        foreach (var id in batch.RemovedWebhooks)
            webhooks.Remove(id);
        foreach (var row in batch.Questions)
            questions[row.Question.Number] = new StoredQuestion(row.Question, row.Proposal ?? questions[row.Question.Number].Proposal);
        foreach (var limit in batch.Limits)
            limits[limit.Id] = limit;
        foreach (var id in batch.RemovedLimits)
            limits.Remove(id);
        foreach (var balance in batch.Balances)
            balances[balance.Key] = new WrittenBalance(balance with { Reserved = 0 }, batch.LastSequence);
        foreach (var key in batch.RemovedBalances)
            balances.Remove(key);
        balancesWritten = batch.BalancesWritten;
        foreach (var row in batch.Usage)
            usage[(row.Reporter, row.Id)] = row;
        foreach (var responder in batch.Responders)
            responders[responder.Id] = responder;
        foreach (var id in batch.RemovedResponders)
            responders.Remove(id);

        horizon = batch.Horizon ?? horizon;

        foreach (var number in batch.PrunedTasks)
            Prune(number);
        totals = batch.Totals;
    }

    public Task SaveCursorsAsync(IReadOnlyList<(string Name, long Sequence)> cursors, IReadOnlyList<WebhookDelivery> deliveries, CancellationToken cancel)
    {
        foreach (var (name, sequence) in cursors)
            this.cursors[name] = sequence;
        this.deliveries.AddRange(deliveries);
        return Task.CompletedTask;
    }

    public Task<IReadOnlyDictionary<string, long>> LoadCursorsAsync(CancellationToken cancel) => Task.FromResult<IReadOnlyDictionary<string, long>>(cursors);

    public Task<IReadOnlyList<WebhookDelivery>> ListDeliveriesAsync(string webhook, int limit, CancellationToken cancel) =>
        Task.FromResult<IReadOnlyList<WebhookDelivery>>([.. deliveries.Where(delivery => delivery.Webhook == webhook).Reverse().Take(limit)]);

    public Task<IReadOnlyList<FollowerPlace>> ListCursorsAsync(CancellationToken cancel) =>
        Task.FromResult<IReadOnlyList<FollowerPlace>>([.. cursors.Select(pair => new FollowerPlace(pair.Key, pair.Value, 0))]);

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
        for (var at = lastSequence; at >= horizon && history.Count < limit; at = history[^1].Previous)
            history.Add(events[(int)at - 1]);
        history.Reverse();
        return Task.FromResult<IReadOnlyList<DispatchEvent>>(history);
    }

    /// <summary>The log is kept only behind this sequence.</summary>
    public void Forget(long upTo) => horizon = upTo + 1;

    /// <summary>How often the log was read.</summary>
    public int LogReads { get; private set; }

    public Task<IReadOnlyList<LogEntry>> ListEventsAsync(long after, int limit, CancellationToken cancel)
    {
        // Read beside commits by tests of those who follow.
        lock (log)
        {
            LogReads++;
            return Task.FromResult<IReadOnlyList<LogEntry>>([.. log.Where(entry => entry.Sequence > Math.Max(after, horizon - 1)).Take(limit)]);
        }
    }

    public Task<StoreFacts> FindFactsAsync(IReadOnlyList<TaskId> tasks, IReadOnlyList<IdempotencyKey> keys, CancellationToken cancel) =>
        Task.FromResult(Facts(tasks, keys));

    public Task<StoredQuestion?> FindQuestionAsync(string id, CancellationToken cancel) => Task.FromResult(questions.Values.FirstOrDefault(stored => stored.Question.Id == id));

    public Task<IReadOnlyList<StoredQuestion>> ListQuestionsAsync(QuestionQuery query, CancellationToken cancel) => Task.FromResult<IReadOnlyList<StoredQuestion>>(
        [.. questions.Values.Reverse().Where(stored => stored.Question.Number < (query.Before ?? long.MaxValue) && query.Takes(stored.Question)).Take(query.Limit)]);

    public UsageFacts Usage(string reporter, string id, TaskId? task = null) => new(
        Sequence, usage.TryGetValue((reporter, id), out var row) && row.Sequence >= horizon ? row : null, task is { } wanted ? FindTaskAsync(wanted, CancellationToken.None).Result : null);

    public Task<UsageFacts> FindUsageAsync(string reporter, string id, TaskId? task, CancellationToken cancel) => Task.FromResult(Usage(reporter, id, task));

    public Task<IReadOnlyList<LedgerEntry>> ListLedgerAsync(LedgerQuery query, CancellationToken cancel) => Task.FromResult(query.Page(
        attempts.Values.SelectMany(ended => query.Of(ended, tasks[ended.TaskNumber].Task.Id))
            .Concat(tasks.Values.SelectMany(stored => query.Of(stored.Task)))
            .Concat(events.Where(happened => happened.Sequence >= horizon).SelectMany(query.Of))));

    public IAsyncEnumerable<UsageRow> UsageAsync(CancellationToken cancel) => usage.Values.Where(row => row.Sequence >= horizon).OrderBy(row => row.Sequence).ToAsyncEnumerable();

    public PublishedFacts Published(string publisher, IEnumerable<string> ids) => new(
        Sequence, ids.Where(id => published.TryGetValue((publisher, id), out var row) && row.Sequence >= horizon).ToDictionary(id => id, id => published[(publisher, id)]));

    public Task<PublishedFacts> FindPublishedAsync(string publisher, IReadOnlyList<string> ids, CancellationToken cancel) => Task.FromResult(Published(publisher, ids));

    public Task<(IReadOnlyList<StoredTask> Expired, long Next)> FindExpiredAsync(long after, long finishedBefore, int examine, CancellationToken cancel)
    {
        var looked = tasks.Values.Where(stored => stored.Task.Number > after).Take(examine).ToList();
        IReadOnlyList<StoredTask> expired = [.. looked.Where(stored => stored.Task.IsFinal && stored.Task.CompletedAt < finishedBefore)];
        return Task.FromResult((expired, looked.Count < examine ? 0 : looked[^1].Task.Number));
    }

    public Task<LogExtent> FindExtentAsync(CancellationToken cancel)
    {
        var known = bases.Values.Select(pair => pair.About).Where(known => known.Sequence >= horizon - 1).ToList();
        var uncovered = log.Find(entry => entry.Sequence > Math.Max(horizon - 1, known.Count == 0 ? 0 : known[^1].Sequence))?.Timestamp;
        return Task.FromResult(new LogExtent(horizon, Sequence, BytesUpTo(Sequence), uncovered, known, IsTrimmed: true));
    }

    public async Task<LogBase> TakeBaseAsync(CancellationToken cancel)
    {
        List<byte[]> parts = [];
        var made = await BaseFormat.WriteAsync(
            this,
            part =>
            {
                parts.Add(part);
                return Task.CompletedTask;
            },
            cancel);
        made = made with { Bytes = BytesUpTo(made.Sequence) };
        bases[made.Sequence] = (made, [.. parts]);
        return made;
    }

    public Task PrepareTrimAsync(long upTo, CancellationToken cancel) => Task.CompletedTask;

    public Task<bool> TrimAsync(int most, CancellationToken cancel) => Task.FromResult(false);

    public Task<IStoreAudit> OpenAuditAsync(CancellationToken cancel) => Task.FromResult<IStoreAudit>(this);

    /// <summary>The parts of the base at the horizon; a test may change them.</summary>
    public byte[][] BaseParts => bases[horizon - 1].Parts;

    public Task<LogBase?> FindBaseAsync(CancellationToken cancel) => Task.FromResult(horizon == 1 ? null : bases[horizon - 1].About);

    public IAsyncEnumerable<byte[]> BasePartsAsync(CancellationToken cancel) => BaseParts.ToAsyncEnumerable();

    public IAsyncEnumerable<LogEntry> EventsAsync(CancellationToken cancel) => log.SkipWhile(entry => entry.Sequence < horizon).ToAsyncEnumerable();

    public IAsyncEnumerable<StoredTask> TasksAsync(CancellationToken cancel) => tasks.Values.ToAsyncEnumerable();

    public IAsyncEnumerable<EndedAttempt> AttemptsAsync(CancellationToken cancel) => attempts.Values.ToAsyncEnumerable();

    public IAsyncEnumerable<IdempotencyRow> KeysAsync(CancellationToken cancel) => keys.Values
        .OrderBy(row => row.TaskNumber).ThenBy(row => row.Caller, StringComparer.Ordinal).ThenBy(row => row.Key, StringComparer.Ordinal).ToAsyncEnumerable();

    public IAsyncEnumerable<PublishedRow> PublishedAsync(CancellationToken cancel) => published.Values.Where(row => row.Sequence >= horizon).OrderBy(row => row.Sequence).ToAsyncEnumerable();

    public ValueTask DisposeAsync() => default;

    private long BytesUpTo(long sequence) => log.TakeWhile(entry => entry.Sequence <= sequence).Sum(entry => (long)entry.Data.Length + LogExtent.EventBytes);

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

using System.Buffers;
using System.Text.Json;
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

namespace Dispatch.Simulation.Disk;

/// <summary>
/// What survives a crash: the tables, as strict as a database would be about keys, and about which columns an update may change.
/// </summary>
internal sealed class SimDisk(bool throughJson, bool isLenient = false)
{
    private readonly ArrayBufferWriter<byte> buffer = new(1024);
    private readonly Dictionary<TaskId, long> numbers = [];

    public List<DispatchEvent> Events { get; private init; } = [];

    public List<LogEntry> Log { get; private init; } = [];

    public byte[] Hash => Log.Count == 0 ? HashChain.Start.ToArray() : Log[^1].Hash;

    public SortedDictionary<long, StoredTask> Tasks { get; private init; } = [];

    public SortedDictionary<long, List<EndedAttempt>> Attempts { get; private init; } = [];

    public Dictionary<IdempotencyKey, IdempotencyRow> Keys { get; private init; } = [];

    public SortedDictionary<string, Agent> Agents { get; private init; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, AgentToken> Tokens { get; private init; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, Session> Sessions { get; private init; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, Publisher> Publishers { get; private init; } = new(StringComparer.Ordinal);

    public Dictionary<(string Publisher, string Id), PublishedRow> Published { get; private init; } = [];

    public SortedDictionary<string, WebhookEndpoint> Webhooks { get; private init; } = new(StringComparer.Ordinal);

    public SortedDictionary<long, StoredQuestion> Questions { get; private init; } = [];

    public SortedDictionary<string, Responder> Responders { get; private init; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, Limit> Limits { get; private init; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, WrittenBalance> Balances { get; private init; } = new(StringComparer.Ordinal);

    /// <summary>Null: all balances are as of the last event.</summary>
    public long? BalancesWritten { get; private set; }

    public Dictionary<(string Reporter, string Id), UsageRow> Usage { get; private init; } = [];

    public Dictionary<string, long> Cursors { get; } = new(StringComparer.Ordinal);

    public List<WebhookDelivery> Deliveries { get; } = [];

    public long[] Totals { get; private set; } = new long[9];

    /// <summary>Sequence of the oldest event that can be read; the entries before it go bit by bit.</summary>
    public long Horizon { get; private set; } = 1;

    /// <summary>Up to this event no kept task needs its events.</summary>
    public long Prepared { get; set; }

    /// <summary>Complete bases by sequence.</summary>
    public SortedDictionary<long, (LogBase About, byte[][] Parts)> Bases { get; private init; } = [];

    /// <summary>What the log takes, counted from its first event.</summary>
    public long Bytes { get; private set; }

    public long Sequence => Events.Count == 0 ? 0 : Events[^1].Sequence;

    public StoredTask? Find(TaskId id) => numbers.TryGetValue(id, out var number) ? Tasks[number] : null;

    /// <summary>Everything as it is now, for a look that goes on while commits do.</summary>
    public SimDisk Copy() => new(throughJson, isLenient)
    {
        Events = [.. Events],
        Log = [.. Log],
        Tasks = new(Tasks),
        Attempts = new(Attempts.ToDictionary(pair => pair.Key, pair => pair.Value.ToList())),
        Keys = new(Keys),
        Agents = new(Agents, StringComparer.Ordinal),
        Tokens = new(Tokens, StringComparer.Ordinal),
        Sessions = new(Sessions, StringComparer.Ordinal),
        Publishers = new(Publishers, StringComparer.Ordinal),
        Published = new(Published),
        Webhooks = new(Webhooks, StringComparer.Ordinal),
        Questions = new(Questions),
        Responders = new(Responders, StringComparer.Ordinal),
        Limits = new(Limits, StringComparer.Ordinal),
        Balances = new(Balances, StringComparer.Ordinal),
        BalancesWritten = BalancesWritten,
        Usage = new(Usage),
        Totals = [.. Totals],
        Horizon = Horizon,
        Prepared = Prepared,
        Bases = new(Bases),
        Bytes = Bytes,
    };

    /// <summary>Deletes some of what is below the horizon.</summary>
    public bool Trim(int most)
    {
        var gone = Log.TakeWhile(entry => entry.Sequence < Horizon).Take(most).Select(entry => entry.Sequence).ToHashSet();
        Log.RemoveRange(0, gone.Count);
        foreach (var row in Published.Where(row => gone.Contains(row.Value.Sequence)).ToList())
            Published.Remove(row.Key);
        foreach (var row in Usage.Where(row => gone.Contains(row.Value.Sequence)).ToList())
            Usage.Remove(row.Key);
        var stale = Bases.Keys.Where(sequence => sequence < Horizon - 1).ToList();
        stale.ForEach(sequence => Bases.Remove(sequence));
        return gone.Count + stale.Count > 0;
    }

    /// <summary>The transaction.</summary>
    /// <returns>The events as they can be read again.</returns>
    /// <exception cref="InvalidOperationException">The batch breaks a constraint: a fault of the core's.</exception>
    public IReadOnlyList<DispatchEvent> Apply(Batch batch)
    {
        var written = new List<DispatchEvent>(batch.Events.Count);
        foreach (var happened in batch.Events)
        {
            Demand(isLenient || happened.Sequence == Sequence + 1, $"event {happened.Sequence} does not follow {Sequence}");
            var kept = throughJson ? happened with { Data = WriteAndRead(happened.Data) } : happened;
            Events.Add(kept);
            Log.Add(batch.Texts.Entry(happened, written.Count));
            Bytes += Log[^1].Data.Length + LogExtent.EventBytes;
            written.Add(kept);
        }

        foreach (var row in batch.Tasks)
            Write(row);
        foreach (var attempt in batch.Attempts)
        {
            if (!Attempts.TryGetValue(attempt.TaskNumber, out var list))
                Attempts[attempt.TaskNumber] = list = [];
            Demand(list.TrueForAll(known => known.Attempt != attempt.Attempt), $"attempt {attempt.Attempt} of task {attempt.TaskNumber} ends twice");
            list.Add(attempt);
            if (attempt.Result is { } result)
                Tasks[attempt.TaskNumber] = Tasks[attempt.TaskNumber] with { Result = result };
        }

        foreach (var key in batch.Keys)
            Demand(Keys.TryAdd(new IdempotencyKey(key.Caller, key.Key), key), $"key {key.Key} of {key.Caller} is used twice");
        foreach (var agent in batch.Agents)
            Agents[agent.Id] = agent;
        foreach (var id in batch.RemovedAgents)
            Agents.Remove(id);
        foreach (var token in batch.Tokens)
            Tokens[token.Id] = token;
        foreach (var session in batch.Sessions)
            Sessions[session.Id] = session;
        foreach (var id in batch.ClosedSessions)
            Sessions.Remove(id);
        foreach (var publisher in batch.Publishers)
            Publishers[publisher.Id] = publisher;
        foreach (var id in batch.RemovedPublishers)
            Publishers.Remove(id);
        foreach (var row in batch.Published)
        {
            Demand(!Published.TryGetValue((row.Publisher, row.Id), out var before) || before.Sequence < Horizon, $"{row.Publisher} published {row.Id} twice");
            Published[(row.Publisher, row.Id)] = row;
        }

        foreach (var webhook in batch.Webhooks)
            Webhooks[webhook.Id] = webhook;
        foreach (var id in batch.RemovedWebhooks)
        {
            Webhooks.Remove(id);
            Cursors.Remove($"webhook/{id}");
            Deliveries.RemoveAll(delivery => delivery.Webhook == id);
        }

        foreach (var row in batch.Questions)
            Write(row);
        foreach (var limit in batch.Limits)
            Limits[limit.Id] = limit;
        foreach (var id in batch.RemovedLimits)
            Limits.Remove(id);
        foreach (var balance in batch.Balances)
            Balances[balance.Key] = new WrittenBalance(balance with { Reserved = 0 }, batch.LastSequence);
        foreach (var key in batch.RemovedBalances)
            Balances.Remove(key);
        BalancesWritten = batch.BalancesWritten;
        foreach (var row in batch.Usage)
        {
            Demand(!Usage.TryGetValue((row.Reporter, row.Id), out var before) || before.Sequence < Horizon, $"{row.Reporter} reported {row.Id} twice");
            Usage[(row.Reporter, row.Id)] = row;
        }

        foreach (var responder in batch.Responders)
            Responders[responder.Id] = responder;
        foreach (var id in batch.RemovedResponders)
            Responders.Remove(id);

        if (batch.Horizon is { } moved)
        {
            Demand(moved > Horizon && Prepared >= moved - 1 && Bases.ContainsKey(moved - 1), $"the horizon is to move from {Horizon} to {moved}");
            Demand(BalancesWritten is not { } upTo || upTo + 1 >= moved, $"balances are written up to {BalancesWritten}, and the horizon is to move to {moved}");
            Horizon = moved;
        }

        foreach (var number in batch.PrunedTasks)
            Remove(number);
        Totals = [.. batch.Totals];
        return written;
    }

    /// <summary>The other transaction: what is not part of the log.</summary>
    public void Save(IReadOnlyList<(string Name, long Sequence)> cursors, IReadOnlyList<WebhookDelivery> deliveries)
    {
        foreach (var (name, sequence) in cursors)
            Cursors[name] = sequence;
        Deliveries.AddRange(deliveries.Where(delivery => Webhooks.ContainsKey(delivery.Webhook)));
        foreach (var webhook in deliveries.Select(delivery => delivery.Webhook).Distinct())
        {
            var mine = Deliveries.Where(delivery => delivery.Webhook == webhook).ToList();
            foreach (var old in mine.Take(mine.Count - WebhookDelivery.Kept))
                Deliveries.Remove(old);
        }
    }

    private void Write(TaskRow row)
    {
        var task = row.Task;
        if (row.Change == RowChange.Insert)
        {
            Demand(numbers.TryAdd(task.Id, task.Number), $"task {task.Id} is inserted twice");
            Tasks.Add(task.Number, new StoredTask(task, row.Spec ?? throw new InvalidOperationException($"Task {task.Id} is inserted without its payload."), null));
            return;
        }

        Demand(Tasks.TryGetValue(task.Number, out var before), $"task {task.Id} ({task.Number}) is updated and is not there");
        var known = before!.Task;
        var same = known.Id == task.Id && known.Needs.Equals(task.Needs) && known.Requester == task.Requester && known.Session == task.Session
            && known.Parent == task.Parent && known.DependsOn.AsSpan().SequenceEqual(task.DependsOn) && known.CreatedAt == task.CreatedAt;
        Demand(same, $"an update of task {task.Id} changes what never changes");
        Demand(row.Change == RowChange.State || row.Spec is not null, $"the payload of task {task.Id} is to be written and is not there");
        Tasks[task.Number] = before with { Task = task, Spec = row.Change == RowChange.State ? before.Spec : row.Spec! };
    }

    private void Write(QuestionRow row)
    {
        var question = row.Question;
        if (row.Proposal is { } proposal)
        {
            Demand(Questions.TryAdd(question.Number, new StoredQuestion(question, proposal)), $"question {question.Id} is inserted twice");
            return;
        }

        Demand(Questions.TryGetValue(question.Number, out var before), $"question {question.Id} is updated and is not there");
        Demand(before!.Question.IsOpen, $"question {question.Id} is settled and is updated");
        Questions[question.Number] = before with { Question = question };
    }

    private void Remove(long number)
    {
        Demand(Tasks.Remove(number, out var gone), $"task {number} is removed and is not there");
        numbers.Remove(gone!.Task.Id);
        Attempts.Remove(number);
        if (gone.Spec.IdempotencyKey is { } key)
            Keys.Remove(new IdempotencyKey(gone.Task.Requester, key));
    }

    private EventData WriteAndRead(EventData data)
    {
        buffer.ResetWrittenCount();
        using (var json = new Utf8JsonWriter(buffer))
            data.WriteJson(json);
        return State.KindOf(data.Kind.Name).Read(buffer.WrittenSpan);
    }

    private static void Demand(bool holds, string otherwise)
    {
        if (!holds)
            throw new InvalidOperationException($"The store refuses the batch: {otherwise}.");
    }
}

using System.Text;
using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Storage.Tests.Contract;

/// <summary>Plays the sequencer's part for a store: raises events about tasks and agents and closes them into batches.</summary>
public sealed class BatchBuilder(long sequence = 0)
{
    private readonly RequirementPool pool = new();
    private readonly SortedDictionary<long, TaskRow> rows = [];
    private readonly Dictionary<string, Agent> agents = new(StringComparer.Ordinal);
    private readonly long[] totals = new long[9];
    private List<DispatchEvent> events = [];
    private List<EndedAttempt> attempts = [];
    private List<IdempotencyRow> keys = [];
    private List<AgentToken> tokens = [];
    private List<Session> sessions = [];
    private List<string> closed = [];
    private List<Publisher> publishers = [];
    private List<string> removedPublishers = [];
    private List<PublishedRow> published = [];
    private List<WebhookEndpoint> webhooks = [];
    private List<string> removedWebhooks = [];
    private List<QuestionRow> questions = [];
    private List<Responder> responders = [];
    private List<string> removedResponders = [];
    private List<Limit> limits = [];
    private List<string> removedLimits = [];
    private List<LimitBalance> balances = [];
    private List<string> removedBalances = [];
    private List<UsageRow> usage = [];
    private List<string> removed = [];
    private List<long> pruned = [];
    private long? horizon;

    /// <summary>Sequence of the last event raised.</summary>
    public long Sequence { get; private set; } = sequence;

    /// <summary>Timestamp of the next event; each one moves it by a millisecond.</summary>
    public long Now { get; set; } = 1_790_000_000_000;

    /// <summary>Every task as it stands, finished and pruned ones included.</summary>
    public Dictionary<TaskId, StoredTask> Tasks { get; } = [];

    public IReadOnlyList<long> Totals => totals;

    public static JsonBytes Json(string text) => new(Encoding.UTF8.GetBytes(text));

    public static TaskSpec Spec(string title = "Count lines", string? context = null, string? labels = null) => new()
    {
        Title = title,
        Context = context is null ? null : Json(context),
        Labels = labels is null ? null : Json(labels),
    };

    public Requirement Needs(string[] required, string[]? preferred = null, string? owner = null) => pool.Get(required, preferred ?? [], owner);

    public WorkTask Submit(TaskSpec? spec = null, string requester = "alice", Requirement? needs = null, Func<WorkTask, WorkTask>? shape = null, string bodyHash = "c0ffee")
    {
        spec ??= Spec();
        var number = Sequence + 1;
        var task = new WorkTask
        {
            Id = new TaskId(Guid.CreateVersion7()),
            Number = number,
            Status = TaskState.Pending,
            Needs = needs ?? Requirement.Anyone,
            Requester = requester,
            Priority = 5,
            MaxRetries = 3,
            TimeoutMs = 300_000,
            CreatedAt = Now,
            QueuedAt = Now,
            LastSequence = number,
        };
        task = shape?.Invoke(task) ?? task;
        Add(task.Id.ToString(), task.Session, requester, 0, new TaskCreated(
            task.Status, requester, spec.Title, spec.Description, spec.Scope, task.Needs.Required, task.Needs.Preferred, task.Needs.Owner,
            spec.Submitter, spec.IdempotencyKey, spec.IdempotencyKey is null ? null : bodyHash, task.Priority, spec.Labels, spec.Context,
            spec.Estimate, task.TimeoutMs, task.MaxRetries, task.RunAt == 0 ? null : task.RunAt, task.Deadline == 0 ? null : task.Deadline,
            task.DependsOn.Length == 0 ? null : task.DependsOn, task.Parent.IsNone ? null : task.Parent, null, spec.Budget));
        if (spec.IdempotencyKey is { } key)
            keys.Add(new IdempotencyRow(requester, key, bodyHash, task.Id, number));
        totals[(int)task.Status]++;
        return Put(task, spec, RowChange.Insert);
    }

    /// <summary>Raises an event about the task and moves it on by the rules of the state machine.</summary>
    public WorkTask Raise(WorkTask task, TaskEvent data)
    {
        var before = Tasks[task.Id];
        var at = Now;
        if (TaskTransitions.EndOfAttempt(before.Task, data, at) is { } attempt)
            attempts.Add(attempt);
        var happened = Add(task.Id.ToString(), task.Session, "system", before.Task.LastSequence, data);
        var after = TaskTransitions.Next(before.Task, data, at) with { LastSequence = happened.Sequence };
        totals[(int)before.Task.Status]--;
        totals[(int)after.Status]++;
        return data is TaskUpdated { Context: { } context }
            ? Put(after, before.Spec with { Context = context }, RowChange.StateAndSpec)
            : Put(after, before.Spec, RowChange.State);
    }

    public WorkTask Assign(WorkTask task, string agent = "worker-1", Amounts? reserved = null, long? maxRunMs = null) =>
        Raise(task, new TaskAssigned(agent, Tasks[task.Id].Task.Attempt + 1, 12, new MatchScore(1.3125, 1.05, 1, 1.25, 2, 10, 17), reserved, maxRunMs));

    /// <summary>From pending to completed.</summary>
    public WorkTask Finish(WorkTask task, string? result = null, string agent = "worker-1")
    {
        var held = Assign(task, agent);
        var done = Raise(held, new TaskCompleted(agent, held.Attempt, result is null ? null : Json(result), null));
        Tasks[task.Id] = Tasks[task.Id] with { Result = result is null ? null : Json(result) };
        return done;
    }

    /// <summary>From pending to a dead letter.</summary>
    public WorkTask Bury(WorkTask task, string error = "It broke.", string agent = "worker-1")
    {
        var held = Assign(task, agent);
        Raise(held, new TaskFailed(agent, held.Attempt, error, false, null));
        return Raise(held, new TaskDeadLettered(TaskState.Failed, error));
    }

    public Agent Register(Agent agent)
    {
        var happened = Add(agent.Id, null, agent.Id, agents.GetValueOrDefault(agent.Id)?.LastSequence ?? 0, new AgentRegistered(
            agent.Capabilities, agent.Owner, agent.Labels, agent.MaxConcurrent, agent.Status, agent.WakeUrl));
        return agents[agent.Id] = agent with { LastSequence = happened.Sequence };
    }

    public void Remove(Agent agent)
    {
        Add(agent.Id, null, agent.Id, agent.LastSequence, new AgentDeregistered("left"));
        removed.Add(agent.Id);
        agents.Remove(agent.Id);
    }

    public AgentToken Keep(AgentToken token)
    {
        EventData data = token.RevokedAt is null ? new TokenCreated(token.Hash, token.Agent, token.Name, token.ExpiresAt) : new TokenRevoked();
        var kept = token with { LastSequence = Add(token.Id, null, "admin", token.LastSequence, data).Sequence };
        tokens.Add(kept);
        return kept;
    }

    public Session Open(Session session)
    {
        var created = Add(session.Id, session.Id, "admin", 0, new SessionCreated(session.Name, session.ExpiresAt));
        var made = Add(session.Id, session.Id, "admin", created.Sequence, new SessionTokenMade(session.Hash));
        var opened = session with { LastSequence = made.Sequence };
        sessions.Add(opened);
        return opened;
    }

    public void Close(Session session)
    {
        Add(session.Id, session.Id, "admin", session.LastSequence, new SessionClosed(SessionEnd.Closed));
        closed.Add(session.Id);
    }

    public Publisher Register(Publisher publisher)
    {
        var registered = publisher with { LastSequence = Add(publisher.Id, null, "admin", publisher.LastSequence, new PublisherRegistered(publisher.Types, publisher.Session)).Sequence };
        publishers.Add(registered);
        return registered;
    }

    public void Remove(Publisher publisher)
    {
        Add(publisher.Id, null, "admin", publisher.LastSequence, new PublisherRemoved());
        removedPublishers.Add(publisher.Id);
    }

    public PublishedRow Publish(string publisher, string id)
    {
        var row = new PublishedRow(publisher, id, "c0ffee", Add("room", "s-1", publisher, 0, new MessageReceived(id, Json("{}"))).Sequence);
        published.Add(row);
        return row;
    }

    public WebhookEndpoint Keep(WebhookEndpoint webhook)
    {
        EventData data = webhook.LastSequence == 0 ? new WebhookCreated(new Uri(webhook.Url).Authority, webhook.Description, null, null, null, null) : new WebhookEnabled();
        var kept = webhook with { LastSequence = Add(webhook.Id, null, "admin", webhook.LastSequence, data).Sequence };
        webhooks.Add(kept);
        return kept;
    }

    public void Remove(WebhookEndpoint webhook)
    {
        Add(webhook.Id, null, "admin", webhook.LastSequence, new WebhookDeleted());
        removedWebhooks.Add(webhook.Id);
    }

    public Question Ask(Question question, JsonBytes proposal)
    {
        var asked = Add(question.Id, question.Session, question.Asker, 0, new QuestionAsked(question.Type, question.About, question.Asker, proposal, question.Default, null, question.ExpiresAt));
        var kept = question with { Number = asked.Sequence, LastSequence = asked.Sequence };
        questions.Add(new QuestionRow(kept, proposal));
        return kept;
    }

    public Question Answer(Question question, QuestionAnswer answer)
    {
        var answered = Add(question.Id, question.Session, answer.Responder, question.LastSequence, new QuestionAnswered(answer.Responder, answer.Answer, answer.Reason, answer.Replacement, question.Outcome, question.Reason));
        var kept = question with { Answers = [.. question.Answers, answer], LastSequence = answered.Sequence };
        questions.Add(new QuestionRow(kept, null));
        return kept;
    }

    /// <summary>Sets a limit, with what is used and reserved of it.</summary>
    public Limit Set(Limit limit, params LimitBalance[] with)
    {
        var set = limit with
        {
            LastSequence = Add(limit.Id, null, "admin", limit.LastSequence, new AllowanceSet(
                limit.Level, limit.Target, limit.Unit, limit.Amount, limit.Window, limit.Model, limit.Repo, limit.SoftPercent, limit.OnExceed, limit.Allow, limit.Deny)).Sequence,
        };
        limits.Add(set);
        balances.AddRange(with);
        return set;
    }

    /// <summary>See <see cref="Batch.BalancesWritten"/>; stays until it is set again.</summary>
    public long? BalancesWritten { get; set; }

    /// <summary>Writes rows of balances.</summary>
    public void Write(params LimitBalance[] rows) => balances.AddRange(rows);

    /// <summary>Deletes a limit and its balances.</summary>
    public void Remove(Limit limit, params string[] keys)
    {
        Add(limit.Id, null, "admin", limit.LastSequence, new AllowanceDeleted());
        removedLimits.Add(limit.Id);
        removedBalances.AddRange(keys);
    }

    /// <summary>What the attempt in hand keeps becomes this.</summary>
    public WorkTask Charge(WorkTask task, TaskCharge charge) => Put(task with { Charge = charge }, Tasks[task.Id].Spec, RowChange.State);

    /// <summary>Takes a usage report.</summary>
    public UsageRow Report(string reporter, string id, Amounts? spent = null, bool inHand = false)
    {
        var row = new UsageRow(reporter, id, "c0ffee", Add("worker", null, reporter, 0, new AllowanceCommitted(id, reporter, "c0ffee", null, null, null, Json("{}"), spent ?? Amounts.None, inHand ? true : null)).Sequence);
        usage.Add(row);
        return row;
    }

    public Responder Keep(Responder responder)
    {
        var kept = responder with { LastSequence = Add(responder.Id, null, "admin", responder.LastSequence, new ResponderRegistered(responder.Types)).Sequence };
        responders.Add(kept);
        return kept;
    }

    public void Remove(Responder responder)
    {
        Add(responder.Id, null, "admin", responder.LastSequence, new ResponderRemoved());
        removedResponders.Add(responder.Id);
    }

    public void Prune(params WorkTask[] gone)
    {
        int Ended(TaskState status) => gone.Count(task => Tasks[task.Id].Task.Status == status);
        Add("retention", null, "system", 0, new TaskPruned(
            [.. gone.Select(task => task.Number)], Ended(TaskState.Completed), Ended(TaskState.Failed), Ended(TaskState.Timeout), Ended(TaskState.Cancelled)));
        foreach (var task in gone)
        {
            pruned.Add(task.Number);
            totals[(int)Tasks[task.Id].Task.Status]--;
        }
    }

    public void Trim(LogBase known)
    {
        horizon = known.Sequence + 1;
        Add("log", null, "system", 0, new LogTrimmed(known.Sequence + 1, TrimReason.Size, known.Digest));
    }

    public DispatchEvent Add(string subject, string? session, string actor, long previous, EventData data, long causedBy = 0)
    {
        var happened = new DispatchEvent(++Sequence, Now++, subject, session, actor, causedBy, previous, data);
        events.Add(happened);
        return happened;
    }

    private readonly HashChain chain = new(HashChain.Start);

    public Batch Close()
    {
        var batch = new Batch
        {
            Events = events,
            Texts = EventTexts.Of(events, chain),
            Tasks = [.. rows.Values],
            Attempts = attempts,
            Keys = keys,
            Agents = [.. agents.Values],
            RemovedAgents = removed,
            Tokens = tokens,
            Sessions = sessions,
            ClosedSessions = closed,
            Publishers = publishers,
            RemovedPublishers = removedPublishers,
            Published = published,
            Webhooks = webhooks,
            RemovedWebhooks = removedWebhooks,
            Questions = questions,
            Responders = responders,
            RemovedResponders = removedResponders,
            Limits = limits,
            RemovedLimits = removedLimits,
            Balances = balances,
            RemovedBalances = removedBalances,
            BalancesWritten = BalancesWritten,
            Usage = usage,
            PrunedTasks = pruned,
            Horizon = horizon,
            Totals = [.. totals],
        };
        rows.Clear();
        horizon = null;
        (publishers, removedPublishers, published) = ([], [], []);
        (events, attempts, keys, tokens, sessions, closed, removed, pruned) = ([], [], [], [], [], [], [], []);
        (webhooks, removedWebhooks) = ([], []);
        (questions, responders, removedResponders) = ([], [], []);
        (limits, removedLimits, balances, removedBalances, usage) = ([], [], [], [], []);
        return batch;
    }

    private WorkTask Put(WorkTask task, TaskSpec spec, RowChange change)
    {
        var known = rows.TryGetValue(task.Number, out var row) && row.Change > change ? row.Change : change;
        rows[task.Number] = new TaskRow(task, known == RowChange.State ? null : spec, known);
        Tasks[task.Id] = new StoredTask(task, spec, Tasks.GetValueOrDefault(task.Id)?.Result);
        return task;
    }
}

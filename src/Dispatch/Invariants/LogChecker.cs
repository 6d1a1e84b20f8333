using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sessions;
using Dispatch.Settings;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Invariants;

/// <summary>
/// Walks a log from its first event, or from the base that stands for its beginning, and checks the rules it must keep, with a bookkeeping of its own: it shares no table and no
/// transition with the broker that wrote the log.
/// </summary>
/// <remarks>
/// The rules by number, as in docs/invariants.md: I-3 one task per caller and idempotency key, I-4 at most one live attempt, I-5 attempt numbers
/// rise, I-6 only the holder reports, I-7 a final task stays as it is unless a person puts it back, I-8 charged retries stay within their
/// limit, I-10 nothing runs before its time, its dependencies or its confirmation, I-16 nothing is reserved that a limit has no room for, I-11 the log has no gap, I-13 events fit the state they happen in,
/// I-24 time does not go back.
/// </remarks>
public sealed class LogChecker
{
    private readonly FindingList findings;
    private readonly TaskRules tasks;
    private readonly AgentRules agents;
    private readonly WebhookRules webhooks;
    private readonly Dictionary<string, bool> tokens = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> lastTokenEvents = new(StringComparer.Ordinal);
    private readonly SessionRules sessions;
    private readonly PublisherRules publishers;
    private readonly QuestionRules questions;
    private readonly ConfigRules config;
    private readonly AllowanceRules allowances;

    /// <param name="ownerFilter">Whether only the owner's agents may take a task that names one; null when the log may be of both kinds.</param>
    public LogChecker(FindingList findings, bool? ownerFilter = null)
    {
        this.findings = findings;
        agents = new AgentRules(this);
        sessions = new SessionRules(this);
        publishers = new PublisherRules(this);
        webhooks = new WebhookRules(this);
        config = new ConfigRules(this);
        allowances = new AllowanceRules(this);
        tasks = new TaskRules(this, agents, ownerFilter);
        questions = new QuestionRules(this, tasks);
    }

    /// <summary>Events looked at.</summary>
    public long Events { get; private set; }

    /// <summary>Sequence number of the last one.</summary>
    public long Sequence { get; private set; }

    /// <summary>Sequence of the oldest event that is kept, as the log says.</summary>
    public long Horizon { get; private set; } = 1;

    /// <summary>What the log says of the base behind which its horizon is; null while it has not told of one.</summary>
    public LogTrimmed? Trimmed { get; private set; }

    /// <summary>Tasks that were created and not removed.</summary>
    public int Tasks => tasks.Count;

    internal DispatchEvent Current { get; private set; } = null!;

    internal long Timestamp { get; private set; }

    /// <summary>Takes over a row of the base, before any event.</summary>
    public void Begin(BaseRow row)
    {
        if (row.Start is { } start)
            (Sequence, Timestamp, Horizon) = (start.Sequence, start.Timestamp, start.Horizon);
        if (row.Agent is { } agent)
            agents.Begin(agent);
        if (row.Token is { } token)
            (tokens[token.Id], lastTokenEvents[token.Id]) = (token.RevokedAt is not null, token.LastSequence);
        if (row.Session is { } session)
            sessions.Begin(session);
        if (row.Publisher is { } publisher)
            publishers.Begin(publisher);
        if (row.Webhook is { } webhook)
            webhooks.Begin(webhook);
        if (row.Question is { } question)
            questions.Begin(question);
        if (row.Responder is { } responder)
            questions.Begin(responder);
        if (row.Limit is { } limit)
            allowances.Begin(limit);
        if (row.Balance is { } balance)
            allowances.Begin(balance);
        if (row.Task is { } charged)
            allowances.Begin(charged.Task);
        if (row.Task is { } task)
            tasks.Begin(task, isConfirmed: !questions.IsAskedAbout(task.Task.Id));
    }

    /// <summary>Takes the next event of the log.</summary>
    public void Check(DispatchEvent happened)
    {
        Current = happened;
        Events++;
        if (happened.Sequence != Sequence + 1)
            Find("I-11", happened.Sequence <= Sequence ? $"the number comes after {Sequence}" : $"events {Sequence + 1} to {happened.Sequence - 1} are missing");
        if (happened.Timestamp < Timestamp)
            Find("I-24", $"its time {happened.Timestamp} is before that of the event before, {Timestamp}");
        if (happened.CausedBy < 0 || happened.CausedBy >= happened.Sequence)
            Find("I-13", $"it is said to follow from event {happened.CausedBy}");

        Sequence = Math.Max(Sequence, happened.Sequence);
        Timestamp = Math.Max(Timestamp, happened.Timestamp);
        switch (happened.Data)
        {
            case TaskEvent data:
                tasks.Check(data);
                allowances.Check(data);
                break;
            case AllowanceEvent data:
                allowances.Check(data);
                break;
            case TokenCreated or TokenRevoked:
                CheckToken(happened);
                break;
            case AgentEvent data:
                agents.Check(data);
                break;
            case SessionEvent data:
                sessions.Check(data);
                break;
            case PublisherEvent data:
                publishers.Check(data);
                break;
            case OutsideEvent data:
                publishers.Check(data);
                break;
            case WebhookEvent data:
                webhooks.Check(data);
                break;
            case QuestionEvent data:
                questions.Check(data);
                break;
            case ResponderEvent data:
                questions.Check(data);
                break;
            case ConfigEvent data:
                config.Check(data);
                break;
            case LogTrimmed data:
                CheckHorizon(data);
                break;
            default:
                Find("I-13", $"the type {happened.Type} is not known");
                break;
        }
    }

    /// <summary>Call at the end of a commit, when no more events belong to what has been checked: what must not stay so is found.</summary>
    public void Finish()
    {
        tasks.Finish();
        questions.Finish();
    }

    internal void Find(string invariant, string problem) =>
        findings.Add(new Finding.InLog(invariant, Current.Sequence, Current.Subject, $"{Current.Type}: {problem}"));

    internal void FindAtEnd(string invariant, string subject, string problem) => findings.Add(new Finding.InLog(invariant, Sequence, subject, problem));

    /// <summary>The history of a subject is the chain of its events.</summary>
    internal void CheckChain(long last)
    {
        if (Current.Previous != last)
            Find("I-13", $"it names event {Current.Previous} as the one before it about its subject, which was {last}");
    }

    private void CheckHorizon(LogTrimmed trimmed)
    {
        if (trimmed.Horizon <= Horizon || trimmed.Horizon > Current.Sequence)
            Find("I-13", $"the horizon moves from {Horizon} to {trimmed.Horizon}");
        (Horizon, Trimmed) = (trimmed.Horizon, trimmed);
    }

    private void CheckToken(DispatchEvent happened)
    {
        CheckChain(lastTokenEvents.GetValueOrDefault(happened.Subject));
        lastTokenEvents[happened.Subject] = happened.Sequence;
        var known = tokens.TryGetValue(happened.Subject, out var revoked);
        if (happened.Data is TokenCreated)
        {
            if (known)
                Find("I-13", "the token exists already");
            tokens[happened.Subject] = false;
            return;
        }

        if (!known || revoked)
            Find("I-13", known ? "the token is revoked already" : "there is no such token");
        tokens[happened.Subject] = true;
    }
}

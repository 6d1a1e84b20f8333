using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Invariants;

/// <summary>What of a row is compared, column by column.</summary>
internal sealed record Column<T>(string Name, Func<T, object?> Read);

/// <summary>The tables of a store as the comparison sees them. Values are compared by <see cref="object.Equals(object?)"/>; lists as their text.</summary>
internal static class Columns
{
    public static readonly Column<WorkTask>[] Task =
    [
        new("id", t => t.Id), new("status", t => t.Status), new("required", t => List(t.Needs.Required)), new("preferred", t => List(t.Needs.Preferred)),
        new("owner", t => t.Needs.Owner), new("requester", t => t.Requester), new("session", t => t.Session), new("parent_id", t => t.Parent),
        new("depends_on", t => List(t.DependsOn)), new("priority", t => t.Priority), new("max_retries", t => t.MaxRetries), new("timeout_ms", t => t.TimeoutMs),
        new("run_at", t => t.RunAt), new("deadline", t => t.Deadline), new("created_at", t => t.CreatedAt), new("queued_at", t => t.QueuedAt),
        new("next_attempt_at", t => t.NextAttemptAt), new("assignee", t => t.Assignee), new("attempt", t => t.Attempt), new("retry_count", t => t.RetryCount),
        new("assigned_at", t => t.AssignedAt), new("started_at", t => t.StartedAt), new("completed_at", t => t.CompletedAt), new("last_agent", t => t.LastAgent),
        new("last_outcome", t => t.LastOutcome), new("dead_lettered", t => t.DeadLettered), new("error", t => t.Error), new("progress", t => t.Progress),
        new("usage", t => t.Usage), new("why", t => t.Why), new("last_sequence", t => t.LastSequence),
        new("cost", t => t.Cost), new("max_run_ms", t => t.MaxRunMs), new("charge", t => t.Charge),
    ];

    public static readonly Column<TaskSpec>[] Spec =
    [
        new("title", s => s.Title), new("description", s => s.Description), new("scope", s => s.Scope), new("labels", s => s.Labels), new("context", s => s.Context),
        new("estimate", s => s.Estimate), new("submitter", s => s.Submitter), new("idempotency_key", s => s.IdempotencyKey), new("request_hash", s => s.RequestHash), new("confirm", s => s.Confirm), new("budget", s => s.Budget),
    ];

    public static readonly Column<EndedAttempt>[] Attempt =
    [
        new("agent", a => a.Agent), new("outcome", a => a.Outcome), new("assigned_at", a => a.AssignedAt), new("started_at", a => a.StartedAt),
        new("ended_at", a => a.EndedAt), new("error", a => a.Error), new("result", a => a.Result), new("usage", a => a.Usage),
        new("model", a => a.Model), new("reserved", a => a.Reserved), new("spent", a => a.Spent),
    ];

    public static readonly Column<IdempotencyRow>[] Key = [new("body_hash", k => k.BodyHash), new("task", k => k.Task), new("number", k => k.TaskNumber)];

    public static readonly Column<Agent>[] Agent =
    [
        new("capabilities", a => List(a.Capabilities)), new("owner", a => a.Owner), new("labels", a => a.Labels), new("max_concurrent", a => a.MaxConcurrent),
        new("status", a => a.Status), new("drained", a => a.Drained), new("wake_url", a => a.WakeUrl), new("registered_at", a => a.RegisteredAt),
        new("status_at", a => a.StatusAt), new("last_sequence", a => a.LastSequence),
    ];

    public static readonly Column<AgentToken>[] Token =
    [
        new("hash", t => t.Hash), new("agent", t => t.Agent), new("name", t => t.Name), new("created_at", t => t.CreatedAt), new("expires_at", t => t.ExpiresAt),
        new("revoked_at", t => t.RevokedAt), new("last_sequence", t => t.LastSequence),
    ];

    public static readonly Column<Session>[] Session =
    [
        new("hash", s => s.Hash), new("name", s => s.Name), new("created_at", s => s.CreatedAt), new("expires_at", s => s.ExpiresAt),
        new("last_sequence", s => s.LastSequence),
    ];

    public static readonly Column<Publisher>[] Publisher =
    [
        new("types", p => List(p.Types)), new("session", p => p.Session), new("registered_at", p => p.RegisteredAt), new("last_sequence", p => p.LastSequence),
    ];

    public static readonly Column<PublishedRow>[] Published = [new("hash", p => p.Hash), new("sequence", p => p.Sequence)];

    public static readonly Column<Question>[] Question =
    [
        new("number", q => q.Number), new("type", q => q.Type), new("about", q => q.About), new("session", q => q.Session), new("asker", q => q.Asker),
        new("missing", q => q.Default), new("awaited", q => List(q.Awaited)), new("answers", q => List(q.Answers)), new("asked_at", q => q.AskedAt),
        new("expires_at", q => q.ExpiresAt), new("status", q => q.Status), new("outcome", q => q.Outcome), new("reason", q => q.Reason),
        new("replacement", q => q.Replacement), new("closed_at", q => q.ClosedAt), new("last_sequence", q => q.LastSequence),
    ];

    public static readonly Column<Responder>[] Responder =
        [new("types", r => List(r.Types)), new("registered_at", r => r.RegisteredAt), new("last_sequence", r => r.LastSequence)];

    // A secret that differs is told as such, not shown.
    public static readonly Column<WebhookEndpoint>[] Webhook =
    [
        new("url", w => w.Url), new("description", w => w.Description), new("types", w => List(w.Filter.Types.ToArray())),
        new("sources", w => List(w.Filter.Sources.ToArray())), new("subjects", w => List(w.Filter.Subjects.ToArray())),
        new("sessions", w => List(w.Filter.Sessions.ToArray())), new("secret", w => Masked.Of(w.Secret)), new("previous_secret", w => Masked.Of(w.PreviousSecret)),
        new("previous_until", w => w.PreviousUntil), new("status", w => w.Status), new("status_at", w => w.StatusAt), new("disabled_reason", w => w.DisabledReason),
        new("created_at", w => w.CreatedAt), new("starts_after", w => w.StartsAfter), new("last_sequence", w => w.LastSequence),
    ];

    public static readonly Column<Limit>[] Limit =
    [
        new("level", l => l.Level), new("target", l => l.Target), new("unit", l => l.Unit), new("amount", l => l.Amount), new("time_window", l => l.Window),
        new("model", l => l.Model), new("repo", l => l.Repo), new("soft_percent", l => l.SoftPercent), new("on_exceed", l => l.OnExceed), new("allow", l => List(l.Allow)),
        new("deny", l => List(l.Deny)), new("version", l => l.Version), new("created_at", l => l.CreatedAt), new("updated_at", l => l.UpdatedAt),
        new("last_sequence", l => l.LastSequence),
    ];

    public static readonly Column<LimitBalance>[] Balance =
    [
        new("limit_id", b => b.Limit), new("target", b => b.Target), new("used", b => b.Used), new("reserved", b => b.Reserved), new("window_start", b => b.WindowStart),
        new("window_end", b => b.WindowEnd), new("steps", b => List([.. b.Steps])), new("cooldown_until", b => b.CooldownUntil), new("warned", b => b.Warned),
        new("exceeded", b => b.Exceeded),
    ];

    public static readonly Column<UsageRow>[] Usage = [new("hash", u => u.Hash), new("sequence", u => u.Sequence)];

    private static string List<T>(T[] values) => string.Join('\u001f', values);
}

/// <summary>A text that is compared and not shown.</summary>
internal sealed record Masked(string Text)
{
    public static Masked? Of(string? text) => text is null ? null : new Masked(text);

    public override string ToString() => "(a secret)";
}

using System.Text.Json;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>Writes tasks as callers see them.</summary>
internal static class TaskWriter
{
    private static readonly string[] States = [.. Enum.GetNames<TaskState>().Select(JsonNamingPolicy.SnakeCaseLower.ConvertName)];
    private static readonly string[] Outcomes = [.. Enum.GetNames<AttemptOutcome>().Select(JsonNamingPolicy.SnakeCaseLower.ConvertName)];
    private static readonly string[] Reasons = [.. Enum.GetNames<WaitReason>().Select(JsonNamingPolicy.SnakeCaseLower.ConvertName)];

    public static string Word(TaskState state) => States[(int)state];

    public static string Word(AttemptOutcome outcome) => Outcomes[(int)outcome];

    public static string Word(WaitReason reason) => Reasons[(int)reason];

    public static void Write(Utf8JsonWriter json, StoredTask stored) => Write(json, stored.Task, stored.Spec, stored.Result, null, 0);

    /// <param name="attempts">Null: the member is left out.</param>
    /// <param name="leaseExpiresAt">0: the member is left out.</param>
    public static void Write(
        Utf8JsonWriter json, WorkTask task, TaskSpec spec, JsonBytes? result, IReadOnlyList<EndedAttempt>? attempts, long leaseExpiresAt)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, task.Id.Value);
        json.WriteString("title"u8, spec.Title);
        Text(json, "description"u8, spec.Description);
        json.WriteString("status"u8, States[(int)task.Status]);
        json.WriteNumber("priority"u8, task.Priority);
        Text(json, "scope"u8, spec.Scope);
        Texts(json, "required_capabilities"u8, task.Needs.Required);
        Texts(json, "preferred_capabilities"u8, task.Needs.Preferred);
        Raw(json, "labels"u8, spec.Labels ?? JsonBytes.EmptyObject);
        Text(json, "owner"u8, task.Needs.Owner);
        json.WriteString("requester"u8, task.Requester);
        json.WriteString("submitter"u8, spec.Submitter ?? task.Requester);
        Text(json, "session"u8, task.Session);
        Raw(json, "context"u8, spec.Context ?? JsonBytes.EmptyObject);
        Raw(json, "estimate"u8, spec.Estimate);
        Amounts(json, "budget"u8, spec.Budget);
        if (spec.Confirm)
            json.WriteBoolean("confirm"u8, true);
        Text(json, "assignee"u8, task.Assignee);
        json.WriteNumber("attempt"u8, task.Attempt);
        json.WriteNumber("retry_count"u8, task.RetryCount);
        json.WriteNumber("max_retries"u8, task.MaxRetries);
        json.WriteNumber("timeout_ms"u8, task.TimeoutMs);
        Time(json, "run_at"u8, task.RunAt);
        Time(json, "deadline"u8, task.Deadline);
        json.WriteStartArray("depends_on"u8);
        foreach (var id in task.DependsOn)
            json.WriteStringValue(id.Value);
        json.WriteEndArray();
        if (!task.Parent.IsNone)
            json.WriteString("parent_id"u8, task.Parent.Value);
        Text(json, "idempotency_key"u8, spec.IdempotencyKey);
        if (task.Progress is { } progress)
            WriteProgress(json, progress);
        Raw(json, "result"u8, result);
        Text(json, "error"u8, task.Error);
        Raw(json, "usage"u8, task.Usage);
        Time(json, "created_at"u8, task.CreatedAt);
        Time(json, "assigned_at"u8, task.AssignedAt);
        Time(json, "started_at"u8, task.StartedAt);
        Time(json, "completed_at"u8, task.CompletedAt);
        if (task.Status == TaskState.Pending)
            Time(json, "next_attempt_at"u8, task.NextAttemptAt);
        if (task.DeadLettered)
            json.WriteBoolean("dead_lettered"u8, true);
        if (task.IsHeld)
        {
            Amounts(json, "reserved"u8, task.Charge?.Reserved);
            if (task.MaxRunMs > 0)
                json.WriteNumber("max_run_ms"u8, task.MaxRunMs);
        }

        Time(json, "lease_expires_at"u8, leaseExpiresAt);
        if (attempts is not null)
            WriteAttempts(json, attempts);
        json.WriteEndObject();
    }

    /// <param name="isTruncated">Whether events came before it that are not shown.</param>
    public static void WriteEvent(Utf8JsonWriter json, DispatchEvent happened, bool isTruncated = false)
    {
        json.WriteStartObject();
        json.WriteNumber("sequence"u8, happened.Sequence);
        Time(json, "timestamp"u8, happened.Timestamp);
        json.WriteString("type"u8, happened.Type);
        json.WriteString("source"u8, happened.Source);
        json.WriteString("subject"u8, happened.Subject);
        Text(json, "session"u8, happened.Session);
        json.WriteString("actor"u8, happened.Actor);
        if (happened.CausedBy > 0)
            json.WriteNumber("caused_by"u8, happened.CausedBy);
        json.WritePropertyName("data"u8);
        happened.Data.WriteJson(json);
        if (isTruncated)
            json.WriteBoolean("truncated"u8, true);
        json.WriteEndObject();
    }

    public static void WriteExplanation(Utf8JsonWriter json, Explanation explained)
    {
        json.WriteStartObject();
        json.WriteString("task_id"u8, explained.Task.Id.Value);
        json.WriteString("status"u8, Word(explained.Task.Status));
        json.WriteString("reason"u8, Word(explained.Reason));
        json.WriteString("message"u8, explained.Message);
        if (explained.Task is { Why: { } why } task && (task.IsHeld || task.IsFinal))
        {
            json.WriteStartObject("assignment"u8);
            json.WriteString("agent"u8, task.Assignee);
            json.WriteNumber("attempt"u8, task.Attempt);
            WriteScore(json, why);
            json.WriteNumber("candidates"u8, why.Candidates);
            json.WriteEndObject();
        }

        json.WriteStartArray("candidates"u8);
        foreach (var agent in explained.Candidates)
        {
            json.WriteStartObject();
            json.WriteString("agent"u8, agent.Agent);
            json.WriteBoolean("eligible"u8, agent.Eligible);
            if (agent.Eligible)
                json.WriteNumber("score"u8, Math.Round(agent.Score.Score, 6));
            json.WriteNumber("capability_match"u8, agent.Score.CapabilityMatch);
            json.WriteNumber("availability"u8, agent.Score.Availability);
            json.WriteNumber("priority_weight"u8, agent.Score.PriorityWeight);
            json.WriteNumber("active"u8, agent.Score.Active);
            json.WriteNumber("max_concurrent"u8, agent.Score.MaxConcurrent);
            if (agent.Reason != WaitReason.None)
                json.WriteString("reason"u8, Word(agent.Reason));
            Text(json, "limit"u8, agent.Limit);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (explained.WaitingOn.Count > 0)
        {
            json.WriteStartArray("waiting_on"u8);
            foreach (var id in explained.WaitingOn)
                json.WriteStringValue(id.Value);
            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    /// <summary>RFC 3339 in UTC with milliseconds; 0 is left out.</summary>
    public static void Time(Utf8JsonWriter json, ReadOnlySpan<byte> name, long ms)
    {
        if (ms == 0)
            return;
        Span<byte> text = stackalloc byte[24];
        DateTimeOffset.FromUnixTimeMilliseconds(ms).UtcDateTime.TryFormat(text, out var written, "yyyy-MM-ddTHH:mm:ss.fffZ");
        json.WriteString(name, text[..written]);
    }

    public static void Text(Utf8JsonWriter json, ReadOnlySpan<byte> name, string? value)
    {
        if (value is not null)
            json.WriteString(name, value);
    }

    public static void Texts(Utf8JsonWriter json, ReadOnlySpan<byte> name, IEnumerable<string> values)
    {
        json.WriteStartArray(name);
        foreach (var value in values)
            json.WriteStringValue(value);
        json.WriteEndArray();
    }

    public static void Raw(Utf8JsonWriter json, ReadOnlySpan<byte> name, JsonBytes? value)
    {
        if (value is null)
            return;
        json.WritePropertyName(name);
        json.WriteRawValue(value.Span, skipInputValidation: true);
    }

    /// <summary>An object of key to amount.</summary>
    public static void Amounts(Utf8JsonWriter json, ReadOnlySpan<byte> name, Amounts? amounts)
    {
        if (amounts is null)
            return;
        json.WriteStartObject(name);
        foreach (var (key, amount) in amounts.Items)
            json.WriteNumber(key, amount);
        json.WriteEndObject();
    }

    private static void WriteScore(Utf8JsonWriter json, MatchScore why)
    {
        json.WriteNumber("score"u8, Math.Round(why.Score, 6));
        json.WriteNumber("capability_match"u8, why.CapabilityMatch);
        json.WriteNumber("availability"u8, why.Availability);
        json.WriteNumber("priority_weight"u8, why.PriorityWeight);
        json.WriteNumber("active"u8, why.Active);
        json.WriteNumber("max_concurrent"u8, why.MaxConcurrent);
    }

    private static void WriteProgress(Utf8JsonWriter json, TaskProgress progress)
    {
        json.WriteStartObject("progress"u8);
        if (progress.Percent is { } percent)
            json.WriteNumber("percent"u8, percent);
        Text(json, "message"u8, progress.Message);
        Raw(json, "data"u8, progress.Data);
        Time(json, "at"u8, progress.At);
        json.WriteEndObject();
    }

    private static void WriteAttempts(Utf8JsonWriter json, IReadOnlyList<EndedAttempt> attempts)
    {
        json.WriteStartArray("attempts"u8);
        foreach (var attempt in attempts)
        {
            json.WriteStartObject();
            json.WriteNumber("attempt"u8, attempt.Attempt);
            json.WriteString("agent"u8, attempt.Agent);
            json.WriteString("outcome"u8, Word(attempt.Outcome));
            Time(json, "assigned_at"u8, attempt.AssignedAt);
            Time(json, "started_at"u8, attempt.StartedAt);
            Time(json, "ended_at"u8, attempt.EndedAt);
            Text(json, "error"u8, attempt.Error);
            Raw(json, "usage"u8, attempt.Usage);
            Text(json, "model"u8, attempt.Model);
            Amounts(json, "reserved"u8, attempt.Reserved);
            Amounts(json, "spent"u8, attempt.Spent);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}

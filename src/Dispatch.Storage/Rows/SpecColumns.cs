using System.Text.Json;
using Dispatch.Events;
using Dispatch.Tasks;

namespace Dispatch.Storage.Rows;

/// <summary>What a task says to and from its rows: few words in <c>tasks</c>, the rest in the event of its creation or in <c>task_payloads</c>.</summary>
internal static class SpecColumns
{
    /// <summary>The columns of <c>task_payloads</c>, but the task's number.</summary>
    internal const string Payload = "description, labels, context, estimate, idempotency_key, request_hash, confirm, budget";

    /// <summary>With the number.</summary>
    internal const string Keys = "number, " + Payload;

    /// <summary>The columns of <c>tasks</c> that a spec is made of.</summary>
    internal const string Words = "title, scope, submitter";

    /// <summary>True when the event of its creation tells all of the spec, so that it needs no row.</summary>
    internal static bool IsToldBy(EventData? creation, TaskSpec spec) =>
        creation is TaskCreated told
        && told.Title == spec.Title && told.Description == spec.Description && told.Scope == spec.Scope
        && told.Submitter == spec.Submitter && told.IdempotencyKey == spec.IdempotencyKey && told.BodyHash == spec.RequestHash && (told.Confirm ?? false) == spec.Confirm
        && Same(told.Labels, spec.Labels) && Same(told.Context, spec.Context) && Same(told.Estimate, spec.Estimate) && Equals(told.Budget, spec.Budget);

    internal static void BindPayload(IRowParameters row, long number, TaskSpec spec)
    {
        row.Bind(1, number);
        row.Bind(2, spec.Description);
        row.Bind(3, spec.Labels);
        row.Bind(4, spec.Context);
        row.Bind(5, spec.Estimate);
        row.Bind(6, spec.IdempotencyKey);
        row.Bind(7, spec.RequestHash);
        row.Bind(8, spec.Confirm);
        if (spec.Budget is { } budget)
            row.BindText(9, JsonSerializer.SerializeToUtf8Bytes(budget, RowJson.Default.Amounts));
    }

    /// <summary>The spec that a payload row tells.</summary>
    /// <param name="payload">A query for <see cref="Payload"/>.</param>
    /// <param name="words">A query that has <see cref="Words"/> from column <paramref name="at"/> on.</param>
    internal static TaskSpec Read(IStoredRow payload, IStoredRow words, int at) => new()
    {
        Title = words.Text(at),
        Scope = words.NullableText(at + 1),
        Submitter = words.NullableText(at + 2),
        Description = payload.NullableText(0),
        Labels = payload.NullableJson(1),
        Context = payload.NullableJson(2),
        Estimate = payload.NullableJson(3),
        IdempotencyKey = payload.NullableText(4),
        RequestHash = payload.NullableText(5),
        Confirm = payload.Boolean(6),
        Budget = payload.Utf8(7) is { Length: > 0 } budget ? JsonSerializer.Deserialize(budget, RowJson.Default.Amounts) : null,
    };

    /// <summary>The spec that the event of its creation tells.</summary>
    internal static TaskSpec Of(TaskCreated told) => new()
    {
        Title = told.Title,
        Description = told.Description,
        Scope = told.Scope,
        Labels = told.Labels,
        Context = told.Context,
        Estimate = told.Estimate,
        Submitter = told.Submitter,
        IdempotencyKey = told.IdempotencyKey,
        Confirm = told.Confirm ?? false,
        Budget = told.Budget,
        RequestHash = told.BodyHash,
    };

    private static bool Same(JsonBytes? one, JsonBytes? other) =>
        ReferenceEquals(one, other) || (one is not null && one.Equals(other));
}

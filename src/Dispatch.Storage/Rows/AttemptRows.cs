using System.Text.Json;
using Dispatch.Allowances;
using Dispatch.Tasks;

namespace Dispatch.Storage.Rows;

/// <summary>An ended attempt to and from its row in <c>attempts</c>.</summary>
internal static class AttemptRows
{
    internal const string Columns = "number, attempt, agent, outcome, assigned_at, started_at, ended_at, error, result, usage, model, reserved, spent";

    /// <summary>How many <see cref="Columns"/> there are.</summary>
    internal const int Count = 13;

    /// <param name="withResult">False when the event of the completion has the result.</param>
    internal static void Bind(IRowParameters row, EndedAttempt attempt, bool withResult)
    {
        row.Bind(1, attempt.TaskNumber);
        row.Bind(2, (long)attempt.Attempt);
        row.Bind(3, attempt.Agent);
        row.BindText(4, Words.Outcome.Word((int)attempt.Outcome));
        row.Bind(5, attempt.AssignedAt);
        if (attempt.StartedAt != 0)
            row.Bind(6, attempt.StartedAt);
        row.Bind(7, attempt.EndedAt);
        row.Bind(8, attempt.Error);
        if (withResult)
            row.Bind(9, attempt.Result);
        row.Bind(10, attempt.Usage);
        row.Bind(11, attempt.Model);
        BindAmounts(row, 12, attempt.Reserved);
        BindAmounts(row, 13, attempt.Spent);
    }

    /// <summary>The attempt of the current row, without a result that only the event has.</summary>
    internal static EndedAttempt Read(IStoredRow row) => new(
        row.Int64(0), row.Int32(1), row.Text(2), Words.Outcome.Parse(row.Utf8(3)), row.Int64(4), row.Int64(5), row.Int64(6), row.NullableText(7),
        row.NullableJson(8), row.NullableJson(9), row.NullableText(10), ReadAmounts(row, 11), ReadAmounts(row, 12));

    private static void BindAmounts(IRowParameters row, int at, Amounts? amounts)
    {
        if (amounts is not null)
            row.BindText(at, JsonSerializer.SerializeToUtf8Bytes(amounts, RowJson.Default.Amounts));
    }

    private static Amounts? ReadAmounts(IStoredRow row, int at) =>
        row.Utf8(at) is { Length: > 0 } amounts ? JsonSerializer.Deserialize(amounts, RowJson.Default.Amounts) : null;
}

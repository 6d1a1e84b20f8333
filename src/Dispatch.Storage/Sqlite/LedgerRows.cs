using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// Where what was reserved and spent is written: with ended attempts, with tasks in hand, and in the events of usage reports. Each is read newest
/// first along an index, and no further than until the page is full.
/// </summary>
internal static class LedgerRows
{
    /// <summary>Ended attempts up to a place, with the ids of their tasks.</summary>
    internal const string Ended = $"""
        SELECT a.{AttemptColumns}, t.id FROM attempts a CROSS JOIN tasks t ON t.number = a.number
         WHERE (a.number, a.attempt) <= (?, ?) AND (a.reserved IS NOT NULL OR a.spent IS NOT NULL) ORDER BY a.number DESC, a.attempt DESC
        """;

    /// <summary>Tasks in hand up to a number: only of the blocks in which there are any.</summary>
    internal static readonly string InHand = $"""
        SELECT {TaskColumns.List} FROM (SELECT DISTINCT block FROM task_states WHERE status IN ('assigned', 'running')) CROSS JOIN tasks
         WHERE number >= block * {TaskPeople.BlockSize} AND number < (block + 1) * {TaskPeople.BlockSize} AND number <= ? AND +status IN ('assigned', 'running')
           AND charge IS NOT NULL ORDER BY number DESC
        """;

    /// <summary>Events of usage reports between two sequences.</summary>
    internal const string Reported = $"""
        SELECT {EventRows.Columns} FROM (SELECT sequence AS reported FROM usage_reports) CROSS JOIN events ON sequence = reported
         WHERE reported BETWEEN ? AND ? ORDER BY reported DESC
        """;

    private const string AttemptColumns = "number, a.attempt, a.agent, a.outcome, a.assigned_at, a.started_at, a.ended_at, NULL, NULL, NULL, a.model, a.reserved, a.spent";

    /// <summary>The task of the current row of <see cref="Ended"/>.</summary>
    internal static TaskId ReadTask(SqliteStatement row) => TaskId.TryParse(row.Utf8(AttemptRows.Count), out var id)
        ? id : throw new FormatException("A task's id is no UUID.");
}

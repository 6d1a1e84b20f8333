using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Tasks;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// Tasks with what they say and their results, which may lie in the events of their creation and completion: one statement brings all of it. Used by one thread
/// at a time.
/// </summary>
internal sealed class TaskRows
{
    /// <summary>The columns of a spec, for a task <c>t</c> with <see cref="SpecTables"/>.</summary>
    private static readonly string SpecList = $"p.number, {Prefixed("p", SpecColumns.Payload)}, {Prefixed("t", SpecColumns.Words)}, CASE WHEN p.number IS NULL THEN c.data END";

    private const string SpecTables = """
          LEFT JOIN task_payloads p ON p.number = t.number
          LEFT JOIN events c ON c.sequence = t.number AND c.type = 'task.created'
        """;

    private const int PayloadCount = 8;
    private const int Told = 1 + PayloadCount + 3;

    private readonly TaskColumns columns = new();

    /// <summary>Queries for complete tasks: the given one, of which <c>t</c> are rows of <c>tasks</c>.</summary>
    internal static string Complete(string tasks, string order) => $"""
        SELECT {Prefixed("t", TaskColumns.List)}, {SpecList}, a.result, {Completion("t.status = 'completed' AND a.result IS NULL", "t.last_sequence")}
          FROM ({tasks}) t
        {SpecTables}
          LEFT JOIN attempts a ON a.number = t.number AND a.attempt = t.attempt AND t.status = 'completed'
         ORDER BY {order}
        """;

    /// <summary>The specs of these tasks, with their numbers in front.</summary>
    internal static readonly string Specs = $"SELECT t.number, {SpecList} FROM tasks t {SpecTables} WHERE t.number = ANY($1)";

    /// <summary>The ended attempts of a query for rows of <c>attempts</c>, as <c>a</c>, with the results that only events have.</summary>
    internal static string Attempts(string conditions) => $"""
        SELECT {Prefixed("a", AttemptRows.Columns)}, {Completion("a.outcome = 'completed' AND a.result IS NULL", "t.last_sequence")}
          FROM attempts a LEFT JOIN tasks t ON t.number = a.number AND t.attempt = a.attempt {conditions} ORDER BY a.number, a.attempt
        """;

    /// <summary>The task of the current row of a query that begins with <see cref="TaskColumns.List"/>.</summary>
    internal WorkTask Read(IStoredRow row) => columns.Read(row);

    /// <summary>The current row of <see cref="Complete"/>.</summary>
    /// <exception cref="FormatException">Nothing tells what it says.</exception>
    internal StoredTask ReadComplete(PostgresRow row)
    {
        var task = columns.Read(row);
        var rest = row.From(TaskColumns.All.Length);
        var result = task.Status != TaskState.Completed ? null : rest.NullableJson(Told + 1) ?? ReadResult(rest, Told + 2);
        return new StoredTask(
            task, ReadSpec(rest) ?? throw new FormatException($"Task {task.Id} (number {task.Number}) has neither a payload nor an event of its creation."), result);
    }

    /// <summary>True when only its events tell what the task of the current row of <see cref="Complete"/> says.</summary>
    internal static bool LacksPayload(PostgresRow row) => row.IsNull(TaskColumns.All.Length);

    /// <summary>True when, if at all, only its events tell its result.</summary>
    internal static bool LacksResult(PostgresRow row) => row.IsNull(TaskColumns.All.Length + Told + 1);

    /// <summary>The spec of the current row of <see cref="Specs"/>, whose number is in front.</summary>
    internal static TaskSpec? ReadNumbered(PostgresRow row) => ReadSpec(row.From(1));

    /// <summary>The current row of <see cref="Attempts"/>.</summary>
    internal static EndedAttempt ReadAttempt(PostgresRow row) => AttemptRows.Read(row) is var attempt && attempt is { Outcome: AttemptOutcome.Completed, Result: null }
        ? attempt with { Result = ReadResult(row, AttemptRows.Count) }
        : attempt;

    internal static string Prefixed(string table, string columns) => string.Join(", ", columns.Split(", ").Select(column => $"{table}.{column}"));

    private static TaskSpec? ReadSpec(PostgresRow row)
    {
        if (!row.IsNull(0))
            return SpecColumns.Read(row.From(1), row, 1 + PayloadCount);
        return row.IsNull(Told) ? null : SpecColumns.Of((TaskCreated)TaskCreated.Is.Read(row.Utf8(Told)));
    }

    private static Events.JsonBytes? ReadResult(PostgresRow row, int column) =>
        row.IsNull(column) ? null : ((TaskCompleted)TaskCompleted.Is.Read(row.Utf8(column))).Result;

    // The completion that ends a task's history, which is all but always its last event.
    private static string Completion(string when, string last) => $"""
        CASE WHEN {when} THEN (
          WITH RECURSIVE history AS (
            SELECT e.previous, e.type, e.data FROM events e WHERE e.sequence = {last}
            UNION ALL SELECT e.previous, e.type, e.data FROM history h JOIN events e ON e.sequence = h.previous WHERE h.type <> 'task.completed')
          SELECT data FROM history WHERE type = 'task.completed' LIMIT 1) END
        """;
}

using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// What a task says, and its result. Both are written once: in the events of its creation and its completion. A row of their own
/// they get only where the event doesn't tell, e.g. after a patch or when the event is no longer kept. Used by one thread at a time, inside a transaction.
/// </summary>
internal sealed class SpecRows
{
    private readonly SqliteStatement created;
    private readonly SqliteStatement payload;
    private readonly SqliteStatement words;
    private readonly SqliteStatement history;
    private readonly SqliteStatement attemptResult;

    internal SpecRows(SqliteConnection connection)
    {
        created = connection.Prepare("SELECT data FROM events WHERE sequence = ? AND type = 'task.created'");
        payload = connection.Prepare($"SELECT {SpecColumns.Payload} FROM task_payloads WHERE number = ?");
        words = connection.Prepare($"SELECT {SpecColumns.Words} FROM tasks WHERE number = ?");
        history = connection.Prepare("SELECT previous, CASE WHEN type = 'task.completed' THEN data END FROM events WHERE sequence = ?");
        attemptResult = connection.Prepare("SELECT result FROM attempts WHERE number = ? AND attempt = ?");
    }

    /// <summary>Null when there is no such task.</summary>
    internal TaskSpec? Find(long number)
    {
        payload.Bind(1, number);
        if (payload.Step())
            return ReadPayload(number);
        payload.Reset();

        created.Bind(1, number);
        try
        {
            return created.Step() ? SpecColumns.Of((TaskCreated)TaskCreated.Is.Read(created.Utf8(0))) : null;
        }
        finally
        {
            created.Reset();
        }
    }

    /// <summary>The task with what it says and its result.</summary>
    /// <exception cref="FormatException">Nothing tells what it says.</exception>
    internal StoredTask Complete(WorkTask task) => new(
        task, Find(task.Number) ?? throw new FormatException($"Task {task.Id} (number {task.Number}) has neither a payload nor an event of its creation."),
        FindResult(task));

    /// <summary>The attempt with its result, if it completed with one.</summary>
    /// <param name="lastSequence">Of the task's last event.</param>
    internal EndedAttempt Complete(EndedAttempt attempt, long lastSequence) =>
        attempt is { Outcome: AttemptOutcome.Completed, Result: null } ? attempt with { Result = FindTold(lastSequence) } : attempt;

    private JsonBytes? FindResult(WorkTask task) =>
        task.Status == TaskState.Completed ? FindKept(task.Number, task.Attempt) ?? FindTold(task.LastSequence) : null;

    private JsonBytes? FindKept(long number, int attempt)
    {
        attemptResult.Bind(1, number);
        attemptResult.Bind(2, (long)attempt);
        var result = attemptResult.Step() ? attemptResult.NullableJson(0) : null;
        attemptResult.Reset();
        return result;
    }

    /// <summary>The result in the completion that ends the task's history, which is all but always its last event.</summary>
    internal JsonBytes? FindTold(long sequence)
    {
        while (sequence != 0)
        {
            history.Bind(1, sequence);
            try
            {
                if (!history.Step())
                    return null;
                if (!history.IsNull(1))
                    return ((TaskCompleted)TaskCompleted.Is.Read(history.Utf8(1))).Result;
                sequence = history.Int64(0);
            }
            finally
            {
                history.Reset();
            }
        }

        return null;
    }

    private TaskSpec ReadPayload(long number)
    {
        words.Bind(1, number);
        try
        {
            if (!words.Step())
                throw new FormatException($"Task {number} has a payload, but no row.");

            return SpecColumns.Read(payload, words, 0);
        }
        finally
        {
            words.Reset();
            payload.Reset();
        }
    }
}

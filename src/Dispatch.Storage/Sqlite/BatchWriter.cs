using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Sqlite;

/// <summary>Writes one batch in one transaction. Lives on the writer's thread; every statement is prepared once.</summary>
internal sealed class BatchWriter
{
    private readonly SqliteConnection connection;
    private readonly TaskColumns tasks = new();
    private readonly SpecRows specs;
    private readonly TaskPeople people;
    private readonly TaskStates states;
    private readonly RegistryWriter registry;
    private readonly CursorWriter cursors;
    private readonly LogWriter log;

    private readonly SqliteStatement begin;
    private readonly SqliteStatement commit;
    private readonly SqliteStatement rollback;
    private readonly SqliteStatement lastSequence;
    private readonly SqliteStatement insertPerson;
    private readonly SqliteStatement insertEvent;
    private readonly SqliteStatement insertTask;
    private readonly SqliteStatement updateTask;
    private readonly SqliteStatement updateWords;
    private readonly SqliteStatement writePayload;
    private readonly SqliteStatement insertLabel;
    private readonly SqliteStatement deleteLabel;
    private readonly SqliteStatement insertAttempt;
    private readonly SqliteStatement insertKey;
    private readonly SqliteStatement deleteKey;
    private readonly SqliteStatement requesterOf;
    private readonly SqliteStatement writeTotal;
    private readonly SqliteStatement writeProbe;
    private readonly SqliteStatement[] prune;

    // As they are in the table; null when they may not be, after a rollback.
    private long[]? writtenTotals;
    private long probes;

    internal BatchWriter(SqliteConnection connection, TimeProvider clock)
    {
        this.connection = connection;
        specs = new SpecRows(connection);
        insertPerson = connection.Prepare("INSERT OR IGNORE INTO task_people (person, block) VALUES (?, ?)");
        people = new TaskPeople(WritePerson);
        states = new TaskStates(connection);
        log = new LogWriter(connection, specs, clock);
        registry = new RegistryWriter(connection, log);
        cursors = new CursorWriter(connection);
        begin = connection.Prepare("BEGIN IMMEDIATE");
        commit = connection.Prepare("COMMIT");
        rollback = connection.Prepare("ROLLBACK");
        lastSequence = connection.Prepare("SELECT max(sequence) FROM events");
        insertEvent = connection.Prepare(Sql.Insert("events", EventRows.Columns));
        insertTask = connection.Prepare(Sql.Insert("tasks", TaskColumns.List));
        updateTask = connection.Prepare(
            $"UPDATE tasks SET {string.Join(", ", TaskColumns.OfState.Select(column => $"{TaskColumns.Name(column)} = ?{TaskColumns.At(column)}"))} WHERE number = ?{TaskColumns.At(TaskColumn.Number)}");
        updateWords = connection.Prepare("UPDATE tasks SET title = ?2, scope = ?3, submitter = ?4 WHERE number = ?1");
        writePayload = connection.Prepare(Sql.Replace("task_payloads", SpecColumns.Keys));
        insertLabel = connection.Prepare("INSERT OR IGNORE INTO task_labels (label, number) VALUES (?, ?)");
        deleteLabel = connection.Prepare("DELETE FROM task_labels WHERE label = ? AND number = ?");
        insertAttempt = connection.Prepare(Sql.Insert("attempts", AttemptRows.Columns));
        insertKey = connection.Prepare("INSERT INTO idempotency (caller, key, body_hash, number) VALUES (?, ?, ?, ?)");
        deleteKey = connection.Prepare("DELETE FROM idempotency WHERE caller = ? AND key = ? AND number = ?");
        requesterOf = connection.Prepare("SELECT requester FROM tasks WHERE number = ?");
        writeTotal = connection.Prepare("INSERT OR REPLACE INTO totals (status, count) VALUES (?, ?)");
        writeProbe = connection.Prepare("INSERT OR REPLACE INTO meta (key, value) VALUES ('last_probe', ?)");
        prune = [.. new[] { "task_payloads", "attempts", "tasks" }.Select(table => connection.Prepare($"DELETE FROM {table} WHERE number = ?"))];
    }

    /// <summary>All of the batch is durable on return, or nothing of it was written.</summary>
    internal void Write(Batch batch) => InTransaction(batch, static (writer, batch) => writer.WriteRows(batch));

    /// <summary>Commits something tiny.</summary>
    internal void Probe() => InTransaction(0, static (writer, _) =>
    {
        writer.writeProbe.Bind(1, (++writer.probes).ToString());
        writer.writeProbe.Execute();
    });

    /// <summary>All of it is durable on return, or nothing of it was written.</summary>
    internal void Write(CursorSave save, long now) => InTransaction((save, now), static (writer, input) => writer.cursors.Write(input.save, input.now));

    /// <summary>A piece of work on the log, durable on return.</summary>
    internal void Write(Action<LogWriter> piece) => InTransaction(piece, static (writer, piece) => piece(writer.log));

    private void InTransaction<T>(T input, Action<BatchWriter, T> work)
    {
        begin.Execute();
        try
        {
            work(this, input);
            commit.Execute();
        }
        catch
        {
            writtenTotals = null;
            people.Forget();
            states.Forget();
            log.Forget();
            registry.Forget();

            // After some failures SQLite has rolled back by itself.
            if (connection.IsInTransaction)
                rollback.Execute();
            throw;
        }
    }

    private void WriteRows(Batch batch)
    {
        CheckContinuesLog(batch);
        for (var i = 0; i < batch.Events.Count; i++)
        {
            EventRows.Bind(insertEvent, batch.Events[i], batch.Texts[i], batch.Texts.Hash(i));
            insertEvent.Execute();
        }

        log.Note(batch);
        foreach (var row in batch.Tasks)
            WriteTask(batch, row);
        states.Write();
        foreach (var attempt in batch.Attempts)
            WriteAttempt(batch, attempt);
        foreach (var key in batch.Keys)
            WriteKey(key);
        registry.Write(batch);
        foreach (var number in batch.PrunedTasks)
            Prune(number);
        WriteTotals(batch.Totals);
    }

    /// <summary>A gap or an overlap means that the sequencer's state is not the store's: nothing may be built on it.</summary>
    private void CheckContinuesLog(Batch batch)
    {
        lastSequence.Step();
        var expected = lastSequence.Int64(0) + 1;
        lastSequence.Reset();
        foreach (var happened in batch.Events)
        {
            if (happened.Sequence != expected++)
            {
                throw new StoreException(
                    StoreFault.Unavailable, $"The batch holds event {happened.Sequence} where {expected - 1} comes next in the log. Nothing was written; the state has to be loaded again.");
            }
        }
    }

    private void WriteTask(Batch batch, TaskRow row)
    {
        var task = row.Task;
        states.Note(task.Number, task.Status);
        if (row.Change == RowChange.Insert)
        {
            var spec = SpecOf(row);
            tasks.BindIdentity(insertTask, task);
            tasks.BindState(insertTask, task);
            insertTask.Bind(TaskColumns.At(TaskColumn.Title), spec.Title);
            insertTask.Bind(TaskColumns.At(TaskColumn.Scope), spec.Scope);
            insertTask.Bind(TaskColumns.At(TaskColumn.Submitter), spec.Submitter);
            insertTask.Execute();
            people.Note(task.Requester, task.Number);
            people.Note(task.Needs.Owner, task.Number);
            people.Note(task.Assignee, task.Number);
            if (!SpecColumns.IsToldBy(batch.EventAt(task.Number), spec))
                WritePayload(task.Number, spec);
            WriteLabels(task.Number, spec.Labels);
            return;
        }

        tasks.BindState(updateTask, task);
        updateTask.Execute();
        if (connection.Changes != 1)
            throw new StoreException(StoreFault.Unavailable, $"Task {task.Id} (number {task.Number}) has no row to change. Nothing was written; the state has to be loaded again.");
        people.Note(task.Assignee, task.Number);
        if (row.Change == RowChange.StateAndSpec)
            ReplaceSpec(task.Number, SpecOf(row));
    }

    private void ReplaceSpec(long number, TaskSpec spec)
    {
        var before = specs.Find(number)?.Labels;
        foreach (var label in TaskLabels.Of(before))
            DeleteLabel(label, number);
        updateWords.Bind(1, number);
        updateWords.Bind(2, spec.Title);
        updateWords.Bind(3, spec.Scope);
        updateWords.Bind(4, spec.Submitter);
        updateWords.Execute();
        WritePayload(number, spec);
        WriteLabels(number, spec.Labels);
    }

    private void WritePayload(long number, TaskSpec spec)
    {
        SpecColumns.BindPayload(writePayload, number, spec);
        writePayload.Execute();
    }

    private void WriteLabels(long number, JsonBytes? labels)
    {
        foreach (var label in TaskLabels.Of(labels))
        {
            insertLabel.Bind(1, label);
            insertLabel.Bind(2, number);
            insertLabel.Execute();
        }
    }

    private void DeleteLabel(string label, long number)
    {
        deleteLabel.Bind(1, label);
        deleteLabel.Bind(2, number);
        deleteLabel.Execute();
    }

    private void WritePerson(string person, long block)
    {
        insertPerson.Bind(1, person);
        insertPerson.Bind(2, block);
        insertPerson.Execute();
    }

    private void WriteAttempt(Batch batch, EndedAttempt attempt)
    {
        AttemptRows.Bind(insertAttempt, attempt, withResult: attempt.Result is not null && !batch.IsResultTold(attempt));
        insertAttempt.Execute();
    }

    private void WriteKey(IdempotencyRow key)
    {
        insertKey.Bind(1, key.Caller);
        insertKey.Bind(2, key.Key);
        insertKey.Bind(3, key.BodyHash);
        insertKey.Bind(4, key.TaskNumber);
        insertKey.Execute();
    }

    private void Prune(long number)
    {
        if (specs.Find(number) is { } spec)
        {
            foreach (var label in TaskLabels.Of(spec.Labels))
                DeleteLabel(label, number);
            if (spec.IdempotencyKey is { } key)
                DeleteKey(key, number);
        }

        foreach (var delete in prune)
        {
            delete.Bind(1, number);
            delete.Execute();
        }
    }

    private void DeleteKey(string key, long number)
    {
        requesterOf.Bind(1, number);
        var caller = requesterOf.Step() ? requesterOf.Text(0) : null;
        requesterOf.Reset();
        deleteKey.Bind(1, caller);
        deleteKey.Bind(2, key);
        deleteKey.Bind(3, number);
        deleteKey.Execute();
    }

    private void WriteTotals(IReadOnlyList<long> totals)
    {
        for (var state = 0; state < totals.Count; state++)
        {
            if (writtenTotals is not null && writtenTotals[state] == totals[state])
                continue;

            writeTotal.BindText(1, Words.State.Word(state));
            writeTotal.Bind(2, totals[state]);
            writeTotal.Execute();
        }

        writtenTotals ??= new long[totals.Count];
        for (var state = 0; state < totals.Count; state++)
            writtenTotals[state] = totals[state];
    }

    private static TaskSpec SpecOf(TaskRow row) =>
        row.Spec ?? throw new ArgumentException($"The row of task {row.Task.Id} is to be written with its spec, but has none.");
}

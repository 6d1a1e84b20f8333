using System.Globalization;
using Dispatch.Allowances;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Tasks;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// Turns a batch into statements that go to the server in one piece and are one transaction there: without BEGIN, all statements up to the end of what was sent
/// are. Only what the batch holds costs a statement. Used by one commit at a time.
/// </summary>
internal sealed class BatchCommands
{
    private readonly LiveBlocks live;
    private readonly TaskPeople people;
    private readonly TaskColumns tasks = new();
    private readonly JsonText json = new();

    private readonly TableWriter events;
    private readonly TableWriter newTasks;
    private readonly TableWriter taskStates;
    private readonly TableWriter taskWords;
    private readonly TableWriter payloads;
    private readonly TableWriter labels;
    private readonly TableWriter persons;
    private readonly TableWriter blocks;
    private readonly TableWriter ends;
    private readonly TableWriter attempts;
    private readonly TableWriter keys;
    private readonly TableWriter agents;
    private readonly TableWriter tokens;
    private readonly TableWriter sessions;
    private readonly TableWriter publishers;
    private readonly TableWriter published;
    private readonly TableWriter webhooks;
    private readonly TableWriter newQuestions;
    private readonly TableWriter questions;
    private readonly TableWriter responders;
    private readonly TableWriter limits;
    private readonly TableWriter balances;
    private readonly TableWriter usage;
    private readonly TableWriter totals;
    private readonly TableWriter[] all;

    // Rows that go from task_states, by state.
    private readonly List<long>[] emptied = [.. LiveBlocks.Kept.Select(_ => new List<long>())];
    private readonly List<long> relabelled = [];

    // As they are in the table; null when they may not be.
    private long[]? writtenTotals;

    // Whether meta has a mark of the balances; false: surely not.
    private bool isMarked = true;

    internal BatchCommands(ColumnTypes types, LiveBlocks live)
    {
        this.live = live;
        all =
        [
            events = TableWriter.Insert("events", EventRows.Columns, types),
            newTasks = TableWriter.Insert("tasks", TaskColumns.List, types),
            taskStates = TableWriter.Update("tasks", TaskColumns.List, TaskColumns.OfState.Select(TaskColumns.Name), types),
            taskWords = TableWriter.Update("tasks", "number, " + SpecColumns.Words, SpecColumns.Words.Split(", "), types),
            payloads = TableWriter.Replace("task_payloads", SpecColumns.Keys, "number", types),
            labels = TableWriter.Replace("task_labels", "label, number", "label, number", types),
            persons = TableWriter.Replace("task_people", "person, block", "person, block", types),
            blocks = TableWriter.Replace("task_states", "status, block", "status, block", types),
            ends = TableWriter.Replace("task_ends", "number, status", "number", types),
            attempts = TableWriter.Insert("attempts", AttemptRows.Columns, types),
            keys = TableWriter.Insert("idempotency", "caller, key, body_hash, number", types),
            agents = TableWriter.Replace("agents", AgentRows.Columns, "id", types),
            tokens = TableWriter.Replace("tokens", TokenRows.Columns, "id", types),
            sessions = TableWriter.Replace("sessions", SessionRows.Columns, "id", types),
            publishers = TableWriter.Replace("publishers", PublisherRows.Columns, "id", types),
            published = TableWriter.Claim("published", PublisherRows.PublishedColumns, "publisher, id", types),
            webhooks = TableWriter.Replace("webhooks", WebhookRows.Columns, "id", types),
            newQuestions = TableWriter.Insert("questions", QuestionRows.Full, types),
            questions = TableWriter.Update("questions", QuestionRows.Full, QuestionRows.Changing, types),
            responders = TableWriter.Replace("responders", QuestionRows.ResponderColumns, "id", types),
            limits = TableWriter.Replace("limits", AllowanceRows.LimitColumns, "id", types),
            balances = TableWriter.Replace("balances", AllowanceRows.BalanceColumns, "key", types),
            usage = TableWriter.Claim("usage_reports", AllowanceRows.UsageColumns, "reporter, id", types),
            totals = TableWriter.Replace("totals", "status, count", "status", types),
        ];
        people = new TaskPeople((person, block) =>
        {
            persons.Rows.Bind(1, person);
            persons.Rows.Bind(2, block);
            persons.Rows.Next();
        });
    }

    /// <summary>Adds all statements of the batch.</summary>
    /// <param name="horizon">Sequence of the oldest event that is kept.</param>
    internal void AddTo(NpgsqlBatch commands, Batch batch, long horizon)
    {
        foreach (var table in all)
            table.Rows.Clear();
        Fill(batch);
        Delete(commands, "DELETE FROM task_ends WHERE number = ANY($1)", live.Revived);
        live.Tell(ChangeBlock);
        Delete(commands, "DELETE FROM task_labels WHERE number = ANY($1)", relabelled);
        for (var n = 0; n < emptied.Length; n++)
        {
            if (emptied[n].Count > 0)
                Delete(commands, "DELETE FROM task_states WHERE block = ANY($1) AND status = $2", emptied[n], Words.State.Name((int)LiveBlocks.Kept[n]));
            emptied[n].Clear();
        }

        relabelled.Clear();
        foreach (var table in all)
            table.AddTo(commands, horizon);
        Remove(commands, "agents", batch.RemovedAgents);
        Remove(commands, "sessions", batch.ClosedSessions);
        Remove(commands, "publishers", batch.RemovedPublishers);
        Remove(commands, "webhooks", batch.RemovedWebhooks);
        Remove(commands, "webhook_deliveries", batch.RemovedWebhooks, "webhook");
        Remove(commands, "cursors", [.. batch.RemovedWebhooks.Select(id => "webhook/" + id)], "name");
        Remove(commands, "responders", batch.RemovedResponders);
        Remove(commands, "limits", batch.RemovedLimits);
        Remove(commands, "balances", batch.RemovedBalances, "key");
        MarkBalances(commands, batch.BalancesWritten);
        foreach (var table in batch.PrunedTasks.Count == 0 ? [] : new[] { "task_labels", "idempotency", "task_payloads", "attempts", "task_ends", "tasks" })
            Delete(commands, $"DELETE FROM {table} WHERE number = ANY($1)", batch.PrunedTasks);
    }

    /// <summary>To be called after a batch was not committed. The live blocks have to be loaded again, too.</summary>
    internal void Forget()
    {
        writtenTotals = null;
        isMarked = true;
        people.Forget();
    }

    private void Fill(Batch batch)
    {
        for (var i = 0; i < batch.Events.Count; i++)
        {
            EventRows.Bind(events.Rows, batch.Events[i], batch.Texts[i], batch.Texts.Hash(i));
            events.Rows.Next();
        }

        foreach (var row in batch.Tasks)
            FillTask(batch, row);
        Fill(attempts, batch.Attempts, (row, attempt) => AttemptRows.Bind(row, attempt, withResult: attempt.Result is not null && !batch.IsResultTold(attempt)));
        Fill(keys, batch.Keys, static (row, key) =>
        {
            row.Bind(1, key.Caller);
            row.Bind(2, key.Key);
            row.Bind(3, key.BodyHash);
            row.Bind(4, key.TaskNumber);
        });
        Fill(agents, batch.Agents, (row, agent) => AgentRows.Bind(row, agent, json));
        Fill(tokens, batch.Tokens, TokenRows.Bind);
        Fill(sessions, batch.Sessions, SessionRows.Bind);
        Fill(publishers, batch.Publishers, (row, publisher) => PublisherRows.Bind(row, publisher, json));
        Fill(published, batch.Published, PublisherRows.Bind);
        Fill(webhooks, batch.Webhooks, (row, webhook) => WebhookRows.Bind(row, webhook, json));
        foreach (var row in batch.Questions)
            FillQuestion(row);
        Fill(responders, batch.Responders, (row, responder) => QuestionRows.Bind(row, responder, json));
        Fill(limits, batch.Limits, (row, limit) => AllowanceRows.Bind(row, limit, json));
        Fill(balances, batch.Balances, (row, balance) => AllowanceRows.Bind(row, new WrittenBalance(balance, batch.LastSequence), json));
        Fill(usage, batch.Usage, AllowanceRows.Bind);
        FillTotals(batch.Totals);
    }

    private void FillTask(Batch batch, TaskRow row)
    {
        var task = row.Task;
        live.Note(task.Number, task.Status, isNew: row.Change == RowChange.Insert);
        if (task.Status is TaskState.Failed or TaskState.Timeout or TaskState.Cancelled)
        {
            ends.Rows.Bind(1, task.Number);
            ends.Rows.BindText(2, Words.State.Word((int)task.Status));
            ends.Rows.Next();
        }

        people.Note(task.Assignee, task.Number);
        var rows = row.Change == RowChange.Insert ? newTasks.Rows : taskStates.Rows;
        tasks.BindState(rows, task);
        if (row.Change == RowChange.Insert)
        {
            people.Note(task.Requester, task.Number);
            people.Note(task.Needs.Owner, task.Number);
            var spec = SpecOf(row);
            tasks.BindIdentity(rows, task);
            rows.Bind(TaskColumns.At(TaskColumn.Title), spec.Title);
            rows.Bind(TaskColumns.At(TaskColumn.Scope), spec.Scope);
            rows.Bind(TaskColumns.At(TaskColumn.Submitter), spec.Submitter);
            if (!SpecColumns.IsToldBy(batch.EventAt(task.Number), spec))
                FillPayload(task.Number, spec);
            FillLabels(task.Number, spec);
        }
        else if (row.Change == RowChange.StateAndSpec)
        {
            var spec = SpecOf(row);
            relabelled.Add(task.Number);
            taskWords.Rows.Bind(1, task.Number);
            taskWords.Rows.Bind(2, spec.Title);
            taskWords.Rows.Bind(3, spec.Scope);
            taskWords.Rows.Bind(4, spec.Submitter);
            taskWords.Rows.Next();
            FillPayload(task.Number, spec);
            FillLabels(task.Number, spec);
        }

        rows.Next();
    }

    private void FillPayload(long number, TaskSpec spec)
    {
        SpecColumns.BindPayload(payloads.Rows, number, spec);
        payloads.Rows.Next();
    }

    private void FillLabels(long number, TaskSpec spec)
    {
        foreach (var label in TaskLabels.Of(spec.Labels))
        {
            labels.Rows.Bind(1, label);
            labels.Rows.Bind(2, number);
            labels.Rows.Next();
        }
    }

    private void FillQuestion(QuestionRow row)
    {
        var rows = row.Proposal is null ? questions.Rows : newQuestions.Rows;
        if (row.Proposal is null)
            QuestionRows.BindChange(rows, row, json);
        else
            QuestionRows.BindNew(rows, row, json);
        rows.Next();
    }

    private void FillTotals(IReadOnlyList<long> counts)
    {
        for (var state = 0; state < counts.Count; state++)
        {
            if (writtenTotals is not null && writtenTotals[state] == counts[state])
                continue;

            totals.Rows.BindText(1, Words.State.Word(state));
            totals.Rows.Bind(2, counts[state]);
            totals.Rows.Next();
        }

        writtenTotals ??= new long[counts.Count];
        for (var state = 0; state < counts.Count; state++)
            writtenTotals[state] = counts[state];
    }

    private void MarkBalances(NpgsqlBatch commands, long? writtenUpTo)
    {
        if (writtenUpTo is { } sequence)
            LogRows.AddMeta(commands, AllowanceRows.Mark, sequence.ToString(CultureInfo.InvariantCulture));
        else if (isMarked)
            commands.BatchCommands.Add(new NpgsqlBatchCommand($"DELETE FROM meta WHERE key = '{AllowanceRows.Mark}'"));
        isMarked = writtenUpTo is not null;
    }

    private void ChangeBlock(TaskState state, long block, bool comes)
    {
        if (comes)
        {
            blocks.Rows.BindText(1, Words.State.Word((int)state));
            blocks.Rows.Bind(2, block);
            blocks.Rows.Next();
        }
        else
        {
            emptied[Array.IndexOf(LiveBlocks.Kept, state)].Add(block);
        }
    }

    private static void Fill<T>(TableWriter to, IReadOnlyList<T> rows, Action<IRowParameters, T> bind)
    {
        for (var i = 0; i < rows.Count; i++)
        {
            bind(to.Rows, rows[i]);
            to.Rows.Next();
        }
    }

    private static void Delete(NpgsqlBatch commands, string sql, IReadOnlyList<long> numbers, string? and = null)
    {
        if (numbers.Count == 0)
            return;
        var command = new NpgsqlBatchCommand(sql);
        var row = new PostgresParameters(command.Parameters);
        row.Bind(1, numbers.ToArray());
        if (and is not null)
            row.Bind(2, and);
        commands.BatchCommands.Add(command);
    }

    private static void Remove(NpgsqlBatch commands, string table, IReadOnlyList<string> ids, string key = "id")
    {
        if (ids.Count == 0)
            return;
        var command = new NpgsqlBatchCommand($"DELETE FROM {table} WHERE {key} = ANY($1)");
        new PostgresParameters(command.Parameters).Bind(1, ids);
        commands.BatchCommands.Add(command);
    }

    private static TaskSpec SpecOf(TaskRow row) =>
        row.Spec ?? throw new ArgumentException($"The row of task {row.Task.Id} is to be written with its spec, but has none.");
}

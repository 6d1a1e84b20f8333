using System.Globalization;
using Dispatch.Allowances;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>Writes what of a batch is about who is registered: agents, tokens, sessions, publishers, webhooks, questions, responders, limits and balances. Inside the writer's transaction.</summary>
internal sealed class RegistryWriter(SqliteConnection connection, LogWriter log)
{
    private readonly JsonText json = new();
    private readonly SqliteStatement writeAgent = connection.Prepare(Sql.Replace("agents", AgentRows.Columns));
    private readonly SqliteStatement deleteAgent = connection.Prepare("DELETE FROM agents WHERE id = ?");
    private readonly SqliteStatement writeToken = connection.Prepare(Sql.Replace("tokens", TokenRows.Columns));
    private readonly SqliteStatement writeSession = connection.Prepare(Sql.Replace("sessions", SessionRows.Columns));
    private readonly SqliteStatement deleteSession = connection.Prepare("DELETE FROM sessions WHERE id = ?");
    private readonly SqliteStatement writePublisher = connection.Prepare(Sql.Replace("publishers", PublisherRows.Columns));
    private readonly SqliteStatement deletePublisher = connection.Prepare("DELETE FROM publishers WHERE id = ?");
    // An id whose event is no longer kept may be used again, also before its row is deleted.
    private readonly SqliteStatement insertPublished = connection.Prepare(
        $"INSERT INTO published ({PublisherRows.PublishedColumns}) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (publisher, id) DO UPDATE SET hash = ?3, sequence = ?4 WHERE sequence < ?5");
    private readonly SqliteStatement writeWebhook = connection.Prepare(Sql.Replace("webhooks", WebhookRows.Columns));
    private readonly SqliteStatement deleteWebhook = connection.Prepare("DELETE FROM webhooks WHERE id = ?");
    private readonly SqliteStatement deleteDeliveries = connection.Prepare("DELETE FROM webhook_deliveries WHERE webhook = ?");
    private readonly SqliteStatement deleteCursor = connection.Prepare("DELETE FROM cursors WHERE name = 'webhook/' || ?");

    private readonly SqliteStatement insertQuestion = connection.Prepare(Sql.Insert("questions", QuestionRows.Full));
    private readonly SqliteStatement updateQuestion = connection.Prepare(
        "UPDATE questions SET status = ?3, answers = ?10, outcome = ?13, reason = ?14, replacement = ?15, closed_at = ?16, last_sequence = ?17 WHERE number = ?1");
    private readonly SqliteStatement writeResponder = connection.Prepare(Sql.Replace("responders", QuestionRows.ResponderColumns));
    private readonly SqliteStatement deleteResponder = connection.Prepare("DELETE FROM responders WHERE id = ?");
    private readonly SqliteStatement writeLimit = connection.Prepare(Sql.Replace("limits", AllowanceRows.LimitColumns));
    private readonly SqliteStatement deleteLimit = connection.Prepare("DELETE FROM limits WHERE id = ?");
    private readonly SqliteStatement writeBalance = connection.Prepare(Sql.Replace("balances", AllowanceRows.BalanceColumns));
    private readonly SqliteStatement deleteBalance = connection.Prepare("DELETE FROM balances WHERE key = ?");
    private readonly SqliteStatement markBalances = connection.Prepare($"INSERT OR REPLACE INTO meta (key, value) VALUES ('{AllowanceRows.Mark}', ?)");
    private readonly SqliteStatement unmarkBalances = connection.Prepare($"DELETE FROM meta WHERE key = '{AllowanceRows.Mark}'");
    private readonly SqliteStatement insertUsage = connection.Prepare(
        $"INSERT INTO usage_reports ({AllowanceRows.UsageColumns}) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (reporter, id) DO UPDATE SET hash = ?3, sequence = ?4 WHERE sequence < ?5");

    // False: it is sure that there is none.
    private bool marked = true;

    /// <summary>What was written last may not have been.</summary>
    internal void Forget() => marked = true;

    internal void Write(Batch batch)
    {
        Write(batch.Agents, writeAgent, AgentRows.Bind);
        Delete(batch.RemovedAgents, deleteAgent);
        Write(batch.Tokens, writeToken, static (row, token, _) => TokenRows.Bind(row, token));
        Write(batch.Sessions, writeSession, static (row, session, _) => SessionRows.Bind(row, session));
        Delete(batch.ClosedSessions, deleteSession);
        Write(batch.Publishers, writePublisher, PublisherRows.Bind);
        Delete(batch.RemovedPublishers, deletePublisher);
        WritePublished(batch.Published);
        Write(batch.Webhooks, writeWebhook, WebhookRows.Bind);
        Delete(batch.RemovedWebhooks, deleteWebhook);
        Delete(batch.RemovedWebhooks, deleteDeliveries);
        Delete(batch.RemovedWebhooks, deleteCursor);
        foreach (var row in batch.Questions)
            WriteQuestion(row);
        Write(batch.Responders, writeResponder, QuestionRows.Bind);
        Delete(batch.RemovedResponders, deleteResponder);
        Write(batch.Limits, writeLimit, AllowanceRows.Bind);
        Delete(batch.RemovedLimits, deleteLimit);
        WriteBalances(batch);
        foreach (var usage in batch.Usage)
            WriteUsage(usage);
    }

    private void WriteBalances(Batch batch)
    {
        foreach (var balance in batch.Balances)
        {
            AllowanceRows.Bind(writeBalance, new WrittenBalance(balance, batch.LastSequence), json);
            writeBalance.Execute();
        }

        Delete(batch.RemovedBalances, deleteBalance);
        if (batch.BalancesWritten is { } writtenUpTo)
        {
            markBalances.Bind(1, writtenUpTo.ToString(CultureInfo.InvariantCulture));
            markBalances.Execute();
            marked = true;
        }
        else if (marked)
        {
            unmarkBalances.Execute();
            marked = false;
        }
    }

    private void WriteUsage(UsageRow usage)
    {
        AllowanceRows.Bind(insertUsage, usage);
        insertUsage.Bind(5, log.Horizon);
        insertUsage.Execute();
        if (connection.Changes != 1)
            throw new StoreException(StoreFault.Unavailable, $"{usage.Reporter} has reported usage {usage.Id} before. Nothing was written; the state has to be loaded again.");
    }

    private void WriteQuestion(QuestionRow row)
    {
        var write = row.Proposal is null ? updateQuestion : insertQuestion;
        if (row.Proposal is null)
            QuestionRows.BindChange(write, row, json);
        else
            QuestionRows.BindNew(write, row, json);
        write.Execute();
    }

    private void WritePublished(IReadOnlyList<PublishedRow> rows)
    {
        foreach (var published in rows)
        {
            PublisherRows.Bind(insertPublished, published);
            insertPublished.Bind(5, log.Horizon);
            insertPublished.Execute();
            if (connection.Changes != 1)
                throw new StoreException(StoreFault.Unavailable, $"{published.Publisher} has published {published.Id} before. Nothing was written; the state has to be loaded again.");
        }
    }

    private void Write<T>(IReadOnlyList<T> rows, SqliteStatement write, Action<SqliteStatement, T, JsonText> bind)
    {
        for (var i = 0; i < rows.Count; i++)
        {
            bind(write, rows[i], json);
            write.Execute();
        }
    }

    private static void Delete(IReadOnlyList<string> ids, SqliteStatement delete)
    {
        for (var i = 0; i < ids.Count; i++)
        {
            delete.Bind(1, ids[i]);
            delete.Execute();
        }
    }
}

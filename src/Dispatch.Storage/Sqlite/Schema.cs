using Dispatch.Events;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>One step from an older layout of the file to the next. Once released, its text never changes.</summary>
/// <param name="Fill">What SQL alone can't do, after it.</param>
internal sealed record Migration(int Version, string Name, string Sql, Action<SqliteConnection>? Fill = null);

/// <summary>
/// The tables. They are made to be read with <c>sqlite3</c>: ids and states as text, real columns for what is filtered on, JSON for
/// the rest, times in Unix milliseconds. The long texts are written once, in the log: a task's description, labels, context and
/// estimate are in its task.created event (whose sequence is the task's number), its result in its task.completed event. Views
/// put both together. Before an event is deleted by retention, what only it tells is copied to task_payloads and attempts.
/// </summary>
internal static class Schema
{
    /// <summary>"Dspt": marks the file as ours in its header, so that another program's database is never touched.</summary>
    internal const int ApplicationId = 0x44737074;

    internal static readonly IReadOnlyList<Migration> Migrations =
    [
        new(1, "first release", FirstRelease), new(2, "following the log", FollowingTheLog, FillChain), new(3, "allowances", Allowances),
        new(4, "balances written behind", BalancesWrittenBehind),
    ];

    private const string FirstRelease = """
        CREATE TABLE events (
          sequence   INTEGER PRIMARY KEY,      -- 1..N without gaps
          timestamp  INTEGER NOT NULL,         -- Unix milliseconds
          type       TEXT NOT NULL,            -- task.created ...
          source     TEXT NOT NULL,
          subject    TEXT NOT NULL,            -- id of the task, agent or token
          session    TEXT,
          actor      TEXT NOT NULL,
          caused_by  INTEGER,                  -- sequence of the event that led to it
          previous   INTEGER,                  -- sequence of the event before it about the same subject: a history is this chain
          data       TEXT NOT NULL             -- JSON object
        );

        CREATE TABLE tasks (
          number          INTEGER PRIMARY KEY, -- sequence of its task.created event
          id              TEXT NOT NULL UNIQUE,
          status          TEXT NOT NULL,
          title           TEXT NOT NULL,
          requester       TEXT NOT NULL,
          scope           TEXT,
          owner           TEXT,
          submitter       TEXT,
          session         TEXT,
          required        TEXT,                -- JSON array of capabilities; NULL for none
          preferred       TEXT,
          depends_on      TEXT,                -- JSON array of task ids; NULL for none
          parent_id       TEXT,
          created_at      INTEGER NOT NULL,
          priority        INTEGER NOT NULL,
          max_retries     INTEGER NOT NULL,
          timeout_ms      INTEGER NOT NULL,
          run_at          INTEGER,
          deadline        INTEGER,
          queued_at       INTEGER,
          next_attempt_at INTEGER,
          assignee        TEXT,
          attempt         INTEGER NOT NULL,
          retry_count     INTEGER NOT NULL,
          assigned_at     INTEGER,
          started_at      INTEGER,
          completed_at    INTEGER,
          last_agent      TEXT,                -- who held the last attempt that ended
          last_outcome    TEXT,                -- and how it ended
          dead_lettered   INTEGER NOT NULL,
          error           TEXT,
          progress        TEXT,                -- JSON object
          usage           TEXT,                -- JSON object: what all attempts used
          why             TEXT,                -- JSON object: the score of the chosen agent
          last_sequence   INTEGER NOT NULL     -- its last event
        );
        CREATE INDEX tasks_by_status ON tasks (status, number) WHERE status <> 'completed';
        CREATE INDEX tasks_by_parent ON tasks (parent_id, number) WHERE parent_id IS NOT NULL;

        -- Where somebody's tasks are: the blocks of 1,024 numbers in which there is one that this person or agent submitted, owns or was
        -- given. Indexes on those columns would cost a sixth of the speed of submitting; this one is a row in hundreds of tasks.
        CREATE TABLE task_people (
          person TEXT NOT NULL,
          block  INTEGER NOT NULL,             -- number / 1024
          PRIMARY KEY (person, block)
        ) WITHOUT ROWID;

        -- Only for a task whose words are no longer those of its task.created event.
        CREATE TABLE task_payloads (
          number          INTEGER PRIMARY KEY,
          description     TEXT,
          labels          TEXT,                -- JSON object of strings
          context         TEXT,                -- JSON object
          estimate        TEXT,                -- JSON object
          idempotency_key TEXT,
          request_hash    TEXT                 -- of a request that can be repeated, by key or by id
        );

        CREATE TABLE task_labels (
          label  TEXT NOT NULL,                -- key=value
          number INTEGER NOT NULL,
          PRIMARY KEY (label, number)
        ) WITHOUT ROWID;

        -- Attempts that have ended.
        CREATE TABLE attempts (
          number      INTEGER NOT NULL,
          attempt     INTEGER NOT NULL,
          agent       TEXT NOT NULL,
          outcome     TEXT NOT NULL,           -- completed, failed, timeout, released, lost, cancelled
          assigned_at INTEGER NOT NULL,
          started_at  INTEGER,
          ended_at    INTEGER NOT NULL,
          error       TEXT,
          result      TEXT,                    -- only when the task.completed event does not have it
          usage       TEXT,
          PRIMARY KEY (number, attempt)
        ) WITHOUT ROWID;

        CREATE TABLE idempotency (
          caller    TEXT NOT NULL,
          key       TEXT NOT NULL,
          body_hash TEXT NOT NULL,
          number    INTEGER NOT NULL,
          PRIMARY KEY (caller, key)
        ) WITHOUT ROWID;

        CREATE TABLE agents (
          id             TEXT PRIMARY KEY,
          capabilities   TEXT NOT NULL,        -- JSON array
          owner          TEXT,
          labels         TEXT,                 -- JSON object of strings
          max_concurrent INTEGER NOT NULL,
          status         TEXT NOT NULL,
          drained        INTEGER NOT NULL,
          wake_url       TEXT,
          registered_at  INTEGER NOT NULL,
          status_at      INTEGER NOT NULL,
          last_sequence  INTEGER NOT NULL
        ) WITHOUT ROWID;

        CREATE TABLE tokens (
          id            TEXT PRIMARY KEY,
          hash          TEXT NOT NULL UNIQUE,  -- SHA-256 of the secret, hexadecimal
          agent_id      TEXT NOT NULL,
          name          TEXT,
          created_at    INTEGER NOT NULL,
          expires_at    INTEGER,
          revoked_at    INTEGER,
          last_sequence INTEGER NOT NULL
        ) WITHOUT ROWID;

        CREATE TABLE totals (
          status TEXT PRIMARY KEY,
          count  INTEGER NOT NULL
        ) WITHOUT ROWID;

        CREATE TABLE meta (
          key   TEXT PRIMARY KEY,
          value TEXT NOT NULL
        ) WITHOUT ROWID;

        CREATE VIEW tasks_full AS
        SELECT t.*,
               datetime(t.created_at / 1000, 'unixepoch') AS created,
               datetime(t.completed_at / 1000, 'unixepoch') AS completed,
               CASE WHEN p.number IS NULL THEN json_extract(c.data, '$.description') ELSE p.description END AS description,
               CASE WHEN p.number IS NULL THEN json_extract(c.data, '$.labels') ELSE p.labels END AS labels,
               CASE WHEN p.number IS NULL THEN json_extract(c.data, '$.context') ELSE p.context END AS context,
               CASE WHEN p.number IS NULL THEN json_extract(c.data, '$.estimate') ELSE p.estimate END AS estimate,
               CASE WHEN p.number IS NULL THEN json_extract(c.data, '$.idempotency_key') ELSE p.idempotency_key END AS idempotency_key,
               coalesce(a.result, json_extract(r.data, '$.result')) AS result
          FROM tasks t
          LEFT JOIN events c ON c.sequence = t.number AND c.type = 'task.created'
          LEFT JOIN task_payloads p ON p.number = t.number
          LEFT JOIN attempts a ON a.number = t.number AND a.attempt = t.attempt AND t.status = 'completed'
          LEFT JOIN events r ON r.sequence = t.last_sequence AND r.type = 'task.completed';
        """;

    private const string FollowingTheLog = """
        -- SHA-256 over the hash before it and all of the row: see docs/following-events.md.
        ALTER TABLE events ADD COLUMN hash BLOB NOT NULL DEFAULT x'';

        -- A list in IN (...) would be built anew for each row that is written.
        DROP INDEX tasks_by_status;
        CREATE INDEX tasks_by_status ON tasks (status, number)
          WHERE status <> 'pending' AND status <> 'assigned' AND status <> 'running' AND status <> 'completed';

        -- Where the tasks are that wait, are assigned or run: the blocks of 1,024 numbers in which there is one. In an index each task
        -- would be moved three times in its life.
        CREATE TABLE task_states (
          status TEXT NOT NULL,
          block  INTEGER NOT NULL,             -- number / 1024
          PRIMARY KEY (status, block)
        ) WITHOUT ROWID;
        INSERT INTO task_states SELECT DISTINCT status, number / 1024 FROM tasks WHERE status IN ('pending', 'assigned', 'running');

        -- Sessions that are open.
        CREATE TABLE sessions (
          id            TEXT PRIMARY KEY,
          hash          TEXT NOT NULL UNIQUE,  -- SHA-256 of its guests' token, hexadecimal
          name          TEXT,
          created_at    INTEGER NOT NULL,
          expires_at    INTEGER NOT NULL,
          last_sequence INTEGER NOT NULL
        ) WITHOUT ROWID;

        CREATE TABLE publishers (
          id            TEXT PRIMARY KEY,
          types         TEXT NOT NULL,         -- JSON array
          session       TEXT,                  -- the only one it may publish in
          registered_at INTEGER NOT NULL,
          last_sequence INTEGER NOT NULL
        ) WITHOUT ROWID;

        -- Which event came of a publisher's own id.
        CREATE TABLE published (
          publisher TEXT NOT NULL,
          id        TEXT NOT NULL,
          hash      TEXT NOT NULL,
          sequence  INTEGER NOT NULL,
          PRIMARY KEY (publisher, id)
        ) WITHOUT ROWID;

        CREATE TABLE webhooks (
          id              TEXT PRIMARY KEY,
          url             TEXT NOT NULL,
          description     TEXT,
          types           TEXT NOT NULL,       -- JSON arrays: what it wants to be told of
          sources         TEXT NOT NULL,
          subjects        TEXT NOT NULL,
          sessions        TEXT NOT NULL,
          secret          TEXT NOT NULL,       -- signs deliveries: as it is, for it has to be used
          previous_secret TEXT,                -- signs too until previous_until
          previous_until  INTEGER,
          status          TEXT NOT NULL,       -- enabled, disabled
          status_at       INTEGER NOT NULL,
          disabled_reason TEXT,
          created_at      INTEGER NOT NULL,
          starts_after    INTEGER NOT NULL,    -- where it begins while it has no cursor
          last_sequence   INTEGER NOT NULL
        ) WITHOUT ROWID;

        -- How far followers of the log have come. Not part of the state: one that is too old repeats deliveries.
        CREATE TABLE cursors (
          name       TEXT PRIMARY KEY,         -- webhook/whk_... and others
          sequence   INTEGER NOT NULL,         -- the last event it is done with
          updated_at INTEGER NOT NULL
        ) WITHOUT ROWID;

        -- Attempts to deliver, the newest 1,000 of each webhook.
        CREATE TABLE webhook_deliveries (
          id               INTEGER PRIMARY KEY,
          webhook          TEXT NOT NULL,
          sequence         INTEGER NOT NULL,
          attempt          INTEGER NOT NULL,
          at               INTEGER NOT NULL,
          duration_ms      INTEGER NOT NULL,
          status           INTEGER,            -- HTTP; NULL when there was no answer
          error            TEXT,               -- NULL when it was delivered
          response_excerpt TEXT
        );
        CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook, id);

        -- Asked before a step is taken, settled or not.
        CREATE TABLE questions (
          number         INTEGER PRIMARY KEY,  -- sequence of its question.asked event
          id             TEXT NOT NULL UNIQUE,
          status         TEXT NOT NULL,        -- open, answered, expired, withdrawn
          type           TEXT NOT NULL,
          about          TEXT NOT NULL,        -- id of the task or whatever it is about
          session        TEXT,
          asker          TEXT NOT NULL,
          proposal       TEXT NOT NULL,        -- JSON object: what is to be done
          missing        TEXT NOT NULL,        -- what stands for answers that are missing at the deadline: deny, allow
          awaited        TEXT,                 -- JSON array of responders that are waited for; NULL for none
          answers        TEXT,                 -- JSON array of objects; NULL for none
          asked_at       INTEGER NOT NULL,
          expires_at     INTEGER NOT NULL,
          outcome        TEXT,                 -- allow, deny, modify
          reason         TEXT,
          replacement    TEXT,                 -- JSON object: what is to be done instead
          closed_at      INTEGER,
          last_sequence  INTEGER NOT NULL
        );
        CREATE INDEX questions_open ON questions (number) WHERE status = 'open';

        CREATE TABLE responders (
          id            TEXT PRIMARY KEY,
          types         TEXT NOT NULL,         -- JSON array: exact, or tool.*
          registered_at INTEGER NOT NULL,
          last_sequence INTEGER NOT NULL
        ) WITHOUT ROWID;

        ALTER TABLE task_payloads ADD COLUMN confirm INTEGER; -- 1 when it was to be confirmed

        -- What the events up to one were folded to, kept in their stead once they are gone. A row here is one that is complete.
        -- In meta: log_horizon, the oldest event that is kept; log_prepared, up to which no kept task needs its events;
        -- log_mark, what the log takes in bytes up to an event.
        CREATE TABLE log_bases (
          sequence  INTEGER PRIMARY KEY,       -- the last event that is in it
          timestamp INTEGER NOT NULL,          -- of that event
          bytes     INTEGER NOT NULL,          -- what the log takes up to there, kept or not
          parts     INTEGER NOT NULL,
          digest    TEXT NOT NULL              -- SHA-256 over the parts, hexadecimal; the log.trimmed event has it too
        );
        CREATE TABLE log_base_parts (
          sequence INTEGER NOT NULL,
          part     INTEGER NOT NULL,           -- 1, 2, 3 ...
          data     BLOB NOT NULL,              -- JSON rows, compressed (gzip)
          PRIMARY KEY (sequence, part)
        );
        """;

    private const string Allowances = """
        -- What may be spent, by whom. Budgets of tasks are limits of level task.
        CREATE TABLE limits (
          id            TEXT PRIMARY KEY,
          level         TEXT NOT NULL,         -- agent, owner, team, swarm, task
          target        TEXT NOT NULL,         -- whose; * for each that has none of its own; empty for the swarm
          unit          TEXT NOT NULL,         -- tokens, money (micro-units), jobs ...
          amount        INTEGER NOT NULL,
          time_window   TEXT NOT NULL,         -- JSON object
          model         TEXT,                  -- only for this model
          repo          TEXT,                  -- only for this repository
          soft_percent  INTEGER NOT NULL,
          on_exceed     TEXT NOT NULL,         -- finish, pause
          allow         TEXT,                  -- JSON arrays of models
          deny          TEXT,
          version       INTEGER NOT NULL,
          created_at    INTEGER NOT NULL,
          updated_at    INTEGER NOT NULL,
          last_sequence INTEGER NOT NULL
        ) WITHOUT ROWID;

        -- What is used and reserved. It follows from the log: dispatch doctor adds it up again.
        CREATE TABLE balances (
          key            TEXT PRIMARY KEY,     -- the limit's id, and behind a slash the target when the limit is for each
          limit_id       TEXT NOT NULL,
          target         TEXT NOT NULL,
          used           INTEGER NOT NULL,
          reserved       INTEGER NOT NULL,
          window_start   INTEGER NOT NULL,
          window_end     INTEGER NOT NULL,
          steps          TEXT,                 -- JSON array: of a rolling window, what was used in which step
          cooldown_until INTEGER NOT NULL,
          warned         INTEGER NOT NULL,
          exceeded       INTEGER NOT NULL
        ) WITHOUT ROWID;

        -- Which event came of a reporter's own id.
        CREATE TABLE usage_reports (
          reporter TEXT NOT NULL,
          id       TEXT NOT NULL,
          hash     TEXT NOT NULL,
          sequence INTEGER NOT NULL,
          PRIMARY KEY (reporter, id)
        ) WITHOUT ROWID;
        CREATE INDEX usage_reports_by_sequence ON usage_reports (sequence);

        ALTER TABLE tasks ADD COLUMN cost TEXT;               -- JSON: model, repo, budget and estimate, when it says something of them
        ALTER TABLE tasks ADD COLUMN max_run_ms INTEGER;      -- longest run that a limit allows the attempt in hand
        ALTER TABLE tasks ADD COLUMN charge TEXT;             -- JSON: what the attempt in hand reserved, by balance
        ALTER TABLE task_payloads ADD COLUMN budget TEXT;     -- JSON object: what it and the tasks below it may use
        ALTER TABLE attempts ADD COLUMN model TEXT;
        ALTER TABLE attempts ADD COLUMN reserved TEXT;        -- JSON objects of balance to amount
        ALTER TABLE attempts ADD COLUMN spent TEXT;

        -- For a person: what was reserved and spent, by balance. What is spent is in it once, also when it was reported on the way.
        CREATE VIEW ledger AS
        SELECT t.id AS task_id, a.attempt, a.agent, a.outcome, datetime(a.ended_at / 1000, 'unixepoch') AS at, k.key AS balance,
               coalesce((SELECT value FROM json_each(a.reserved) r WHERE r.key = k.key), 0) AS reserved,
               coalesce((SELECT value FROM json_each(a.spent) s WHERE s.key = k.key), 0) AS spent
          FROM attempts a
          JOIN tasks t ON t.number = a.number
          JOIN json_each(json_patch(coalesce(a.reserved, '{}'), coalesce(a.spent, '{}'))) k
        UNION ALL
        SELECT t.id, t.attempt, t.assignee, NULL, datetime(t.assigned_at / 1000, 'unixepoch'), k.key,
               coalesce((SELECT value FROM json_each(t.charge, '$.reserved') r WHERE r.key = k.key), 0),
               coalesce((SELECT value FROM json_each(t.charge, '$.reported') s WHERE s.key = k.key), 0)
          FROM tasks t
          JOIN json_each(json_patch(json_extract(t.charge, '$.reserved'), coalesce(json_extract(t.charge, '$.reported'), '{}'))) k
         WHERE t.charge IS NOT NULL
        UNION ALL
        SELECT json_extract(e.data, '$.task'), json_extract(e.data, '$.attempt'), e.subject, NULL, datetime(e.timestamp / 1000, 'unixepoch'), k.key, 0, k.value
          FROM usage_reports u
          JOIN events e ON e.sequence = u.sequence
          JOIN json_each(e.data, '$.spent') k
         WHERE json_extract(e.data, '$.in_hand') IS NULL;
        """;

    private const string BalancesWrittenBehind = """
        -- A balance is written some time after it changed: as of this event. What happened since is in the log, from balances_written in meta on,
        -- and what is reserved in the tasks in hand.
        ALTER TABLE balances ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
        UPDATE balances SET sequence = coalesce((SELECT max(sequence) FROM events), 0);
        ALTER TABLE balances DROP COLUMN reserved;
        """;

    private static void FillChain(SqliteConnection connection)
    {
        var rows = new EventRows();
        var chain = new HashChain(HashChain.Start);
        using var read = connection.Prepare($"SELECT {EventRows.Columns} FROM events ORDER BY sequence");
        using var write = connection.Prepare("UPDATE events SET hash = ? WHERE sequence = ?");
        var (last, bytes) = (0L, 0L);
        while (read.Step())
        {
            var entry = rows.ReadEntry(read);
            (last, bytes) = (entry.Sequence, bytes + LogRows.BytesOf(entry.Data.Length));
            chain.Add(entry);
            write.BindBlob(1, chain.Last);
            write.Bind(2, entry.Sequence);
            write.Execute();
        }

        using var mark = connection.Prepare(LogRows.WriteMark);
        LogRows.BindMark(mark, last, bytes);
        mark.Execute();
    }
}

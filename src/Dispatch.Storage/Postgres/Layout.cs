namespace Dispatch.Storage.Postgres;

/// <summary>One step from an older layout of a namespace's schema to the next. Once released, its text never changes.</summary>
internal sealed record Migration(int Version, string Name, string Sql);

/// <summary>
/// The tables: those of SQLite, by the same names, in one schema for each namespace. They are made to be read with <c>psql</c>: ids and states as
/// they are told, real columns for what is filtered on, JSON as text for the rest (exactly as it was given: the chain of hashes stands on it),
/// times in Unix milliseconds. The long texts are written once, in the log; see the views.
/// What changes often has room in its pages and no index on what changes, so that PostgreSQL rewrites rows in place (HOT) and vacuum finds little to do.
/// </summary>
internal static class Layout
{
    /// <summary>The schema that all namespaces of a database share: who writes which.</summary>
    internal const string Shared = "dispatch";

    /// <summary>Mark of a schema that is ours, in <c>meta</c>.</summary>
    internal const string Product = "dispatch";

    internal const string SharedTables = """
        CREATE SCHEMA IF NOT EXISTS dispatch;

        -- Who writes a namespace. Each commit checks the epoch; taking over raises it.
        CREATE TABLE IF NOT EXISTS dispatch.writers (
          namespace     text PRIMARY KEY,
          holder        text NOT NULL,         -- machine, process and a random word; empty when nobody does
          epoch         bigint NOT NULL,
          expires_at    timestamptz NOT NULL,  -- by the database's clock
          backend_pid   integer,               -- the session that writes: when it is gone, nobody has to wait
          backend_start timestamptz
        ) WITH (fillfactor = 50);

        -- The processes that run brokers here, each by the name that it keeps over restarts.
        CREATE TABLE IF NOT EXISTS dispatch.nodes (
          name       text PRIMARY KEY,
          instance   text NOT NULL,            -- of this run
          url        text NOT NULL,            -- where the others reach it
          version    text NOT NULL,
          started_at timestamptz NOT NULL,
          seen_at    timestamptz NOT NULL,     -- by the database's clock
          draining   boolean NOT NULL
        ) WITH (fillfactor = 50);

        -- The swarms, and which node should write each; NULL: whichever has least to do.
        CREATE TABLE IF NOT EXISTS dispatch.namespaces (
          name       text PRIMARY KEY,
          node       text,
          created_at timestamptz NOT NULL
        );

        -- What nodes know each other by.
        CREATE TABLE IF NOT EXISTS dispatch.cluster (
          one    boolean PRIMARY KEY CHECK (one),
          secret text NOT NULL
        );
        """;

    internal static readonly IReadOnlyList<Migration> Migrations = [new(1, "first release", FirstRelease)];

    private const string FirstRelease = """
        CREATE TABLE meta (
          key   text PRIMARY KEY,
          value text NOT NULL
        ) WITH (fillfactor = 50);

        CREATE TABLE events (
          sequence   bigint PRIMARY KEY,       -- 1..N without gaps
          timestamp  bigint NOT NULL,          -- Unix milliseconds
          type       text NOT NULL,            -- task.created ...
          source     text NOT NULL,
          subject    text NOT NULL,            -- id of the task, agent or token
          session    text,
          actor      text NOT NULL,
          caused_by  bigint,                   -- sequence of the event that led to it
          previous   bigint,                   -- sequence of the event before it about the same subject: a history is this chain
          data       text NOT NULL,            -- JSON object
          hash       bytea NOT NULL            -- SHA-256 over the hash before it and all of the row: see docs/following-events.md
        ) PARTITION BY RANGE (sequence);

        CREATE TABLE tasks (
          number          bigint PRIMARY KEY,  -- sequence of its task.created event
          id              uuid NOT NULL UNIQUE,
          status          text NOT NULL,
          title           text NOT NULL,
          requester       text NOT NULL,
          scope           text,
          owner           text,
          submitter       text,
          session         text,
          required        text,                -- JSON array of capabilities; NULL for none
          preferred       text,
          depends_on      text,                -- JSON array of task ids; NULL for none
          parent_id       uuid,
          created_at      bigint NOT NULL,
          cost            text,                -- JSON: model, repo, budget and estimate, when it says something of them
          priority        bigint NOT NULL,
          max_retries     bigint NOT NULL,
          timeout_ms      bigint NOT NULL,
          run_at          bigint,
          deadline        bigint,
          queued_at       bigint,
          next_attempt_at bigint,
          assignee        text,
          attempt         bigint NOT NULL,
          retry_count     bigint NOT NULL,
          assigned_at     bigint,
          started_at      bigint,
          completed_at    bigint,
          last_agent      text,                -- who held the last attempt that ended
          last_outcome    text,                -- and how it ended
          dead_lettered   boolean NOT NULL,
          error           text,
          progress        text,                -- JSON object
          usage           text,                -- JSON object: what all attempts used
          why             text,                -- JSON object: the score of the chosen agent
          last_sequence   bigint NOT NULL,     -- its last event
          max_run_ms      bigint,              -- longest run that a limit allows the attempt in hand
          charge          text                 -- JSON: what the attempt in hand reserved, by balance
        ) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1);
        CREATE INDEX tasks_by_parent ON tasks (parent_id, number) WHERE parent_id IS NOT NULL;

        -- Where somebody's tasks are: the blocks of 1,024 numbers in which there is one that this person or agent submitted, owns or was given.
        CREATE TABLE task_people (
          person text NOT NULL,
          block  bigint NOT NULL,              -- number / 1024
          PRIMARY KEY (person, block)
        );

        -- Where the tasks are that are not finished: the blocks of 1,024 numbers in which there is one in this state.
        CREATE TABLE task_states (
          status text NOT NULL,
          block  bigint NOT NULL,              -- number / 1024
          PRIMARY KEY (status, block)
        ) WITH (autovacuum_vacuum_scale_factor = 0.05);

        -- Tasks that ended other than completed. An index of tasks on their state would be written at each of its changes.
        CREATE TABLE task_ends (
          number bigint PRIMARY KEY,
          status text NOT NULL                 -- failed, timeout, cancelled
        );
        CREATE INDEX task_ends_by_status ON task_ends (status, number);

        -- Only for a task whose words are no longer those of its task.created event, or whose event is no longer kept.
        CREATE TABLE task_payloads (
          number          bigint PRIMARY KEY,
          description     text,
          labels          text,                -- JSON object of strings
          context         text,                -- JSON object
          estimate        text,                -- JSON object
          idempotency_key text,
          request_hash    text,                -- of a request that can be repeated, by key or by id
          confirm         boolean,             -- whether it was to be confirmed
          budget          text                 -- JSON object: what it and the tasks below it may use
        );

        CREATE TABLE task_labels (
          label  text NOT NULL,                -- key=value
          number bigint NOT NULL,
          PRIMARY KEY (label, number)
        );
        CREATE INDEX task_labels_by_number ON task_labels (number);

        -- Attempts that have ended.
        CREATE TABLE attempts (
          number      bigint NOT NULL,
          attempt     bigint NOT NULL,
          agent       text NOT NULL,
          outcome     text NOT NULL,           -- completed, failed, timeout, released, lost, cancelled
          assigned_at bigint NOT NULL,
          started_at  bigint,
          ended_at    bigint NOT NULL,
          error       text,
          result      text,                    -- only when the task.completed event does not have it
          usage       text,
          model       text,
          reserved    text,                    -- JSON objects of balance to amount
          spent       text,
          PRIMARY KEY (number, attempt)
        );

        CREATE TABLE idempotency (
          caller    text NOT NULL,
          key       text NOT NULL,
          body_hash text NOT NULL,
          number    bigint NOT NULL,
          PRIMARY KEY (caller, key)
        );
        CREATE INDEX idempotency_by_number ON idempotency (number);

        CREATE TABLE agents (
          id             text PRIMARY KEY,
          capabilities   text NOT NULL,        -- JSON array
          owner          text,
          labels         text,                 -- JSON object of strings
          max_concurrent bigint NOT NULL,
          status         text NOT NULL,
          drained        boolean NOT NULL,
          wake_url       text,
          registered_at  bigint NOT NULL,
          status_at      bigint NOT NULL,
          last_sequence  bigint NOT NULL
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

        CREATE TABLE tokens (
          id            text PRIMARY KEY,
          hash          text NOT NULL UNIQUE,  -- SHA-256 of the secret, hexadecimal
          agent_id      text NOT NULL,
          name          text,
          created_at    bigint NOT NULL,
          expires_at    bigint,
          revoked_at    bigint,
          last_sequence bigint NOT NULL
        );

        -- Sessions that are open.
        CREATE TABLE sessions (
          id            text PRIMARY KEY,
          hash          text NOT NULL UNIQUE,  -- SHA-256 of its guests' token, hexadecimal
          name          text,
          created_at    bigint NOT NULL,
          expires_at    bigint NOT NULL,
          last_sequence bigint NOT NULL
        );

        CREATE TABLE publishers (
          id            text PRIMARY KEY,
          types         text NOT NULL,         -- JSON array
          session       text,                  -- the only one it may publish in
          registered_at bigint NOT NULL,
          last_sequence bigint NOT NULL
        );

        -- Which event came of a publisher's own id.
        CREATE TABLE published (
          publisher text NOT NULL,
          id        text NOT NULL,
          hash      text NOT NULL,
          sequence  bigint NOT NULL,
          PRIMARY KEY (publisher, id)
        );
        CREATE INDEX published_by_sequence ON published (sequence);

        CREATE TABLE webhooks (
          id              text PRIMARY KEY,
          url             text NOT NULL,
          description     text,
          types           text NOT NULL,       -- JSON arrays: what it wants to be told of
          sources         text NOT NULL,
          subjects        text NOT NULL,
          sessions        text NOT NULL,
          secret          text NOT NULL,       -- signs deliveries: as it is, for it has to be used
          previous_secret text,                -- signs too until previous_until
          previous_until  bigint,
          status          text NOT NULL,       -- enabled, disabled
          status_at       bigint NOT NULL,
          disabled_reason text,
          created_at      bigint NOT NULL,
          starts_after    bigint NOT NULL,     -- where it begins while it has no cursor
          last_sequence   bigint NOT NULL
        );

        -- How far followers of the log have come. Not part of the state: one that is too old repeats deliveries.
        CREATE TABLE cursors (
          name       text PRIMARY KEY,         -- webhook/whk_... and others
          sequence   bigint NOT NULL,          -- the last event it is done with
          updated_at bigint NOT NULL
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

        -- Attempts to deliver, the newest 1,000 of each webhook.
        CREATE TABLE webhook_deliveries (
          id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
          webhook          text NOT NULL,
          sequence         bigint NOT NULL,
          attempt          bigint NOT NULL,
          at               bigint NOT NULL,
          duration_ms      bigint NOT NULL,
          status           bigint,             -- HTTP; NULL when there was no answer
          error            text,               -- NULL when it was delivered
          response_excerpt text
        ) WITH (autovacuum_vacuum_scale_factor = 0.05);
        CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook, id);

        -- Asked before a step is taken, settled or not.
        CREATE TABLE questions (
          number         bigint PRIMARY KEY,   -- sequence of its question.asked event
          id             text NOT NULL UNIQUE,
          status         text NOT NULL,        -- open, answered, expired, withdrawn
          type           text NOT NULL,
          about          text NOT NULL,        -- id of the task or whatever it is about
          session        text,
          asker          text NOT NULL,
          proposal       text NOT NULL,        -- JSON object: what is to be done
          missing        text NOT NULL,        -- what stands for answers that are missing at the deadline: deny, allow
          awaited        text,                 -- JSON array of responders that are waited for; NULL for none
          answers        text,                 -- JSON array of objects; NULL for none
          asked_at       bigint NOT NULL,
          expires_at     bigint NOT NULL,
          outcome        text,                 -- allow, deny, modify
          reason         text,
          replacement    text,                 -- JSON object: what is to be done instead
          closed_at      bigint,
          last_sequence  bigint NOT NULL
        );
        CREATE INDEX questions_open ON questions (number) WHERE status = 'open';

        CREATE TABLE responders (
          id            text PRIMARY KEY,
          types         text NOT NULL,         -- JSON array: exact, or tool.*
          registered_at bigint NOT NULL,
          last_sequence bigint NOT NULL
        );

        -- What may be spent, by whom. Budgets of tasks are limits of level task.
        CREATE TABLE limits (
          id            text PRIMARY KEY,
          level         text NOT NULL,         -- agent, owner, team, swarm, task
          target        text NOT NULL,         -- whose; * for each that has none of its own; empty for the swarm
          unit          text NOT NULL,         -- tokens, money (micro-units), jobs ...
          amount        bigint NOT NULL,
          time_window   text NOT NULL,         -- JSON object
          model         text,                  -- only for this model
          repo          text,                  -- only for this repository
          soft_percent  bigint NOT NULL,
          on_exceed     text NOT NULL,         -- finish, pause
          allow         text,                  -- JSON arrays of models
          deny          text,
          version       bigint NOT NULL,
          created_at    bigint NOT NULL,
          updated_at    bigint NOT NULL,
          last_sequence bigint NOT NULL
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

        -- What is used. It follows from the log: dispatch doctor adds it up again. A row is written some time after it changed: as of this event. What
        -- happened since is in the log, from balances_written in meta on, and what is reserved in the tasks in hand.
        CREATE TABLE balances (
          key            text PRIMARY KEY,     -- the limit's id, and behind a slash the target when the limit is for each
          limit_id       text NOT NULL,
          target         text NOT NULL,
          used           bigint NOT NULL,
          window_start   bigint NOT NULL,
          window_end     bigint NOT NULL,
          steps          text,                 -- JSON array: of a rolling window, what was used in which step
          cooldown_until bigint NOT NULL,
          warned         boolean NOT NULL,
          exceeded       boolean NOT NULL,
          sequence       bigint NOT NULL
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

        -- Which event came of a reporter's own id.
        CREATE TABLE usage_reports (
          reporter text NOT NULL,
          id       text NOT NULL,
          hash     text NOT NULL,
          sequence bigint NOT NULL,
          PRIMARY KEY (reporter, id)
        );
        CREATE INDEX usage_reports_by_sequence ON usage_reports (sequence);

        CREATE TABLE totals (
          status text PRIMARY KEY,
          count  bigint NOT NULL
        ) WITH (fillfactor = 10);

        -- What the events up to one were folded to, kept in their stead once they are gone. A row here is one that is complete.
        -- In meta: log_horizon, the oldest event that is kept; log_prepared, up to which no kept task needs its events;
        -- log_mark, what the log takes in bytes up to an event.
        CREATE TABLE log_bases (
          sequence  bigint PRIMARY KEY,        -- the last event that is in it
          timestamp bigint NOT NULL,           -- of that event
          bytes     bigint NOT NULL,           -- what the log takes up to there, kept or not
          parts     bigint NOT NULL,
          digest    text NOT NULL              -- SHA-256 over the parts, hexadecimal; the log.trimmed event has it too
        );
        CREATE TABLE log_base_parts (
          sequence bigint NOT NULL,
          part     bigint NOT NULL,            -- 1, 2, 3 ...
          data     bytea NOT NULL,             -- JSON rows, compressed (gzip)
          PRIMARY KEY (sequence, part)
        );
        ALTER TABLE log_base_parts ALTER COLUMN data SET STORAGE EXTERNAL;

        -- The first statement of each transaction that writes: only whoever holds the namespace may, and only behind the last event. The row stays
        -- locked until the transaction ends, so that nobody takes over in between.
        CREATE FUNCTION begin_write(name text, held bigint, first bigint, lease_ms bigint) RETURNS void LANGUAGE plpgsql AS $begin_write$
        DECLARE
          expires timestamptz;
        BEGIN
          SELECT w.expires_at INTO expires FROM dispatch.writers w WHERE w.namespace = name AND w.epoch = held FOR SHARE;
          IF NOT FOUND THEN
            RAISE EXCEPTION 'epoch % of namespace % is not the one that writes', held, name USING ERRCODE = 'DW001';
          END IF;
          IF expires < clock_timestamp() + lease_ms * interval '0.67 milliseconds' THEN
            UPDATE dispatch.writers w SET expires_at = clock_timestamp() + lease_ms * interval '1 millisecond' WHERE w.namespace = name;
          END IF;
          IF first > 1 AND NOT EXISTS (SELECT FROM events e WHERE e.sequence = first - 1) THEN
            RAISE EXCEPTION 'event % is missing, which event % would follow', first - 1, first USING ERRCODE = 'DW002';
          END IF;
        END $begin_write$;

        -- Undoes the transaction when a statement found other rows than it has to.
        CREATE FUNCTION demand_rows(written bigint, wanted bigint, what text) RETURNS void LANGUAGE plpgsql AS $demand_rows$
        BEGIN
          IF written <> wanted THEN
            RAISE EXCEPTION '% of % % could be written', written, wanted, what USING ERRCODE = 'DW002';
          END IF;
        END $demand_rows$;

        -- For a person: tasks with their texts. JSON escapes of the zero character can't be shown: such a text is left out.
        CREATE VIEW tasks_full AS
        SELECT t.*,
               to_timestamp(t.created_at / 1000.0) AS created,
               to_timestamp(t.completed_at / 1000.0) AS completed,
               CASE WHEN p.number IS NULL THEN d.told ->> 'description' ELSE p.description END AS description,
               CASE WHEN p.number IS NULL THEN (d.told -> 'labels')::text ELSE p.labels END AS labels,
               CASE WHEN p.number IS NULL THEN (d.told -> 'context')::text ELSE p.context END AS context,
               CASE WHEN p.number IS NULL THEN (d.told -> 'estimate')::text ELSE p.estimate END AS estimate,
               CASE WHEN p.number IS NULL THEN d.told ->> 'idempotency_key' ELSE p.idempotency_key END AS idempotency_key,
               coalesce(a.result, (f.told -> 'result')::text) AS result
          FROM tasks t
          LEFT JOIN events c ON c.sequence = t.number AND c.type = 'task.created'
          LEFT JOIN LATERAL (SELECT c.data::json AS told WHERE strpos(c.data, '\u0000') = 0) d ON true
          LEFT JOIN task_payloads p ON p.number = t.number
          LEFT JOIN attempts a ON a.number = t.number AND a.attempt = t.attempt AND t.status = 'completed'
          LEFT JOIN events r ON r.sequence = t.last_sequence AND r.type = 'task.completed'
          LEFT JOIN LATERAL (SELECT r.data::json AS told WHERE strpos(r.data, '\u0000') = 0) f ON true;

        -- For a person: what was reserved and spent, by balance. What is spent is in it once, also when it was reported on the way.
        CREATE VIEW ledger AS
        SELECT t.id AS task_id, a.attempt, a.agent, a.outcome, to_timestamp(a.ended_at / 1000.0) AS at, k.key AS balance,
               coalesce((a.reserved::json ->> k.key)::bigint, 0) AS reserved, coalesce((a.spent::json ->> k.key)::bigint, 0) AS spent
          FROM attempts a
          JOIN tasks t ON t.number = a.number
          CROSS JOIN LATERAL (SELECT json_object_keys(coalesce(a.reserved, '{}')::json) AS key UNION SELECT json_object_keys(coalesce(a.spent, '{}')::json)) k
        UNION ALL
        SELECT t.id, t.attempt, t.assignee, NULL, to_timestamp(t.assigned_at / 1000.0), k.key,
               coalesce((t.charge::json -> 'reserved' ->> k.key)::bigint, 0), coalesce((t.charge::json -> 'reported' ->> k.key)::bigint, 0)
          FROM tasks t
          CROSS JOIN LATERAL (SELECT json_object_keys(t.charge::json -> 'reserved') AS key UNION SELECT json_object_keys(coalesce(t.charge::json -> 'reported', '{}'))) k
         WHERE t.charge IS NOT NULL
        UNION ALL
        SELECT (e.data::json ->> 'task')::uuid, (e.data::json ->> 'attempt')::bigint, e.subject, NULL, to_timestamp(e.timestamp / 1000.0), k.key, 0, k.value::bigint
          FROM usage_reports u
          JOIN events e ON e.sequence = u.sequence
          CROSS JOIN LATERAL json_each_text(coalesce(e.data::json -> 'spent', '{}')) k
         WHERE e.data::json ->> 'in_hand' IS NULL;
        """;
}

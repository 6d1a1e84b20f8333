namespace Dispatch.Storage.Copying;

/// <summary>What a column holds, in either engine.</summary>
internal enum StoreColumnKind
{
    Text,
    Number,
    Flag,
    Id,
    Bytes,
}

/// <summary>A table as both engines have it: what has to be copied row by row. Indexes that only one engine keeps as tables are made anew from these.</summary>
internal sealed class StoreTable
{
    /// <summary>Every table, in the order of copying. The log comes first; a test compares the list with what the engines have.</summary>
    internal static readonly IReadOnlyList<StoreTable> All =
    [
        new("events", "sequence# timestamp# type source subject session actor caused_by# previous# data hash%") { Condition = static horizon => $"sequence >= {horizon}" },
        new("log_bases", "sequence# timestamp# bytes# parts# digest") { Condition = static horizon => $"sequence >= {horizon - 1}" },
        new("log_base_parts", "sequence# part# data%") { Condition = static horizon => $"sequence >= {horizon - 1} AND sequence IN (SELECT sequence FROM log_bases)" },
        new("tasks", """
            number# id@ status title requester scope owner submitter session required preferred depends_on parent_id@ created_at# cost priority# max_retries# timeout_ms# run_at# deadline#
            queued_at# next_attempt_at# assignee attempt# retry_count# assigned_at# started_at# completed_at# last_agent last_outcome dead_lettered? error progress usage why last_sequence#
            max_run_ms# charge
            """),
        new("attempts", "number# attempt# agent outcome assigned_at# started_at# ended_at# error result usage model reserved spent"),
        new("task_payloads", "number# description labels context estimate idempotency_key request_hash confirm? budget"),
        new("task_people", "person block#"),
        new("task_labels", "label number#"),
        new("idempotency", "caller key body_hash number#"),
        new("agents", "id capabilities owner labels max_concurrent# status drained? wake_url registered_at# status_at# last_sequence#"),
        new("tokens", "id hash agent_id name created_at# expires_at# revoked_at# last_sequence#"),
        new("sessions", "id hash name created_at# expires_at# last_sequence#"),
        new("publishers", "id types session registered_at# last_sequence#"),
        new("published", "publisher id hash sequence#") { Condition = static horizon => $"sequence >= {horizon}" },
        new("webhooks", """
            id url description types sources subjects sessions secret previous_secret previous_until# status status_at# disabled_reason created_at# starts_after# last_sequence#
            """),
        new("webhook_deliveries", "id# webhook sequence# attempt# at# duration_ms# status# error response_excerpt"),
        new("cursors", "name sequence# updated_at#"),
        new("questions", """
            number# id status type about session asker proposal missing awaited answers asked_at# expires_at# outcome reason replacement closed_at# last_sequence#
            """),
        new("responders", "id types registered_at# last_sequence#"),
        new("limits", "id level target unit amount# time_window model repo soft_percent# on_exceed allow deny version# created_at# updated_at# last_sequence#"),
        new("balances", "key limit_id target used# window_start# window_end# steps cooldown_until# warned? exceeded? sequence#"),
        new("usage_reports", "reporter id hash sequence#") { Condition = static horizon => $"sequence >= {horizon}" },
        new("totals", "status count#"),
        new("meta", "key value") { Condition = static _ => $"key NOT IN ('product', 'namespace', 'last_probe', '{CopyMark.Key}')" },
    ];

    /// <summary>Tables that follow from the others and differ between engines, or tell of the schema itself.</summary>
    internal static readonly IReadOnlyList<string> NotCopied = ["task_states", "task_ends", "schema_migrations"];

    private StoreTable(string name, string columns)
    {
        Name = name;
        var words = columns.Split([' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries);
        Kinds = [.. words.Select(word => word[^1] switch
        {
            '#' => StoreColumnKind.Number,
            '?' => StoreColumnKind.Flag,
            '@' => StoreColumnKind.Id,
            '%' => StoreColumnKind.Bytes,
            _ => StoreColumnKind.Text,
        })];
        Names = [.. words.Select(word => word.TrimEnd('#', '?', '@', '%'))];
        Columns = string.Join(", ", Names);
    }

    internal string Name { get; }

    internal IReadOnlyList<string> Names { get; }

    internal StoreColumnKind[] Kinds { get; }

    /// <summary>The names as SQL lists them.</summary>
    internal string Columns { get; }

    /// <summary>Which rows count, given the horizon of the log: the others are left over and nobody reads them. Null: all.</summary>
    private Func<long, string>? Condition { get; init; }

    /// <summary>The number by which rows come in order, so that copying can go on behind the last; null: the table has to be begun again.</summary>
    internal string? Order => Kinds[0] == StoreColumnKind.Number ? Names[0] : null;

    internal bool IsLog => Name == "events";

    /// <summary>A query for the rows that count.</summary>
    /// <param name="what">Columns or a sum over them.</param>
    /// <param name="from">Only rows whose <see cref="Order"/> is at least this; null: all.</param>
    internal string Select(string what, long horizon, long? from = null)
    {
        var conditions = new List<string>();
        if (Condition is not null)
            conditions.Add(Condition(horizon));
        if (from is not null)
            conditions.Add($"{Order} >= {from}");
        return $"SELECT {what} FROM {Name}{(conditions.Count == 0 ? "" : " WHERE " + string.Join(" AND ", conditions))}";
    }

    /// <summary>A statement that makes room for all rows anew.</summary>
    internal string Clear => Name == "meta" ? "DELETE FROM meta WHERE " + Condition!(1) : $"DELETE FROM {Name}";
}

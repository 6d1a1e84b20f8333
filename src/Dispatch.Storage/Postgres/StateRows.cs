using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Tasks;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>Reads everything that the sequencer keeps in memory. Used once per start, inside one transaction.</summary>
internal static class StateRows
{
    private const string Totals = "SELECT status, count FROM totals";

    // Looked through is what belongs to so many of the newest tasks, whether it says what it used or not.
    private const string Usage = """
        SELECT a.agent, t.required, t.preferred, t.owner, a.usage FROM (SELECT number, required, preferred, owner FROM tasks ORDER BY number DESC LIMIT 10000) t
          JOIN attempts a ON a.number = t.number WHERE a.usage IS NOT NULL AND EXISTS (SELECT FROM limits) ORDER BY a.ended_at, a.number
        """;

    private static readonly string Live = $"""
        SELECT {TaskRows.Prefixed("t", TaskColumns.StateList).Replace("t.NULL", "NULL", StringComparison.Ordinal)} FROM (SELECT DISTINCT block FROM task_states ORDER BY block) s
         CROSS JOIN LATERAL (SELECT * FROM tasks n WHERE n.number >= s.block * {TaskPeople.BlockSize} AND n.number < (s.block + 1) * {TaskPeople.BlockSize}
           AND n.status IN ('scheduled', 'blocked', 'pending', 'assigned', 'running')) t ORDER BY s.block, t.number
        """;

    private static readonly string BalanceEvents =
        $"SELECT {EventRows.Columns} FROM events WHERE sequence > $1 AND type IN ({string.Join(", ", BalanceRecovery.EventTypes.Select(type => $"'{type}'"))}) ORDER BY sequence";

    internal static async Task<LoadedState> LoadAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        var tasks = new TaskColumns();
        var texts = new RowTexts();
        var ends = await connection.ListAsync(
            "SELECT sequence, timestamp, hash FROM events ORDER BY sequence DESC LIMIT 1", row => (row.Int64(0), row.Int64(1), row.Blob(2).ToArray()), cancel);
        var (sequence, timestamp, hash) = ends is [var last] ? last : (0, 0, new byte[HashChain.Size]);
        var meta = await LogRows.MetaAsync(connection, cancel);
        var loaded = new LoadedState(
            sequence, timestamp, hash, await LoadAllAsync(Live, tasks.Read), await LoadAllAsync($"SELECT {AgentRows.Columns} FROM agents ORDER BY registered_at, id COLLATE \"C\"", AgentRows.Read),
            await LoadAllAsync($"SELECT {TokenRows.Columns} FROM tokens ORDER BY created_at, id COLLATE \"C\"", TokenRows.Read),
            await LoadAllAsync($"SELECT {SessionRows.Columns} FROM sessions ORDER BY id COLLATE \"C\"", SessionRows.Read),
            await LoadAllAsync($"SELECT {PublisherRows.Columns} FROM publishers ORDER BY id COLLATE \"C\"", PublisherRows.Read), await LoadTotalsAsync(connection, cancel))
        {
            Horizon = meta.Horizon,
            Webhooks = await LoadAllAsync($"SELECT {WebhookRows.Columns} FROM webhooks ORDER BY id COLLATE \"C\"", WebhookRows.Read),
            Questions = await LoadAllAsync($"SELECT {QuestionRows.Columns} FROM questions WHERE status = 'open' ORDER BY number", QuestionRows.Read),
            Responders = await LoadAllAsync($"SELECT {QuestionRows.ResponderColumns} FROM responders ORDER BY id COLLATE \"C\"", QuestionRows.ReadResponder),
            Limits = await LoadAllAsync($"SELECT {AllowanceRows.LimitColumns} FROM limits ORDER BY id COLLATE \"C\"", AllowanceRows.ReadLimit),
            Usage = await LoadAllAsync(Usage, row => new UsageSample(row.Text(0), texts.GetRequirement(row.Utf8(1), row.Utf8(2), row.Utf8(3)), row.NullableJson(4)!)),
        };

        // Balances are not written with every change.
        var written = await LoadAllAsync($"SELECT {AllowanceRows.BalanceColumns} FROM balances", AllowanceRows.ReadBalance);
        var mark = await LoadAllAsync($"SELECT value FROM meta WHERE key = '{AllowanceRows.Mark}'", row => row.Text(0));
        var upTo = LogMark.Number(AllowanceRows.Mark, mark.FirstOrDefault(), sequence);
        var events = new EventRows();
        var entries = upTo == sequence ? [] : await connection.ListAsync(BalanceEvents, events.ReadEntry, cancel, row => row.Bind(1, upTo), isLong: true);
        return BalanceRecovery.Recover(loaded, written, upTo, entries);

        Task<List<T>> LoadAllAsync<T>(string sql, Func<PostgresRow, T> read) => connection.ListAsync(sql, read, cancel, isLong: true);
    }

    /// <summary>Tasks in each state, indexed by <see cref="TaskState"/>.</summary>
    internal static async Task<long[]> LoadTotalsAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        var totals = new long[Enum.GetValues<TaskState>().Length];
        await foreach (var row in connection.QueryAsync(Totals, cancel))
            totals[(int)Words.State.Parse(row.Utf8(0))] = row.Int64(1);
        return totals;
    }
}

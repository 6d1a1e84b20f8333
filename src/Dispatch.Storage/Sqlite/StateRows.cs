using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Sqlite;

/// <summary>Reads everything that the sequencer keeps in memory. Used once per start, inside one transaction.</summary>
internal sealed class StateRows(SqliteConnection connection)
{
    internal const string Totals = "SELECT status, count FROM totals";

    private static readonly TaskState[] Live = [.. Enum.GetValues<TaskState>().Where(state => state < TaskState.Completed)];

    private readonly TaskColumns tasks = new();

    internal LoadedState Load()
    {
        var (sequence, timestamp, hash) = LoadEnd();
        using var totalRows = connection.Prepare(Totals);
        var totals = LoadTotals(totalRows);
        var live = Live.Sum(state => totals[(int)state]);

        // Along indexes rows are looked up here and there; when most are wanted, reading all in order is faster.
        var found = live * 4 >= totals.Sum() ? LoadByScan(live) : LoadByIndex(live);
        return Recover(new LoadedState(
            sequence, timestamp, hash, found, LoadAll($"SELECT {AgentRows.Columns} FROM agents ORDER BY registered_at, id", AgentRows.Read),
            LoadAll($"SELECT {TokenRows.Columns} FROM tokens ORDER BY created_at, id", TokenRows.Read),
            LoadAll($"SELECT {SessionRows.Columns} FROM sessions ORDER BY id", SessionRows.Read),
            LoadAll($"SELECT {PublisherRows.Columns} FROM publishers ORDER BY id", PublisherRows.Read), totals)
        {
            Horizon = connection.QueryInt64("SELECT value FROM meta WHERE key = 'log_horizon'") ?? 1,
            Webhooks = LoadAll($"SELECT {WebhookRows.Columns} FROM webhooks ORDER BY id", WebhookRows.Read),
            Questions = LoadAll($"SELECT {QuestionRows.Columns} FROM questions WHERE status = 'open' ORDER BY number", QuestionRows.Read),
            Responders = LoadAll($"SELECT {QuestionRows.ResponderColumns} FROM responders ORDER BY id", QuestionRows.ReadResponder),
            Limits = LoadAll($"SELECT {AllowanceRows.LimitColumns} FROM limits ORDER BY id", AllowanceRows.ReadLimit),
            Usage = LoadUsage(),
        });
    }

    // Balances are not written with every change.
    private LoadedState Recover(LoadedState loaded)
    {
        var written = LoadAll($"SELECT {AllowanceRows.BalanceColumns} FROM balances", AllowanceRows.ReadBalance);
        var upTo = connection.QueryInt64($"SELECT value FROM meta WHERE key = '{AllowanceRows.Mark}'") ?? loaded.Sequence;
        using var entries = connection.Prepare(
            $"SELECT {EventRows.Columns} FROM events WHERE sequence > ? AND type IN ({string.Join(", ", BalanceRecovery.EventTypes.Select(type => $"'{type}'"))}) ORDER BY sequence");
        entries.Bind(1, upTo);
        return BalanceRecovery.Recover(loaded, written, upTo, Read(new EventRows()));

        IEnumerable<LogEntry> Read(EventRows rows)
        {
            while (entries.Step())
                yield return rows.ReadEntry(entries);
        }
    }

    private List<UsageSample> LoadUsage()
    {
        if (connection.QueryInt64("SELECT 1 FROM limits LIMIT 1") is null)
            return [];

        // Looked through is what belongs to so many of the newest tasks, whether it says what it used or not.
        const int Newest = 10_000;
        var texts = new RowTexts();
        var found = new List<UsageSample>();
        using var rows = connection.Prepare(
            """
            SELECT a.agent, t.required, t.preferred, t.owner, a.usage FROM (SELECT number, required, preferred, owner FROM tasks ORDER BY number DESC LIMIT ?) t
              JOIN attempts a ON a.number = t.number WHERE a.usage IS NOT NULL ORDER BY a.ended_at, a.number
            """);
        rows.Bind(1, (long)Newest);
        while (rows.Step())
            found.Add(new UsageSample(rows.Text(0), texts.GetRequirement(rows.Utf8(1), rows.Utf8(2), rows.Utf8(3)), rows.NullableJson(4)!));
        return found;
    }

    private (long Sequence, long Timestamp, byte[] Hash) LoadEnd()
    {
        using var last = connection.Prepare("SELECT sequence, timestamp, hash FROM events ORDER BY sequence DESC LIMIT 1");
        return last.Step() ? (last.Int64(0), last.Int64(1), last.Blob(2).ToArray()) : (0, 0, new byte[HashChain.Size]);
    }

    /// <summary>Tasks in each state, indexed by <see cref="TaskState"/>.</summary>
    /// <param name="rows">Prepared from <see cref="Totals"/>.</param>
    internal static long[] LoadTotals(SqliteStatement rows)
    {
        var totals = new long[Enum.GetValues<TaskState>().Length];
        while (rows.Step())
            totals[(int)Words.State.Parse(rows.Utf8(0))] = rows.Int64(1);
        rows.Reset();
        return totals;
    }

    private List<WorkTask> LoadByScan(long expected)
    {
        var found = new List<WorkTask>((int)expected);
        using var rows = connection.Prepare(
            $"SELECT {TaskColumns.StateList} FROM tasks NOT INDEXED WHERE status IN ('scheduled', 'blocked', 'pending', 'assigned', 'running') ORDER BY number");
        while (rows.Step())
            found.Add(tasks.Read(rows));
        return found;
    }

    private List<WorkTask> LoadByIndex(long expected)
    {
        var found = new List<WorkTask>((int)expected);
        foreach (var (sql, bind) in TaskListing.For(new TaskQuery { Statuses = Live, Limit = -1 }, new long[Live.Length], TaskStates.Listing))
        {
            using var rows = connection.Prepare(sql);
            bind(rows);
            while (rows.Step())
                found.Add(tasks.Read(rows));
        }

        found.Sort(static (one, other) => one.Number.CompareTo(other.Number));
        return found;
    }

    private List<T> LoadAll<T>(string sql, Func<SqliteStatement, T> read)
    {
        var found = new List<T>();
        using var rows = connection.Prepare(sql);
        while (rows.Step())
            found.Add(read(rows));
        return found;
    }
}

using Dispatch.Allowances;
using Dispatch.Storage.Rows;
using Dispatch.Tasks;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// Where what was reserved and spent is written: with ended attempts, with tasks in hand, and in the events of usage reports. Each is read newest
/// first along an index, and no further than until the page is full.
/// </summary>
internal static class LedgerRows
{
    private const int Chunk = 500;

    private static readonly string Ended = $"""
        SELECT {TaskRows.Prefixed("a", AttemptRows.Columns)}, t.id FROM attempts a JOIN tasks t ON t.number = a.number
         WHERE (a.number, a.attempt) <= ($1, $2) AND (a.reserved IS NOT NULL OR a.spent IS NOT NULL) ORDER BY a.number DESC, a.attempt DESC LIMIT {Chunk}
        """;

    private static readonly string InHand = $"""
        SELECT {TaskRows.Prefixed("t", TaskColumns.List)} FROM (SELECT DISTINCT block FROM task_states WHERE status IN ('assigned', 'running') ORDER BY block DESC) s
          CROSS JOIN LATERAL (SELECT * FROM tasks n WHERE n.number >= s.block * {TaskPeople.BlockSize} AND n.number < (s.block + 1) * {TaskPeople.BlockSize} AND n.number <= $1
           AND n.status IN ('assigned', 'running') AND n.charge IS NOT NULL) t ORDER BY s.block DESC, t.number DESC LIMIT {Chunk}
        """;

    private static readonly string Reported = $"""
        SELECT {TaskRows.Prefixed("e", EventRows.Columns)} FROM usage_reports u JOIN events e ON e.sequence = u.sequence
         WHERE u.sequence BETWEEN {LogRows.Horizon} AND $1 ORDER BY u.sequence DESC LIMIT {Chunk}
        """;

    internal static async Task<IReadOnlyList<LedgerEntry>> ListAsync(NpgsqlConnection connection, LedgerQuery query, CancellationToken cancel)
    {
        var found = new List<LedgerEntry>();
        var last = query.After;
        var tasks = new TaskColumns();
        var events = new EventRows();
        await TakeAsync(
            Ended, row => (new LedgerPlace(row.Int64(0), row.Int32(1), 0), query.Of(AttemptRows.Read(row), IdOf(row))), (row, place) =>
            {
                row.Bind(1, place.Number);
                row.Bind(2, (long)place.Attempt);
            });
        await TakeAsync(InHand, row => tasks.Read(row) is var task ? (new LedgerPlace(task.Number, 0, 0), query.Of(task)) : default, static (row, place) => row.Bind(1, place.Number));
        await TakeAsync(Reported, row => (new LedgerPlace(row.Int64(0), 0, 0), query.Of(events.Read(row))), static (row, place) => row.Bind(1, place.Number));
        return query.Page(found);

        // Each source is in the order of the page: of none is more needed than the page holds.
        async Task TakeAsync(string sql, Func<PostgresRow, (LedgerPlace Place, IEnumerable<LedgerEntry> Entries)> read, Action<PostgresParameters, LedgerPlace> bind)
        {
            var before = found.Count;
            for (var from = last; found.Count - before < query.Most;)
            {
                var page = await connection.ListAsync(sql, row => read(row) is var (place, entries) ? (place, entries.ToList()) : default, cancel, row => bind(row, from));
                found.AddRange(page.SelectMany(row => row.Item2));
                if (page.Count < Chunk)
                    break;

                // The next before this one: attempts count from 1.
                from = page[^1].place is { Attempt: > 0 } attempt ? attempt with { Attempt = attempt.Attempt - 1 } : new LedgerPlace(page[^1].place.Number - 1, int.MaxValue, 0);
            }
        }
    }

    private static TaskId IdOf(PostgresRow row) => TaskId.TryParse(row.Utf8(AttemptRows.Count), out var id) ? id : throw new FormatException("A task's id is no UUID.");
}

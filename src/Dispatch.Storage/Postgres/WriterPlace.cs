using System.Globalization;
using Dispatch.Sequencing;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// The row in <c>dispatch.writers</c> that says who writes the namespace. Whoever takes it raises the epoch, and everything still under way under an
/// earlier one is refused from then on: of another broker, and of this one's own lost connections.
/// </summary>
internal static class WriterPlace
{
    // Whoever waits in the middle of a transaction would keep the row locked: it is ended, if it is this holder's own or its time has run out.
    private const string EndEarlier = """
        SELECT pg_terminate_backend(a.pid) FROM dispatch.writers w JOIN pg_stat_activity a ON a.pid = w.backend_pid AND a.backend_start = w.backend_start
         WHERE w.namespace = $1 AND a.pid <> pg_backend_pid() AND (w.holder = $2 OR w.expires_at < clock_timestamp())
        """;

    // A session that can't be seen closely counts as alive.
    private const string Take = """
        INSERT INTO dispatch.writers AS w (namespace, holder, epoch, expires_at, backend_pid, backend_start)
        SELECT $1, $2, 1, clock_timestamp() + $3 * interval '1 millisecond', a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()
        ON CONFLICT (namespace) DO UPDATE SET holder = excluded.holder, epoch = w.epoch + 1, expires_at = excluded.expires_at,
               backend_pid = excluded.backend_pid, backend_start = excluded.backend_start
         WHERE w.holder IN ($2, '') OR w.expires_at < clock_timestamp()
            OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = w.backend_pid AND (a.backend_start IS NULL OR a.backend_start = w.backend_start))
        RETURNING epoch
        """;

    /// <summary>Takes the place.</summary>
    /// <returns>The new epoch.</returns>
    /// <exception cref="StoreException">Another holds it.</exception>
    internal static async Task<long> TakeAsync(NpgsqlConnection connection, PostgresStoreOptions options, string holder, string where, CancellationToken cancel)
    {
        await foreach (var _ in connection.QueryAsync(EndEarlier, cancel, row =>
        {
            row.Bind(1, options.Namespace);
            row.Bind(2, holder);
        }))
        {
        }

        var taken = await connection.ListAsync(Take, row => row.Int64(0), cancel, row =>
        {
            row.Bind(1, options.Namespace);
            row.Bind(2, holder);
            row.Bind(3, (long)options.Lease.TotalMilliseconds);
        });
        if (taken is [var epoch])
            return epoch;

        var held = await connection.ListAsync(
            "SELECT holder, (extract(epoch FROM expires_at - clock_timestamp()))::bigint FROM dispatch.writers WHERE namespace = $1",
            row => (Holder: row.Text(0), Seconds: row.Int64(1)), cancel, row => row.Bind(1, options.Namespace));
        throw new StoreException(
            StoreFault.Locked,
            held is [var other]
                ? string.Create(CultureInfo.InvariantCulture, $"{where} is in use by another broker ({other.Holder}; unless it renews it, its hold ends in {Math.Max(other.Seconds, 0)} s). {options.Advice}")
                : $"{where} is in use by another broker. {options.Advice}");
    }

    /// <summary>Lets go, so that the next need not wait.</summary>
    internal static Task<int> ReleaseAsync(NpgsqlConnection connection, PostgresStoreOptions options, long epoch, CancellationToken cancel) => connection.ExecuteAsync(
        "UPDATE dispatch.writers SET holder = '', expires_at = clock_timestamp(), backend_pid = NULL, backend_start = NULL WHERE namespace = $1 AND epoch = $2", cancel, row =>
        {
            row.Bind(1, options.Namespace);
            row.Bind(2, epoch);
        });
}

using System.Globalization;
using Dispatch.Sequencing;
using Dispatch.Storage.Copying;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>Looks at the server and at the namespace's schema before anything is done there: is it fit, is it ours, is it of this release; and makes the tables.</summary>
internal static class DatabaseLayout
{
    private const string LockLayout = "SELECT pg_advisory_xact_lock(x'44737074'::bigint)";

    private static readonly int KnownVersion = Layout.Migrations[^1].Version;

    /// <summary>Refuses a server that can't keep the promises, for whoever writes.</summary>
    /// <exception cref="StoreException">It is too old, takes no writes, or has another encoding.</exception>
    internal static async Task DemandFitAsync(NpgsqlConnection connection, string where, CancellationToken cancel)
    {
        if (connection.PostgreSqlVersion.Major * 10_000 < Connections.OldestServer)
            throw new StoreException(StoreFault.Unavailable, $"PostgreSQL {connection.PostgreSqlVersion} is too old ({where}). Use 13 or later.");
        var (standby, readOnly, encoding, synchronous) = ("", "", "", "");
        await foreach (var row in connection.QueryAsync(
            "SELECT pg_is_in_recovery()::text, current_setting('transaction_read_only'), current_setting('server_encoding'), current_setting('synchronous_commit')", cancel))
        {
            (standby, readOnly, encoding, synchronous) = (row.Text(0), row.Text(1), row.Text(2), row.Text(3));
        }

        if (standby != "false")
            throw new StoreException(StoreFault.ReadOnly, $"The server of {where} is a standby and takes no writes. Give the address of the primary.");
        if (readOnly != "off")
            throw new StoreException(StoreFault.ReadOnly, $"{where} takes no writes: default_transaction_read_only is on, for the server, the database or the user. Turn it off, or use another.");
        if (encoding != "UTF8")
            throw new StoreException(StoreFault.Unavailable, $"The encoding of {where} is {encoding}. Make a database with ENCODING 'UTF8'.");

        // Otherwise a commit that was answered may be lost when the server dies. A stricter setting than "on" stays.
        if (synchronous is "off" or "local")
            await connection.ExecuteAsync("SET synchronous_commit = on", cancel);
    }

    /// <summary>Makes the schema that all namespaces share, when it isn't there.</summary>
    /// <exception cref="StoreException">Another program's is there.</exception>
    internal static async Task MakeSharedAsync(NpgsqlConnection connection, string where, CancellationToken cancel)
    {
        if (await HasStrangersAsync(connection, Layout.Shared, "writers", cancel))
            throw Stranger(Layout.Shared, where);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        await connection.ExecuteAsync(LockLayout, cancel);
        await connection.ExecuteAsync(Layout.SharedTables, cancel);
        await transaction.CommitAsync(cancel);
    }

    private static StoreException Stranger(string schema, string where) =>
        new(StoreFault.Corrupt, $"The schema {schema} in {where} belongs to another program. It was left as it is; give another database.");

    /// <summary>Brings the schema to this release's layout; makes it when it isn't there.</summary>
    /// <exception cref="StoreException">It is not ours, or newer than this program.</exception>
    internal static async Task MigrateAsync(NpgsqlConnection connection, PostgresStoreOptions options, string where, TimeProvider clock, CancellationToken cancel)
    {
        if (await FindVersionAsync(connection, options, where, cancel) == KnownVersion)
            return;

        await using var transaction = await connection.BeginTransactionAsync(cancel);

        // Brokers of several namespaces may start at once.
        await connection.ExecuteAsync(LockLayout, cancel);
        var version = await FindVersionAsync(connection, options, where, cancel);
        await connection.ExecuteAsync(Layout.SharedTables, cancel);
        if (version == 0)
        {
            await connection.ExecuteAsync(
                $"CREATE SCHEMA IF NOT EXISTS \"{options.Schema}\"; CREATE TABLE schema_migrations (version bigint PRIMARY KEY, name text NOT NULL, applied_at text NOT NULL)", cancel);
        }

        foreach (var migration in Layout.Migrations.Where(migration => migration.Version > version))
        {
            await connection.ExecuteAsync(migration.Sql, cancel);
            var now = clock.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
            await connection.ExecuteAsync("INSERT INTO schema_migrations VALUES ($1, $2, $3)", cancel, row =>
            {
                row.Bind(1, migration.Version);
                row.Bind(2, migration.Name);
                row.Bind(3, now);
            });
        }

        if (version == 0)
        {
            await connection.ExecuteAsync("INSERT INTO meta VALUES ('product', $1), ('namespace', $2)", cancel, row =>
            {
                row.Bind(1, Layout.Product);
                row.Bind(2, options.Namespace);
            });
        }

        await transaction.CommitAsync(cancel);
    }

    /// <summary>For whoever only reads: the schema has to be there, and of this release.</summary>
    /// <exception cref="StoreException">It is not.</exception>
    internal static async Task DemandKnownAsync(NpgsqlConnection connection, PostgresStoreOptions options, string where, CancellationToken cancel)
    {
        var version = await FindVersionAsync(connection, options, where, cancel);
        if (version == 0)
            throw new StoreException(StoreFault.Unavailable, $"There is no store in {where}. It is made when the broker starts.");
        if (version != KnownVersion)
            throw new StoreException(StoreFault.Corrupt, $"{where} has the layout of version {version}; start the broker once to bring it to {KnownVersion}.");
    }

    /// <summary>The layout's version; 0 when there is nothing yet.</summary>
    private static async Task<int> FindVersionAsync(NpgsqlConnection connection, PostgresStoreOptions options, string where, CancellationToken cancel)
    {
        if (await HasStrangersAsync(connection, Layout.Shared, "writers", cancel))
            throw Stranger(Layout.Shared, where);
        if (await HasStrangersAsync(connection, options.Schema, "schema_migrations", cancel))
            throw new StoreException(StoreFault.Corrupt, $"The schema {options.Schema} in {where} belongs to another program. It was left as it is; give another database or namespace.");
        if (await CountAsync(connection, options.Schema, "schema_migrations", cancel) == 0)
            return 0;

        var about = new Dictionary<string, string>(StringComparer.Ordinal);
        if (await CountAsync(connection, options.Schema, "meta", cancel) > 0)
        {
            await foreach (var row in connection.QueryAsync($"SELECT key, value FROM meta WHERE key IN ('product', 'namespace', '{CopyMark.Key}')", cancel))
                about.Add(row.Text(0), row.Text(1));
        }

        if (about.GetValueOrDefault("product") is var product && product != Layout.Product)
            throw new StoreException(StoreFault.Corrupt, $"The schema {options.Schema} in {where} belongs to another program ({product ?? "it does not say which"}). It was left as it is; give another database or namespace.");
        if (about.GetValueOrDefault("namespace") is var name && name != options.Namespace)
            throw new StoreException(StoreFault.Corrupt, $"The schema {options.Schema} in {where} holds the namespace {name}, not {options.Namespace}: it was renamed or restored under another name. It was left as it is.");

        long version = 0;
        await foreach (var row in connection.QueryAsync("SELECT max(version) FROM schema_migrations", cancel))
            version = row.Int64(0);
        if (version > KnownVersion)
        {
            throw new StoreException(
                StoreFault.TooNew, $"{where} was written by a newer release (layout {version}; this program knows up to {KnownVersion}). Use that release or restore an older backup; nothing was changed.");
        }

        if (!options.IsCopying && about.TryGetValue(CopyMark.Key, out var mark))
            throw CopyMark.Unfinished(where, mark);
        return (int)version;
    }

    private static async Task<bool> HasStrangersAsync(NpgsqlConnection connection, string schema, string mark, CancellationToken cancel) =>
        await CountAsync(connection, schema, null, cancel) > 0 && await CountAsync(connection, schema, mark, cancel) == 0;

    private static async Task<long> CountAsync(NpgsqlConnection connection, string schema, string? table, CancellationToken cancel)
    {
        await foreach (var row in connection.QueryAsync(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND ($2 IS NULL OR c.relname = $2)", cancel, row =>
            {
                row.Bind(1, schema);
                row.Bind(2, table);
            }))
        {
            return row.Int64(0);
        }

        return 0;
    }
}

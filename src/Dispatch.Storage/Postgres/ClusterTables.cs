using System.Security.Cryptography;
using Dispatch.Sequencing;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// What the nodes on one database know of each other: who is there, which swarms there are and who writes them. All times are the database's. Not in any
/// namespace's log: it says where a log is written, not what happens in it.
/// </summary>
public sealed class ClusterTables : IAsyncDisposable
{
    private const string Beat = """
        INSERT INTO dispatch.nodes AS n (name, instance, url, version, started_at, seen_at, draining)
        VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp(), false)
        ON CONFLICT (name) DO UPDATE SET seen_at = clock_timestamp(), url = excluded.url, version = excluded.version, instance = excluded.instance,
               started_at = CASE WHEN n.instance = excluded.instance THEN n.started_at ELSE clock_timestamp() END,
               draining = n.draining AND n.instance = excluded.instance
         WHERE n.instance = excluded.instance OR $5 OR n.seen_at < clock_timestamp() - $6 * interval '1 millisecond'
        """;

    private const string Nodes = """
        SELECT name, instance, url, version, (extract(epoch FROM started_at) * 1000)::bigint, (extract(epoch FROM clock_timestamp() - seen_at) * 1000)::bigint, draining
          FROM dispatch.nodes ORDER BY name
        """;

    // Free: given up, run out, or the session that wrote is gone. A session that can't be seen closely counts as alive.
    private const string Namespaces = """
        SELECT s.name, s.node, coalesce(w.holder, ''), coalesce(w.epoch, 0),
               w.holder IS NULL OR w.holder = '' OR w.expires_at < clock_timestamp()
                 OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = w.backend_pid AND (a.backend_start IS NULL OR a.backend_start = w.backend_start))
          FROM dispatch.namespaces s LEFT JOIN dispatch.writers w ON w.namespace = s.name ORDER BY s.name
        """;

    private readonly NpgsqlDataSource source;
    private readonly string where;

    private ClusterTables(NpgsqlDataSource source, string where)
    {
        this.source = source;
        this.where = where;
    }

    /// <summary>What nodes know each other by; the same for all on the database.</summary>
    public string Secret { get; private set; } = "";

    /// <summary>Connects, and makes the tables when they are missing.</summary>
    /// <exception cref="StoreException">The database can't be used; the message says what to do, and holds no password.</exception>
    public static async Task<ClusterTables> OpenAsync(string url, CancellationToken cancel)
    {
        var address = PostgresUrl.Parse(url);
        var where = PostgresUrl.Describe(address);
        var source = new NpgsqlDataSourceBuilder(new NpgsqlConnectionStringBuilder(address.ConnectionString)
        {
            MaxPoolSize = 3,
            CommandTimeout = 5,
            Timeout = 5,
            KeepAlive = 30,
            PersistSecurityInfo = false,
            IncludeErrorDetail = false,
            Options = $"{address.Options} -c statement_timeout=4000 -c lock_timeout=2000 -c client_min_messages=warning".Trim(),
        }.ConnectionString);
        var tables = new ClusterTables(address.Host!.Contains(',', StringComparison.Ordinal) ? source.BuildMultiHost().WithTargetSession(TargetSessionAttributes.Primary) : source.Build(), where);
        try
        {
            await tables.RunAsync(async connection =>
            {
                await DatabaseLayout.DemandFitAsync(connection, where, cancel);
                await DatabaseLayout.MakeSharedAsync(connection, where, cancel);
                await connection.ExecuteAsync(
                    "INSERT INTO dispatch.cluster VALUES (true, $1) ON CONFLICT DO NOTHING", cancel, row => row.Bind(1, Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32))));
                tables.Secret = (await connection.ListAsync("SELECT secret FROM dispatch.cluster", row => row.Text(0), cancel))[0];
                return 0;
            }, cancel);
            return tables;
        }
        catch
        {
            await tables.DisposeAsync();
            throw;
        }
    }

    /// <summary>Shows a sign of life, and reads how things stand.</summary>
    /// <param name="self">Who it is.</param>
    /// <param name="takes">True at the start: takes the name from an earlier run of this node, which may just have been killed.</param>
    /// <param name="lifeMs">Milliseconds without a sign of life after which a name may be taken.</param>
    /// <returns>Null: another process goes by this name.</returns>
    /// <exception cref="StoreException">The database can't be reached.</exception>
    public Task<ClusterView?> BeatAsync(NodeSelf self, bool takes, long lifeMs, CancellationToken cancel) => RunAsync(async connection =>
    {
        var written = await connection.ExecuteAsync(Beat, cancel, row =>
        {
            row.Bind(1, self.Name);
            row.Bind(2, self.Instance);
            row.Bind(3, self.Url);
            row.Bind(4, self.Version);
            row.Bind(5, takes);
            row.Bind(6, lifeMs);
        });
        return written == 0 ? null : await ReadAsync(connection, cancel);
    }, cancel);

    /// <summary>How things stand.</summary>
    /// <exception cref="StoreException">The database can't be reached.</exception>
    public Task<ClusterView> ReadAsync(CancellationToken cancel) => RunAsync(connection => ReadAsync(connection, cancel), cancel);

    /// <summary>Makes a swarm known; its tables are made by the node that comes to write it. False: it is there already.</summary>
    /// <param name="name">See <see cref="PostgresStoreOptions.IsNamespace"/>.</param>
    /// <exception cref="StoreException">The database can't be reached.</exception>
    public Task<bool> CreateNamespaceAsync(string name, CancellationToken cancel) => RunAsync(async connection =>
        await connection.ExecuteAsync("INSERT INTO dispatch.namespaces VALUES ($1, NULL, clock_timestamp()) ON CONFLICT DO NOTHING", cancel, row => row.Bind(1, name)) == 1, cancel);

    /// <summary>Says which node should write a swarm; null: whichever has least to do. False: there is no such swarm.</summary>
    /// <exception cref="StoreException">The database can't be reached.</exception>
    public Task<bool> MoveAsync(string name, string? node, CancellationToken cancel) => RunAsync(async connection =>
        await connection.ExecuteAsync("UPDATE dispatch.namespaces SET node = $2 WHERE name = $1", cancel, row =>
        {
            row.Bind(1, name);
            row.Bind(2, node);
        }) == 1, cancel);

    /// <summary>A draining node gives every swarm up and takes none, until it is told otherwise or starts again. False: there is no such node.</summary>
    /// <exception cref="StoreException">The database can't be reached.</exception>
    public Task<bool> DrainAsync(string node, bool draining, CancellationToken cancel) => RunAsync(async connection =>
        await connection.ExecuteAsync("UPDATE dispatch.nodes SET draining = $2 WHERE name = $1", cancel, row =>
        {
            row.Bind(1, node);
            row.Bind(2, draining);
        }) == 1, cancel);

    /// <summary>The node is gone, and the others need not wait to find out.</summary>
    /// <exception cref="StoreException">The database can't be reached.</exception>
    public Task LeaveAsync(NodeSelf self, CancellationToken cancel) => RunAsync(
        connection => connection.ExecuteAsync("DELETE FROM dispatch.nodes WHERE name = $1 AND instance = $2", cancel, row =>
        {
            row.Bind(1, self.Name);
            row.Bind(2, self.Instance);
        }), cancel);

    public ValueTask DisposeAsync() => source.DisposeAsync();

    private static async Task<ClusterView> ReadAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        var nodes = await connection.ListAsync(
            Nodes, row => new NodeRow(row.Text(0), row.Text(1), row.Text(2), row.Text(3), row.Int64(4), row.Int64(5), row.Boolean(6)), cancel);
        var namespaces = await connection.ListAsync(
            Namespaces, row => new NamespaceRow(row.Text(0), row.NullableText(1), row.Text(2), row.Int64(3), row.Boolean(4)), cancel);
        return new ClusterView(nodes, namespaces);
    }

    private async Task<T> RunAsync<T>(Func<NpgsqlConnection, Task<T>> work, CancellationToken cancel)
    {
        try
        {
            await using var connection = await source.OpenConnectionAsync(cancel);
            return await work(connection);
        }
        catch (Exception refusal) when (PostgresFaults.IsOfStore(refusal))
        {
            throw PostgresFaults.Translate(refusal, where);
        }
    }
}

/// <summary>How a node makes itself known.</summary>
/// <param name="Name">Kept over restarts.</param>
/// <param name="Instance">A word for this run.</param>
/// <param name="Url">Where other nodes reach it.</param>
public sealed record NodeSelf(string Name, string Instance, string Url, string Version)
{
    /// <summary>How it signs as writer.</summary>
    public string Holder => $"{Name}/{Instance}";
}

/// <summary>A node as it was seen last.</summary>
/// <param name="StartedAt">Unix milliseconds.</param>
/// <param name="SilentMs">Milliseconds since its last sign of life.</param>
public sealed record NodeRow(string Name, string Instance, string Url, string Version, long StartedAt, long SilentMs, bool Draining)
{
    public string Holder => $"{Name}/{Instance}";
}

/// <summary>A swarm and who writes it.</summary>
/// <param name="Node">Which node should; null: whichever has least to do.</param>
/// <param name="Holder">Who does, or did last; empty: nobody.</param>
/// <param name="IsFree">True when somebody may take it.</param>
public sealed record NamespaceRow(string Name, string? Node, string Holder, long Epoch, bool IsFree);

/// <summary>Nodes and swarms at one moment, each by name.</summary>
public sealed record ClusterView(IReadOnlyList<NodeRow> Nodes, IReadOnlyList<NamespaceRow> Namespaces);

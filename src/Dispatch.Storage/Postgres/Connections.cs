using System.Globalization;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>The ways to the server: one pool that reads, and single connections that write. All of them see the namespace's schema and nothing else.</summary>
internal sealed class Connections : IAsyncDisposable
{
    /// <summary>The oldest release that is known to do.</summary>
    internal const int OldestServer = 130_000;

    private const int Audits = 8;
    private const int PreparedStatements = 200;

    // Each statement is made for one way along one index: which must not depend on what statistics there are at the time.
    private const string Planner = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off";

    private readonly PostgresStoreOptions options;
    private readonly NpgsqlDataSource reading;
    private readonly NpgsqlDataSource writing;

    /// <exception cref="FormatException">The address is none.</exception>
    internal Connections(PostgresStoreOptions options)
    {
        this.options = options;
        var address = PostgresUrl.Parse(options.Url);
        Where = $"{PostgresUrl.Describe(address)}, namespace {options.Namespace}";
        reading = Source(address, options.Readers + Audits, "-c default_transaction_read_only=on");

        // A pool would clean up after each use; this connection is kept.
        writing = Source(address, pool: 0, "-c plan_cache_mode=force_generic_plan");
    }

    /// <summary>For messages: database, host and namespace.</summary>
    internal string Where { get; }

    /// <summary>A connection of the pool. Disposing gives it back.</summary>
    internal async Task<NpgsqlConnection> OpenForReadingAsync(CancellationToken cancel) => await reading.OpenConnectionAsync(cancel);

    /// <summary>A new connection that may write.</summary>
    internal async Task<NpgsqlConnection> OpenForWritingAsync(CancellationToken cancel) => await writing.OpenConnectionAsync(cancel);

    public async ValueTask DisposeAsync()
    {
        await reading.DisposeAsync();
        await writing.DisposeAsync();
    }

    private NpgsqlDataSource Source(NpgsqlConnectionStringBuilder address, int pool, string settings)
    {
        var milliseconds = (long)options.StatementTimeout.TotalMilliseconds;
        var to = new NpgsqlConnectionStringBuilder(address.ConnectionString)
        {
            SearchPath = $"\"{options.Schema}\"",
            Timeout = address.ContainsKey("Timeout") && address.Timeout != 15 ? address.Timeout : (int)options.ConnectTimeout.TotalSeconds,

            // The server's own limit comes first: then it says that it has undone the statement.
            CommandTimeout = (int)options.StatementTimeout.TotalSeconds + 10,
            CancellationTimeout = 2_000,
            KeepAlive = 30,
            TcpKeepAlive = true,
            Pooling = pool > 0,
            MaxPoolSize = Math.Max(pool, 1),
            MaxAutoPrepare = PreparedStatements,
            AutoPrepareMinUsages = 2,
            IncludeErrorDetail = false,
            PersistSecurityInfo = false,
            Enlist = false,
            Options = string.Create(
                CultureInfo.InvariantCulture,
                $"{address.Options} -c statement_timeout={milliseconds} -c lock_timeout={milliseconds / 3} -c client_min_messages=warning {Planner} {settings}").Trim(),
        };
        if (pool == 0)
            to.Remove("Maximum Pool Size");
        var builder = new NpgsqlDataSourceBuilder(to.ConnectionString);
        return to.Host!.Contains(',', StringComparison.Ordinal) ? builder.BuildMultiHost().WithTargetSession(TargetSessionAttributes.Primary) : builder.Build();
    }
}

using Dispatch.Invariants;
using Dispatch.Sequencing;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Sqlite;

namespace Dispatch.Host;

/// <summary>Checks a store against its own log: what <c>dispatch doctor</c> runs.</summary>
public static class StoreCheck
{
    /// <summary>The version of the SQLite library that would be used, e.g. <c>3.40.1</c>.</summary>
    /// <exception cref="BrokerStartException">There is none on this machine.</exception>
    public static string FindSqliteVersion()
    {
        try
        {
            return SqliteStore.LibraryVersion;
        }
        catch (DllNotFoundException missing)
        {
            throw new BrokerStartException(missing.Message, null, missing);
        }
    }

    /// <summary>
    /// Reads the whole file for damage (that of PostgreSQL is the server's own business: pg_amcheck), folds its log from the first event and compares what comes out with the tables. Reads only, so
    /// a broker may run beside it; when none does, no file is made beside the database.
    /// </summary>
    /// <param name="location">The file, or the address of a PostgreSQL: see <see cref="Configuration.DatabaseSettings.Location"/>.</param>
    /// <param name="progress">Told now and then how far it is; null: nobody.</param>
    /// <param name="stop">Ends the check.</param>
    /// <exception cref="BrokerStartException">The store can not be read.</exception>
    public static async Task<StoreReport> RunAsync(string location, IProgress<StoreProgress>? progress, CancellationToken stop)
    {
        try
        {
            if (PostgresUrl.IsScheme(location))
                return await CheckAsync(location, progress, stop);
            if (SqliteStore.IsAtRest(location) && await CheckAtRestAsync(location, progress, stop) is { } report)
                return report;
            return await CheckAsync(new SqliteStoreOptions { Path = location }, progress, stop);
        }
        catch (StoreException failure)
        {
            throw new BrokerStartException(failure.Message, null, failure);
        }
    }

    /// <summary>The same for a store that is open.</summary>
    /// <exception cref="StoreException">The store can not be read.</exception>
    internal static async Task<StoreReport> RunAsync(IStore store, string where, IProgress<StoreProgress>? progress, CancellationToken stop)
    {
        var damage = store is SqliteStore file ? await file.CheckIntegrityAsync(stop) : [];
        var report = await Invariants.StoreCheck.RunAsync(store, new StateOptions(), ownerFilter: null, progress, stop);
        return damage.Count == 0
            ? report
            : report with { Count = report.Count + damage.Count, Findings = [.. damage.Select(text => new Finding.Unreadable(where, text)), .. report.Findings] };
    }

    private static async Task<StoreReport> CheckAsync(string address, IProgress<StoreProgress>? progress, CancellationToken stop)
    {
        await using var store = Stores.OpenForReading(address);
        return await RunAsync(store, address, progress, stop);
    }

    // Null when a broker has come to the file meanwhile: pages of two states may then have been read.
    private static async Task<StoreReport?> CheckAtRestAsync(string databaseFile, IProgress<StoreProgress>? progress, CancellationToken stop)
    {
        var before = Stamp(databaseFile);
        try
        {
            var report = await CheckAsync(new SqliteStoreOptions { Path = databaseFile, AtRest = true }, progress, stop);
            return IsUntouched() ? report : null;
        }
        catch (StoreException) when (!IsUntouched())
        {
            return null;
        }

        bool IsUntouched() => SqliteStore.IsAtRest(databaseFile) && Stamp(databaseFile) == before;
    }

    private static (DateTime Written, long Length) Stamp(string file)
    {
        var about = new FileInfo(file);
        return about.Exists ? (about.LastWriteTimeUtc, about.Length) : default;
    }

    private static async Task<StoreReport> CheckAsync(SqliteStoreOptions options, IProgress<StoreProgress>? progress, CancellationToken stop)
    {
        await using var store = SqliteStore.OpenForReading(options);
        return await RunAsync(store, options.Path, progress, stop);
    }
}

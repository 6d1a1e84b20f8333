using Dispatch.Invariants;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite;

namespace Dispatch.Host;

/// <summary>Checks a store against its own log: what <c>dispatch doctor</c> runs.</summary>
public static class StoreCheck
{
    /// <summary>
    /// Reads the whole file for damage, folds its log from the first event and compares what comes out with the tables. Reads only, so
    /// a broker may run beside it.
    /// </summary>
    /// <param name="databaseFile">The database.</param>
    /// <param name="progress">Told now and then how far it is; null: nobody.</param>
    /// <param name="stop">Ends the check.</param>
    /// <exception cref="BrokerStartException">The store can not be read.</exception>
    public static async Task<StoreReport> RunAsync(string databaseFile, IProgress<StoreProgress>? progress, CancellationToken stop)
    {
        try
        {
            await using var store = SqliteStore.OpenForReading(new SqliteStoreOptions { Path = databaseFile });
            var damage = await store.CheckIntegrityAsync(stop);
            var report = await Invariants.StoreCheck.RunAsync(store, new StateOptions(), ownerFilter: null, progress, stop);
            return damage.Count == 0
                ? report
                : report with { Count = report.Count + damage.Count, Findings = [.. damage.Select(text => new Finding.Unreadable(databaseFile, text)), .. report.Findings] };
        }
        catch (StoreException failure)
        {
            throw new BrokerStartException(failure.Message, null, failure);
        }
    }
}

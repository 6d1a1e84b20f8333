namespace Dispatch.Host;

/// <summary>Checks a store against its own log: what <c>dispatch doctor</c> runs.</summary>
public static class StoreCheck
{
    /// <summary>Folds the log from its first event and compares what comes out with the tables. Reads only, so a broker may run beside it.</summary>
    /// <param name="databaseFile">The database.</param>
    /// <param name="stop">Ends the check.</param>
    /// <exception cref="BrokerStartException">The store can not be read.</exception>
    public static Task<StoreReport> RunAsync(string databaseFile, CancellationToken stop) =>
        throw new BrokerStartException($"This build can not check a store, and leaves {databaseFile} alone.", "Build it with: make build");
}

/// <summary>What a check of a store found.</summary>
/// <param name="Events">Events folded, which is the number of the last one.</param>
/// <param name="Tasks">Tasks compared.</param>
/// <param name="Differences">A sentence for each thing that is wrong; empty when the store is sound.</param>
public sealed record StoreReport(long Events, long Tasks, IReadOnlyList<string> Differences);

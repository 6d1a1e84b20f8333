using Dispatch.Host.Configuration;
using Dispatch.Invariants;
using Dispatch.Sequencing;
using Dispatch.Storage.Copying;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Sqlite;

namespace Dispatch.Host;

/// <summary>Where a store is, as a person writes it.</summary>
/// <param name="Url"><c>sqlite://PATH</c> or <c>postgresql://...</c>, as in the setting <c>database.url</c>.</param>
/// <param name="Namespace">With PostgreSQL: which namespace; null: <c>default</c>, which is the one brokers use.</param>
public sealed record StoreAddress(string Url, string? Namespace)
{
    /// <summary>What is wrong with it, without a password; null: nothing.</summary>
    public string? FindFault()
    {
        if (PostgresUrl.IsScheme(Url))
        {
            return PostgresUrl.FindFault(Url)
                ?? (Namespace is null || PostgresStoreOptions.IsNamespace(Namespace) ? null : $"'{Namespace}' is no namespace: 1 to 40 of a-z, 0-9, - and _, the first a letter or digit.");
        }

        if (!SqliteUrl.IsValid(Url))
            return "It is neither sqlite:// with the path of a file nor the postgresql:// address of a database.";
        return Namespace is null ? null : "A file has no namespaces; they are PostgreSQL's.";
    }

    internal StorePlace Place => PostgresUrl.IsScheme(Url)
        ? new StorePlace.Database(Namespace is null ? new PostgresStoreOptions { Url = Url } : new PostgresStoreOptions { Url = Url, Namespace = Namespace })
        : new StorePlace.File(new SqliteStoreOptions { Path = new DatabaseSettings { Url = Url }.FilePath });
}

/// <summary>Copies a store to another place and checks the copy: what <c>dispatch store copy</c> runs.</summary>
public static class StoreCopies
{
    private const int FaultsTold = 5;

    /// <summary>Copies everything, or goes on with a copy that was interrupted. No broker can start on either store meanwhile, and none on the copy before it is checked.</summary>
    /// <param name="from">The source: only read, but held against brokers.</param>
    /// <param name="to">The target: empty, or this copy interrupted.</param>
    /// <param name="progress">Told now and then how far it is; null: nobody.</param>
    /// <param name="stop">Ends it; the same call goes on later.</param>
    /// <exception cref="BrokerStartException">It was refused or failed; the message says what to do.</exception>
    public static async Task<CopyReport> RunAsync(StoreAddress from, StoreAddress to, IProgress<CopyProgress>? progress, CancellationToken stop)
    {
        if (from.Place == to.Place)
            throw new BrokerStartException("Source and target are the same store.", "Give another target with --to.");
        try
        {
            var report = await StoreCopy.RunAsync(from.Place, to.Place, CheckAsync, progress, TimeProvider.System, stop);
            if (to.Place is StorePlace.Database database)
                await AnnounceAsync(database.Options);
            return report;
        }
        catch (StoreException refusal)
        {
            throw new BrokerStartException(refusal.Message, null, refusal);
        }

        async Task CheckAsync(IStore store, CopyProgress start)
        {
            progress?.Report(start);
            var report = await StoreCheck.RunAsync(store, "the copy", progress is null ? null : new CheckProgress(progress, start), stop);
            if (report.Events != start.Total)
                throw new BrokerStartException($"The copy has {report.Events} events, not {start.Total}. Remove it and copy again.");
            if (!report.IsSound)
            {
                throw new BrokerStartException(
                    $"The copy keeps not all rules ({report.Count} faults): {string.Join("; ", report.Findings.Take(FaultsTold).Select(found => found.ToString()))}",
                    "Look at the source with: dispatch doctor. When that is sound, remove the copy and copy again.");
            }
        }
    }

    // The nodes on the database serve it from now on.
    private static async Task AnnounceAsync(PostgresStoreOptions options)
    {
        await using var tables = await ClusterTables.OpenAsync(options.Url, CancellationToken.None);
        await tables.CreateNamespaceAsync(options.Namespace, CancellationToken.None);
    }

    private sealed class CheckProgress(IProgress<CopyProgress> outer, CopyProgress start) : IProgress<StoreProgress>
    {
        public void Report(StoreProgress value) => outer.Report(start with { Rows = value.Events });
    }
}

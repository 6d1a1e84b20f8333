using Dispatch.Bench.Reporting;
using Dispatch.Bench.Targets;
using Dispatch.Servers;

namespace Dispatch.Bench.Rows;

/// <summary>What the rows of one run share: arguments, the bare endpoint's figures, a place for stores.</summary>
/// <param name="postgres">The server that brokers store in; null: they store in SQLite.</param>
internal sealed class Bench(BenchArguments arguments, string directory, PostgresServer? postgres, CancellationToken cancellation)
{
    private readonly HashSet<string> databases = [];
    private int _stores;

    public BenchArguments Arguments => arguments;

    public CancellationToken Cancellation => cancellation;

    /// <summary>What the bare endpoint did in this run; known to every row after <see cref="BareRow"/>.</summary>
    public BareFigures Bare { get; set; } = new();

    /// <summary>A new empty directory for a broker or the bare server.</summary>
    public string NewDirectory() =>
        Directory.CreateDirectory(Path.Combine(directory, $"{++_stores}")).FullName;

    /// <summary>Runs a row on a broker with a new store, which is gone afterwards.</summary>
    public async Task<RowResult> OnBrokerAsync(Func<BrokerProcess, Task<RowResult>> row)
    {
        var store = NewDirectory();
        var result = await OnStoreAsync(store, row);
        Directory.Delete(store, recursive: true);
        return result;
    }

    /// <summary>The address of the database for a store's directory, which has its name; null: a file in it.</summary>
    public async Task<string?> DatabaseOfAsync(string store)
    {
        if (postgres is null)
            return null;
        var name = "bench_" + Path.GetFileName(store);
        if (databases.Add(name))
            await postgres.CreateDatabaseAsync(name);
        return postgres.Url(name);
    }

    /// <summary>Starts a broker on a store, does something with it and stops it. Its last words go with a failure.</summary>
    public async Task<T> OnStoreAsync<T>(string store, Func<BrokerProcess, Task<T>> work)
    {
        await using var broker = await BrokerProcess.StartAsync(arguments.Broker, store, await DatabaseOfAsync(store), cancellation);
        try
        {
            var result = await work(broker);
            await broker.StopAsync();
            return result;
        }
        catch (Exception failure) when (!cancellation.IsCancellationRequested)
        {
            throw new RunFailedException($"{failure.Message}\n{broker.LastOutput()}", failure);
        }
    }
}

/// <summary>The bare endpoint's numbers; NaN until measured.</summary>
internal sealed record BareFigures
{
    public double Rate { get; init; } = double.NaN;

    public double P99Ms { get; init; } = double.NaN;

    public double P50Ms { get; init; } = double.NaN;

    public double P999Ms { get; init; } = double.NaN;

    public double PacedP50Ms { get; init; } = double.NaN;

    public double PacedP99Ms { get; init; } = double.NaN;

    public double ResidentMiB { get; init; } = double.NaN;

    public double StartSeconds { get; init; } = double.NaN;
}

using Dispatch.Bench.Reporting;
using Dispatch.Bench.Targets;

namespace Dispatch.Bench.Rows;

/// <summary>What the rows of one run share: arguments, the bare endpoint's figures, a place for stores.</summary>
internal sealed class Bench(BenchArguments arguments, string directory, CancellationToken cancellation)
{
    private int _stores;

    public BenchArguments Arguments => arguments;

    public CancellationToken Cancellation => cancellation;

    /// <summary>What the bare endpoint did in this run; known to every row after <see cref="BareRow"/>.</summary>
    public BareFigures Bare { get; set; } = new();

    /// <summary>A new empty directory for a broker or the bare server.</summary>
    public string NewDirectory() =>
        Directory.CreateDirectory(Path.Combine(directory, $"{++_stores}")).FullName;

    public Task<BrokerProcess> StartBrokerAsync(string store) =>
        BrokerProcess.StartAsync(arguments.Broker, store, cancellation);

    /// <summary>Runs a row on a broker with a new store, which is gone afterwards. The broker's last words go with a failure.</summary>
    public async Task<RowResult> OnBrokerAsync(Func<BrokerProcess, Task<RowResult>> row)
    {
        var store = NewDirectory();
        try
        {
            await using var broker = await StartBrokerAsync(store);
            try
            {
                var result = await row(broker);
                await broker.StopAsync();
                return result;
            }
            catch (Exception failure) when (!cancellation.IsCancellationRequested)
            {
                throw new RunFailedException($"{failure.Message}\n{broker.LastOutput()}", failure);
            }
        }
        finally
        {
            Directory.Delete(store, recursive: true);
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

using Dispatch.Bench.Load;
using Dispatch.Bench.Measuring;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Rows;

/// <summary>
/// The rows <c>memory</c> and <c>start</c>: how much room a million waiting tasks take, and how long a start takes with
/// none of them and with all. They share the one big store.
/// </summary>
internal static class StoreRows
{
    private const int ContextBytes = 500;

    // A context of 500 bytes a thousand times stays under the body limit of 1 MiB.
    private const int TasksPerRequest = 1_000;

    private static readonly TimeSpan LongestSettling = TimeSpan.FromSeconds(60);

    public static async Task<RowResult> RunAsync(Bench bench)
    {
        var arguments = bench.Arguments;
        var tasks = arguments.Quick ? 100_000 : 1_000_000;
        var notJudged = arguments.Quick ? $"only {tasks:#,0} tasks" : null;
        List<Measure> measures = [];
        List<string> notes = [];

        List<double> newStores = arguments.Wants("start") ? await StartOnNewStoresAsync(bench, arguments.Quick ? 3 : 7) : [];
        var big = bench.NewDirectory();
        var filled = await FillAsync(bench, big, tasks);
        var fileMiB = StoreMiB(big);
        List<double> restarts = [];
        Resident? restarted = null;
        for (var i = 0; i < (arguments.Quick || newStores.Count == 0 ? 1 : 3); i++)
        {
            restarts.Add(await bench.OnStoreAsync(big, async broker =>
            {
                await broker.ExpectAsync("pending", tasks, bench.Cancellation);
                restarted ??= await SettledAsync(broker.Gauge, bench.Cancellation);
                return broker.StartSeconds;
            }));
        }

        Directory.Delete(big, recursive: true);
        if (arguments.Wants("memory"))
        {
            var settled = new Measure("memory", $"{tasks:#,0} tasks with {ContextBytes} bytes, settled", filled.MiB, "MiB");
            var again = new Measure("memory", "the same after a restart", restarted!.MiB, "MiB");
            Measure[] both = [settled, again];
            measures.AddRange(both.Select(one => one with { Must = 1024, Aim = 600, Bare = bench.Bare.ResidentMiB, NotJudged = notJudged }));
            notes.Add($"settled: {filled}; after a restart: {restarted}");
        }

        if (arguments.Wants("start"))
        {
            var onNew = new Measure("start", "until ready, new store", Median(newStores), "s");
            var onBig = new Measure("start", $"until ready, {tasks:#,0} waiting tasks", Median(restarts), "s");
            measures.Add(onNew with { Must = 1, Aim = 0.3, Bare = bench.Bare.StartSeconds });
            measures.Add(onBig with { Must = 8, Aim = 4, Bare = bench.Bare.StartSeconds, NotJudged = notJudged });
            notes.Add($"starts on new stores {Listed(newStores)} s; on the store of {fileMiB:#,0} MiB {Listed(restarts)} s; the median counts, file cache warm");
        }

        return new RowResult(measures, notes);
    }

    private static Task<Resident> FillAsync(Bench bench, string store, int tasks) => bench.OnStoreAsync(store, async broker =>
    {
        using var loop = new EventLoop(bench.Cancellation);
        ClosedLoop.Fill(loop, broker.Target, TaskRequest.BulkWithContext(broker.Target, TasksPerRequest, ContextBytes), tasks);
        await broker.ExpectAsync("pending", tasks, bench.Cancellation);
        return await SettledAsync(broker.Gauge, bench.Cancellation);
    });

    // Settled: for ten seconds within 1 % of where it is now. What it was before is told as well, because a container's limit sees it.
    private static async Task<Resident> SettledAsync(ProcessGauge gauge, CancellationToken cancellation)
    {
        const int Steady = 10;
        var first = gauge.ResidentMiB;
        var reference = first;
        var steady = 0;
        var waited = 0;
        for (; steady < Steady && waited < LongestSettling.TotalSeconds; waited++)
        {
            await Task.Delay(TimeSpan.FromSeconds(1), cancellation);
            var now = gauge.ResidentMiB;
            steady = Math.Abs(now - reference) <= reference * 0.01 ? steady + 1 : 0;
            reference = steady == 0 ? now : reference;
        }

        return new Resident(gauge.ResidentMiB, gauge.AnonymousMiB, first, gauge.PeakMiB, waited);
    }

    private static async Task<List<double>> StartOnNewStoresAsync(Bench bench, int times)
    {
        var seconds = new List<double>();
        for (var i = 0; i < times; i++)
        {
            var store = bench.NewDirectory();
            seconds.Add(await bench.OnStoreAsync(store, broker => Task.FromResult(broker.StartSeconds)));
            Directory.Delete(store, recursive: true);
        }

        return seconds;
    }

    private static double Median(List<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted[sorted.Count / 2];
    }

    private static string Listed(List<double> seconds) => string.Join(", ", seconds.Select(value => $"{value:0.000}"));

    private static double StoreMiB(string store) =>
        new DirectoryInfo(Path.Combine(store, "data")).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length) / (1024.0 * 1024);

    private sealed record Resident(double MiB, double AnonymousMiB, double FirstMiB, double PeakMiB, int WaitedSeconds)
    {
        public override string ToString() =>
            $"{MiB:#,0} MiB after {WaitedSeconds} s, {AnonymousMiB:#,0} of it anonymous; {FirstMiB:#,0} at first, {PeakMiB:#,0} at the most";
    }
}

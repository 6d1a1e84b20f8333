using System.Diagnostics;
using Dispatch.Bench.Load;
using Dispatch.Bench.Measuring;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Targets;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Rows;

/// <summary>What following the log costs: a thousand readers, readers that stall, and rebuilding the state from it.</summary>
internal static class EventRows
{
    private const int Readers = 1_000;
    private const int Stalled = 100;
    private const int TasksPerSecond = 100;

    public static async Task<RowResult> RunAsync(Bench bench)
    {
        var readers = await bench.OnBrokerAsync(broker => ReadersAsync(bench, broker));
        var stalled = await bench.OnBrokerAsync(broker => StalledAsync(bench, broker));
        var replay = await ReplayAsync(bench);
        return new RowResult([.. readers.Measures, .. stalled.Measures, .. replay.Measures], [.. readers.Notes, .. stalled.Notes, .. replay.Notes]);
    }

    // Each task is two events: created, and told that nobody can do it.
    private static async Task<RowResult> ReadersAsync(Bench bench, BrokerProcess broker)
    {
        await LifeRow.LiveAsync(bench, broker, "warm", bench.Arguments.WarmUp);
        var head = await broker.CountAsync("completed", bench.Cancellation);
        using var readers = await StreamReaders.OpenAsync(broker.Target, broker.AdminToken, "", Readers, stalled: false, bench.Cancellation);
        using var loop = new EventLoop(bench.Cancellation);
        var count = (long)(TasksPerSecond * bench.Arguments.Time.TotalSeconds);
        using var load = new PacedLoad(loop, broker.Target, TasksPerSecond, count);
        var window = Window.Open(broker.Gauge);
        loop.Run(() => load.Finished || load.Refusals.Count > 0, bench.Arguments.Time + TimeSpan.FromSeconds(15));
        await Task.Delay(TimeSpan.FromSeconds(1), bench.Cancellation);
        var figures = window.Close();
        if (load.Refusals.Count > 0)
            throw new RunFailedException($"Submits were refused: {load.Refusals}");
        if (readers.Lost > 0)
            throw new RunFailedException($"{readers.Lost} of {Readers} readers were cut off.");
        return new RowResult(
            [
                new Measure("events", $"{Readers:#,0} readers at {2 * TasksPerSecond}/s, longest lag", readers.Lag.MaximumNs / 1e6, "ms") { Must = 1_000 },
                new Measure("events", "the broker meanwhile, of one core", figures.ServerCores * 100, "%") { Must = 100 },
            ],
            [$"{figures}; {readers.Lag.Count:#,0} pieces, lag p50 {readers.Lag.PercentileMs(50):0} ms, p99 {readers.Lag.PercentileMs(99):0} ms; {readers.Bytes / 1e6:#,0} MB to {Readers:#,0} readers after {head:#,0} lives"]);
    }

    // Turn and turn about, because the machine's mood changes more than the stalled readers do.
    private static async Task<RowResult> StalledAsync(Bench bench, BrokerProcess broker)
    {
        const int Rounds = 4;
        await LifeRow.LiveAsync(bench, broker, "warm", bench.Arguments.WarmUp);
        List<double> alone = [], beside = [];
        for (var round = 0; round < Rounds; round++)
        {
            alone.Add((await LifeRow.LiveAsync(bench, broker, $"alone-{round}", bench.Arguments.Time / 2)).Rate);
            using var stalled = await StreamReaders.OpenAsync(broker.Target, broker.AdminToken, "after=0", Stalled, stalled: true, bench.Cancellation);
            beside.Add((await LifeRow.LiveAsync(bench, broker, $"beside-{round}", bench.Arguments.Time / 2)).Rate);
        }

        return new RowResult(
            [new Measure("events", $"whole lives lost to {Stalled} stalled readers", Math.Max(0, 1 - (beside.Average() / alone.Average())) * 100, "%") { Must = 5, Aim = 1 }],
            [$"lives without {string.Join(", ", alone.Select(rate => $"{rate:#,0}"))}/s, beside stalled readers {string.Join(", ", beside.Select(rate => $"{rate:#,0}"))}/s, turn and turn about"]);
    }

    private static async Task<RowResult> ReplayAsync(Bench bench)
    {
        var tasks = bench.Arguments.Quick ? 100_000 : 500_000;
        var store = bench.NewDirectory();
        await bench.OnStoreAsync(store, async broker =>
        {
            using var loop = new EventLoop(bench.Cancellation);
            ClosedLoop.Fill(loop, broker.Target, TaskRequest.BulkWithContext(broker.Target, 1_000, 100), tasks);
            await broker.ExpectAsync("pending", tasks, bench.Cancellation);
            return true;
        });

        var began = Stopwatch.GetTimestamp();
        var program = new ProcessStartInfo(bench.Arguments.Broker, ["events", "replay", "--data-dir", Path.Combine(store, "data")]) { RedirectStandardOutput = true, UseShellExecute = false };
        using var replay = Process.Start(program)!;
        var told = await replay.StandardOutput.ReadToEndAsync(bench.Cancellation);
        await replay.WaitForExitAsync(bench.Cancellation);
        var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        Directory.Delete(store, recursive: true);
        if (replay.ExitCode != 0 || !told.StartsWith("as of event ", StringComparison.Ordinal))
            throw new RunFailedException($"The replay came to {replay.ExitCode}: {told}");

        var events = long.Parse(told["as of event ".Length..told.IndexOf(',', StringComparison.Ordinal)], System.Globalization.CultureInfo.InvariantCulture);
        return new RowResult(
            [new Measure("events", "replayed from SQLite into a state", events / seconds, "/s") { Must = 300_000, Aim = 1_000_000 }],
            [$"{events:#,0} events in {seconds:0.00} s by `dispatch events replay`, its start included; the file cache is warm"]);
    }
}

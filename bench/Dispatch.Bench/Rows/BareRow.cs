using Dispatch.Bench.Load;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Targets;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Rows;

/// <summary>The yardstick: the same client against a Kestrel endpoint that does nothing.</summary>
internal static class BareRow
{
    public static async Task<RowResult> RunAsync(Bench bench)
    {
        var arguments = bench.Arguments;
        await using var server = await BareProcess.StartAsync(bench.NewDirectory(), bench.Cancellation);
        var resident = server.Gauge.ResidentMiB;
        using var loop = new EventLoop(bench.Cancellation);

        using var load = new SubmitLoad(loop, server.Target, TaskRequest.Single(server.Target), SubmitRow.Connections);
        var figures = ClosedLoop.Run(loop, load, arguments, server.Gauge);

        var perSecond = LatencyRow.PerSecond;
        var count = (long)(perSecond * (arguments.Time.TotalSeconds + 1));
        using var paced = new PacedLoad(loop, server.Target, perSecond, count) { FirstCounted = perSecond };
        if (!loop.Run(() => paced.Finished, arguments.Time + TimeSpan.FromSeconds(10)))
            throw new RunFailedException("The bare endpoint did not answer every paced request.");

        bench.Bare = new BareFigures
        {
            Rate = load.Accepted / figures.Seconds,
            P50Ms = load.Latency.PercentileMs(50),
            P99Ms = load.Latency.PercentileMs(99),
            P999Ms = load.Latency.PercentileMs(99.9),
            PacedP50Ms = paced.Answered.PercentileMs(50),
            PacedP99Ms = paced.Answered.PercentileMs(99),
            ResidentMiB = resident,
            StartSeconds = server.StartSeconds,
        };
        var bare = bench.Bare;
        return new RowResult(
            [
                new Measure("bare", $"requests, {SubmitRow.Connections} connections", bare.Rate, "/s"),
                new Measure("bare", "p50", bare.P50Ms, "ms"),
                new Measure("bare", "p99", bare.P99Ms, "ms"),
                new Measure("bare", "p99.9", bare.P999Ms, "ms"),
                new Measure("bare", $"p50 at {perSecond}/s", bare.PacedP50Ms, "ms"),
                new Measure("bare", $"p99 at {perSecond}/s", bare.PacedP99Ms, "ms"),
                new Measure("bare", "resident after start", bare.ResidentMiB, "MiB"),
                new Measure("bare", "start", bare.StartSeconds, "s"),
            ],
            [$"{figures.PerTask(load.Accepted)}; client late by p99 {paced.SendDelay.PercentileMs(99):0.00} ms when paced"]);
    }
}

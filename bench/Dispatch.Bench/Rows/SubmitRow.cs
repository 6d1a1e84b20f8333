using Dispatch.Bench.Load;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Rows;

/// <summary>One task a request, each durable before its answer. The one agent is full, so the tasks wait.</summary>
internal static class SubmitRow
{
    public const int Connections = 64;

    public static Task<RowResult> RunAsync(Bench bench) => bench.OnBrokerAsync(async broker =>
    {
        await using var full = await broker.AddFullAgentAsync(bench.Cancellation);
        using var loop = new EventLoop(bench.Cancellation);
        var request = TaskRequest.Single(broker.Target);
        using var load = new SubmitLoad(loop, broker.Target, request, Connections);
        var figures = ClosedLoop.Run(loop, load, bench.Arguments, broker.Gauge);
        await broker.ExpectAsync("pending", load.AcceptedInAll - 1, bench.Cancellation);

        List<string> notes = [$"{figures.PerTask(load.Accepted)}; bodies of {request.BodyBytes} bytes; the broker counts all {load.AcceptedInAll:#,0} tasks"];
        if (load.Refusals.Count > 0)
            notes.Add($"put off: {load.Refusals}");

        return new RowResult(
            [
                new Measure("submit", $"single submits, {Connections} connections", load.Accepted / figures.Seconds, "/s")
                {
                    Must = 25_000, Aim = 0.6 * bench.Bare.Rate, Bare = bench.Bare.Rate,
                },
                new Measure("submit", "p50", load.Latency.PercentileMs(50), "ms") { Bare = bench.Bare.P50Ms },
                new Measure("submit", "p99", load.Latency.PercentileMs(99), "ms") { Must = 10, Bare = bench.Bare.P99Ms },
                new Measure("submit", "p99.9", load.Latency.PercentileMs(99.9), "ms") { Bare = bench.Bare.P999Ms },
            ],
            notes);
    });
}

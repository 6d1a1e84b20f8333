using Dispatch.Bench.Load;
using Dispatch.Bench.Measuring;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Rows;

/// <summary>
/// How long a task is on its way: from the time it was to be submitted to the time a worker, waiting in its exchange,
/// holds it. An open loop at a rate that leaves the broker mostly idle.
/// </summary>
internal static class LatencyRow
{
    public const int PerSecond = 200;

    private static readonly CrewShape Shape = new(Workers: 1, Max: 64, WaitMs: 30_000);

    public static Task<RowResult> RunAsync(Bench bench) => bench.OnBrokerAsync(async broker =>
    {
        await LifeRow.LiveAsync(bench, broker, "warm", bench.Arguments.WarmUp);
        var before = await broker.CountAsync("completed", bench.Cancellation);

        const int Uncounted = PerSecond;
        var count = (long)(PerSecond * bench.Arguments.Time.TotalSeconds) + Uncounted;
        using var loop = new EventLoop(bench.Cancellation);
        var onItsWay = new LatencyHistogram();
        PacedLoad? load = null;
        using var crew = new Crew(loop, broker.Target, "near", Shape)
        {
            Expected = count,
            Held = (number, at) =>
            {
                if (number >= Uncounted)
                    onItsWay.Record(load!.IntendedAt(number), at);
            },
        };
        await broker.RegisterAsync(crew.AgentIds, Shape.Max, bench.Cancellation);
        crew.Start();
        using var paced = load = new PacedLoad(loop, broker.Target, PerSecond, count) { FirstCounted = Uncounted };
        var window = Window.Open(broker.Gauge);
        loop.Run(
            () => (crew.Finished && paced.Finished) || paced.Refusals.Count + crew.Refusals.Faults + crew.NotAccepted > 0,
            bench.Arguments.Time + TimeSpan.FromSeconds(15));
        var figures = window.Close();

        if (paced.Refusals.Count > 0)
            throw new RunFailedException($"Submits were refused: {paced.Refusals}");

        crew.Refusals.ThrowOnFault();
        if (crew.Completed != count || crew.Delivered != count)
            throw new RunFailedException($"Of {count} tasks {crew.Delivered} were delivered, {crew.Completed} completed.");

        await broker.ExpectAsync("completed", before + count, bench.Cancellation);
        return new RowResult(
            [
                new Measure("latency", $"submit to worker at {PerSecond}/s, p50", onItsWay.PercentileMs(50), "ms")
                {
                    Must = 1.0, Aim = 0.6, Bare = bench.Bare.PacedP50Ms,
                },
                new Measure("latency", $"submit to worker at {PerSecond}/s, p99", onItsWay.PercentileMs(99), "ms")
                {
                    Must = 5, Aim = 3, Bare = bench.Bare.PacedP99Ms,
                },
                new Measure("latency", "submit to its answer, p50", paced.Answered.PercentileMs(50), "ms") { Bare = bench.Bare.PacedP50Ms },
                new Measure("latency", "submit to its answer, p99", paced.Answered.PercentileMs(99), "ms") { Bare = bench.Bare.PacedP99Ms },
            ],
            [
                $"{figures.PerTask(count)}; {onItsWay.Count:#,0} tasks, from their intended time; longest {onItsWay.MaximumNs / 1e6:0.00} ms; "
                + $"client late by p50 {paced.SendDelay.PercentileMs(50):0.00} ms, p99 {paced.SendDelay.PercentileMs(99):0.00} ms (included)",
            ]);
    });
}

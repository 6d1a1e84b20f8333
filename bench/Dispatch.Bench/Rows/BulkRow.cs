using Dispatch.Bench.Load;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Rows;

/// <summary>A thousand tasks a request, all or none.</summary>
internal static class BulkRow
{
    private const int Connections = 8;
    private const int TasksPerRequest = 1_000;

    // They stay in the broker's memory; more would measure the machine's size.
    private const int MostTasks = 1_500_000;

    public static Task<RowResult> RunAsync(Bench bench) => bench.OnBrokerAsync(async broker =>
    {
        await using var full = await broker.AddFullAgentAsync(bench.Cancellation);
        using var loop = new EventLoop(bench.Cancellation);
        var request = TaskRequest.Bulk(broker.Target, TasksPerRequest);
        using var load = new SubmitLoad(loop, broker.Target, request, Connections);
        var figures = ClosedLoop.Run(loop, load, bench.Arguments, broker.Gauge, MostTasks);
        await broker.ExpectAsync("pending", load.AcceptedInAll - 1, bench.Cancellation);

        List<string> notes =
        [
            $"{figures.PerTask(load.Accepted)}; {Connections} connections, bodies of {request.BodyBytes:#,0} bytes, {load.Accepted:#,0} tasks in {figures.Seconds:0.0} s; "
            + $"a request p50 {load.Latency.PercentileMs(50):0.0} ms, p99 {load.Latency.PercentileMs(99):0.0} ms",
        ];
        if (load.Refusals.Count > 0)
            notes.Add($"put off: {load.Refusals}");

        return new RowResult(
            [
                new Measure("bulk", $"tasks, {TasksPerRequest:#,0} a request", load.Accepted / figures.Seconds, "/s")
                {
                    Must = 120_000, Aim = 250_000, Bare = bench.Bare.Rate,
                },
            ],
            notes);
    });
}

using System.Diagnostics;
using Dispatch.Bench.Load;
using Dispatch.Bench.Measuring;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Rows;

/// <summary>A backlog worked off: the tasks wait before the first agent exists; the clock runs from the first registration.</summary>
internal static class DrainRow
{
    private static readonly CrewShape Shape = new(Workers: 8, Max: 500, WaitMs: 100);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    public static Task<RowResult> RunAsync(Bench bench) => bench.OnBrokerAsync(async broker =>
    {
        var tasks = bench.Arguments.Quick ? 50_000 : 200_000;
        await LifeRow.LiveAsync(bench, broker, "warm", bench.Arguments.WarmUp);
        var before = await broker.CountAsync("completed", bench.Cancellation);

        using var loop = new EventLoop(bench.Cancellation);
        ClosedLoop.Fill(loop, broker.Target, TaskRequest.Bulk(broker.Target, 1_000), tasks);
        await broker.ExpectAsync("pending", tasks, bench.Cancellation);

        using var crew = new Crew(loop, broker.Target, "drain", Shape) { Expected = tasks };
        var window = Window.Open(broker.Gauge);
        var start = Stopwatch.GetTimestamp();
        await broker.RegisterAsync(crew.AgentIds, Shape.Max, bench.Cancellation);
        crew.Start();
        loop.Run(() => crew.Finished || crew.Refusals.Faults + crew.NotAccepted > 0, Patience);
        var figures = window.Close();

        crew.Refusals.ThrowOnFault();
        if (crew.Completed != tasks || crew.Delivered != tasks || crew.NotAccepted > 0)
            throw new RunFailedException($"Of {tasks} tasks {crew.Delivered} were delivered, {crew.Completed} completed, {crew.NotAccepted} completions not accepted.");

        await broker.ExpectAsync("completed", before + tasks, bench.Cancellation);
        return new RowResult(
            [
                new Measure("drain", $"{tasks:#,0} waiting tasks, {Shape.Workers} workers", tasks / Stopwatch.GetElapsedTime(start, crew.LastCompletedAt).TotalSeconds, "/s")
                {
                    Must = 60_000, Aim = 120_000, Bare = bench.Bare.Rate,
                },
            ],
            [$"{figures.PerTask(tasks)}; workers take at most {Shape.Max}, {(double)tasks / crew.Exchanges:0} tasks an exchange"]);
    });
}

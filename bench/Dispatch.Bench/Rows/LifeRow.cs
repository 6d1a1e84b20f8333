using System.Diagnostics;
using Dispatch.Bench.Load;
using Dispatch.Bench.Measuring;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Targets;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Rows;

/// <summary>Whole lives: submitted singly, matched, delivered by the exchange, reported completed.</summary>
internal static class LifeRow
{
    private const int Connections = 48;

    private static readonly CrewShape Shape = new(Workers: 8, Max: 128, WaitMs: 100);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static Task<RowResult> RunAsync(Bench bench) => bench.OnBrokerAsync(async broker =>
    {
        await LiveAsync(bench, broker, "warm", bench.Arguments.WarmUp);
        var life = await LiveAsync(bench, broker, "life", bench.Arguments.Time);
        return new RowResult(
            [
                new Measure("life", $"whole lives, {Shape.Workers} workers", life.Rate, "/s")
                {
                    Must = 14_000, Aim = 20_000, Bare = bench.Bare.Rate,
                },
                new Measure("life", "completed while submitting", life.SteadyRate, "/s") { Bare = bench.Bare.Rate },
                new Measure("life", "submit p99 meanwhile", life.SubmitP99Ms, "ms") { Bare = bench.Bare.P99Ms },
            ],
            life.Notes);
    });

    /// <summary>Lives tasks for a time on a broker, with agents of its own that leave at the end. Also how other rows warm a broker up.</summary>
    public static async Task<LifeFigures> LiveAsync(Bench bench, BrokerProcess broker, string name, TimeSpan time)
    {
        var before = await broker.CountAsync("completed", bench.Cancellation);
        using var loop = new EventLoop(bench.Cancellation);
        using var load = new SubmitLoad(loop, broker.Target, TaskRequest.Single(broker.Target), Connections);
        using var crew = new Crew(loop, broker.Target, name, Shape);
        await broker.RegisterAsync(crew.AgentIds, Shape.Max, bench.Cancellation);

        var window = Window.Open(broker.Gauge);
        var start = Stopwatch.GetTimestamp();
        crew.Start();
        load.Start();
        bool Broken() => load.Refusals.Faults + crew.Refusals.Faults + crew.NotAccepted > 0;
        loop.Run(Broken, time * 0.2);
        var (steadyStart, steadyCompleted) = (Stopwatch.GetTimestamp(), crew.Completed);
        loop.Run(Broken, time * 0.8);
        var steadyRate = (crew.Completed - steadyCompleted) / Stopwatch.GetElapsedTime(steadyStart).TotalSeconds;
        load.Stop();
        loop.Run(() => load.Outstanding == 0 || Broken(), Patience);
        var backlog = load.AcceptedInAll - crew.Completed;
        crew.Expected = load.AcceptedInAll;
        loop.Run(() => crew.Finished || Broken(), Patience);
        var figures = window.Close();

        load.Refusals.ThrowOnFault();
        crew.Refusals.ThrowOnFault();
        if (crew.NotAccepted > 0)
            throw new RunFailedException($"{crew.NotAccepted} completions were not accepted.");
        if (!crew.Finished || crew.Completed != load.AcceptedInAll || crew.Delivered != load.AcceptedInAll)
            throw new RunFailedException($"{load.AcceptedInAll} tasks submitted, {crew.Delivered} delivered, {crew.Completed} completed.");

        await broker.ExpectAsync("completed", before + crew.Completed, bench.Cancellation);
        await broker.DeregisterAsync(crew.AgentIds, bench.Cancellation);

        List<string> notes =
        [
            $"{figures.PerTask(crew.Completed)}; {Connections} submitting connections, workers take at most {Shape.Max}, {(double)crew.Delivered / crew.Exchanges:0.0} tasks an exchange; "
            + $"{crew.Completed:#,0} completed by both counts, {backlog:#,0} of them after the last submit",
        ];
        if (load.Refusals.Count + crew.Refusals.Count > 0)
            notes.Add($"put off: {load.Refusals} {crew.Refusals}");

        return new LifeFigures(
            crew.Completed / Stopwatch.GetElapsedTime(start, crew.LastCompletedAt).TotalSeconds,
            steadyRate,
            load.Latency.PercentileMs(99),
            notes);
    }
}

/// <summary>What came of living tasks for a while.</summary>
/// <param name="Rate">Tasks a second, from the first submit to the answer to the last completion.</param>
/// <param name="SteadyRate">Completions a second while submits went on, without the first fifth.</param>
/// <param name="SubmitP99Ms">99th percentile of the submits meanwhile.</param>
/// <param name="Notes">What a reader has to know.</param>
internal sealed record LifeFigures(double Rate, double SteadyRate, double SubmitP99Ms, IReadOnlyList<string> Notes);

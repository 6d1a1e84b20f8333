using Dispatch.Bench.Load;
using Dispatch.Bench.Measuring;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Rows;

/// <summary>The course of a row that submits as fast as answers come: warm up, measure, let the last answers in.</summary>
internal static class ClosedLoop
{
    private const int FillConnections = 4;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan FillPatience = TimeSpan.FromSeconds(300);

    /// <param name="loop">The loop that serves the load.</param>
    /// <param name="load">What is submitted; its window is the measured stretch afterwards.</param>
    /// <param name="arguments">How long.</param>
    /// <param name="server">The process under load.</param>
    /// <param name="limit">Tasks after which the measured stretch ends early; they all stay in the broker's memory.</param>
    public static WindowFigures Run(EventLoop loop, SubmitLoad load, BenchArguments arguments, ProcessGauge server, long limit = long.MaxValue)
    {
        load.Start();
        loop.Run(() => load.Refusals.Faults > 0, arguments.WarmUp);
        load.BeginWindow();
        var window = Window.Open(server);
        loop.Run(() => load.Accepted >= limit || load.Refusals.Faults > 0, arguments.Time);
        var figures = window.Close();

        load.Stop();
        if (!loop.Run(() => load.Outstanding == 0, Patience))
            throw new RunFailedException($"{load.Outstanding} submits have no answer after {Patience.TotalSeconds} s.");

        load.Refusals.ThrowOnFault();
        return figures;
    }

    /// <summary>Submits exactly so many tasks, in bulk, and waits until all are accepted.</summary>
    public static void Fill(EventLoop loop, Target target, TaskRequest request, long tasks)
    {
        using var load = new SubmitLoad(loop, target, request, FillConnections) { Limit = tasks };
        load.Start();
        if (!loop.Run(() => load.AcceptedInAll >= tasks || load.Refusals.Faults > 0, FillPatience))
            throw new RunFailedException($"Only {load.AcceptedInAll} of {tasks} tasks were accepted in {FillPatience.TotalSeconds} s.");

        load.Refusals.ThrowOnFault();
    }
}

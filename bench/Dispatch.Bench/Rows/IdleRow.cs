using Dispatch.Bench.Measuring;
using Dispatch.Bench.Reporting;

namespace Dispatch.Bench.Rows;

/// <summary>What a broker costs that has nothing to do: a few agents are there, with a heartbeat every 10 s each.</summary>
internal static class IdleRow
{
    private static readonly string[] Agents = ["idle-1", "idle-2", "idle-3", "idle-4", "idle-5"];

    public static Task<RowResult> RunAsync(Bench bench) => bench.OnBrokerAsync(async broker =>
    {
        var time = TimeSpan.FromSeconds(bench.Arguments.Quick ? 6 : 20);
        await broker.RegisterAsync(Agents, 3, bench.Cancellation);

        // The runtime compiles a method anew at its thirtieth call, which it counts only after a pause. At a call every two seconds that is
        // the work of a broker's first minutes, and not of an idle one.
        for (var i = 0; i < 600; i++)
        {
            await broker.HeartbeatAsync(Agents[i % Agents.Length], bench.Cancellation);
            if (i % 100 == 99)
                await Task.Delay(TimeSpan.FromSeconds(1), bench.Cancellation);
        }

        // One agent every two seconds: each is heard every 10 s, a third of the lease.
        var window = Window.Open(broker.Gauge);
        await HeartbeatsAsync(bench, broker, time);
        var figures = window.Close();
        return new RowResult(
            [
                new Measure("idle", "resident", broker.Gauge.ResidentMiB, "MiB") { Must = 100, Aim = 60, Bare = bench.Bare.ResidentMiB },
                new Measure("idle", "of one core", figures.ServerCores * 100, "%") { Must = 0.5 },
            ],
            [$"{Agents.Length} agents, a heartbeat every 2 s, {time.TotalSeconds:0} s; {broker.Gauge.AnonymousMiB:0} MiB anonymous, {broker.Gauge.PeakMiB:0} MiB at the most; processor time is counted in steps of 10 ms"]);
    });

    private static async Task HeartbeatsAsync(Bench bench, Targets.BrokerProcess broker, TimeSpan time)
    {
        for (var i = 0; i < time.TotalSeconds / 2; i++)
        {
            await broker.HeartbeatAsync(Agents[i % Agents.Length], bench.Cancellation);
            await Task.Delay(TimeSpan.FromSeconds(2), bench.Cancellation);
        }
    }
}

using System.Diagnostics;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Targets;
using Dispatch.Sequencing;

namespace Dispatch.Bench.Rows;

/// <summary>What allowances cost: on whole lives over HTTP, and in the core alone.</summary>
internal static class AllowanceRow
{
    private const int Rounds = 4;
    private const int LimitsOnAPath = 10;

    public static async Task<RowResult> RunAsync(Bench bench)
    {
        var lives = await bench.OnBrokerAsync(broker => LivesAsync(bench, broker));
        var check = Check();
        var scale = await ScaleAsync(bench);
        return new RowResult([.. lives.Measures, .. check.Measures, .. scale.Measures], [.. lives.Notes, .. check.Notes, .. scale.Notes]);
    }

    // Turn and turn about, because the machine's mood changes more than the limits do.
    private static async Task<RowResult> LivesAsync(Bench bench, BrokerProcess broker)
    {
        string[] limits = ["bench-agent", "bench-owner", "bench-swarm"];
        string[] bodies =
        [
            """{"level":"agent","target":"*","unit":"tokens","amount":9000000000000000,"window":{"kind":"day"}}""",
            """{"level":"owner","target":"bench","unit":"tokens","amount":9000000000000000,"window":{"kind":"month"}}""",
            """{"level":"swarm","unit":"jobs","amount":9000000000000000,"window":{"kind":"day"}}""",
        ];
        await LifeRow.LiveAsync(bench, broker, "warm", bench.Arguments.WarmUp);
        List<double> free = [], limited = [];
        for (var round = 0; round < Rounds; round++)
        {
            free.Add((await LifeRow.LiveAsync(bench, broker, $"free-{round}", bench.Arguments.Time / 2)).Rate);
            for (var i = 0; i < limits.Length; i++)
                await broker.AdministerAsync(HttpMethod.Put, $"/api/v1/limits/{limits[i]}", bodies[i], bench.Cancellation);
            limited.Add((await LifeRow.LiveAsync(bench, broker, $"limited-{round}", bench.Arguments.Time / 2)).Rate);
            foreach (var limit in limits)
                await broker.AdministerAsync(HttpMethod.Delete, $"/api/v1/limits/{limit}", null, bench.Cancellation);
        }

        return new RowResult(
            [new Measure("allowances", "whole lives lost to three levels of limits", Math.Max(0, 1 - (limited.Average() / free.Average())) * 100, "%") { Must = 10 }],
            [$"lives without {string.Join(", ", free.Select(rate => $"{rate:#,0}"))}/s, with {string.Join(", ", limited.Select(rate => $"{rate:#,0}"))}/s, turn and turn about"]);
    }

    // As the matcher asks: all limits on an agent's path, and the task's own estimate.
    private static RowResult Check()
    {
        const int Checks = 1_000_000;
        var state = State.Load(LoadedState.Empty, new StateOptions(), 1_700_000_000_000, 0);
        var core = new Core(state, new IdSource(new Random(1)), new Random(1));
        Take(StoredBroker.Registration("agent-0"));
        for (var limit = 0; limit < LimitsOnAPath; limit++)
            Take(StoredBroker.Setting("agent-0", limit));
        Take(StoredBroker.Submission(1));
        core.Close().Batch.Texts.Release();
        var agent = state.Agents.All.First();
        var task = state.Tasks.All.First().Task;
        long refused = 0;
        for (var i = 0; i < Checks / 10; i++)
            refused += state.Allowances.Charging.Refuses(agent, task) is null ? 0 : 1;
        var began = Stopwatch.GetTimestamp();
        for (var i = 0; i < Checks; i++)
            refused += state.Allowances.Charging.Refuses(agent, task) is null ? 0 : 1;
        var each = Stopwatch.GetElapsedTime(began).TotalMicroseconds / Checks;
        if (refused > 0)
            throw new RunFailedException($"{refused} checks were refused.");
        return new RowResult(
            [new Measure("allowances", $"a check of {LimitsOnAPath} limits", each, "us") { Must = 5 }],
            [$"{Checks:#,0} checks by one thread, in the core alone"]);

        void Take<T>(Command<T> command) => core.Take(command, new Answer<T>(command));
    }

    // In process, with the store: what is written for a limit counts like what is looked up.
    private static async Task<RowResult> ScaleAsync(Bench bench)
    {
        var tasks = bench.Arguments.Quick ? 8_000 : 40_000;
        await using var few = await StoredBroker.StartAsync(bench, 10, LimitsOnAPath);
        await using var many = await StoredBroker.StartAsync(bench, 10_000, LimitsOnAPath);
        await few.LiveAsync(tasks);
        await many.LiveAsync(tasks);
        List<double> ofFew = [], ofMany = [];
        for (var round = 0; round < Rounds; round++)
        {
            ofFew.Add(await few.LiveAsync(tasks));
            ofMany.Add(await many.LiveAsync(tasks));
        }

        return new RowResult(
            [new Measure("allowances", "a life under 100,000 limits and 10,000 agents, to one under 100 and 10", ofMany.Average() / ofFew.Average(), "x") { Must = 1.1 }],
            [$"a life {ofFew.Average():0.0} us with few, {ofMany.Average():0.0} us with many, {LimitsOnAPath} limits on each agent's path; in process, committed to SQLite, turn and turn about"]);
    }
}

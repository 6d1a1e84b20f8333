using System.Diagnostics;
using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Targets;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;

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
        var scale = Scale(bench.Arguments.Quick);
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
        var core = new CoreAlone();
        core.Register(1, LimitsOnAPath);
        core.Submit(1);
        var agent = core.State.Agents.All.First();
        var task = core.State.Tasks.All.First().Task;
        long refused = 0;
        for (var i = 0; i < Checks / 10; i++)
            refused += core.State.Allowances.Charging.Refuses(agent, task) is null ? 0 : 1;
        var began = Stopwatch.GetTimestamp();
        for (var i = 0; i < Checks; i++)
            refused += core.State.Allowances.Charging.Refuses(agent, task) is null ? 0 : 1;
        var each = Stopwatch.GetElapsedTime(began).TotalMicroseconds / Checks;
        if (refused > 0)
            throw new RunFailedException($"{refused} checks were refused.");
        return new RowResult(
            [new Measure("allowances", $"a check of {LimitsOnAPath} limits", each, "us") { Must = 5 }],
            [$"{Checks:#,0} checks by one thread, in the core alone"]);
    }

    private static RowResult Scale(bool quick)
    {
        var tasks = quick ? 100_000 : 400_000;
        var (few, many) = (new CoreAlone(), new CoreAlone());
        few.Register(10, LimitsOnAPath);
        many.Register(10_000, LimitsOnAPath);
        few.Live(tasks / 4);
        many.Live(tasks / 4);
        List<double> ofFew = [], ofMany = [];
        for (var round = 0; round < Rounds; round++)
        {
            ofFew.Add(few.Live(tasks / Rounds));
            ofMany.Add(many.Live(tasks / Rounds));
        }

        return new RowResult(
            [new Measure("allowances", "a life under 100,000 limits and 10,000 agents, to one under 100 and 10", ofMany.Average() / ofFew.Average(), "x") { Must = 1.1 }],
            [$"a life {ofFew.Average():0.0} us with few, {ofMany.Average():0.0} us with many, {LimitsOnAPath} limits on each agent's path; in the core alone, turn and turn about"]);
    }

    /// <summary>The broker's core without a store, a wire or a clock: no lease runs out and no window ends.</summary>
    private sealed class CoreAlone
    {
        private const int AtOnce = 100;

        private static readonly LimitUnit[] Units = [LimitUnit.Tokens, LimitUnit.Jobs, LimitUnit.TokensIn, LimitUnit.TokensOut, LimitUnit.Requests];
        private static readonly LimitWindow[] Windows = [new(WindowKind.Day), new(WindowKind.Month)];

        private readonly Core core;
        private readonly List<TaskId> waiting = [];
        private readonly Random random = new(1);

        public CoreAlone()
        {
            State = State.Load(LoadedState.Empty, new StateOptions(), 1_700_000_000_000, 0);
            core = new Core(State, new IdSource(random), random);
        }

        public State State { get; }

        /// <summary>Registers agents, and for each of them so many limits.</summary>
        public void Register(int count, int limits)
        {
            for (var i = 0; i < count; i++)
            {
                var agent = $"agent-{i}";
                Take(new RegisterAgent(agent, ["work"], "bench", null, AtOnce, AgentStatus.Ready, null) { Caller = agent });
                for (var limit = 0; limit < limits; limit++)
                {
                    Take(new SetLimit(new Limit
                    {
                        Id = $"{agent}-{limit}",
                        Level = LimitLevel.Agent,
                        Target = agent,
                        Unit = Units[limit % Units.Length],
                        Amount = long.MaxValue / 4,
                        Window = Windows[limit / Units.Length],
                        Version = 0,
                        CreatedAt = 0,
                        UpdatedAt = 0,
                        LastSequence = 0,
                    })
                    { ByAdmin = true });
                }

                Close();
            }
        }

        public void Submit(int count)
        {
            var spec = new TaskSpec { Title = "work", Estimate = JsonBytes.Parse("""{"tokens_in":900,"tokens_out":200}""") };
            Take(new SubmitTasks([.. Enumerable.Repeat(new NewTask { Spec = spec, Required = ["work"] }, count)], null) { Caller = "bench" });
            foreach (var happened in Close())
            {
                if (happened.Data is TaskAssigned)
                    waiting.Add(TaskId.Parse(happened.Subject));
            }
        }

        /// <summary>Submits and completes tasks; returns the microseconds each took.</summary>
        public double Live(int count)
        {
            var usage = JsonBytes.Parse("""{"tokens_in":800,"tokens_out":150}""");
            var began = Stopwatch.GetTimestamp();
            for (var done = 0; done < count; done += AtOnce)
            {
                Submit(AtOnce);
                foreach (var task in waiting)
                    Take(new ReportTask(new TaskReport.Completed(task, null, null, usage)) { ByAdmin = true });
                waiting.Clear();
                Close();
            }

            return Stopwatch.GetElapsedTime(began).TotalMicroseconds / count;
        }

        private void Take<T>(Command<T> command) => core.Take(command, new Answer<T>(command));

        private IReadOnlyList<DispatchEvent> Close()
        {
            var closed = core.Close();
            closed.Batch.Texts.Release();
            return closed.Batch.Events;
        }
    }
}

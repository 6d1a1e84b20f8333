using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

/// <summary>The real core under commands at random beside a ledger that is kept in the plainest way.</summary>
public sealed class LedgerModelTests
{
    private static readonly string[] Agents = ["a1", "a2", "a3", "a4", "a5"];
    private static readonly string?[] Owners = ["o1", "o1", "o2", "o3", null];
    private static readonly string?[] Models = [null, null, "small", "large"];
    private static readonly string[] Repos = ["r1", "r2"];

    private static readonly AllowanceOptions Options = new()
    {
        Prices = new Dictionary<string, ModelPrice> { ["small"] = new(3_000_000, 15_000_000), ["mini"] = new(100_000, 333_333) },
        TeamOf = new Dictionary<string, string> { ["o1"] = "t1", ["o2"] = "t1", ["o3"] = "t2" },
        DefaultModel = "mini",
        DefaultTokensIn = 80,
        DefaultTokensOut = 20,
    };

    [Fact]
    public async Task Under_random_commands_every_balance_is_what_a_plain_ledger_says()
    {
        long grants = 0, overshoots = 0;
        for (var seed = 0; seed < 30; seed++)
        {
            var play = new Play(seed);
            try
            {
                await play.RunAsync(steps: 500);
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                throw new InvalidOperationException($"seed {seed}, step {play.Step}: {e.Message}", e);
            }

            grants += play.Ledger.Grants;
            overshoots += play.Ledger.Overshoots;
        }

        Assert.True(grants > 1_500 && overshoots > 50, $"{grants} reservations and {overshoots} bookings past a limit: too little happened");
    }

    private sealed class Play
    {
        private readonly Random random;
        private readonly CoreRun run;
        private readonly List<TaskId> tasks = [];
        private readonly List<ReportUsage> reports = [];
        private int seen;

        public Play(int seed)
        {
            random = new Random(seed);
            run = new CoreRun(
                new StateOptions { Allowances = Options, LeaseMs = 10 * CoreRun.Minute, ReapAfterMs = 30 * CoreRun.Day, WakeTimeoutMs = 5_000, MatchLimit = seed % 3 == 0 ? 2 : 5_000, DueLimit = seed % 4 == 0 ? 2 : 2_000 },
                seed);
            for (var i = 0; i < Agents.Length; i++)
                Register(i);
        }

        public PlainLedger Ledger { get; } = new(Options);

        public int Step { get; private set; }

        public async Task RunAsync(int steps)
        {
            for (Step = 0; Step < steps; Step++)
            {
                for (var commands = random.Next(3) == 0 ? random.Next(1, 6) : 1; commands > 0; commands--)
                    TakeOne();
                run.Settle();
                Follow();
            }

            await run.CheckStoreAsync();
        }

        private void Follow()
        {
            for (; seen < run.Store.Events.Count; seen++)
                Ledger.Take(run.Store.Events[seen]);
            Ledger.Compare(run);
        }

        private void TakeOne()
        {
            switch (random.Next(30))
            {
                case <= 4:
                    Set();
                    break;
                case 5:
                    run.Take(new DeleteLimit($"l{random.Next(10)}"));
                    break;
                case <= 12:
                    Submit();
                    break;
                case <= 20:
                    End();
                    break;
                case <= 23:
                    Use();
                    break;
                case 24 when tasks.Count > 0:
                    run.Take(new CancelTask(tasks[random.Next(tasks.Count)], "not wanted") { Caller = "alice" });
                    break;
                case 25 when random.Next(3) == 0:
                    Register(random.Next(Agents.Length));
                    break;
                case 25 when random.Next(3) == 0:
                    run.Take(new DeregisterAgent(Agents[random.Next(Agents.Length)]));
                    break;
                case 26 when random.Next(4) == 0:
                    run.Settle();
                    Follow();
                    run.Restart();
                    Ledger.Restarted();
                    break;
                case 27:
                    run.Take(new Heartbeat(Agents[random.Next(Agents.Length)], random.Next(4) == 0 ? AgentStatus.Sleeping : AgentStatus.Ready) { Caller = Agents[random.Next(Agents.Length)] });
                    break;
                case 28 or 29:
                    Pass();
                    break;
            }
        }

        private void Pass()
        {
            run.Settle();
            Follow();
            long ms = random.Next(10) switch
            {
                <= 4 => random.Next(1, 5_000),
                <= 7 => random.Next(1, 400) * CoreRun.Second,
                8 => random.Next(1, 30) * CoreRun.Hour / 2,
                _ => random.Next(1, 20) * CoreRun.Day,
            };
            run.Pass(ms);
            Follow();
            foreach (var agent in Agents)
                run.Take(new Heartbeat(agent, null) { Caller = agent });
        }

        private void Register(int i) =>
            run.Take(CoreRun.Registration(Agents[i], random.Next(3) == 0 ? "a b" : "a", random.Next(1, 4), random.Next(5) == 0 ? AgentStatus.Sleeping : AgentStatus.Ready,
                random.Next(4) == 0 ? Owners[random.Next(Owners.Length)] : Owners[i]));

        private void Set()
        {
            var id = $"l{random.Next(10)}";
            var known = run.State.Allowances.Find(id);
            var unit = known?.Unit ?? (LimitUnit)random.Next(12);
            var level = known?.Level ?? (LimitLevel)random.Next(4);
            var target = known?.Target ?? level switch
            {
                LimitLevel.Swarm => "",
                _ when random.Next(2) == 0 => "*",
                LimitLevel.Agent => Agents[random.Next(Agents.Length)],
                LimitLevel.Owner => $"o{random.Next(1, 4)}",
                _ => $"t{random.Next(1, 3)}",
            };
            var isConsumed = unit is not (LimitUnit.ConcurrentJobs or LimitUnit.JobMs or LimitUnit.CooldownMs or LimitUnit.Models);
            run.Take(new SetLimit(new Limit
            {
                Id = id,
                Level = level,
                Target = target,
                Unit = unit,
                Amount = unit switch
                {
                    LimitUnit.Models => 0,
                    LimitUnit.Jobs or LimitUnit.ConcurrentJobs or LimitUnit.PullRequests or LimitUnit.Issues or LimitUnit.Requests => random.Next(0, 8),
                    LimitUnit.JobMs => random.Next(0, 5) * 60_000,
                    LimitUnit.CooldownMs => random.Next(0, 300_000),
                    _ => random.Next(10) == 0 ? 0 : random.Next(20) == 0 ? long.MaxValue : random.Next(100, 3_000),
                },
                Window = isConsumed && !(known is not null && random.Next(3) > 0) ? Window() : known?.Window ?? LimitWindow.Lifetime,
                Model = known is not null ? known.Model : unit != LimitUnit.Models && random.Next(5) == 0 ? "small" : null,
                Repo = known is not null ? known.Repo : unit is LimitUnit.CooldownMs or LimitUnit.PullRequests or LimitUnit.Issues || random.Next(6) == 0 ? Repos[random.Next(2)] : null,
                SoftPercent = random.Next(2) == 0 ? 80 : random.Next(1, 101),
                OnExceed = (OnExceed)random.Next(2),
                Allow = unit == LimitUnit.Models && random.Next(2) == 0 ? ["mini", "small"] : [],
                Deny = unit == LimitUnit.Models ? ["large"] : [],
                Version = 0,
                CreatedAt = 0,
                UpdatedAt = 0,
                LastSequence = 0,
            }));
        }

        private LimitWindow Window()
        {
            var zone = random.Next(3) == 0 ? "Australia/Lord_Howe" : random.Next(2) == 0 ? "Europe/Berlin" : null;
            return random.Next(8) switch
            {
                0 => LimitWindow.Lifetime,
                1 => new LimitWindow(WindowKind.Hour, zone),
                2 => new LimitWindow(WindowKind.Day, zone, random.Next(24)),
                3 => new LimitWindow(WindowKind.Week, zone, random.Next(24), random.Next(1, 8)),
                4 => new LimitWindow(WindowKind.Month, zone, random.Next(24), random.Next(1, 32)),
                _ => new LimitWindow(WindowKind.Rolling, RollingMs: random.Next(2) == 0 ? 60_000 : random.NextInt64(60_000, CoreRun.Day)),
            };
        }

        private void Submit()
        {
            var parent = random.Next(3) == 0 && tasks.Count > 0 ? tasks[random.Next(tasks.Count)] : (TaskId?)null;
            var budget = random.Next(5) == 0 ? new Amounts([new(random.Next(3) switch { 0 => "money", 1 => "jobs", _ => "tokens" }, random.Next(1, 1_500))]) : null;
            var labels = random.Next(3) == 0 ? JsonBytes.Parse($$"""{"repo":"{{Repos[random.Next(2)]}}"}""") : null;
            var task = CoreRun.Task(random.Next(3) == 0 ? "b" : "a", priority: (byte)random.Next(11), retries: random.Next(3), timeoutMs: random.Next(1, 6) * 60_000) with { Parent = parent };
            task = task with { Spec = task.Spec with { Estimate = random.Next(3) == 0 ? null : Use(estimate: true), Labels = labels, Budget = budget } };
            var answer = run.Take(run.Submission("alice", task));
            run.Settle();
            if (answer.Outcome is SubmitOutcome.Accepted accepted)
                tasks.Add(accepted.Tasks[0].Id);
            else
                Assert.Equal("budget", Assert.IsType<SubmitOutcome.BadReference>(answer.Outcome).Member);
        }

        private JsonBytes Use(bool estimate)
        {
            var members = new List<string>();
            if (random.Next(8) == 0)
            {
                members.Add($"\"tokens\":{random.Next(600)}");
            }
            else
            {
                if (random.Next(4) > 0)
                    members.Add($"\"tokens_in\":{random.Next(400)}");
                if (random.Next(3) > 0)
                    members.Add($"\"tokens_out\":{random.Next(200)}");
            }

            foreach (var name in (string[])["money", "requests", "pull_requests", "issues"])
            {
                if (random.Next(4) == 0)
                    members.Add($"\"{name}\":{random.Next(name == "money" ? 1_000 : 4)}");
            }

            if (estimate && Models[random.Next(Models.Length)] is { } model)
                members.Add($"\"model\":\"{model}\"");
            return JsonBytes.Parse($"{{{string.Join(',', members)}}}");
        }

        private void End()
        {
            var held = run.State.Tasks.All.Where(entry => entry.Task.IsHeld).OrderBy(entry => entry.Task.Number).Select(entry => entry.Task).ToList();
            if (held.Count == 0)
                return;
            var task = held[random.Next(held.Count)];
            var usage = random.Next(4) == 0 ? null : Use(estimate: false);
            var model = random.Next(5) == 0 ? "small" : null;
            TaskReport report = random.Next(10) switch
            {
                <= 4 => new TaskReport.Completed(task.Id, null, null, usage, model),
                5 or 6 => new TaskReport.Failed(task.Id, task.Attempt, "broken", random.Next(4) > 0, random.Next(2) == 0 ? 0 : null, usage, model),
                7 => new TaskReport.Released(task.Id, null, null),
                8 => new TaskReport.Progressed(task.Id, null, 50, null, null),
                _ => new TaskReport.Started(task.Id, task.Attempt),
            };
            if (random.Next(3) == 0)
                run.Take(new ExchangeWork(task.Assignee!, [report], [], null, random.Next(3)) { Caller = task.Assignee });
            else
                run.Take(new ReportTask(report) { Caller = task.Assignee });
        }

        private void Use()
        {
            if (reports.Count > 0 && random.Next(5) == 0)
            {
                // The same once more: nothing is booked.
                var known = reports[random.Next(reports.Count)];
                run.Settle();
                Follow();
                var again = run.Take(known with { Facts = run.Store.Usage(known.Caller!, known.Id, known.Task) });
                run.Settle();
                Assert.False(Assert.IsType<UsageOutcome.Taken>(again.Outcome).IsNew);
                return;
            }

            var agent = Agents[random.Next(Agents.Length)];
            var held = run.State.Tasks.All.Where(entry => entry.Task.IsHeld).OrderBy(entry => entry.Task.Number).ToList();
            TaskId? task = random.Next(4) == 0 ? null : held.Count > 0 && random.Next(4) > 0 ? held[random.Next(held.Count)].Task.Id : tasks.Count > 0 ? tasks[random.Next(tasks.Count)] : null;
            if (task is { } id)
                agent = run[id].Assignee ?? run[id].LastAgent ?? agent;
            var report = new ReportUsage($"u{reports.Count}", agent, task, null, random.Next(3) == 0 ? "large" : null, null, Use(estimate: false), run.Store.Usage(agent, $"u{reports.Count}", task)) { Caller = agent };
            var answer = run.Take(report);
            run.Settle();
            if (answer.Outcome is UsageOutcome.Taken)
                reports.Add(report);
        }
    }
}

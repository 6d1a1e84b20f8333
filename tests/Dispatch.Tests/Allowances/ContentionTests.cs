using Dispatch.Allowances;
using Dispatch.Invariants;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

/// <summary>Many agents on one budget that is too small for what waits.</summary>
public sealed class ContentionTests
{
    private const int Agents = 64;
    private const long Budget = 1_500_000;

    [Fact]
    public void Sixty_four_agents_on_one_budget_never_reserve_more_than_there_is_and_use_it_up()
    {
        var random = new Random(64);
        var run = new CoreRun(new StateOptions { LeaseMs = 1_000 * CoreRun.Day, MatchLimit = 100_000 }, check: false);
        for (var i = 0; i < Agents; i++)
            run.Take(CoreRun.Registration($"w{i}", "a", 40, owner: $"o{i % 8}"));
        run.Take(new SetLimit(ALimit.Swarm(LimitUnit.Tokens, Budget, new LimitWindow(WindowKind.Day), "swarm")));
        run.Take(new SetLimit(ALimit.Of(LimitLevel.Owner, "*", LimitUnit.Tokens, Budget, new LimitWindow(WindowKind.Day), "owner")));
        run.Take(new SetLimit(ALimit.Of(LimitLevel.Agent, "*", LimitUnit.Tokens, Budget, new LimitWindow(WindowKind.Day), "agent")));

        // Straight from the core: a store of all this would only cost.
        var books = new Books();
        books.Take(run.Core.Close());
        for (var day = 0; books.Reservations < 1_000_000; day++)
        {
            while (run.State.Tasks.Count < 20_000)
            {
                run.Take(run.Submission("alice", [.. Enumerable.Range(0, 1_000).Select(_ =>
                    ALimit.Task($"\"tokens\":{random.Next(50, 200)}", "a", (byte)random.Next(3)) with { MaxRetries = 100 })]));
                books.Take(run.Core.Close());
            }

            while (run.State.Agents.All.Any(agent => agent.Held.Count > 0))
            {
                foreach (var held in run.State.Agents.All.SelectMany(agent => agent.Held).Where(_ => random.Next(3) > 0).ToList())
                    run.Take(new ReportTask(Report(held.Task)) { Caller = held.Task.Assignee });
                books.Take(run.Core.Close());
            }

            Assert.Empty(StateConsistency.Check(run.State));
            Assert.True(books.Used("swarm") >= Budget * 97 / 100, $"day {day}: {books.Used("swarm")} of {Budget} were used and {run.State.Matcher.Waiting} tasks wait");
            var waiting = run.State.Tasks.All.First(entry => entry.Line is not null);
            Assert.Equal(WaitReason.Allowance, Explanation.Of(run.State, waiting).Reason);
            run.Move(CoreRun.Day);
            books.Take(run.Core.Close());
        }

        Assert.True(books.Overshot > 0, "nothing was used beyond what had been reserved");

        TaskReport Report(WorkTask task)
        {
            var expected = task.Cost!.Estimate.Tokens!.Value;
            return random.Next(20) switch
            {
                0 => new TaskReport.Completed(task.Id, task.Attempt, null, ALimit.Json($"\"tokens\":{expected + random.Next(20)}")),
                <= 2 => new TaskReport.Completed(task.Id, task.Attempt, null, ALimit.Json($"\"tokens\":{random.NextInt64(expected)}")),
                3 => new TaskReport.Completed(task.Id, task.Attempt, null, null),
                4 => new TaskReport.Failed(task.Id, task.Attempt, "broken", true, 0, ALimit.Json("\"tokens\":3")),
                _ => new TaskReport.Released(task.Id, task.Attempt, null),
            };
        }
    }

    /// <summary>What the events come to.</summary>
    private sealed class Books
    {
        private readonly Dictionary<string, (long Used, long Reserved)> balances = new(StringComparer.Ordinal);
        private readonly Dictionary<string, Amounts> held = new(StringComparer.Ordinal);

        public long Reservations { get; private set; }

        public long Overshot { get; private set; }

        public long Used(string key) => balances[key].Used;

        public void Take(ClosedBatch closed)
        {
            foreach (var happened in closed.Batch.Events)
            {
                switch (happened.Data)
                {
                    case AllowanceReset:
                        balances[happened.Subject] = (0, balances.GetValueOrDefault(happened.Subject).Reserved);
                        break;
                    case TaskAssigned { Reserved: { } reserved }:
                        held.Add(happened.Subject, reserved);
                        foreach (var (key, amount) in reserved.Items)
                        {
                            var (used, kept) = balances[key];
                            Assert.True(used + kept + amount <= Budget, $"{key}: {used} used and {kept} reserved, and {amount} more was granted");
                            balances[key] = (used, kept + amount);
                            Reservations++;
                        }

                        break;
                    case TaskCompleted or TaskFailed or TaskReleased or TaskTimedOut when held.Remove(happened.Subject, out var charge):
                        foreach (var (key, amount) in charge.Items)
                        {
                            var spent = AllowanceTable.SpentOf((TaskEvent)happened.Data)?[key] ?? 0;
                            var (used, kept) = balances[key];
                            Assert.True(kept >= amount, $"{key}: more is given back than was reserved");
                            balances[key] = (used + spent, kept - amount);
                            Overshot += spent > amount ? 1 : 0;
                        }

                        break;
                }
            }
        }
    }
}

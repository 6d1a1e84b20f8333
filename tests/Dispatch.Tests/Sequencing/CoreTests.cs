using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Sequencing;

public sealed class CoreTests
{
    [Fact]
    public void Timers_that_do_not_fit_into_one_batch_fire_in_the_next()
    {
        var run = new CoreRun(new StateOptions { DueLimit = 10 });
        run.Submit([.. Enumerable.Range(0, 35).Select(_ => CoreRun.Task("a", runAt: run.Wall + 1_000))]);
        run.Move(1_000);
        var batches = 0;
        for (; run.Core.HasWork; batches++)
            run.Close();
        Assert.Equal((4, 35L), (batches, run.State.Matcher.Waiting));
    }

    [Fact]
    public void Events_name_who_caused_them()
    {
        var run = new CoreRun();
        run.Register("w", "a");
        var task = run.Submit(CoreRun.Task("a"));
        run.Start("w", task);
        run.Pass(30_000);
        run.Run(new DrainAgent("w", true) { Caller = "w", ByAdmin = true });
        Assert.Equal(
            [
                "w agent.registered", "alice task.created", "system task.assigned", "w task.started",
                "system agent.offline", "system task.reassigned", "system task.unmatched", "w agent.status_changed", "admin agent.drained",
            ],
            run.Store.Events.Select(happened => $"{happened.Actor} {happened.Type}"));
    }

    [Fact]
    public void A_subjects_history_is_a_chain()
    {
        var run = new CoreRun();
        run.Register("w", "a b");
        for (var i = 0; i < 20; i++)
        {
            var task = run.Submit(CoreRun.Task(i % 2 == 0 ? "a" : "b"));
            run.Fail("w", task);
            run.Complete("w", task);
        }

        foreach (var subject in run.Store.Events.GroupBy(happened => happened.Subject))
            Assert.Equal(subject.Select(happened => happened.Sequence).SkipLast(1).Prepend(0), subject.Select(happened => happened.Previous));
    }

    [Fact]
    public void The_same_seed_gives_the_same_log()
    {
        Assert.Equal(Log(4), Log(4));
        Assert.NotEqual(Log(4), Log(5));

        static IEnumerable<string> Log(int seed)
        {
            var run = RandomLife(seed, 150);
            return [.. run.Store.Events.Select(happened => $"{happened.Sequence} {happened.Timestamp} {happened.Type} {happened.Subject} {happened.Actor}")];
        }
    }

    [Fact]
    public async Task Random_lives_leave_a_sound_store()
    {
        for (var seed = 0; seed < 20; seed++)
            await RandomLife(seed, 250).CheckStoreAsync();
    }

    // Every batch of it is checked as it closes. The simulation does far more; this finds a plain mistake in a second.
    private static CoreRun RandomLife(int seed, int steps)
    {
        var random = new Random(seed);
        var run = new CoreRun(new StateOptions { RecentKept = 50, DueLimit = 5, MatchLimit = 4, AgingMs = 1_000, SpecBudget = 2_000, ReapAfterMs = 90_000 }, seed);
        for (var step = 0; step < steps; step++)
        {
            var agent = $"w{random.Next(5)}";
            var task = run.State.Tasks.All.Select(entry => entry.Task.Id).Order().ElementAtOrDefault(random.Next(12));
            switch (random.Next(18))
            {
                case 0 or 1:
                    run.Register(agent, Some(), random.Next(1, 4), (AgentStatus)random.Next(4), random.Next(3) == 0 ? "alice" : null);
                    break;
                case 2:
                    run.Run(new DeregisterAgent(agent) { Caller = agent });
                    break;
                case 3:
                    run.Run(new DrainAgent(agent, random.Next(2) == 0));
                    break;
                case 4:
                    run.Run(new ReturnUnstarted(agent));
                    break;
                case 5 or 6:
                    run.Beat(agent, (AgentStatus)random.Next(4));
                    break;
                case 7:
                    run.Restart();
                    break;
                case 8 or 9:
                    run.Pass(random.Next(20_000));
                    break;
                case 10:
                    run.SetWall(random.Next(-100_000, 100_000));
                    break;
                case 11 or 12 or 13:
                    var after = random.Next(3) == 0 && !task.IsNone ? new[] { task } : [];
                    run.Submit([.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => CoreRun.Task(
                        Some(), Some(), (byte)random.Next(11), retries: random.Next(3), timeoutMs: random.Next(1, 40_000), after: after,
                        runAt: random.Next(5) == 0 ? run.Wall + random.Next(30_000) : null, deadline: random.Next(5) == 0 ? run.State.Now + random.Next(1, 60_000) : null))]);
                    break;
                case 14:
                    if (random.Next(2) == 0)
                        run.Cancel(task);
                    else
                        run.Run(new PatchTask(task, (byte)random.Next(11), null, null) { Caller = "alice" });
                    break;
                default:
                    if (run.State.Agents.Find(agent) is { } known)
                        run.Exchange(agent, random.Next(4), [.. known.Held.Select(entry => Word(entry.Task)).Where(_ => random.Next(2) == 0)]);
                    break;
            }
        }

        return run;

        string Some() => string.Join(' ', new[] { "a", "b", "c" }.Where(_ => random.Next(3) == 0));

        TaskReport Word(WorkTask task) => random.Next(6) switch
        {
            0 => new TaskReport.Started(task.Id, task.Attempt),
            1 => new TaskReport.Progressed(task.Id, task.Attempt, 50, null, null),
            2 => new TaskReport.Failed(task.Id, task.Attempt, "broken", random.Next(4) > 0, null, null),
            3 => new TaskReport.Released(task.Id, task.Attempt, null),
            4 => new TaskReport.Completed(task.Id, random.Next(3), null, null),
            _ => new TaskReport.Completed(task.Id, task.Attempt, null, null),
        };
    }
}

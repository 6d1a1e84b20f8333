using Dispatch.Agents;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Matching;

/// <summary>The indexed matcher against a search through everything, and what it costs.</summary>
public sealed class MatcherAgainstSearchTests
{
    private static readonly string[] Words = ["A", "b", "C", "d", "E"];

    private static readonly AgentStatus[] Statuses = [AgentStatus.Ready, AgentStatus.Ready, AgentStatus.Busy, AgentStatus.Sleeping, AgentStatus.Degraded];

    [Fact]
    public async Task Each_task_goes_to_an_agent_that_no_other_beats()
    {
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var run = new CoreRun(new StateOptions { OwnerFilter = seed % 2 == 0, WakeTimeoutMs = CoreRun.Day, LeaseMs = CoreRun.Day }, seed);
            for (var i = random.Next(1, 25); i > 0; i--)
                Register(run, $"w{i}");
            var agents = run.State.Agents.All.ToList();
            for (var step = 0; step < 80; step++)
            {
                switch (random.Next(10))
                {
                    case 0:
                        Register(run, agents[random.Next(agents.Count)].Agent.Id);
                        break;
                    case 1:
                        run.Run(new DrainAgent(agents[random.Next(agents.Count)].Agent.Id, random.Next(2) == 0));
                        break;
                    case 2 when run.State.Tasks.All.FirstOrDefault(entry => entry.Task.IsHeld) is { } held:
                        run.Complete(held.Task.Assignee!, held.Task.Id);
                        break;
                    default:
                        SubmitAndCompare(run, CoreRun.Task(Some(), Some(), (byte)random.Next(11), owner: random.Next(3) == 0 ? $"o{random.Next(3)}" : null));
                        break;
                }
            }

            await run.CheckStoreAsync();

            void Register(CoreRun to, string id) =>
                to.Register(id, Some(), random.Next(1, 6), Statuses[random.Next(Statuses.Length)], random.Next(3) == 0 ? null : $"o{random.Next(3)}");

            string Some() => string.Join(' ', Words.Where(_ => random.Next(3) == 0).Select(word => random.Next(2) == 0 ? word : word.ToUpperInvariant()));
        }
    }

    [Fact]
    public void Ten_thousand_agents_with_different_abilities_are_searched_as_well_as_ten()
    {
        var random = new Random(3);
        var run = new CoreRun(check: false);
        for (var i = 0; i < 10_000; i++)
            run.Take(CoreRun.Registration($"w{i}", Abilities(), random.Next(1, 20), Statuses[random.Next(3)]));
        run.Close();
        for (var step = 0; step < 80; step++)
            SubmitAndCompare(run, CoreRun.Task($"c{random.Next(14)} c{random.Next(14)}", $"c{random.Next(14)} c{random.Next(14)} c{random.Next(14)}", (byte)random.Next(11)));

        string Abilities() => string.Join(' ', Enumerable.Range(0, 14).Where(_ => random.Next(2) == 0).Select(i => $"c{i}").Append($"own{random.Next()}"));
    }

    [Fact]
    public void An_agent_with_room_takes_the_most_urgent_task_of_all_it_can_do()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            var run = new CoreRun(new StateOptions { AgingMs = 500, LeaseMs = CoreRun.Day }, seed);
            for (var i = 0; i < 4; i++)
                run.Register($"w{i}", Some(), random.Next(1, 3));
            for (var i = 0; i < 60; i++)
            {
                run.Submit(CoreRun.Task(Some(), priority: (byte)random.Next(11)));
                run.Move(random.Next(200));
            }

            for (var step = 0; step < 100 && run.State.Tasks.All.FirstOrDefault(entry => entry.Task.IsHeld) is { Holder: { } agent } held; step++)
            {
                var expected = run.State.Tasks.All.Where(entry => entry.Line is not null && Matcher.CanDo(run.State, entry.Task.Needs, agent))
                    .MinBy(entry => (entry.Task.QueuedAt - (entry.Task.Priority * 500), entry.Task.Number));
                run.Complete(agent.Agent.Id, held.Task.Id);
                Assert.True(expected is null || expected.Holder == agent, $"seed {seed}: {expected?.Task.Id} still waits");
            }

            string Some() => string.Join(' ', Words.Where(_ => random.Next(4) == 0));
        }
    }

    [Fact]
    public void An_assignment_costs_the_same_whether_a_thousand_tasks_wait_or_a_million()
    {
        var few = LooksPerAssignment(1_000, 1);
        var many = LooksPerAssignment(1_000_000, 1);
        Assert.InRange(few, 1, 40);
        Assert.InRange(many / few, 0.9, 1.1);
    }

    [Fact]
    public void An_assignment_costs_about_the_same_among_ten_agents_and_ten_thousand()
    {
        var few = LooksPerAssignment(1_000, 10);
        var many = LooksPerAssignment(1_000, 10_000);
        Assert.InRange(many / few, 0, 2);
    }

    [Fact]
    public void Tasks_that_nobody_can_do_cost_those_that_come_and_go_nothing()
    {
        Assert.Equal(LooksPerAssignment(1_000, 5), LooksPerAssignment(1_000, 5, hopeless: 20_000), 6);
    }

    private static double LooksPerAssignment(int waiting, int agents, int hopeless = 0)
    {
        var run = new CoreRun(new StateOptions { LeaseMs = CoreRun.Day }, check: false);
        for (var i = 0; i < agents; i++)
            run.Register($"w{i}", "a b c", max: 1);
        for (var i = 0; i < hopeless; i += 1_000)
            run.Submit([.. Enumerable.Range(0, 1_000).Select(j => CoreRun.Task($"a nobody{j}"))]);
        for (var i = 0; i < waiting; i += 1_000)
            run.Submit([.. Enumerable.Range(0, 1_000).Select(j => CoreRun.Task((j % 3) switch { 0 => "a", 1 => "b", _ => "a c" }, priority: (byte)(j % 11)))]);
        run.Settle();

        var before = run.State.Matcher.Looks;
        const int Times = 300;
        for (var i = 0; i < Times; i++)
        {
            var agent = run.State.Agents.All[i % agents];
            run.Complete(agent.Agent.Id, agent.Held.Single().Task.Id);
        }

        Assert.True(run.State.Agents.All.All(agent => agent.Held.Count == 1) || waiting <= agents + Times);
        return (run.State.Matcher.Looks - before) / (double)Times;
    }

    private static void SubmitAndCompare(CoreRun run, NewTask wanted)
    {
        // The formula of the API, written down once more in the plainest way.
        var able = run.State.Agents.All.Where(agent =>
            Has(agent, wanted.Required) == wanted.Required.Distinct(StringComparer.OrdinalIgnoreCase).Count()
            && (wanted.Owner is null || wanted.Owner == agent.Agent.Owner || !run.State.Options.OwnerFilter)).ToList();
        var free = able.Where(agent => agent.Active < agent.Agent.MaxConcurrent && !agent.Agent.Drained && Availability(agent) > 0)
            .Select(agent => (Agent: agent, Score: ScoreOf(agent), Load: Math.Floor(agent.Active * 1024.0 / agent.Agent.MaxConcurrent))).ToList();
        var best = free.Count == 0 ? default : free.OrderByDescending(known => known.Score).ThenBy(known => known.Load).First();

        var task = run.Submit(wanted);
        var entry = run.State.Tasks.Find(task)!;
        var winner = entry.Holder ?? entry.Waking;
        if (best.Agent is null)
        {
            Assert.Null(winner);
            return;
        }

        var won = free.Single(known => known.Agent == winner);
        Assert.Equal((best.Score, best.Load), (won.Score, won.Load));
        if (entry.Task.Why is { } why)
        {
            Assert.Equal(best.Score * (1 + (wanted.Priority * 0.05)), why.Score, 7);
            Assert.Equal(able.Count, why.Candidates);
        }

        double ScoreOf(AgentEntry agent)
        {
            var preferred = wanted.Preferred.Distinct(StringComparer.OrdinalIgnoreCase).Count();
            return Math.Round((preferred == 0 ? 1 : 1 + (0.25 * Has(agent, wanted.Preferred) / preferred)) * Availability(agent), 9);
        }

        static int Has(AgentEntry agent, string[] words) =>
            words.Distinct(StringComparer.OrdinalIgnoreCase).Count(word => agent.Agent.Capabilities.Contains(word, StringComparer.OrdinalIgnoreCase));

        static double Availability(AgentEntry agent) => agent.Agent.Status switch
        {
            AgentStatus.Ready => 1,
            AgentStatus.Sleeping => 0.8,
            AgentStatus.Busy => 0.5,
            _ => 0,
        };
    }
}

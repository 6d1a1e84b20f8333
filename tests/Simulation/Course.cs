using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Simulation.Actors;

namespace Dispatch.Simulation;

/// <summary>The course of a run: a storm in which everybody does as they please, then fair weather in which everything must come to its end.</summary>
internal sealed class Course(Universe universe)
{
    /// <summary>The storm's longest duration, should the clients never get anything done. Milliseconds.</summary>
    private const long StormMs = 900_000;

    /// <summary>By when the broker must be back after the storm; a store that hung and a process slow to exit take minutes of it. Milliseconds.</summary>
    private const long RecoveryMs = 240_000;

    public async Task RunAsync()
    {
        var supervising = universe.Nemesis.SuperviseAsync();
        var raging = universe.Nemesis.RageAsync();
        await StormAsync();

        universe.Trace.Add("fair weather");
        universe.Nemesis.End();
        await raging;
        universe.Weather.Clear();
        if (universe.Broker!.IsDead)
            await supervising;
        await FairWeatherAsync();
        await CalmAsync();
        await EndAsync();
        await supervising;
    }

    private async Task StormAsync()
    {
        var random = Dice.Of(universe.Seed, 10);
        List<Task> everybody = [];
        for (var i = 0; i < universe.Weather.Requesters; i++)
            everybody.Add(new Requester(universe, $"client-{i}", Dice.Of(universe.Seed, 100 + i)).RunAsync());
        for (var i = 0; i < universe.Weather.Workers; i++)
            everybody.Add(new Worker(universe, $"agent-{i}", Dice.Of(universe.Seed, 200 + i)).RunAsync());
        everybody.Add(new Administrator(universe, random).RunAsync());
        if (universe.Weather.WorkIsLimited)
            everybody.Add(new Treasurer(universe, Dice.Of(universe.Seed, 12)).RunAsync());
        if (universe.Weather.TasksAreConfirmed)
            everybody.Add(new Judge(universe, Dice.Of(universe.Seed, 11)).RunAsync());
        if (universe.Weather.LogIsTrimmed)
            everybody.Add(new Trimmer(universe, Dice.Of(universe.Seed, 300)).RunAsync());
        var done = Task.WhenAll(everybody);
        await Task.WhenAny(done, universe.DelayAsync(StormMs));
        universe.AbandonOperations();
        await done;
    }

    /// <summary>With a broker that stays and agents that can do everything, each task must end in time (I-9), or wait for a limit that really has no room; without limits all end.</summary>
    private async Task FairWeatherAsync()
    {
        var patience = universe.Milliseconds + RecoveryMs;
        while (!(await universe.Edge.ExecuteAsync(new ReadStats())).IsAnswered)
        {
            if (universe.Milliseconds > patience)
            {
                universe.Fail("I-22", $"The broker takes no requests {RecoveryMs} ms after everything was well again.");
                return;
            }

            if (universe.Broker!.IsDead)
                universe.Broker = new Broker(universe, Dice.Of(universe.Seed, 20));
            await universe.DelayAsync(20);
        }

        var state = universe.Weather.State;
        var behind = universe.Disk.Events.Count == 0 ? 0 : Math.Max(0, universe.Disk.Events[^1].Timestamp - universe.Now);
        var bound = universe.Weather.LongestLeaseMs + state.WakeTimeoutMs + state.RetryCapMs + state.QuestionTimeoutMs + Requester.LongestRunMs + Requester.FarthestMs + behind + 60_000;
        var until = universe.Milliseconds + bound;
        var lifter = new Lifter(universe);
        var healers = new List<Healer> { new(universe, "healer", null) };
        healers.AddRange(Worker.Owners.Select(owner => new Healer(universe, $"healer-{owner}", owner)));
        var working = Task.WhenAll(healers.Select(healer => healer.RunAsync()));
        while (universe.Disk.Tasks.Values.Any(stored => !stored.Task.IsFinal))
        {
            if (universe.Milliseconds > until)
            {
                var stuck = universe.Disk.Tasks.Values.First(stored => !stored.Task.IsFinal).Task;
                universe.Fail("I-9", $"Task {stuck.Id} is still {stuck.Status} after {bound} ms of fair weather.");
                return;
            }

            if (await lifter.LiftAsync())
                until = universe.Milliseconds + bound;
            await universe.DelayAsync(200);
        }

        foreach (var healer in healers)
            healer.Rest();
        await working;
    }

    /// <summary>Nobody calls any more: each lease must run out by itself, with nothing but timers to do it.</summary>
    private async Task CalmAsync()
    {
        await universe.DelayAsync(universe.Weather.LongestLeaseMs + universe.Weather.CommitMs + 1_000);
        var immortal = universe.Disk.Agents.Values.FirstOrDefault(agent => agent.Status != AgentStatus.Offline);
        if (immortal is not null)
            universe.Fail("I-27", $"Agent {immortal.Id} is {immortal.Status} though nobody has heard of it for more than a lease.");
        universe.Broker!.CheckState();
    }

    private async Task EndAsync()
    {
        universe.Broker!.Stop(TimeSpan.FromSeconds(10));
        await universe.Broker.Died;
        await universe.CheckStoreAsync();
        universe.Ledger.CheckAll(universe.Disk);

        // What is left must be enough to start from.
        var again = universe.Broker = new Broker(universe, Dice.Of(universe.Seed, 21));
        while (!again.IsReady && !again.IsDead)
            await universe.DelayAsync(5);
        if (again.IsDead)
            universe.Fail("restart", "The broker does not start on what the run left.");
        again.Stop(TimeSpan.FromSeconds(10));
        await again.Died;
    }
}

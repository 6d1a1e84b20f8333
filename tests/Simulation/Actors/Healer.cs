using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Actors;

/// <summary>An agent that can do everything and does it at once: with it there, every task of its owner must come to its end.</summary>
internal sealed class Healer(Universe universe, string name, string? owner)
{
    private static readonly string[] Everything = ["code", "review", "search", "deploy"];

    private readonly List<(TaskId Task, int Attempt)> held = [];
    private bool rests;

    public void Rest() => rests = true;

    public async Task RunAsync()
    {
        // Others ask for things at the same moment: a short queue may be full.
        while ((await universe.Edge.ExecuteAsync(new RegisterAgent(name, Everything, owner, null, 50, AgentStatus.Ready, null) { Caller = name })).Refusal == Refusal.Busy)
            await universe.DelayAsync(5);
        while (!rests)
        {
            var reports = held.ConvertAll(TaskReport (job) => new TaskReport.Completed(job.Task, job.Attempt, universe.Ledger.Completing(name, job.Task, job.Attempt), null));
            var exchange = new ExchangeWork(name, reports, [], null, 50) { Caller = name };
            var reply = await universe.Edge.ExchangeAsync(exchange, TimeSpan.FromMilliseconds(universe.Weather.State.LeaseMs / 4.0));
            if (reply.Refusal == Refusal.Busy)
                continue;
            held.Clear();
            if (reply.Value is not { } outcome)
            {
                universe.Fail("I-9", $"In fair weather {name} was not answered: {reply.Certainty}, {reply.Refusal}.");
                return;
            }

            for (var i = 0; i < reports.Count; i++)
            {
                if (outcome.Reports[i] == ReportVerdict.Accepted)
                    universe.Ledger.Accepted(name, reports[i]);
            }

            foreach (var granted in outcome.Tasks)
            {
                universe.Ledger.Granted(name, granted.Task);
                held.Add((granted.Task.Id, granted.Task.Attempt));
            }
        }
    }
}

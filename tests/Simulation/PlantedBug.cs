using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Simulation.Disk;
using Dispatch.Tasks;

namespace Dispatch.Simulation;

/// <summary>Does to a batch on its way to the disk what the planted bug does.</summary>
internal sealed class PlantedBug(Universe universe, Random random)
{
    private bool done;

    public Batch Mangle(Batch batch, SimDisk disk)
    {
        switch (universe.Bug)
        {
            case Bug.TornBatch when Now(batch.Tasks.Any(row => row.Change == RowChange.State)):
                return Copy(batch, disk, tasks: [.. batch.Tasks.Where(row => row.Change == RowChange.Insert)]);
            case Bug.EventDropped when Now(batch.Events.Count > 1):
                return Copy(batch, disk, events: [.. batch.Events.Skip(1)]);
            case Bug.ColumnMangled when Now(batch.Tasks.Any(row => row.Change == RowChange.State)):
                return Copy(batch, disk, tasks: [.. batch.Tasks.Select(row => row.Change == RowChange.State ? row with { Task = row.Task with { QueuedAt = row.Task.QueuedAt + 1 } } : row)]);
            case Bug.TotalsNotWritten when Now(true, again: true):
                return Copy(batch, disk, totals: disk.Totals);
            case Bug.TimeGoesBack when Now(disk.Events.Count > 0 && batch.Events[0].Timestamp > 1_000):
                return Copy(batch, disk, events: [.. batch.Events.Select(happened => happened with { Timestamp = disk.Events[^1].Timestamp - 1 })]);
            case Bug.AssignedTwice when Now(batch.Events[^1].Data is TaskAssigned):
                var last = batch.Events[^1];
                return Copy(batch, disk, events: [.. batch.Events, last with { Sequence = last.Sequence + 1, Previous = last.Sequence }]);
            default:
                return batch;
        }
    }

    private bool Now(bool possible, bool again = false)
    {
        if ((done && !again) || !possible || !random.Chance(0.1))
            return false;
        return done = true;
    }

    private static Batch Copy(
        Batch batch, SimDisk disk, IReadOnlyList<DispatchEvent>? events = null, IReadOnlyList<TaskRow>? tasks = null, IReadOnlyList<long>? totals = null) => new()
        {
            Events = events ?? batch.Events,
            Texts = events is null ? batch.Texts : EventTexts.Of(events, new HashChain(disk.Hash)),
            Tasks = tasks ?? batch.Tasks,
            Attempts = batch.Attempts,
            Keys = batch.Keys,
            Agents = batch.Agents,
            RemovedAgents = batch.RemovedAgents,
            Tokens = batch.Tokens,
            Sessions = batch.Sessions,
            ClosedSessions = batch.ClosedSessions,
            Publishers = batch.Publishers,
            RemovedPublishers = batch.RemovedPublishers,
            Published = batch.Published,
            Webhooks = batch.Webhooks,
            RemovedWebhooks = batch.RemovedWebhooks,
            Questions = batch.Questions,
            Responders = batch.Responders,
            RemovedResponders = batch.RemovedResponders,
            Limits = batch.Limits,
            RemovedLimits = batch.RemovedLimits,
            Balances = batch.Balances,
            RemovedBalances = batch.RemovedBalances,
            Usage = batch.Usage,
            PrunedTasks = batch.PrunedTasks,
            Horizon = batch.Horizon,
            Totals = totals ?? batch.Totals,
        };
}

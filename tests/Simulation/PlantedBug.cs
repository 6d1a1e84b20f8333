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
            case Bug.ReservationKept when Now(batch.Tasks.Any(row => Kept(row, disk) is not null)):
                return Copy(batch, disk, tasks: [.. batch.Tasks.Select(row => Kept(row, disk) is { } kept ? row with { Task = row.Task with { Charge = kept } } : row)]);
            case Bug.BalancesForgotten when Now(batch.BalancesWritten is not null, again: true):
                return Copy(batch, disk, forgetBalances: true);
            case Bug.SpendingBookedTwice when More(batch, disk) is { } more && Now(true):
                return Copy(batch, disk, balances: [.. batch.Balances.Select(balance => balance == more ? more with { Used = more.Used + more.Used - Used(disk, more) } : balance)]);
            case Bug.OverspendAllowed when Now(batch.Events.Any(Reserves)):
                return Copy(batch, disk, events: [.. batch.Events.Select(happened => Reserves(happened) ? happened with { Data = Beyond((TaskAssigned)happened.Data) } : happened)]);
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

    private static TaskCharge? Kept(TaskRow row, SimDisk disk) =>
        row.Task is { Charge: null, Status: TaskState.Pending } && disk.Tasks.TryGetValue(row.Task.Number, out var before) ? before.Task.Charge : null;

    private static LimitBalance? More(Batch batch, SimDisk disk) => batch.Balances.FirstOrDefault(balance => balance.Used > Used(disk, balance));

    private static long Used(SimDisk disk, LimitBalance balance) => disk.Balances.GetValueOrDefault(balance.Key).Balance?.Used ?? 0;

    private static bool Reserves(DispatchEvent happened) => happened.Data is TaskAssigned { Reserved: { } reserved } && !reserved.Items.IsEmpty;

    // More than any limit has.
    private static TaskAssigned Beyond(TaskAssigned assigned) =>
        assigned with { Reserved = new Amounts([.. assigned.Reserved!.Items.ToArray().Select(item => new KeyValuePair<string, long>(item.Key, long.MaxValue / 4))]) };

    private static Batch Copy(
        Batch batch, SimDisk disk, IReadOnlyList<DispatchEvent>? events = null, IReadOnlyList<TaskRow>? tasks = null, IReadOnlyList<long>? totals = null,
        IReadOnlyList<LimitBalance>? balances = null, bool forgetBalances = false) => new()
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
            Balances = balances ?? batch.Balances,
            RemovedBalances = batch.RemovedBalances,
            BalancesWritten = forgetBalances ? null : batch.BalancesWritten,
            Usage = batch.Usage,
            PrunedTasks = batch.PrunedTasks,
            Horizon = batch.Horizon,
            Totals = totals ?? batch.Totals,
        };
}

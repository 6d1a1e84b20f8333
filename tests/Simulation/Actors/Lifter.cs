using Dispatch.Allowances;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Actors;

/// <summary>
/// In fair weather, when nothing is left but what waits for allowances, deletes every limit. What waits even then waits for the budget of a task, which
/// nobody can raise, and is cancelled.
/// </summary>
internal sealed class Lifter(Universe universe)
{
    private bool hasLifted;

    /// <summary>Looks once; true when it changed something.</summary>
    public async Task<bool> LiftAsync()
    {
        var live = universe.Disk.Tasks.Values.Select(stored => stored.Task).Where(task => !task.IsFinal).ToList();
        var waiting = live.Where(task => task.Status == TaskState.Pending).ToList();
        if (waiting.Count == 0 || live.Exists(task => task.Status is not (TaskState.Pending or TaskState.Blocked)))
            return false;
        foreach (var task in waiting)
        {
            var told = await universe.Edge.ExecuteAsync(new ExplainTask(task.Id) { ByAdmin = true });
            if (told.Value is not { Reason: WaitReason.Allowance })
                return false;
        }

        universe.Reached(Situation.WaitedForAllowanceAtEnd);
        if (hasLifted)
            await CancelAsync(waiting);
        else
            await DeleteLimitsAsync();
        return true;
    }

    private async Task DeleteLimitsAsync()
    {
        hasLifted = true;
        foreach (var id in universe.Disk.Limits.Values.Where(limit => limit.Level != LimitLevel.Task).Select(limit => limit.Id).ToList())
        {
            // Others ask for things at the same moment: a short queue may be full.
            while ((await universe.Edge.ExecuteAsync(new DeleteLimit(id) { ByAdmin = true })).Refusal == Refusal.Busy)
                await universe.DelayAsync(5);
        }
    }

    private async Task CancelAsync(List<WorkTask> waiting)
    {
        foreach (var task in waiting)
        {
            if (task.Cost is not { BudgetOf.IsNone: false })
                universe.Fail("I-9", $"Task {task.Id} waits for allowance where there is no limit any more, and has no budget.");
            universe.Reached(Situation.BudgetExhausted);
            await universe.Edge.CancelAsync(null, task.Id);
        }
    }
}

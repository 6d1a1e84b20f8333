using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary>Follows tasks to their end and tells every change.</summary>
/// <param name="client">Should be patient: a broker that restarts is waited for.</param>
internal sealed class TaskWatch(DispatchClient client)
{
    /// <summary>How long the broker for watching may be away before the watch gives up.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>The broker answers at once when a task ends; in between it is looked at this often.</summary>
    private static readonly TimeSpan Glance = TimeSpan.FromSeconds(1);

    /// <summary>Follows one task until it is final.</summary>
    /// <param name="id">The task.</param>
    /// <param name="onChange">Told at first, and whenever state, attempt, progress or error differ.</param>
    /// <param name="stop">Ends the watch, not the task.</param>
    /// <returns>The task at its end.</returns>
    public async Task<DispatchTask> FollowAsync(string id, Action<DispatchTask> onChange, CancellationToken stop)
    {
        DispatchTask? before = null;
        while (true)
        {
            var task = await client.GetTaskAsync(id, before is null ? TimeSpan.Zero : Glance, stop);
            if (before is null || Differs(before, task))
                onChange(task);
            if (task.IsFinal)
                return task;
            before = task;
        }
    }

    private static bool Differs(DispatchTask a, DispatchTask b) =>
        a.Status != b.Status || a.Attempt != b.Attempt || a.Error != b.Error || a.Assignee != b.Assignee
        || a.Progress?.Percent != b.Progress?.Percent || a.Progress?.Message != b.Progress?.Message;
}

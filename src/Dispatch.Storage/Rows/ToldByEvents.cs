using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Storage.Rows;

/// <summary>What the events of a batch tell, and rows need not repeat.</summary>
internal static class ToldByEvents
{
    /// <summary>The batch's events are gap-free, so that the sequence is the index.</summary>
    internal static EventData? EventAt(this Batch batch, long sequence)
    {
        var index = sequence - batch.Events[0].Sequence;
        return index >= 0 && index < batch.Events.Count ? batch.Events[(int)index].Data : null;
    }

    /// <summary>True when the task's last event is its completion and has the result.</summary>
    internal static bool IsResultTold(this Batch batch, EndedAttempt attempt)
    {
        var (low, high) = (0, batch.Tasks.Count - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            var task = batch.Tasks[middle].Task;
            if (task.Number == attempt.TaskNumber)
            {
                return task.Status == TaskState.Completed && task.Attempt == attempt.Attempt
                    && batch.EventAt(task.LastSequence) is TaskCompleted told && ReferenceEquals(told.Result, attempt.Result);
            }

            if (task.Number < attempt.TaskNumber)
                low = middle + 1;
            else
                high = middle - 1;
        }

        return false;
    }
}

using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>Lets reads wait for the end of a task.</summary>
internal sealed class TaskWatch
{
    private readonly Dictionary<TaskId, List<Expectation>> waiting = [];
    private readonly Lock changing = new();
    private int count;

    /// <summary>How many wait.</summary>
    public int Count => Volatile.Read(ref count);

    /// <summary>Starts to listen; an end after this call is not missed.</summary>
    public Expectation Expect(TaskId id)
    {
        var expectation = new Expectation(this, id);
        lock (changing)
        {
            if (!waiting.TryGetValue(id, out var list))
                waiting[id] = list = [];
            list.Add(expectation);
            Volatile.Write(ref count, count + 1);
        }

        return expectation;
    }

    public void Tell(IReadOnlyList<TaskRow> rows)
    {
        if (Count == 0)
            return;
        lock (changing)
        {
            foreach (var row in rows)
            {
                if (row.Task.IsFinal && waiting.TryGetValue(row.Task.Id, out var expectations))
                    expectations.ForEach(static expectation => expectation.Bell.Ring());
            }
        }
    }

    private void Forget(Expectation expectation, TaskId id)
    {
        lock (changing)
        {
            Volatile.Write(ref count, count - 1);
            if (waiting.TryGetValue(id, out var list) && list.Remove(expectation) && list.Count == 0)
                waiting.Remove(id);
        }
    }

    public sealed class Expectation(TaskWatch watch, TaskId id) : IDisposable
    {
        public Bell Bell { get; } = new();

        public void Dispose() => watch.Forget(this, id);
    }
}

namespace Dispatch.Chaos.Load;

/// <summary>How many tasks the clients may still submit: keeps the run's end as short as its middle. Safe for many callers.</summary>
public sealed class TaskBudget
{
    private const int Cap = 2_000;
    private int left;

    public void Add(int tasks)
    {
        int before;
        do
            before = Volatile.Read(ref left);
        while (Interlocked.CompareExchange(ref left, Math.Min(Cap, before + tasks), before) != before);
    }

    public bool TryTake(int tasks)
    {
        int before;
        do
        {
            before = Volatile.Read(ref left);
            if (before < tasks)
                return false;
        }
        while (Interlocked.CompareExchange(ref left, before - tasks, before) != before);
        return true;
    }
}

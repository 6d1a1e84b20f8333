namespace Dispatch.Sequencing;

/// <summary>
/// The newest keys of something that is otherwise only in the store. What was read from the store as of sequence S is complete when
/// put together with this window, provided S is not below <see cref="Floor"/>.
/// </summary>
internal sealed class RecentWindow<TKey, TValue>(int capacity)
    where TKey : notnull
{
    private readonly Dictionary<TKey, (TValue Value, long Sequence)> values = [];
    private readonly Queue<(TKey Key, long Sequence)> order = new();

    /// <summary>Everything after this sequence number is in the window.</summary>
    public long Floor { get; set; }

    public void Add(TKey key, TValue value, long sequence)
    {
        values[key] = (value, sequence);
        order.Enqueue((key, sequence));
        if (order.Count <= capacity)
            return;

        var (oldest, at) = order.Dequeue();
        Floor = at;
        if (values.TryGetValue(oldest, out var known) && known.Sequence == at)
            values.Remove(oldest);
    }

    /// <summary>Drops the keys whose value is gone: the store doesn't have them any more either.</summary>
    public void Remove(Func<TValue, bool> gone)
    {
        foreach (var key in values.Where(known => gone(known.Value.Value)).Select(known => known.Key).ToList())
            values.Remove(key);
    }

    public bool TryGet(TKey key, out TValue value)
    {
        var found = values.TryGetValue(key, out var known);
        value = known.Value;
        return found;
    }
}

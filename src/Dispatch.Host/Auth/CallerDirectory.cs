using System.Collections.Concurrent;
using Dispatch.Host.Configuration;

namespace Dispatch.Host.Auth;

/// <summary>
/// What is remembered about those who called lately: the shared <see cref="Caller"/> and the allowance. Bounded: anybody on a
/// trusted loopback can invent names.
/// </summary>
public sealed class CallerDirectory
{
    /// <summary>Most callers remembered by default: more than a swarm has, some 10 MB at the longest names.</summary>
    public const int DefaultCapacity = 16_384;

    private readonly ConcurrentDictionary<string, Entry> entries = new(StringComparer.Ordinal);
    private readonly Lock making = new();
    private readonly TimeProvider time;
    private readonly int capacity;
    private volatile Allowance allowance;
    private int count;

    /// <param name="limits">Rate and burst.</param>
    /// <param name="time">Its time stamps.</param>
    /// <param name="capacity">Most callers remembered.</param>
    public CallerDirectory(LimitSettings limits, TimeProvider time, int capacity = DefaultCapacity)
    {
        this.time = time;
        this.capacity = capacity;
        allowance = AllowanceOf(limits);
    }

    /// <summary>Other limits hold from now on; what a caller has used of its burst stays used, as far as the new one goes.</summary>
    public void Change(LimitSettings limits) => allowance = AllowanceOf(limits);

    /// <summary>How many callers are remembered.</summary>
    public int Count => Volatile.Read(ref count);

    /// <summary>The entry of an agent; null when the text can't be an agent's id.</summary>
    internal Entry? Find(string agent) => entries.TryGetValue(agent, out Entry? entry) ? entry : Make(agent);

    /// <summary>Takes a request from the caller's allowance.</summary>
    /// <returns>0, or the whole seconds after which to try again.</returns>
    internal int Take(Entry entry)
    {
        Allowance now = allowance;
        if (now.PerRequest == 0)
            return 0;

        long wait = entry.Rate.Take(time.GetTimestamp(), now.PerRequest, now.Burst);
        return wait == 0 ? 0 : (int)Math.Min(3600, (wait + time.TimestampFrequency - 1) / time.TimestampFrequency);
    }

    private Allowance AllowanceOf(LimitSettings limits)
    {
        long perRequest = limits.RequestsPerSecond == 0 ? 0 : Math.Max(1, time.TimestampFrequency / limits.RequestsPerSecond);
        return new Allowance(perRequest, perRequest * limits.Burst);
    }

    private Entry? Make(string agent)
    {
        if (!AgentIds.IsValid(agent))
            return null;

        lock (making)
        {
            if (entries.TryGetValue(agent, out Entry? made))
                return made;
            if (count >= capacity)
                Forget();
            var entry = new Entry(agent);
            entries[agent] = entry;
            count++;
            return entry;
        }
    }

    /// <summary>
    /// Makes room: first those whose allowance is full, who lose nothing by it, down to half; when that is not enough, because a
    /// crowd of names is being used right now, any. Half at once, so that the walk is paid for by thousands of new names.
    /// </summary>
    private void Forget()
    {
        long now = time.GetTimestamp();
        foreach (bool onlyFull in (ReadOnlySpan<bool>)[true, false])
        {
            foreach ((string agent, Entry entry) in entries)
            {
                if (count <= capacity / 2)
                    return;
                if ((!onlyFull || entry.Rate.IsFull(now)) && entries.TryRemove(agent, out _))
                    count--;
            }

            // A quarter of room is enough to go on; throwing away allowances in use is the last resort.
            if (count <= capacity / 4 * 3)
                return;
        }
    }

    /// <summary>In ticks; see <see cref="CallerRate.Take"/>.</summary>
    private sealed record Allowance(long PerRequest, long Burst);

    /// <summary>One caller.</summary>
    internal sealed class Entry(string agent)
    {
        private Caller? admin;

        public Caller Plain { get; init; } = new(agent, IsAdmin: false);

        public Caller Admin => admin ??= new Caller(Plain.Agent, IsAdmin: true);

        public CallerRate Rate;
    }
}

namespace Dispatch.Chaos.Nodes;

/// <summary>When which node took a task, as those who keep asking were told. Safe for many callers.</summary>
/// <param name="nodes">How many there are.</param>
public sealed class Availability(int nodes)
{
    private readonly Lock gate = new();
    private readonly List<long> answers = [];
    private readonly long[] lastAsked = [.. Enumerable.Repeat(-1L, nodes)];

    /// <summary>A node answered.</summary>
    /// <param name="askedAtUs">When it was asked, on the run's clock.</param>
    /// <param name="answeredAtUs">When the answer came.</param>
    public void Note(int node, long askedAtUs, long answeredAtUs)
    {
        lock (gate)
        {
            answers.Add(answeredAtUs);
            lastAsked[node] = Math.Max(lastAsked[node], askedAtUs);
        }
    }

    /// <summary>Whether every node answered something that it was asked at this time or later.</summary>
    public bool HaveAllSince(long us)
    {
        lock (gate)
            return Array.TrueForAll(lastAsked, asked => asked >= us);
    }

    /// <summary>The longest time in which none of them answered, between two moments.</summary>
    public TimeSpan LongestGap(long fromUs, long toUs)
    {
        lock (gate)
        {
            var (last, longest) = (fromUs, 0L);
            foreach (var at in answers.Where(at => at >= fromUs && at <= toUs).Order().Append(toUs))
            {
                longest = Math.Max(longest, at - last);
                last = at;
            }

            return TimeSpan.FromMicroseconds(longest);
        }
    }
}

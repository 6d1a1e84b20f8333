using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>How long tasks waited and ran since the broker started, and how each agent did.</summary>
internal sealed class TaskTimes
{
    private readonly Lock changing = new();
    private readonly Quantiles queued = new();
    private readonly Quantiles ran = new();
    private readonly Dictionary<string, AgentRecord> agents = new(StringComparer.Ordinal);

    public void Queued(long ms)
    {
        lock (changing)
            queued.Add(ms);
    }

    public void Ended(EndedAttempt attempt)
    {
        var ms = attempt.EndedAt - attempt.AssignedAt;
        lock (changing)
        {
            if (attempt.Outcome is not (AttemptOutcome.Released or AttemptOutcome.Cancelled))
                ran.Add(ms);
            var record = agents.GetValueOrDefault(attempt.Agent);
            agents[attempt.Agent] = attempt.Outcome switch
            {
                AttemptOutcome.Completed => record with { Completed = record.Completed + 1, RunMs = record.RunMs + ms },
                AttemptOutcome.Failed => record with { Failed = record.Failed + 1 },
                AttemptOutcome.Timeout => record with { Timeout = record.Timeout + 1 },
                AttemptOutcome.Lost => record with { Lost = record.Lost + 1 },
                _ => record,
            };
        }
    }

    public (TimeSummary Queued, TimeSummary Ran, Dictionary<string, AgentRecord> Agents) Read()
    {
        lock (changing)
            return (queued.Summary(), ran.Summary(), new Dictionary<string, AgentRecord>(agents, StringComparer.Ordinal));
    }

    public void Forget(string agent)
    {
        lock (changing)
            agents.Remove(agent);
    }

    /// <summary>
    /// Counts in buckets that grow by an eighth of a power of two: quantiles are off by at most 5 percent, and never outside what was seen.
    /// </summary>
    private sealed class Quantiles
    {
        private const int Steps = 8;

        private readonly long[] buckets = new long[64 * Steps];
        private long count;
        private double sum;
        private long least = long.MaxValue;
        private long most;

        public void Add(long ms)
        {
            ms = Math.Max(0, ms);
            least = Math.Min(least, ms);
            most = Math.Max(most, ms);
            buckets[ms == 0 ? 0 : Math.Min(buckets.Length - 1, 1 + (int)(Math.Log2(ms) * Steps))]++;
            count++;
            sum += ms;
        }

        public TimeSummary Summary() => new(count, count == 0 ? 0 : sum / count, At(0.50), At(0.95), At(0.99));

        private double At(double quantile)
        {
            var rank = (long)Math.Ceiling(quantile * count);
            long seen = 0;
            for (var i = 0; i < buckets.Length && count > 0; i++)
            {
                seen += buckets[i];
                if (seen >= rank)
                    return i == 0 ? 0 : Math.Clamp(Math.Pow(2, (i - 0.5) / Steps), least, most);
            }

            return 0;
        }
    }
}

/// <summary>Milliseconds.</summary>
internal readonly record struct TimeSummary(long Count, double Average, double P50, double P95, double P99);

internal readonly record struct AgentRecord(long Completed, long Failed, long Timeout, long Lost, long RunMs);

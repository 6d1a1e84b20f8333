using Dispatch.Events;
using Dispatch.Matching;

namespace Dispatch.Allowances;

/// <summary>What an attempt used.</summary>
/// <param name="Kind">What its task asks of an agent.</param>
public sealed record UsageSample(string Agent, Requirement Kind, JsonBytes Usage);

/// <summary>
/// What tasks of a kind needed from an agent lately: the base of reservations for those that say nothing themselves. A kind is what a task asks of an
/// agent. It is experience, not state: what was reserved stands in the events, and after a restart the newest attempts in the store are looked through.
/// </summary>
internal sealed class UsageHistory
{
    private const int Kinds = 20_000;
    private const int Samples = 32;

    // Fewer say too little; then the default stands.
    private const int Enough = 5;

    private readonly Dictionary<(string Agent, Requirement Kind), Sample> samples = [];
    private readonly Dictionary<Requirement, Estimate> least = [];

    /// <summary>True when the agent is expected to need less for such a task than before.</summary>
    public bool Add(string agent, Requirement kind, Estimate used)
    {
        if (!samples.TryGetValue((agent, kind), out var sample))
        {
            if (samples.Count >= Kinds)
            {
                samples.Clear();
                least.Clear();
            }

            samples[(agent, kind)] = sample = new Sample();
        }

        var expected = sample.P95;
        sample.Add(used.TokensIn ?? used.Tokens ?? 0, used.TokensIn is null && used.Tokens is not null ? 0 : used.TokensOut ?? 0, used.Requests ?? 0);
        if (sample.P95 is not { } now)
            return false;
        var before = least.GetValueOrDefault(kind);
        var after = before is null
            ? now
            : new Estimate(
                Math.Min(before.TokensIn!.Value, now.TokensIn!.Value), Math.Min(before.TokensOut!.Value, now.TokensOut!.Value),
                Requests: Math.Min(before.Requests!.Value, now.Requests!.Value));
        if (after != before)
            least[kind] = after;
        return expected is null || now.TokensIn < expected.TokensIn || now.TokensOut < expected.TokensOut || now.Requests < expected.Requests;
    }

    /// <summary>No agent that is known is expected to need less than this; null when none is known.</summary>
    public Estimate? Least(Requirement kind) => least.GetValueOrDefault(kind);

    /// <summary>The 95th percentile of each; null when too few are known.</summary>
    public Estimate? P95(string agent, Requirement kind) => samples.TryGetValue((agent, kind), out var sample) ? sample.P95 : null;

    /// <summary>What an attempt that ended used, for who begins with the store.</summary>
    public void Add(UsageSample sample) => Add(sample.Agent, sample.Kind, Estimate.Read(sample.Usage));

    // The newest values of each measure, and what follows from them: an estimate is made anew only when it is another.
    private sealed class Sample
    {
        private readonly long[] values = new long[3 * Samples];
        private int count;
        private bool stale;
        private Estimate? p95;

        public Estimate? P95
        {
            get
            {
                if (!stale || count < Enough)
                    return p95;
                stale = false;
                var (tokensIn, tokensOut, requests) = (Of(0), Of(1), Of(2));
                if (p95 is null || p95.TokensIn != tokensIn || p95.TokensOut != tokensOut || p95.Requests != requests)
                    p95 = new Estimate(tokensIn, tokensOut, Requests: requests);
                return p95;
            }
        }

        public void Add(long tokensIn, long tokensOut, long requests)
        {
            var at = count++ % Samples;
            stale |= count <= Samples || values[at] != tokensIn || values[Samples + at] != tokensOut || values[(2 * Samples) + at] != requests;
            (values[at], values[Samples + at], values[(2 * Samples) + at]) = (tokensIn, tokensOut, requests);
        }

        // Nearest rank: of up to 32 values the 95th percentile is the largest, from 20 on the second.
        private long Of(int measure)
        {
            var known = Math.Min(count, Samples);
            var (largest, second) = (long.MinValue, long.MinValue);
            foreach (var value in values.AsSpan(measure * Samples, known))
            {
                if (value > largest)
                    (largest, second) = (value, largest);
                else if (value > second)
                    second = value;
            }

            return (int)Math.Ceiling(known * 0.95) == known ? largest : second;
        }
    }
}

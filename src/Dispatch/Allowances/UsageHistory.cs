using Dispatch.Matching;

namespace Dispatch.Allowances;

/// <summary>
/// What tasks of a kind needed from an agent lately: the base of reservations for those that say nothing themselves. A kind is what a task asks of an
/// agent. It is experience, not state: reservations stand in the events, and after a restart it is gathered anew.
/// </summary>
internal sealed class UsageHistory
{
    private const int Kinds = 20_000;
    private const int Samples = 32;

    // Fewer say too little; then the default stands.
    private const int Enough = 5;

    private readonly Dictionary<(string Agent, Requirement Kind), Sample> samples = [];
    private readonly HashSet<Requirement> known = [];

    public void Add(string agent, Requirement kind, Estimate used)
    {
        if (!samples.TryGetValue((agent, kind), out var sample))
        {
            if (samples.Count >= Kinds)
                Forget();
            samples[(agent, kind)] = sample = new Sample();
        }

        if (sample.IsNearlyEnough)
            known.Add(kind);
        sample.Add(used.TokensIn ?? used.Tokens ?? 0, used.TokensIn is null && used.Tokens is not null ? 0 : used.TokensOut ?? 0, used.Requests ?? 0);
    }

    /// <summary>True when some agent has experience with the kind: then one may need less than another.</summary>
    public bool Knows(Requirement kind) => known.Contains(kind);

    private void Forget()
    {
        samples.Clear();
        known.Clear();
    }

    /// <summary>The 95th percentile of each; null when too few are known.</summary>
    public Estimate? P95(string agent, Requirement kind) => samples.TryGetValue((agent, kind), out var sample) ? sample.P95 : null;

    private sealed class Sample
    {
        private readonly long[] tokensIn = new long[Samples];
        private readonly long[] tokensOut = new long[Samples];
        private readonly long[] requests = new long[Samples];
        private int count;
        private Estimate? p95;

        public bool IsNearlyEnough => count == Enough - 1;

        public Estimate? P95 => count < Enough ? null : p95 ??= new Estimate(Of(tokensIn), Of(tokensOut), Requests: Of(requests));

        public void Add(long tokensInUsed, long tokensOutUsed, long requestsUsed)
        {
            var at = count++ % Samples;
            (tokensIn[at], tokensOut[at], requests[at]) = (tokensInUsed, tokensOutUsed, requestsUsed);
            p95 = null;
        }

        private long Of(long[] values)
        {
            var known = values[..Math.Min(count, Samples)];
            Array.Sort(known);
            return known[(int)Math.Ceiling(known.Length * 0.95) - 1];
        }
    }
}

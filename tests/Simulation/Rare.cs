namespace Dispatch.Simulation;

/// <summary>Rare situations that the simulation must reach now and then: one that is never reached is not tested, whatever passes.</summary>
internal sealed class Rare
{
    private readonly long[] counts = new long[Enum.GetValues<Situation>().Length];

    public long this[Situation situation] => counts[(int)situation];

    public void Reached(Situation situation) => counts[(int)situation]++;

    public void Add(Rare other)
    {
        for (var i = 0; i < counts.Length; i++)
            counts[i] += other.counts[i];
    }
}

using System.Globalization;

namespace Dispatch.Simulation;

/// <summary>What happened, in order: a hash of all of it, and the last entries to look at. Two runs of a seed are the same when the hashes are.</summary>
internal sealed class Trace(Func<long> ticks, TextWriter? writer)
{
    private const int Kept = 80;

    private readonly Entry[] last = new Entry[Kept];
    private int count;

    /// <summary>FNV-1a over everything added.</summary>
    public ulong Hash { get; private set; } = 14695981039346656037;

    public void Add(string what, string? who = null, string? detail = null, long a = 0, long b = 0)
    {
        var entry = new Entry(ticks(), what, who, detail, a, b);
        last[count++ % Kept] = entry;
        Take(entry.Ticks);
        Take(what);
        Take(who);
        Take(detail);
        Take(a);
        Take(b);
        writer?.WriteLine(entry.ToString());
    }

    /// <summary>The newest entries, oldest first.</summary>
    public IEnumerable<string> Last()
    {
        for (var i = Math.Max(0, count - Kept); i < count; i++)
            yield return last[i % Kept].ToString();
    }

    private void Take(string? text)
    {
        Take(text?.Length ?? -1);
        foreach (var c in text ?? "")
            Take(c);
    }

    private void Take(long number)
    {
        unchecked
        {
            Hash = (Hash ^ (ulong)number) * 1099511628211;
            Hash ^= Hash >> 29;
        }
    }

    private readonly record struct Entry(long Ticks, string What, string? Who, string? Detail, long A, long B)
    {
        public override string ToString() => string.Create(
            CultureInfo.InvariantCulture, $"{Ticks / (double)TimeSpan.TicksPerSecond,12:0.0000000}  {What,-28} {Who,-38} {(A == 0 ? "" : A),6} {(B == 0 ? "" : B),14}  {Detail}");
    }
}

using System.Diagnostics;
using System.Numerics;

namespace Dispatch.Bench.Measuring;

/// <summary>
/// Counts durations in buckets whose width grows with the value: any percentile is right to within 0.8 %, at a fixed
/// 57 KiB. The idea is HdrHistogram's.
/// </summary>
internal sealed class LatencyHistogram
{
    // 128 buckets for each power of two; below 128 ns each nanosecond has its own.
    private const int Precision = 7;
    private const int Buckets = 1 << Precision;

    private readonly long[] _counts = new long[(64 - Precision) * Buckets];

    /// <summary>How many durations were recorded.</summary>
    public long Count { get; private set; }

    /// <summary>The longest, exactly, in nanoseconds.</summary>
    public long MaximumNs { get; private set; }

    /// <summary>Records the time between two <see cref="Stopwatch"/> timestamps.</summary>
    public void Record(long from, long to) => RecordNs((long)((to - from) * (1e9 / Stopwatch.Frequency)));

    /// <summary>Records a duration in nanoseconds; a negative one counts as 0.</summary>
    public void RecordNs(long nanoseconds)
    {
        var value = Math.Max(0, nanoseconds);
        _counts[Index(value)]++;
        Count++;
        MaximumNs = Math.Max(MaximumNs, value);
    }

    /// <summary>The duration in milliseconds that <paramref name="percent"/> (above 0, to 100) of all do not exceed; not a number when nothing was recorded.</summary>
    public double PercentileMs(double percent)
    {
        if (Count == 0)
            return double.NaN;

        var wanted = Math.Max(1, (long)Math.Ceiling(Count * percent / 100));
        long seen = 0;
        for (var i = 0; i < _counts.Length; i++)
        {
            seen += _counts[i];
            if (seen >= wanted)
                return Math.Min(HighestOf(i), MaximumNs) / 1e6;
        }

        return MaximumNs / 1e6;
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        Array.Clear(_counts);
        Count = 0;
        MaximumNs = 0;
    }

    private static int Index(long value)
    {
        if (value < Buckets)
            return (int)value;

        var shift = BitOperations.Log2((ulong)value) - Precision;
        return ((shift + 1) << Precision) + (int)((value >> shift) - Buckets);
    }

    private static long HighestOf(int index)
    {
        if (index < Buckets)
            return index;

        var shift = (index >> Precision) - 1;
        return ((long)((index & (Buckets - 1)) + Buckets + 1) << shift) - 1;
    }
}

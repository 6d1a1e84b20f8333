using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace Dispatch.Host.Telemetry;

/// <summary>Up to three label values. The names are the same for every measurement of an instrument.</summary>
internal readonly record struct Labels(string? First, string? Second, string? Third)
{
    public const int Most = 3;

    public static Labels Of(ReadOnlySpan<KeyValuePair<string, object?>> tags) => new(
        tags.Length > 0 ? Text(tags[0].Value) : null,
        tags.Length > 1 ? Text(tags[1].Value) : null,
        tags.Length > 2 ? Text(tags[2].Value) : null);

    public string? this[int index] => index switch { 0 => First, 1 => Second, _ => Third };

    private static string Text(object? value) => value as string ?? Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
}

/// <summary>
/// One instrument's measurements, added up. Written by many threads at once without a lock: each processor has its own cells,
/// which a reader adds together.
/// </summary>
internal sealed class MetricFamily
{
    // A route or an outcome is one of a few; more is a mistake somewhere, which must not eat the memory.
    private const int MostSeries = 2_000;

    private static readonly int Stripes = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Min(Environment.ProcessorCount, 16));

    private readonly ConcurrentDictionary<Labels, Stripe[]> series = new();
    private readonly Func<Labels, Stripe[]> make;

    // Most instruments have no labels: no look-up.
    private readonly Stripe[] unlabelled;
    private string[] labelNames = [];
    private bool isUnlabelledUsed;

    public MetricFamily(Instrument instrument)
    {
        Name = instrument.Name;
        Help = instrument.Description ?? "";
        Bounds = [.. (instrument as Histogram<double>)?.Advice?.HistogramBucketBoundaries ?? []];
        IsHistogram = instrument is Histogram<double>;
        IsCounter = instrument.GetType().Name.Contains("Counter", StringComparison.Ordinal);
        // An observed value is the total, not one more.
        IsObserved = instrument.IsObservable;
        make = _ => NewStripes();
        unlabelled = NewStripes();
    }

    public string Name { get; }

    public string Help { get; }

    public double[] Bounds { get; }

    public bool IsHistogram { get; }

    public bool IsCounter { get; }

    public bool IsObserved { get; }

    public IReadOnlyList<string> LabelNames => labelNames;

    public void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        Stripe[] stripes = tags.IsEmpty ? Unlabelled() : Find(tags);
        if (IsObserved)
            stripes[0].Set(value);
        else if (IsHistogram)
            stripes[Thread.GetCurrentProcessorId() & (Stripes - 1)].Add(value, Bucket(value));
        else
            stripes[Thread.GetCurrentProcessorId() & (Stripes - 1)].Add(value);
    }

    /// <summary>What was observed last time is gone: the next observation may have other labels.</summary>
    public void ForgetObserved()
    {
        if (IsObserved)
        {
            series.Clear();
            isUnlabelledUsed = false;
        }
    }

    /// <summary>Every series with its sum and, for a histogram, its count per bucket (the last one has no upper bound).</summary>
    public IEnumerable<(Labels Labels, double Sum, long[] Buckets)> Read()
    {
        if (isUnlabelledUsed || (!IsObserved && labelNames.Length == 0))
            yield return Total(default, unlabelled);
        foreach ((Labels labels, Stripe[] stripes) in series.OrderBy(one => one.Key.First, StringComparer.Ordinal)
            .ThenBy(one => one.Key.Second, StringComparer.Ordinal).ThenBy(one => one.Key.Third, StringComparer.Ordinal))
        {
            yield return Total(labels, stripes);
        }
    }

    private (Labels Labels, double Sum, long[] Buckets) Total(Labels labels, Stripe[] stripes)
    {
        double sum = 0;
        var buckets = new long[IsHistogram ? Bounds.Length + 1 : 0];
        foreach (Stripe stripe in stripes)
            sum += stripe.Read(buckets);
        return (labels, sum, buckets);
    }

    private Stripe[] Unlabelled()
    {
        if (!isUnlabelledUsed)
            isUnlabelledUsed = true;
        return unlabelled;
    }

    private Stripe[] Find(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var labels = Labels.Of(tags);
        if (series.TryGetValue(labels, out Stripe[]? stripes))
            return stripes;

        if (labelNames.Length == 0)
        {
            var names = new string[Math.Min(tags.Length, Labels.Most)];
            for (int i = 0; i < names.Length; i++)
                names[i] = tags[i].Key;
            labelNames = names;
        }

        if (series.Count >= MostSeries)
            labels = new Labels("other", "other", "other");
        return series.GetOrAdd(labels, make);
    }

    private int Bucket(double value)
    {
        int bucket = 0;
        while (bucket < Bounds.Length && value > Bounds[bucket])
            bucket++;
        return bucket;
    }

    private Stripe[] NewStripes()
    {
        var stripes = new Stripe[IsObserved ? 1 : Stripes];
        for (int i = 0; i < stripes.Length; i++)
            stripes[i] = new Stripe(IsHistogram ? Bounds.Length + 1 : 0);
        return stripes;
    }

    /// <summary>One processor's cells. A thread may be moved between two steps, so each is atomic.</summary>
    private sealed class Stripe(int buckets)
    {
        private readonly long[] counts = new long[buckets];
        private double sum;

        public void Set(double value) => Volatile.Write(ref sum, value);

        public void Add(double value, int bucket)
        {
            Interlocked.Increment(ref counts[bucket]);
            Add(value);
        }

        public void Add(double value)
        {
            double seen = Volatile.Read(ref sum);
            while (true)
            {
                double was = Interlocked.CompareExchange(ref sum, seen + value, seen);
                // Bits, not values: NaN is not equal to itself.
                if (BitConverter.DoubleToInt64Bits(was) == BitConverter.DoubleToInt64Bits(seen))
                    return;
                seen = was;
            }
        }

        public double Read(long[] into)
        {
            for (int i = 0; i < into.Length; i++)
                into[i] += Volatile.Read(ref counts[i]);
            return Volatile.Read(ref sum);
        }
    }
}

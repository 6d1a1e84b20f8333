using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Telemetry;

/// <summary>
/// The instruments of one meter as a page in the Prometheus text format 0.0.4. It listens from its making on, so that nothing is
/// missed before the first scrape.
/// </summary>
public sealed class PrometheusPage : IDisposable
{
    /// <summary>Content-Type of the page.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly MeterListener listener = new();
    private readonly List<MetricFamily> families = [];
    private readonly Lock scraping = new();

    /// <param name="metrics">Whose instruments.</param>
    public PrometheusPage(DispatchMetrics metrics)
    {
        listener.InstrumentPublished = (instrument, own) =>
        {
            // The object, not the name: another meter of the same name belongs to somebody else.
            if (!ReferenceEquals(instrument.Meter, metrics.Meter))
                return;

            var family = new MetricFamily(instrument);
            lock (scraping)
                families.Add(family);
            own.EnableMeasurementEvents(instrument, family);
        };
        listener.SetMeasurementEventCallback<double>(static (_, value, tags, family) => ((MetricFamily)family!).Record(value, tags));
        listener.SetMeasurementEventCallback<long>(static (_, value, tags, family) => ((MetricFamily)family!).Record(value, tags));
        listener.SetMeasurementEventCallback<int>(static (_, value, tags, family) => ((MetricFamily)family!).Record(value, tags));
        listener.Start();
    }

    /// <summary>Answers a scrape.</summary>
    public async Task WriteAsync(HttpContext context)
    {
        byte[] page = Encoding.UTF8.GetBytes(Write());
        context.Response.ContentType = ContentType;
        context.Response.ContentLength = page.Length;
        await context.Response.BodyWriter.WriteAsync(page, context.RequestAborted);
    }

    /// <summary>The page.</summary>
    public string Write() => Write([(null, this)]);

    /// <summary>Several as one page, told apart by a label.</summary>
    internal static string Write(IReadOnlyList<(string? Space, PrometheusPage Page)> pages)
    {
        var text = new StringBuilder(16 * 1024);
        var all = pages.SelectMany(of => of.Page.Observe().Select(family => (of.Space, Family: family)));
        foreach (var same in all.GroupBy(of => of.Family.Name, StringComparer.Ordinal).OrderBy(group => group.Key, StringComparer.Ordinal))
        {
            var isFirst = true;
            foreach (var (space, family) in same)
                isFirst &= !Write(text, family, space, isFirst);
        }

        return text.ToString();
    }

    // One scrape at a time: observed values are read into the families first.
    private MetricFamily[] Observe()
    {
        lock (scraping)
        {
            foreach (MetricFamily family in families)
                family.ForgetObserved();
            listener.RecordObservableInstruments();
            return [.. families];
        }
    }

    /// <inheritdoc/>
    public void Dispose() => listener.Dispose();

    private static bool Write(StringBuilder page, MetricFamily family, string? space, bool isFirst)
    {
        (Labels Labels, double Sum, long[] Buckets)[] all = [.. family.Read()];
        if (all.Length == 0)
            return false;

        if (isFirst)
            WriteHead(page, family);
        foreach ((Labels labels, double sum, long[] buckets) in all)
        {
            if (!family.IsHistogram)
            {
                WriteSample(page, family, space, "", labels, bound: null, sum);
                continue;
            }

            // The count is that of the last bucket, not a number of its own: they are read while others write.
            long count = 0;
            for (int i = 0; i < buckets.Length; i++)
            {
                count += buckets[i];
                string bound = i < family.Bounds.Length ? Number(family.Bounds[i]) : "+Inf";
                WriteSample(page, family, space, "_bucket", labels, bound, count);
            }

            WriteSample(page, family, space, "_sum", labels, bound: null, sum);
            WriteSample(page, family, space, "_count", labels, bound: null, count);
        }

        return true;
    }

    private static void WriteHead(StringBuilder page, MetricFamily family)
    {
        page.Append("# HELP ").Append(family.Name).Append(' ').Append(EscapeHelp(family.Help)).Append('\n');
        page.Append("# TYPE ").Append(family.Name).Append(' ')
            .Append(family.IsHistogram ? "histogram" : family.IsCounter ? "counter" : "gauge").Append('\n');
    }

    private static void WriteSample(StringBuilder page, MetricFamily family, string? space, string suffix, Labels labels, string? bound, double value)
    {
        page.Append(family.Name).Append(suffix);
        char before = '{';
        if (space is not null)
        {
            page.Append("{namespace=\"").Append(EscapeLabel(space)).Append('"');
            before = ',';
        }

        for (int i = 0; i < family.LabelNames.Count; i++)
        {
            page.Append(before).Append(family.LabelNames[i]).Append("=\"").Append(EscapeLabel(labels[i] ?? "")).Append('"');
            before = ',';
        }

        if (bound is not null)
        {
            page.Append(before).Append("le=\"").Append(bound).Append('"');
            before = ',';
        }

        if (before == ',')
            page.Append('}');
        page.Append(' ').Append(Number(value)).Append('\n');
    }

    private static string Number(double value) =>
        double.IsNaN(value) ? "NaN"
        : double.IsPositiveInfinity(value) ? "+Inf"
        : double.IsNegativeInfinity(value) ? "-Inf"
        : value.ToString("R", CultureInfo.InvariantCulture);

    private static string EscapeHelp(string text) =>
        text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);

    private static string EscapeLabel(string text) =>
        text.AsSpan().ContainsAny('\\', '"', '\n')
            ? EscapeHelp(text).Replace("\"", "\\\"", StringComparison.Ordinal)
            : text;
}

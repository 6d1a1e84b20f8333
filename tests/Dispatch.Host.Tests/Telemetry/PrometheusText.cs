using System.Globalization;
using System.Text.RegularExpressions;

namespace Dispatch.Host.Tests.Telemetry;

/// <summary>
/// A reader of the text format 0.0.4, written from its specification and independent of our writer. It refuses what Prometheus'
/// own parser or linter refuses.
/// </summary>
internal sealed partial class PrometheusText
{
    private readonly Dictionary<string, string> types = [];

    /// <summary>Value by name and labels, as in <c>name{a="b",c="d"}</c>, labels in the order written.</summary>
    public Dictionary<string, double> Samples { get; } = [];

    public static PrometheusText Parse(string page)
    {
        Assert.EndsWith("\n", page);
        Assert.DoesNotContain("\r", page);
        var text = new PrometheusText();
        string? family = null;
        var closed = new HashSet<string>();
        var helped = new HashSet<string>();
        foreach (string line in page.TrimEnd('\n').Split('\n'))
        {
            if (Comment().Match(line) is { Success: true } comment)
            {
                string name = comment.Groups["name"].Value;
                if (comment.Groups["kind"].Value == "HELP")
                {
                    Assert.True(helped.Add(name), $"second HELP of {name}");
                    Assert.DoesNotMatch(@"(?<!\\)(\\\\)*\\(?![\\n])", comment.Groups["rest"].Value);
                    Assert.True(closed.Add(name), $"{name} is not in one piece");
                    family = name;
                    continue;
                }

                Assert.Equal(family, name);
                Assert.Contains(comment.Groups["rest"].Value, (string[])["counter", "gauge", "histogram"]);
                Assert.True(text.types.TryAdd(name, comment.Groups["rest"].Value), $"second TYPE of {name}");
                continue;
            }

            Match sample = Sample().Match(line);
            Assert.True(sample.Success, "not a sample: " + line);
            string sampleName = sample.Groups["name"].Value;
            Assert.NotNull(family);
            Assert.True(sampleName == family || (text.types[family] == "histogram" && sampleName.StartsWith(family, StringComparison.Ordinal) && sampleName[family.Length..] is "_bucket" or "_sum" or "_count"), line);
            string labels = sample.Groups["labels"].Value;
            if (labels.Length > 0)
                Assert.Matches(AllLabels(), labels);
            Assert.Distinct(Label().Matches(labels).Select(label => label.Groups["name"].Value));
            Assert.True(text.Samples.TryAdd(sampleName + labels, Number(sample.Groups["value"].Value)), "twice: " + line);
        }

        text.CheckTypes();
        return text;
    }

    public double this[string sample] => Samples.TryGetValue(sample, out double value) ? value : throw new Xunit.Sdk.XunitException($"no {sample} among\n{string.Join('\n', Samples.Keys)}");

    private void CheckTypes()
    {
        foreach ((string name, string type) in types)
        {
            if (type == "counter")
            {
                Assert.EndsWith("_total", name);
                Assert.All(Samples.Where(sample => Name(sample.Key) == name), sample => Assert.True(sample.Value >= 0, sample.Key));
            }
            else if (type == "histogram")
            {
                CheckHistogram(name);
            }
            else
            {
                Assert.False(name.EndsWith("_total", StringComparison.Ordinal), name);
            }
        }
    }

    private void CheckHistogram(string name)
    {
        var series = Samples.Where(sample => Name(sample.Key) == name + "_bucket")
            .GroupBy(sample => string.Join(',', Label().Matches(sample.Key).Where(label => label.Groups["name"].Value != "le").Select(label => label.Value)));
        int count = 0;
        foreach (var one in series)
        {
            count++;
            double bound = double.NegativeInfinity;
            double below = 0;
            foreach ((string key, double value) in one)
            {
                double le = Number(Label().Matches(key).Single(label => label.Groups["name"].Value == "le").Groups["value"].Value);
                Assert.True(le > bound, "bounds must rise: " + key);
                Assert.True(value >= below, "buckets must be cumulative: " + key);
                (bound, below) = (le, value);
            }

            Assert.Equal(double.PositiveInfinity, bound);
            string labels = one.Key.Length == 0 ? "" : "{" + one.Key + "}";
            Assert.Equal(below, this[name + "_count" + labels]);
            Assert.True(Samples.ContainsKey(name + "_sum" + labels));
        }

        Assert.True(count > 0, "a histogram without buckets: " + name);
    }

    private static string Name(string sample) => sample.Split('{')[0];

    private static double Number(string text) => text switch
    {
        "+Inf" => double.PositiveInfinity,
        "-Inf" => double.NegativeInfinity,
        "NaN" => double.NaN,
        _ => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture),
    };

    [GeneratedRegex(@"^# (?<kind>HELP|TYPE) (?<name>[a-zA-Z_:][a-zA-Z0-9_:]*) (?<rest>.*)$")]
    private static partial Regex Comment();

    [GeneratedRegex("""^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?<labels>\{.*\})? (?<value>[+-]?Inf|NaN|[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)$""")]
    private static partial Regex Sample();

    [GeneratedRegex(@"(?<name>[a-zA-Z_][a-zA-Z0-9_]*)=""(?<value>([^""\\\n]|\\[""\\n])*)""")]
    private static partial Regex Label();

    [GeneratedRegex("""^\{[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*"(,[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*")*\}$""")]
    private static partial Regex AllLabels();
}

using System.Diagnostics.Metrics;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace Dispatch.Architecture.Tests;

/// <summary>Alerts and dashboard under deploy/ ask for what the broker tells, and lead to what the operations page says.</summary>
public sealed partial class MonitoringTests(RunningBroker broker) : IClassFixture<RunningBroker>
{
    private const string AlertsPath = "deploy/prometheus/alerts.yaml";
    private const string DashboardPath = "deploy/grafana/dispatch.json";

    // Told by Prometheus itself.
    private static readonly string[] ByPrometheus = ["up"];

    private static readonly Regex[] AlertParts = [AlertName(), AlertExpression(), AlertSeverity(), AlertSummary(), AlertRunbook()];

    public static TheoryData<string> Files => [AlertsPath, DashboardPath];

    [Theory]
    [MemberData(nameof(Files))]
    public void Metrics_that_are_asked_for_exist(string file)
    {
        var known = ListMetrics();
        var asked = Expressions(file).SelectMany(MetricsIn).Distinct(StringComparer.Ordinal).ToList();

        Assert.True(asked.Count > 10, $"only {asked.Count} metrics in {file}");
        Assert.Empty(asked.Except(known, StringComparer.Ordinal).Except(ByPrometheus, StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Files))]
    public async Task Values_of_labels_that_are_asked_for_exist(string file)
    {
        using var client = new HttpClient { BaseAddress = broker.OperationsUrl };
        var page = await client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        var wrong =
            from expression in Expressions(file)
            from selector in Selector().Matches(expression)
            let metric = selector.Groups["metric"].Value
            // What has happened to nobody yet is not on the page.
            where page.Contains($"\n{metric}{{", StringComparison.Ordinal)
            from label in Label().Matches(selector.Groups["labels"].Value)
            where label.Groups["name"].Value is not ("job" or "instance")
            from value in label.Groups["value"].Value.Split('|')
            where !Regex.IsMatch(page, $$"""(?m)^{{metric}}\{[^}]*{{label.Groups["name"].Value}}="{{Regex.Escape(value)}}"[,}]""")
            select $"{metric}{{{label.Value}}}";

        Assert.Empty(wrong.Distinct());
    }

    [Fact]
    public void Every_alert_says_how_urgent_it_is_and_what_to_do()
    {
        var page = new MarkdownPage("docs/operations.md");
        var rules = Repository.Read(AlertsPath).Split("      - alert: ").Skip(1).Select(rule => "- alert: " + rule).ToList();

        Assert.NotEmpty(rules);
        Assert.All(rules, rule => Assert.All(AlertParts, part => Assert.Single(part.Matches(rule))));
        Assert.Empty(rules.Select(rule => AlertRunbook().Match(rule).Groups["anchor"].Value).Except(page.Anchors, StringComparer.Ordinal));
        var names = rules.Select(rule => AlertName().Match(rule).Groups["name"].Value).ToList();
        Assert.Equal(names.Count, names.Distinct(StringComparer.Ordinal).Count());
        // The page tells of each, and of no other.
        var told = page.Code.SelectMany(code => AlertInPage().Matches(code)).Select(name => name.Value).Distinct(StringComparer.Ordinal);
        Assert.Equal(names.Order(StringComparer.Ordinal), told.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void The_dashboard_is_whole()
    {
        var dashboard = JsonDocument.Parse(Repository.Read(DashboardPath)).RootElement;
        var panels = dashboard.GetProperty("panels").EnumerateArray().ToList();
        var shown = panels.Where(panel => panel.GetProperty("type").GetString() != "row").ToList();

        Assert.Equal("dispatch", dashboard.GetProperty("uid").GetString());
        Assert.NotEmpty(shown);
        Assert.Equal(panels.Count, panels.Select(panel => panel.GetProperty("id").GetInt32()).Distinct().Count());
        Assert.All(shown, panel => Assert.NotEmpty(panel.GetProperty("targets").EnumerateArray()));
        Assert.All(shown, panel => Assert.Contains(panel.GetProperty("type").GetString(), (string[])["stat", "timeseries"]));
        // No two share a place, and none sticks out.
        var places = panels.SelectMany(Cells).ToList();
        Assert.Equal(places.Count, places.Distinct().Count());
        Assert.All(places, place => Assert.InRange(place.X, 0, 23));
        // Whoever imports it names his own data source.
        Assert.All(shown, panel => Assert.Equal("${datasource}", panel.GetProperty("datasource").GetProperty("uid").GetString()));
        Assert.Equal(["datasource", "instance"], dashboard.GetProperty("templating").GetProperty("list").EnumerateArray().Select(variable => variable.GetProperty("name").GetString()));
    }

    private static IEnumerable<(int X, int Y)> Cells(JsonElement panel)
    {
        var place = panel.GetProperty("gridPos");
        var (x, y) = (place.GetProperty("x").GetInt32(), place.GetProperty("y").GetInt32());
        return
            from column in Enumerable.Range(x, place.GetProperty("w").GetInt32())
            from line in Enumerable.Range(y, place.GetProperty("h").GetInt32())
            select (column, line);
    }

    private static IReadOnlyList<string> Expressions(string file)
    {
        var text = Repository.Read(file);
        return file == AlertsPath
            ? [.. AlertExpression().Matches(text).Select(line => line.Groups["expression"].Value)]
            : [.. JsonDocument.Parse(text).RootElement.GetProperty("panels").EnumerateArray()
                .SelectMany(panel => panel.TryGetProperty("targets", out var targets) ? targets.EnumerateArray().ToList() : [])
                .Select(target => target.GetProperty("expr").GetString()!)];
    }

    // A metric is a word outside of quotes, label lists and the like that no bracket follows and that is no word of the language.
    private static IEnumerable<string> MetricsIn(string expression) =>
        Word().Matches(Grouping().Replace(Braces().Replace(expression, ""), "")).Select(word => word.Value)
            .Where(word => word is not ("and" or "or" or "unless" or "on" or "offset" or "by" or "without"));

    /// <summary>Every series that the instruments of the running broker make, as Prometheus names them.</summary>
    private static HashSet<string> ListMetrics()
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, _) =>
        {
            if (instrument.Meter.Name != "Dispatch")
                return;
            if (instrument is Histogram<double>)
                names.UnionWith(new[] { "_bucket", "_sum", "_count" }.Select(suffix => instrument.Name + suffix));
            else
                names.Add(instrument.Name);
        };
        listener.Start();
        return names;
    }

    [GeneratedRegex("(?m)^ *- alert: (?<name>Dispatch[A-Za-z]+)$")]
    private static partial Regex AlertName();

    [GeneratedRegex("(?m)^ *expr: (?<expression>.+)$")]
    private static partial Regex AlertExpression();

    [GeneratedRegex(@"(?m)^ *labels: \{ severity: (page|ticket) \}$")]
    private static partial Regex AlertSeverity();

    [GeneratedRegex(@"(?m)^ *summary: \S.+$")]
    private static partial Regex AlertSummary();

    [GeneratedRegex(@"(?m)^ *runbook: docs/operations\.md#(?<anchor>[a-z0-9-]+)$")]
    private static partial Regex AlertRunbook();

    [GeneratedRegex(@"\bDispatch(?=[A-Z])(?!Client|Worker)[A-Za-z]+\b")]
    private static partial Regex AlertInPage();

    [GeneratedRegex(@"(?<metric>[a-z_]+)\{(?<labels>[^}]*)\}")]
    private static partial Regex Selector();

    [GeneratedRegex("(?<name>[a-z_]+)=~?\"(?<value>[^\"]*)\"")]
    private static partial Regex Label();

    [GeneratedRegex(@"\{[^}]*\}|\[[^\]]*\]")]
    private static partial Regex Braces();

    [GeneratedRegex(@"\b(by|without|on|ignoring) *\([^)]*\)")]
    private static partial Regex Grouping();

    [GeneratedRegex(@"(?<![\w.])[a-z_][a-z0-9_]*\b(?! *\()")]
    private static partial Regex Word();
}

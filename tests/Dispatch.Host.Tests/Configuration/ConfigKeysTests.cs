using System.Collections;
using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Xml.Linq;
using Dispatch.Host.Configuration;

namespace Dispatch.Host.Tests.Configuration;

public sealed class ConfigKeysTests
{
    /// <summary>Every settable property of every section, by the dotted key it must have.</summary>
    private static readonly Dictionary<string, PropertyInfo> Properties = typeof(DispatchConfig).GetProperties()
        .Where(section => section.CanWrite)
        .SelectMany(section => section.PropertyType.GetProperties()
            .Where(property => property.CanWrite)
            .Select(property => (Path: $"{section.Name.ToLowerInvariant()}.{Name(property)}", Property: property)))
        .ToDictionary(pair => pair.Path, pair => pair.Property);

    [Fact]
    public void Every_property_is_a_key_and_every_key_a_property() =>
        Assert.Equal(Properties.Keys.Order(), ConfigKeys.All.Select(key => key.Path).Order());

    [Fact]
    public void Names_and_variables_are_unique()
    {
        Assert.Distinct(ConfigKeys.All.Select(key => key.Path));
        Assert.Distinct(ConfigKeys.All.Select(key => key.Variable).OfType<string>());
    }

    [Fact]
    public void Every_default_is_allowed_and_changes_nothing()
    {
        var defaults = new DispatchConfig();
        foreach (ConfigKey key in ConfigKeys.All)
        {
            string? text = key.Value(defaults) switch { IReadOnlyList<string> list => string.Join(',', list), var value => value?.ToString() };
            DispatchConfig? changed = key.Apply(defaults, text);
            Assert.True(changed is not null, key.Path);
            Assert.Equal(key.Value(defaults), key.Value(changed));
        }
    }

    [Fact]
    public void Setting_a_key_changes_that_property_and_no_other()
    {
        var defaults = new DispatchConfig();
        foreach (ConfigKey key in ConfigKeys.All)
        {
            DispatchConfig changed = key.Apply(defaults, Other(key)) ?? throw new InvalidOperationException(key.Path);
            string[] different = [.. Properties
                .Where(pair => !Same(Read(pair.Key, defaults), Read(pair.Key, changed)))
                .Select(pair => pair.Key)];
            Assert.Equal([key.Path], different);
        }
    }

    [Fact]
    public void Copying_a_key_copies_that_property_and_no_other()
    {
        var defaults = new DispatchConfig();
        foreach (ConfigKey key in ConfigKeys.All)
        {
            DispatchConfig other = key.Apply(defaults, Other(key))!;
            Assert.False(key.IsSame(defaults, other), key.Path);
            Assert.All(ConfigKeys.All.Where(one => one != key && !(key.Path == "auth.mode" && one.Path == "auth.visibility")), one => Assert.True(one.IsSame(defaults, other), one.Path));
            Assert.True(key.IsSame(other, key.Copy(other, defaults)), key.Path);
            Assert.True(key.IsSame(defaults, key.Copy(defaults, other)), key.Path);
        }
    }

    [Fact]
    public void The_sections_that_are_live_are_live_as_a_whole() =>
        Assert.All(ConfigKeys.All.Where(key => key.Section is "assignment" or "agents" or "limits" or "retry" or "retention" or "allowances"), key => Assert.True(key.IsLive, key.Path));

    [Fact]
    public void The_comment_of_every_property_tells_range_and_default()
    {
        var comments = XDocument.Load(Path.Combine(AppContext.BaseDirectory, "Dispatch.Host.xml")).Descendants("member")
            .ToDictionary(member => member.Attribute("name")!.Value, member => member.Element("summary")?.Value ?? "");
        var defaults = new DispatchConfig();
        foreach ((string path, PropertyInfo property) in Properties)
        {
            Assert.True(comments.TryGetValue($"P:{property.DeclaringType!.FullName}.{property.Name}", out string? comment), path);
            ConfigKey key = ConfigKeys.Find(path)!;
            string value = Read(path, defaults) is null ? "null" : Shown(key.Value(defaults));
            Assert.True(comment.Contains("Default " + value, StringComparison.Ordinal), $"{path}: the comment does not say \"Default {value}\"");

            string[] bounds = [.. key.Allowed.Split(' ').Where(word => long.TryParse(word, out _))];
            Assert.True(bounds.All(bound => comment.Contains(bound, StringComparison.Ordinal)), $"{path}: the comment does not tell the range {string.Join("..", bounds)}");
        }
    }

    [Fact]
    public void Every_variable_of_the_contract_sets_its_key()
    {
        Dictionary<string, string> contract = new()
        {
            ["DISPATCH_PORT"] = "server.port",
            ["DISPATCH_METRICS_PORT"] = "server.metrics_port",
            ["DISPATCH_ADMIN_TOKEN"] = "server.admin_token",
            ["DISPATCH_DATABASE_URL"] = "database.url",
            ["DISPATCH_HERMES_URL"] = "hermes.url",
            ["DISPATCH_WARREN_URL"] = "warren.url",
            ["DISPATCH_WARREN_TOKEN"] = "warren.token",
            ["DISPATCH_FORGE_URL"] = "promptforge.url",
            ["DISPATCH_TICK_INTERVAL_MS"] = "assignment.tick_interval_ms",
            ["DISPATCH_OWNER_FILTER_ENABLED"] = "assignment.owner_filter_enabled",
            ["DISPATCH_LOG_LEVEL"] = "logging.level",
        };
        foreach ((string variable, string path) in contract)
            Assert.Equal(variable, ConfigKeys.Find(path)!.Variable);
    }

    [Fact]
    public void Every_key_can_be_set_by_its_long_variable()
    {
        foreach (ConfigKey key in ConfigKeys.All)
        {
            ConfigOutcome outcome = ConfigLoader.Load(new ConfigInputs
            {
                // Two keys are bound to a third; what matters here is the name.
                Environment = new Dictionary<string, string> { [key.LongVariable] = Other(key), ["DISPATCH__RETRY__CAP_MS"] = key.Path == "retry.cap_ms" ? Other(key) : "86400000" },
                WorkingDirectory = "/nonexistent",
                HomeDirectory = "/nonexistent",
            });
            var loaded = Assert.IsType<ConfigOutcome.Loaded>(outcome);
            Assert.Equal("variable " + key.LongVariable, loaded.Config.SourceOf(key));
        }
    }

    [Fact]
    public void Every_key_is_documented() => GeneratedPage.Check("configuration.md", Page());

    private static string Page()
    {
        var defaults = new DispatchConfig();
        var page = new StringBuilder();
        page.Append("""
            # Configuration

            <!-- Written from the key table in src/Dispatch.Host/Configuration/ConfigKeys.cs. Change that, then run the tests with UPDATE_DOCS=1. -->

            Each layer goes over the one before: defaults, file, environment, command line.

            - **File**: the one named by `--config`, else `./dispatch.yaml`, else `~/.dispatch/dispatch.yaml`.
            - **Environment**: the variable in the table, or `DISPATCH__SECTION__KEY` for any key, as in
              `DISPATCH__AGENTS__LEASE_MS=10000`; the long form wins over the short one. An empty variable counts as not set. `DISPATCH_DATA_DIR=DIR`
              stands for `database.url: sqlite://DIR/dispatch.db`, unless that is a PostgreSQL: then DIR is for the admin token and broker.json.
            - **Command line**: `--data-dir DIR`, `--port N`, `--metrics-port N`.

            Everything is checked at start, and every fault is told at once, with the file and line, variable or flag it came from. An unknown
            key is a fault. `dispatch config show` prints the values that would be in force, where each came from, and no secret;
            `dispatch config check FILE` says whether a file would do.

            ## While the broker runs

            The file that it was started with is looked at every two seconds, and at once on `SIGHUP`. When its content has changed, and stays the same
            for a quarter of a second, it is checked like at the start, environment and command line over it:

            - One fault, and nothing is changed at all: the log names file, line, key, value and what is allowed, `dispatch_config_valid` is 0, and
              the next version of the file is waited for. A file that is gone, empty or can't be read changes nothing either.
            - Without fault, the keys marked *live* below take effect together, between two commands, and the others at the next start.
              `config.reloaded` in the [log](events.md#configreloaded) names both, never their values.

            A key that the environment or the command line sets keeps that value, whatever the file says. What was granted stands: a lease or the
            time to wake runs as it was told, a registered agent keeps its `max_concurrent`, a task its timeout. A pipe (`--config <(...)`) is read once and not followed.
            With a terminal as its input, `SIGHUP` means that the terminal was closed, and ends the broker.


            """);
        foreach (IGrouping<string, ConfigKey> section in ConfigKeys.All.GroupBy(key => key.Section))
        {
            page.Append("## ").Append(section.Key).Append("\n\n| Key | Default | Allowed | New value | |\n|---|---|---|---|---|\n");
            foreach (ConfigKey key in section)
            {
                object? value = key.Path == "auth.visibility" ? "by mode" : key.Value(defaults);
                page.Append("| `").Append(key.Path).Append("` | `").Append(value is null ? "none" : Shown(value)).Append("` | ").Append(key.Allowed).Append(key.IsLive ? " | live | " : " | restart | ").Append(key.Summary);
                if (key.Variable is not null)
                    page.Append(" Variable `").Append(key.Variable).Append("`.");
                page.Append(" |\n");
            }

            page.Append('\n');
        }

        return page.ToString().TrimEnd('\n') + "\n";
    }

    private static string Name(PropertyInfo property)
    {
        string name = JsonNamingPolicy.SnakeCaseLower.ConvertName(property.Name);
        return property.PropertyType == typeof(TimeSpan) ? name + "_ms" : name;
    }

    private static object? Read(string path, DispatchConfig config)
    {
        PropertyInfo section = typeof(DispatchConfig).GetProperties().Single(property => property.Name.Equals(path.Split('.')[0], StringComparison.OrdinalIgnoreCase));
        return Properties[path].GetValue(section.GetValue(config));
    }

    private static bool Same(object? one, object? other) =>
        one is IEnumerable list and not string && other is IEnumerable others
            ? list.Cast<object>().SequenceEqual(others.Cast<object>())
            : Equals(one, other);

    private static string Shown(object? value) => value switch
    {
        bool flag => flag ? "true" : "false",
        IReadOnlyList<string> list => "[" + string.Join(", ", list) + "]",
        _ => value?.ToString() ?? "null",
    };

    /// <summary>An allowed text that isn't the default.</summary>
    private static string Other(ConfigKey key) => key.Path switch
    {
        "server.bind" => "127.0.0.9",
        "server.admin_token" or "warren.token" => "a-token-for-the-tests",
        "server.allowed_hosts" => "a.example,b.example",
        "auth.mode" => "token",
        "auth.visibility" => "own",
        "database.url" => "sqlite:///tmp/other.db",
        "database.directory" => "/tmp/other",
        "node.name" => "east-1",
        "node.namespace" => "blue",
        "assignment.owner_filter_enabled" => "false",
        "webhooks.allow_private" => "true",
        "retention.events_bytes" => "1048576",
        "allowances.default_model" => "small",
        "allowances.currency" => "EUR",
        "allowances.prices" => """{"small":{"in":1,"out":2}}""",
        "allowances.teams" => """{"core":["ana","ben"]}""",
        "logging.level" => "warn",
        "logging.format" => "text",
        "logging.access" => "errors",
        "hermes.url" => "nats://localhost:4222",
        _ when key.Path.EndsWith("url", StringComparison.Ordinal) || key.Path.EndsWith("endpoint", StringComparison.Ordinal) => "http://localhost:4318",
        _ => ((long)key.Value(new DispatchConfig())! + 7).ToString(),
    };
}

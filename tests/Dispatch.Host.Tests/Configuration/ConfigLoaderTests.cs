using Dispatch.Allowances;
using Dispatch.Host.Configuration;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Tests.Configuration;

public sealed class ConfigLoaderTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    public void Dispose() => directory.Dispose();

    [Fact]
    public void Without_anything_the_defaults_hold()
    {
        LoadedConfig loaded = Load();

        Assert.Equal(8600, loaded.Config.Server.Port);
        Assert.Null(loaded.File);
        Assert.Empty(loaded.Sources);
        Assert.Equal(directory.File("home/.dispatch"), loaded.Config.DataDirectory);
        Assert.Equal(directory.File("home/.dispatch/dispatch.db"), loaded.Config.Database.FilePath);
    }

    [Fact]
    public void Each_layer_goes_over_the_one_before()
    {
        directory.Write("work/dispatch.yaml", """
            server:
              port: 1001
              metrics_port: 1002
              queue_capacity: 100
            agents: { lease_ms: 4000 }
            """);

        LoadedConfig loaded = Load(
            environment: new() { ["DISPATCH_PORT"] = "2001", ["DISPATCH_METRICS_PORT"] = "2002", ["DISPATCH_LOG_LEVEL"] = "debug" },
            overrides: new() { ["server.port"] = "3001" });

        Assert.Equal(3001, loaded.Config.Server.Port);
        Assert.Equal(2002, loaded.Config.Server.MetricsPort);
        Assert.Equal(100, loaded.Config.Server.QueueCapacity);
        Assert.Equal(TimeSpan.FromSeconds(4), loaded.Config.Agents.Lease);
        Assert.Equal(LogLevel.Debug, loaded.Config.Logging.Level);
        Assert.Equal("flag server.port", loaded.Sources["server.port"]);
        Assert.Equal("variable DISPATCH_METRICS_PORT", loaded.Sources["server.metrics_port"]);
        Assert.Equal(directory.File("work/dispatch.yaml") + ":4", loaded.Sources["server.queue_capacity"]);
    }

    [Fact]
    public void The_working_directory_is_searched_before_home_and_a_named_file_before_both()
    {
        directory.Write("home/.dispatch/dispatch.yaml", "server: { port: 1 }");
        Assert.Equal(1, Load().Config.Server.Port);

        directory.Write("work/dispatch.yaml", "server: { port: 2 }");
        Assert.Equal(2, Load().Config.Server.Port);

        directory.Write("work/other.yaml", "server: { port: 3 }");
        Assert.Equal(3, Load(file: "other.yaml").Config.Server.Port);
    }

    [Fact]
    public void A_named_file_must_exist()
    {
        ConfigFault fault = Assert.Single(Faults(file: "absent.yaml"));
        Assert.Contains("can't be read", fault.Message);
        Assert.EndsWith("absent.yaml", fault.Key);
    }

    [Fact]
    public void Every_fault_is_told_at_once_with_its_place()
    {
        string file = directory.Write("work/dispatch.yaml", """
            server:
              port: 99999
              bind: example.org
            assignment:
              tick_interval_ms: -5
              owner_filter_enabled: yes
            logging:
              level: loud
            """);

        IReadOnlyList<ConfigFault> faults = Faults(
            environment: new() { ["DISPATCH_METRICS_PORT"] = "many", ["DISPATCH__AGENTS__LEASE_MS"] = "0" },
            overrides: new() { ["auth.mode"] = "none" });

        Assert.Equal(
            [
                ("server.port", "99999", file + ":2"),
                ("server.bind", "example.org", file + ":3"),
                ("assignment.tick_interval_ms", "-5", file + ":5"),
                ("assignment.owner_filter_enabled", "yes", file + ":6"),
                ("logging.level", "loud", file + ":8"),
                ("server.metrics_port", "many", "variable DISPATCH_METRICS_PORT"),
                ("agents.lease_ms", "0", "variable DISPATCH__AGENTS__LEASE_MS"),
                ("auth.mode", "none", "flag auth.mode"),
            ],
            faults.Select(fault => (fault.Key, fault.Value, fault.Source)));
        Assert.All(faults, fault => Assert.Contains("allowed is", fault.Message));
        Assert.Equal(
            $"server.port = \"99999\" ({file}:2): is not allowed; allowed is a whole number from 0 to 65535",
            faults[0].ToString());
    }

    [Theory]
    [InlineData("server.prot", "server.port")]
    [InlineData("sever.port", "server.port")]
    [InlineData("server.metricsport", "server.metrics_port")]
    [InlineData("assignment.tick_intervall_ms", "assignment.tick_interval_ms")]
    [InlineData("server.mode", "auth.mode")]
    [InlineData("lease_ms.x", null)]
    [InlineData("completely.different", null)]
    public void An_unknown_key_is_refused_with_the_nearest_name(string path, string? meant)
    {
        ConfigFault fault = Assert.Single(Faults(overrides: new() { [path] = "1" }));

        Assert.Equal(path, fault.Key);
        Assert.Contains("no such key", fault.Message);
        if (meant is null)
            Assert.DoesNotContain("did you mean", fault.Message);
        else
            Assert.Contains($"did you mean {meant}?", fault.Message);
    }

    [Fact]
    public void An_unknown_key_of_the_file_and_of_the_environment_is_refused()
    {
        directory.Write("work/dispatch.yaml", "servr:\n  port: 1\nport: 7\nlogging: loud\n");

        IReadOnlyList<ConfigFault> faults = Faults(environment: new() { ["DISPATCH__SERVER__PROT"] = "1" });

        Assert.Equal(["servr.port", "port", "logging", "server.prot"], faults.Select(fault => fault.Key));
        Assert.Contains("did you mean server.port?", faults[0].Message);
        Assert.Contains("did you mean server.port?", faults[1].Message);
        Assert.Contains("did you mean server.port?", faults[3].Message);
    }

    [Fact]
    public void The_value_of_an_unknown_key_is_not_shown_since_it_may_be_a_secret()
    {
        directory.Write("work/dispatch.yaml", "server:\n  admin_tokn: hunter2hunter2\n");
        ConfigFault fault = Assert.Single(Faults());
        Assert.DoesNotContain("hunter2", fault.ToString());
    }

    [Theory]
    [InlineData("server:\n  port: 1\n  port: 2\n", "server.port", 3)]
    [InlineData("server:\n  port: 1\nserver:\n  bind: ::1\n", "server", 3)]
    public void A_key_given_twice_is_refused(string yaml, string key, int line)
    {
        string file = directory.Write("work/dispatch.yaml", yaml);
        ConfigFault fault = Assert.Single(Faults());
        Assert.Equal(key, fault.Key);
        Assert.Equal($"{file}:{line}", fault.Source);
        Assert.Contains("given twice", fault.Message);
    }

    [Theory]
    [InlineData("server:\n  port: [1\n", "not YAML")]
    [InlineData("- server\n", "mapping of sections")]
    [InlineData("just words\n", "mapping of sections")]
    [InlineData("server:\n  - port\n", "mapping of keys")]
    [InlineData("server:\n  port: { a: 1 }\n", "single value")]
    [InlineData("server:\n  allowed_hosts: [[a]]\n", "single values")]
    [InlineData("server: {}\n---\nserver: {}\n", "second document")]
    [InlineData("server:\n  port:\n", "has no value")]
    [InlineData("a: &a {port: 1}\nserver: *a\n", "mapping of keys")]
    public void A_file_of_the_wrong_shape_is_refused(string yaml, string expected)
    {
        directory.Write("work/dispatch.yaml", yaml);
        Assert.Contains(Faults(), fault => fault.Message.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Prices_and_teams_are_mappings_in_the_file()
    {
        directory.Write("work/dispatch.yaml", """
            allowances:
              currency: EUR
              default_model: small
              prices:
                claude-opus-4: { in: 15000000, out: 75000000 }
                small:
                  in: 250000
                  out: 0
              teams:
                core: [ana, "ben"]
                web:
                  - cleo
            """);

        AllowanceSettings allowances = Load().Config.Allowances;

        Assert.Equal(("EUR", "small"), (allowances.Currency, allowances.DefaultModel));
        Assert.Equal(new ModelPrice(15_000_000, 75_000_000), allowances.Prices["claude-opus-4"]);
        Assert.Equal(new ModelPrice(250_000, 0), allowances.Prices["small"]);
        Assert.Equal(["ana", "ben"], allowances.Teams["core"]);
        Assert.Equal("web", allowances.Options.TeamOf["cleo"]);
    }

    [Fact]
    public void Prices_and_teams_are_JSON_in_a_variable()
    {
        DispatchConfig config = Load(environment: new() { ["DISPATCH__ALLOWANCES__PRICES"] = """{"m":{"in":1,"out":2}}""", ["DISPATCH__ALLOWANCES__TEAMS"] = """{"t":["o"]}""" }).Config;

        Assert.Equal(new ModelPrice(1, 2), config.Allowances.Prices["m"]);
        Assert.Equal("t", config.Allowances.Options.TeamOf["o"]);
    }

    [Theory]
    [InlineData("allowances: { prices: { m: { in: -1, out: 2 } } }", "allowances.prices", "allowed is a mapping of models")]
    [InlineData("allowances: { prices: { m: { in: 1 } } }", "allowances.prices", "allowed is a mapping of models")]
    [InlineData("allowances: { prices: { m: { in: 1, out: 2, cached: 3 } } }", "allowances.prices", "allowed is a mapping of models")]
    [InlineData("allowances: { prices: { m: { in: 1.5, out: 2 } } }", "allowances.prices", "allowed is a mapping of models")]
    [InlineData("allowances: { prices: { m: 3 } }", "allowances.prices", "allowed is a mapping of models")]
    [InlineData("allowances: { prices: 3 }", "allowances.prices", "allowed is a mapping of models")]
    [InlineData("allowances: { prices: { m: { in: { x: 1 }, out: 2 } } }", "allowances.prices.m.in", "single values")]
    [InlineData("allowances:\n  prices:\n    m: { in: 1, out: 1 }\n    m: { in: 1, out: 1 }\n", "allowances.prices.m", "given twice")]
    [InlineData("allowances: { teams: { core: ana } }", "allowances.teams", "allowed is a mapping of teams")]
    [InlineData("allowances: { teams: { core: [] } }", "allowances.teams", "allowed is a mapping of teams")]
    [InlineData("allowances: { teams: { core: [''] } }", "allowances.teams", "allowed is a mapping of teams")]
    [InlineData("allowances: { teams: { core: [ana], web: [ben, ana] } }", "allowances.teams", "owner ana in two teams, core and web")]
    [InlineData("allowances: { currency: eur }", "allowances.currency", "3 capital letters")]
    [InlineData("allowances: { default_tokens_in: -1 }", "allowances.default_tokens_in", "a whole number from 0")]
    public void Wrong_allowances_are_told(string yaml, string key, string expected)
    {
        directory.Write("work/dispatch.yaml", yaml);
        Assert.Contains(Faults(), fault => fault.Key == key && fault.Message.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void What_the_core_goes_by_stays_the_same_while_nothing_of_it_changes()
    {
        var before = new AllowanceSettings();

        Assert.Same(before.Options, (before with { Currency = "EUR" }).Options);
        Assert.NotSame(before.Options, (before with { DefaultTokensIn = 1 }).Options);
        Assert.Equal(8_000, before.Options.DefaultTokensIn);
    }

    [Theory]
    [InlineData("")]
    [InlineData("# nothing\n")]
    [InlineData("server:\n  # port: 1\n")]
    [InlineData("server: {}\n")]
    public void An_empty_file_or_section_is_fine(string yaml)
    {
        directory.Write("work/dispatch.yaml", yaml);
        Assert.Equal(8600, Load().Config.Server.Port);
    }

    [Fact]
    public void A_file_that_is_not_UTF8_is_refused()
    {
        string file = directory.Write("work/dispatch.yaml", "");
        File.WriteAllBytes(file, [.. "server:\n  bind: "u8, 0xff, 0xfe, (byte)'\n']);
        Assert.Contains("not UTF-8", Assert.Single(Faults()).Message);
    }

    [Fact]
    public void An_empty_variable_counts_as_not_set()
    {
        directory.Write("work/dispatch.yaml", "server:\n  port: 5\n  admin_token: abc\n");
        LoadedConfig loaded = Load(environment: new() { ["DISPATCH_PORT"] = "", ["DISPATCH_ADMIN_TOKEN"] = "", ["DISPATCH__SERVER__PORT"] = "" });
        Assert.Equal(5, loaded.Config.Server.Port);
        Assert.Equal("abc", loaded.Config.Server.AdminToken);
    }

    [Fact]
    public void An_empty_value_unsets_an_optional_key()
    {
        directory.Write("work/dispatch.yaml", "server: { admin_token: null }\nwarren: { url: '' }\n");
        Assert.Null(Load().Config.Server.AdminToken);
        Assert.Null(Load().Config.Warren.Url);
    }

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    [InlineData("192.168.1.4")]
    public void Trusted_header_beyond_loopback_is_refused_with_the_fix(string bind)
    {
        ConfigFault fault = Assert.Single(Faults(overrides: new() { ["server.bind"] = bind }));
        Assert.Equal("server.bind", fault.Key);
        Assert.Contains("auth.mode to token", fault.Message);
        Assert.Contains("127.0.0.1", fault.Message);

        Assert.Equal(bind, Load(overrides: new() { ["server.bind"] = bind, ["auth.mode"] = "token" }).Config.Server.Bind);
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("127.0.0.2")]
    [InlineData("::1")]
    [InlineData("localhost")]
    public void Trusted_header_on_loopback_is_allowed(string bind) =>
        Assert.True(Load(overrides: new() { ["server.bind"] = bind }).Config.Server.IsLoopback);

    [Theory]
    [InlineData("1")]
    [InlineData("0x7f000001")]
    [InlineData("host.example")]
    [InlineData("127.0.0.1:80")]
    public void The_bind_address_must_be_an_address(string bind) =>
        Assert.Equal("server.bind", Assert.Single(Faults(overrides: new() { ["server.bind"] = bind })).Key);

    [Fact]
    public void A_short_admin_token_is_refused_beyond_loopback()
    {
        Dictionary<string, string> overrides = new() { ["server.bind"] = "0.0.0.0", ["auth.mode"] = "token", ["server.admin_token"] = "secret" };
        ConfigFault fault = Assert.Single(Faults(overrides: overrides));
        Assert.Equal("server.admin_token", fault.Key);
        Assert.DoesNotContain("\"secret\"", fault.ToString());

        Assert.Equal("secret", Load(overrides: new() { ["server.admin_token"] = "secret" }).Config.Server.AdminToken);
    }

    [Fact]
    public void The_two_ports_differ_unless_both_are_free_ones()
    {
        Assert.Equal("server.metrics_port", Assert.Single(Faults(overrides: new() { ["server.port"] = "8601" })).Key);
        Assert.Equal(0, Load(overrides: new() { ["server.port"] = "0", ["server.metrics_port"] = "0" }).Config.Server.Port);
    }

    [Fact]
    public void The_retry_cap_is_not_below_the_base() =>
        Assert.Equal("retry.cap_ms", Assert.Single(Faults(overrides: new() { ["retry.cap_ms"] = "10" })).Key);

    [Theory]
    [InlineData("postgresql://dispatch:s3cr3t@db/dispatch?sslmode=perhaps", "sslmode is 'perhaps'")]
    [InlineData("postgres://u:s3cr3t@x@db:port/dispatch?password=s3cr3t", "A port is a number")]
    [InlineData("postgres://u:s3cr3t@db/dispatch?passwort=s3cr3t", "'passwort' is no setting")]
    [InlineData("mysql://root:s3cr3t@db/x", "allowed is sqlite://")]
    [InlineData("sqlite://:memory:", "must outlive")]
    [InlineData("sqlite://", "allowed is sqlite://")]
    [InlineData("sqlite:///var/lib/", "allowed is sqlite://")]
    [InlineData("/var/lib/dispatch.db", "allowed is sqlite://")]
    public void Another_store_is_refused_and_its_password_not_shown(string url, string expected)
    {
        ConfigFault fault = Assert.Single(Faults(environment: new() { ["DISPATCH_DATABASE_URL"] = url }));
        Assert.Contains(expected, fault.Message);
        Assert.DoesNotContain("s3cr3t", fault.ToString());
    }

    [Theory]
    [InlineData("", "{0}/home/.dispatch")]
    [InlineData("data", "{0}/work/data")]
    public void With_PostgreSQL_the_data_directory_is_apart(string directoryVariable, string expected)
    {
        const string Url = "postgresql://dispatch@db/dispatch?sslmode=verify-full";
        foreach (var isFlag in new[] { false, true })
        {
            DispatchConfig config = isFlag
                ? Load(overrides: new() { ["database.url"] = Url }, environment: new() { ["DISPATCH_DATA_DIR"] = directoryVariable }).Config
                : Load(environment: new() { ["DISPATCH_DATABASE_URL"] = Url, ["DISPATCH_DATA_DIR"] = directoryVariable }).Config;
            Assert.Equal((Url, true), (config.Database.Url, config.Database.IsPostgres));
            Assert.Equal(string.Format(expected, directory.Path), config.DataDirectory);
        }
    }

    [Theory]
    [InlineData("sqlite:///var/lib/d.db", "/var/lib/d.db")]
    [InlineData("sqlite://d.db", "{0}/work/d.db")]
    [InlineData("sqlite://sub/../d.db", "{0}/work/d.db")]
    [InlineData("sqlite://~/x/d.db", "{0}/home/x/d.db")]
    public void The_path_of_the_store_is_made_absolute(string url, string expected)
    {
        DispatchConfig config = Load(overrides: new() { ["database.url"] = url }).Config;
        Assert.Equal(string.Format(expected, directory.Path), config.Database.FilePath);
    }

    [Fact]
    public void A_data_directory_is_the_directory_of_the_store()
    {
        Assert.Equal(directory.File("work/data"), Load(dataDirectory: "data").Config.DataDirectory);
        Assert.Equal(directory.File("home/data"), Load(dataDirectory: "~/data").Config.DataDirectory);
        Assert.Equal("/srv/d", Load(environment: new() { ["DISPATCH_DATA_DIR"] = "/srv/d" }).Config.DataDirectory);
        Assert.Equal("/srv/e", Load(environment: new() { ["DISPATCH_DATA_DIR"] = "/srv/d" }, dataDirectory: "/srv/e").Config.DataDirectory);
        Assert.Equal(
            "/srv/f",
            Load(environment: new() { ["DISPATCH_DATA_DIR"] = "/srv/d", ["DISPATCH_DATABASE_URL"] = "sqlite:///srv/f/x.db" }).Config.DataDirectory);
    }

    [Fact]
    public void A_data_directory_together_with_a_database_flag_is_refused() =>
        Assert.Equal("database.url", Assert.Single(Faults(dataDirectory: "d", overrides: new() { ["database.url"] = "sqlite:///x.db" })).Key);

    [Fact]
    public void The_port_that_Kubernetes_sets_is_explained() =>
        Assert.Contains("enableServiceLinks", Assert.Single(Faults(environment: new() { ["DISPATCH_PORT"] = "tcp://10.0.0.1:8600" })).Message);

    [Fact]
    public void Variables_of_the_command_line_tool_are_not_keys() =>
        Assert.Empty(Load(environment: new() { ["DISPATCH_URL"] = "http://x", ["DISPATCH_TOKEN"] = "t", ["DISPATCH_AGENT_ID"] = "a" }).Sources);

    [Fact]
    public void Visibility_follows_the_mode_unless_given()
    {
        Assert.Equal(Visibility.Swarm, Load().Config.Auth.EffectiveVisibility);
        Assert.Equal(Visibility.Own, Load(overrides: new() { ["auth.mode"] = "token" }).Config.Auth.EffectiveVisibility);
        Assert.Equal(Visibility.Swarm, Load(overrides: new() { ["auth.mode"] = "token", ["auth.visibility"] = "swarm" }).Config.Auth.EffectiveVisibility);
    }

    [Fact]
    public void A_list_is_read_from_the_file_and_from_a_variable()
    {
        directory.Write("work/dispatch.yaml", "server:\n  allowed_hosts: [a.example, b.example]\n");
        Assert.Equal(["a.example", "b.example"], Load().Config.Server.AllowedHosts);
        Assert.Equal(["c.example", "10.0.0.1"], Load(environment: new() { ["DISPATCH__SERVER__ALLOWED_HOSTS"] = "c.example, 10.0.0.1" }).Config.Server.AllowedHosts);
        Assert.Equal("server.allowed_hosts", Assert.Single(Faults(overrides: new() { ["server.allowed_hosts"] = "a b" })).Key);
    }

    [Fact]
    public void Keys_that_this_release_does_not_use_are_named() =>
        Assert.Equal(
            ["hermes.url", "warren.token"],
            Load(environment: new() { ["DISPATCH_HERMES_URL"] = "nats://localhost:4222", ["DISPATCH_WARREN_TOKEN"] = "abc" }).Config.UnusedKeys());

    private LoadedConfig Load(
        string? file = null, Dictionary<string, string>? environment = null, Dictionary<string, string>? overrides = null, string? dataDirectory = null) =>
        Outcome(file, environment, overrides, dataDirectory) switch
        {
            ConfigOutcome.Loaded loaded => loaded.Config,
            ConfigOutcome.Faulty faulty => throw new Xunit.Sdk.XunitException(string.Join('\n', faulty.Faults)),
            _ => throw new InvalidOperationException(),
        };

    private IReadOnlyList<ConfigFault> Faults(
        string? file = null, Dictionary<string, string>? environment = null, Dictionary<string, string>? overrides = null, string? dataDirectory = null) =>
        Assert.IsType<ConfigOutcome.Faulty>(Outcome(file, environment, overrides, dataDirectory)).Faults;

    private ConfigOutcome Outcome(
        string? file, Dictionary<string, string>? environment, Dictionary<string, string>? overrides, string? dataDirectory) =>
        ConfigLoader.Load(new ConfigInputs
        {
            File = file,
            DataDirectory = dataDirectory,
            Environment = environment ?? [],
            Overrides = overrides ?? [],
            WorkingDirectory = directory.File("work"),
            HomeDirectory = directory.File("home"),
        });
}

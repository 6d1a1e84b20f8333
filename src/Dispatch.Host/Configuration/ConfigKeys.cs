using System.Net;
using Dispatch.Storage.Postgres;
using Dispatch.Tasks;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Configuration;

/// <summary>The key table. What is not in it is an unknown key; docs/configuration.md is generated from it.</summary>
public static class ConfigKeys
{
    private const long Hour = 3_600_000;
    private const long Day = 24 * Hour;

    /// <summary>Every key, in the order of the documentation.</summary>
    public static IReadOnlyList<ConfigKey> All { get; } =
    [
        ConfigKey.Number("server.port", 0, 65_535, c => c.Server.Port, (c, v) => c with { Server = c.Server with { Port = v } },
            "Port of the API; 0 takes a free one.", "DISPATCH_PORT"),
        ConfigKey.Number("server.metrics_port", 0, 65_535, c => c.Server.MetricsPort, (c, v) => c with { Server = c.Server with { MetricsPort = v } },
            "Port of /health, /ready and /metrics; 0 takes a free one. Must not be the API's.", "DISPATCH_METRICS_PORT"),
        ConfigKey.Text("server.bind", "an IP address or localhost", IsAddress, c => c.Server.Bind, (c, v) => c with { Server = c.Server with { Bind = v! } },
            "Address both listeners are bound to. Beyond loopback `auth.mode` must be `token`."),
        ConfigKey.Text("server.admin_token", "1 to 512 visible ASCII characters, at least 16 when bound beyond loopback", IsToken, c => c.Server.AdminToken, (c, v) => c with { Server = c.Server with { AdminToken = v } },
            "Bearer token of the administrator. Without one, one is made at the first start and kept in the file `admin-token` of the data directory.", "DISPATCH_ADMIN_TOKEN", optional: true, secret: true),
        ConfigKey.Number("server.queue_capacity", 16, 1_048_576, c => c.Server.QueueCapacity, (c, v) => c with { Server = c.Server with { QueueCapacity = v } },
            "Commands that may wait for the sequencer; more are refused with 503."),
        ConfigKey.Number("server.max_connections", 1, 1_000_000, c => c.Server.MaxConnections, (c, v) => c with { Server = c.Server with { MaxConnections = v } },
            "Open connections to the API at once; more are closed."),
        ConfigKey.List("server.allowed_hosts", "a list of host names or addresses without port", IsHost, c => c.Server.AllowedHosts, (c, v) => c with { Server = c.Server with { AllowedHosts = v } },
            "Names the `Host` header may hold besides localhost, 127.0.0.1, [::1] and the bind address; others get 421. Empty: nothing else when bound to loopback, anything when bound beyond it."),

        ConfigKey.Choice("auth.mode", ConfigKey.Names<AuthMode>(), c => c.Auth.Mode, (c, v) => c with { Auth = c.Auth with { Mode = v } },
            "`trusted_header` believes `X-Agent-ID` and is allowed only on loopback; `token` asks each agent for its bearer token."),
        ConfigKey.Choice("auth.visibility", ConfigKey.Names<Visibility>(), c => c.Auth.EffectiveVisibility, (c, v) => c with { Auth = c.Auth with { Visibility = v } },
            "What a caller reads: every task of the swarm, or what it submitted, owns or is assigned. Without it: `swarm` with `trusted_header`, `own` with `token`.", clear: c => c with { Auth = c.Auth with { Visibility = null } }),

        ConfigKey.Text("database.url", "sqlite:// and the path of a file, as in sqlite://~/.dispatch/dispatch.db or sqlite:///var/lib/dispatch/dispatch.db, or the address of a PostgreSQL database, as in postgresql://dispatch@db.example.org/dispatch?sslmode=verify-full", IsDatabase, c => c.Database.Url, (c, v) => c with { Database = c.Database with { Url = v! } },
            "The store. The file's directory is the data directory; with PostgreSQL (13 or later) that is `--data-dir`, or `~/.dispatch`. Its password is best left to `PGPASSWORD` or `~/.pgpass`.", "DISPATCH_DATABASE_URL"),
        ConfigKey.Text("database.directory", "the path of a directory", text => !text.Contains('\0', StringComparison.Ordinal), c => c.Database.Directory, (c, v) => c with { Database = c.Database with { Directory = v } },
            "With PostgreSQL: where the admin token and broker.json are kept. Without it: `--data-dir`, or `~/.dispatch`. SQLite has them beside the file.", optional: true),

        ConfigKey.Duration("assignment.tick_interval_ms", 10, Hour, c => c.Assignment.TickInterval, (c, v) => c with { Assignment = c.Assignment with { TickInterval = v } },
            "Period of the safety net that looks for work to assign; not the latency of assignment.", "DISPATCH_TICK_INTERVAL_MS", live: true),
        ConfigKey.Duration("assignment.wake_timeout_ms", 10, Hour, c => c.Assignment.WakeTimeout, (c, v) => c with { Assignment = c.Assignment with { WakeTimeout = v } },
            "How long a sleeping agent may take to wake before the next candidate is taken.", live: true),
        ConfigKey.Duration("assignment.default_timeout_ms", 1, 30 * Day, c => c.Assignment.DefaultTimeout, (c, v) => c with { Assignment = c.Assignment with { DefaultTimeout = v } },
            "Run time allowed to an attempt of a task that names none.", live: true),
        ConfigKey.Number("assignment.max_concurrent_per_agent", 1, 100_000, c => c.Assignment.MaxConcurrentPerAgent, (c, v) => c with { Assignment = c.Assignment with { MaxConcurrentPerAgent = v } },
            "Tasks at once of an agent that names no limit.", live: true),
        ConfigKey.Flag("assignment.owner_filter_enabled", c => c.Assignment.OwnerFilterEnabled, (c, v) => c with { Assignment = c.Assignment with { OwnerFilterEnabled = v } },
            "Whether a task with an owner goes only to agents of that owner.", "DISPATCH_OWNER_FILTER_ENABLED", live: true),
        ConfigKey.Duration("assignment.aging_ms", 1, 30 * Day, c => c.Assignment.Aging, (c, v) => c with { Assignment = c.Assignment with { Aging = v } },
            "Waiting time that counts as one step of priority.", live: true),

        ConfigKey.Duration("agents.lease_ms", 10, Day, c => c.Agents.Lease, (c, v) => c with { Agents = c.Agents with { Lease = v } },
            "An agent without a sign of life for this long is offline and loses its tasks.", live: true),
        ConfigKey.Duration("agents.reap_after_ms", 10, 365 * Day, c => c.Agents.ReapAfter, (c, v) => c with { Agents = c.Agents with { ReapAfter = v } },
            "An agent offline for this long is deregistered, unless it is drained.", live: true),

        ConfigKey.Number("limits.body_bytes", 1_024, 67_108_864, c => c.Limits.BodyBytes, (c, v) => c with { Limits = c.Limits with { BodyBytes = v } },
            "Largest request body in bytes; larger is refused with 413.", live: true),
        ConfigKey.Number("limits.requests_per_second", 0, 10_000_000, c => c.Limits.RequestsPerSecond, (c, v) => c with { Limits = c.Limits with { RequestsPerSecond = v } },
            "Lasting rate of one caller; 0 is no limit. The administrator has none.", live: true),
        ConfigKey.Number("limits.burst", 1, 10_000_000, c => c.Limits.Burst, (c, v) => c with { Limits = c.Limits with { Burst = v } },
            "Requests one caller may make at once after a pause.", live: true),

        ConfigKey.Duration("retry.base_ms", 1, Day, c => c.Retry.Base, (c, v) => c with { Retry = c.Retry with { Base = v } },
            "First delay between attempts; each further one is twice as long, with full jitter.", live: true),
        ConfigKey.Duration("retry.cap_ms", 1, Day, c => c.Retry.Cap, (c, v) => c with { Retry = c.Retry with { Cap = v } },
            "Longest delay between attempts; not below `retry.base_ms`.", live: true),

        ConfigKey.Duration("retention.finished_tasks_ms", 1_000, 3_650 * Day, c => c.Retention.FinishedTasks, (c, v) => c with { Retention = c.Retention with { FinishedTasks = v } },
            "How long finished tasks are kept.", live: true),
        ConfigKey.Duration("retention.events_ms", 1_000, 3_650 * Day, c => c.Retention.Events, (c, v) => c with { Retention = c.Retention with { Events = v } },
            "How long events are kept, and up to a quarter longer; 0 is for ever.", orZero: true, live: true),
        ConfigKey.Size("retention.events_bytes", 1L << 20, 1L << 50, c => c.Retention.EventsBytes, (c, v) => c with { Retention = c.Retention with { EventsBytes = v } },
            "How much of the log is kept, its newest part, and up to a quarter more; 0 is no limit. Counted are the data of the events and 160 bytes for each.", live: true),
        ConfigKey.Duration("retention.subscriber_dead_ms", 1_000, 3_650 * Day, c => c.Retention.SubscriberDead, (c, v) => c with { Retention = c.Retention with { SubscriberDead = v } },
            "A webhook or handler that does not move on in the log for this long, although it could, is taken for dead: events are no longer kept for it.", live: true),
        ConfigKey.Duration("retention.sweep_ms", 10, Day, c => c.Retention.Sweep, (c, v) => c with { Retention = c.Retention with { Sweep = v } },
            "Period of the sweep that removes what is no longer kept.", live: true),

        ConfigKey.Duration("questions.timeout_ms", 1_000, 30 * Day, c => c.Questions.Timeout, (c, v) => c with { Questions = new() { Timeout = v } },
            "How long a question waits for answers when it does not say itself; also how long a task waits to be confirmed.", live: true),

        ConfigKey.Text("allowances.default_model", "1 to 128 characters", text => text.Length <= TaskLimits.MaxModel, c => c.Allowances.DefaultModel, (c, v) => c with { Allowances = c.Allowances with { DefaultModel = v } },
            "The model of work that names none. Without it that has no price, and a limit of money refuses it.", optional: true, live: true),
        ConfigKey.Number("allowances.default_tokens_in", 0, 1_000_000_000, c => c.Allowances.DefaultTokensIn, (c, v) => c with { Allowances = c.Allowances with { DefaultTokensIn = v } },
            "Tokens in that are reserved for a task without an estimate whose like has not been seen.", live: true),
        ConfigKey.Number("allowances.default_tokens_out", 0, 1_000_000_000, c => c.Allowances.DefaultTokensOut, (c, v) => c with { Allowances = c.Allowances with { DefaultTokensOut = v } },
            "The same for tokens out.", live: true),
        ConfigKey.Text("allowances.currency", "3 capital letters", text => text.Length == 3 && text.All(char.IsAsciiLetterUpper), c => c.Allowances.Currency, (c, v) => c with { Allowances = c.Allowances with { Currency = v! } },
            "What limits of money and prices are in. Only shown.", live: true),
        ConfigKey.Map("allowances.prices", ConfigMaps.PricesAllowed, ConfigMaps.ReadPrices, c => ConfigMaps.Show(c.Allowances.Prices), (c, v) => c with { Allowances = c.Allowances with { Prices = v } },
            "What a million tokens cost by model, in micro-units: 3000000 is 3 dollars when the currency is USD."),
        ConfigKey.Map("allowances.teams", ConfigMaps.TeamsAllowed, ConfigMaps.ReadTeams, c => ConfigMaps.Show(c.Allowances.Teams), (c, v) => c with { Allowances = c.Allowances with { Teams = v } },
            "The owners of each team, for limits of level `team`. An owner is in one team at most."),

        ConfigKey.Flag("webhooks.allow_private", c => c.Webhooks.AllowPrivate, (c, v) => c with { Webhooks = new() { AllowPrivate = v } },
            "Whether webhooks may be delivered to loopback, private, link-local and other addresses that are not public.", "DISPATCH_WEBHOOKS_ALLOW_PRIVATE"),

        ConfigKey.Choice("logging.level",
            [("trace", LogLevel.Trace), ("debug", LogLevel.Debug), ("info", LogLevel.Information), ("warn", LogLevel.Warning), ("error", LogLevel.Error), ("off", LogLevel.None)],
            c => c.Logging.Level, (c, v) => c with { Logging = c.Logging with { Level = v } },
            "Least level that is written.", "DISPATCH_LOG_LEVEL", live: true),
        ConfigKey.Choice("logging.format", ConfigKey.Names<LogFormat>(), c => c.Logging.Format, (c, v) => c with { Logging = c.Logging with { Format = v } },
            "One JSON object a line, or lines for a person."),
        ConfigKey.Choice("logging.access", ConfigKey.Names<AccessLogging>(), c => c.Logging.Access, (c, v) => c with { Logging = c.Logging with { Access = v } },
            "Which requests the access log tells of; `errors` are those answered with 400 or above.", live: true),

        ConfigKey.Text("telemetry.otlp_endpoint", "an http:// or https:// address without user or password", IsHttp, c => c.Telemetry.OtlpEndpoint, (c, v) => c with { Telemetry = new() { OtlpEndpoint = v } },
            "OTLP/HTTP collector that metrics and traces are sent to; `/v1/metrics` and `/v1/traces` are added. Without it nothing is exported.", "OTEL_EXPORTER_OTLP_ENDPOINT", optional: true),

        ConfigKey.Text("hermes.url", "a nats:// or tls:// address", text => IsUrl(text, "nats", "tls"), c => c.Hermes.Url, (c, v) => c with { Hermes = new() { Url = v } },
            "The event bus. Not used by this release.", "DISPATCH_HERMES_URL", optional: true),
        ConfigKey.Text("warren.url", "an http:// or https:// address without user or password", IsHttp, c => c.Warren.Url, (c, v) => c with { Warren = c.Warren with { Url = v } },
            "The agent directory. Not used by this release.", "DISPATCH_WARREN_URL", optional: true),
        ConfigKey.Text("warren.token", "1 to 512 visible ASCII characters", IsToken, c => c.Warren.Token, (c, v) => c with { Warren = c.Warren with { Token = v } },
            "Bearer token for it. Not used by this release.", "DISPATCH_WARREN_TOKEN", optional: true, secret: true),
        ConfigKey.Text("promptforge.url", "an http:// or https:// address without user or password", IsHttp, c => c.PromptForge.Url, (c, v) => c with { PromptForge = new() { Url = v } },
            "The capability directory. Not used by this release.", "DISPATCH_FORGE_URL", optional: true),
        ConfigKey.Text("alexandria.url", "an http:// or https:// address without user or password", IsHttp, c => c.Alexandria.Url, (c, v) => c with { Alexandria = new() { Url = v } },
            "The device directory. Not used by this release.", optional: true),
    ];

    /// <summary>The key of a dotted name; null when there is none.</summary>
    public static ConfigKey? Find(string path) => All.FirstOrDefault(key => key.Path == path);

    private static bool IsAddress(string text) =>
        text == "localhost"
        // TryParse also takes "1" and "0x7f.1": nobody means those.
        || (IPAddress.TryParse(text, out IPAddress? address) && (text.Contains(':') || address.ToString() == text));

    private static bool IsToken(string text) => text.Length <= 512 && text.All(c => c is > ' ' and <= '~');

    private static bool IsDatabase(string url) => PostgresUrl.IsScheme(url) ? PostgresUrl.FindFault(url) is null : SqliteUrl.IsValid(url);

    private static bool IsHost(string text) =>
        IPAddress.TryParse(text.Trim('[', ']'), out _) || Uri.CheckHostName(text) == UriHostNameType.Dns;

    /// <summary>A password in an address ends in logs and process lists; these places take a token, or a header, of their own.</summary>
    private static bool IsHttp(string text) => IsUrl(text, "http", "https") && !text.Contains('@');

    private static bool IsUrl(string text, params ReadOnlySpan<string> schemes) =>
        Uri.TryCreate(text, UriKind.Absolute, out Uri? url) && url.Host.Length > 0 && schemes.Contains(url.Scheme);
}

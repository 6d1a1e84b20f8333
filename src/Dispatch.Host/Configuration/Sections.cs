using System.Net;
using Dispatch.Storage.Postgres;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Configuration;

/// <summary>Section <c>server</c>: the listeners and the queue in front of the sequencer.</summary>
public sealed record ServerSettings
{
    /// <summary>Port of the API, 0 to 65535; 0 takes a free one. Default 8600.</summary>
    public int Port { get; init; } = 8600;

    /// <summary>Port of /health, /ready and /metrics, 0 to 65535; 0 takes a free one; not the API's. Default 8601.</summary>
    public int MetricsPort { get; init; } = 8601;

    /// <summary>Address both listeners are bound to: an IP address or "localhost" (which is 127.0.0.1). Default 127.0.0.1.</summary>
    public string Bind { get; init; } = "127.0.0.1";

    /// <summary>
    /// Bearer token of the administrator: 1 to 512 visible ASCII characters, at least 16 when bound beyond loopback.
    /// Default null: made at the first start and kept in the data directory.
    /// </summary>
    public string? AdminToken { get; init; }

    /// <summary>Commands that may wait for the sequencer, 16 to 1048576; more are refused with 503. Default 16384.</summary>
    public int QueueCapacity { get; init; } = 16_384;

    /// <summary>Open connections to the API at once, 1 to 1000000. Default 2000.</summary>
    public int MaxConnections { get; init; } = 2_000;

    /// <summary>
    /// Host names, without port, that a request may name besides localhost, 127.0.0.1, [::1] and the bind address.
    /// Default []: nothing else when bound to loopback, anything when bound beyond it.
    /// </summary>
    public IReadOnlyList<string> AllowedHosts { get; init; } = [];

    /// <summary><see cref="Bind"/> as an address.</summary>
    public IPAddress BindAddress => Bind == "localhost" ? IPAddress.Loopback : IPAddress.Parse(Bind);

    /// <summary>Whether only this machine can connect.</summary>
    public bool IsLoopback => IPAddress.IsLoopback(BindAddress);
}

/// <summary>How a caller proves who it is.</summary>
public enum AuthMode
{
    /// <summary>The header X-Agent-ID is believed. Only on loopback.</summary>
    TrustedHeader,

    /// <summary>A bearer token that belongs to the agent named in the header.</summary>
    Token,
}

/// <summary>What a caller that is not the administrator may read.</summary>
public enum Visibility
{
    /// <summary>Every task of the swarm.</summary>
    Swarm,

    /// <summary>What it submitted, owns or is assigned.</summary>
    Own,
}

/// <summary>Section <c>auth</c>.</summary>
public sealed record AuthSettings
{
    /// <summary>"trusted_header" (only on loopback) or "token". Default trusted_header.</summary>
    public AuthMode Mode { get; init; } = AuthMode.TrustedHeader;

    /// <summary>"swarm" or "own". Default null: swarm with trusted_header, own with token.</summary>
    public Visibility? Visibility { get; init; }

    /// <summary><see cref="Visibility"/>, or the mode's default.</summary>
    public Visibility EffectiveVisibility =>
        Visibility ?? (Mode == AuthMode.Token ? Configuration.Visibility.Own : Configuration.Visibility.Swarm);
}

/// <summary>Section <c>database</c>.</summary>
public sealed record DatabaseSettings
{
    /// <summary>
    /// sqlite:// and the path of the file ("~/" is the home directory), or the postgresql:// address of a database.
    /// Default sqlite://~/.dispatch/dispatch.db.
    /// </summary>
    public string Url { get; init; } = "sqlite://~/.dispatch/dispatch.db";

    /// <summary>With PostgreSQL: where the admin token and broker.json are kept. Default null: ~/.dispatch. With SQLite it is not used: they are beside the file.</summary>
    public string? Directory { get; init; }

    /// <summary>Whether the store is a PostgreSQL.</summary>
    public bool IsPostgres => PostgresUrl.IsScheme(Url);

    /// <summary>What a reader of the store is given: the file's path or, with its password, the address. Not to be shown.</summary>
    public string Location => IsPostgres ? Url : FilePath;

    /// <summary>What may be shown of it: the file's path, or user-less the database and its host.</summary>
    public string Description => IsPostgres ? PostgresUrl.Describe(Url) : FilePath;

    /// <summary>With SQLite: the database file as an absolute path.</summary>
    public string FilePath => SqliteUrl.ToFilePath(
        Url, Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), Environment.CurrentDirectory);
}

/// <summary>Section <c>node</c>.</summary>
public sealed record NodeSettings
{
    /// <summary>What the node is called, also after a restart: 1 to 128 characters. Default null: the machine's name and the API's port.</summary>
    public string? Name { get; init; }

    /// <summary>Where other nodes reach its API, an http:// or https:// address. Default null: the address it listens on.</summary>
    public string? Url { get; init; }

    /// <summary>The namespace of requests that name none. 1 to 40 of a-z, 0-9, - and _, the first a letter or digit. Default default.</summary>
    public string Namespace { get; init; } = "default";
}

/// <summary>Section <c>assignment</c>.</summary>
public sealed record AssignmentSettings
{
    /// <summary>Period of the safety net that looks for work to assign, 10 to 3600000 ms; not the latency of assignment. Default 5000.</summary>
    public TimeSpan TickInterval { get; init; } = TimeSpan.FromMilliseconds(5_000);

    /// <summary>How long a sleeping agent may take to wake, 10 to 3600000 ms, before the next candidate is taken. Default 30000.</summary>
    public TimeSpan WakeTimeout { get; init; } = TimeSpan.FromMilliseconds(30_000);

    /// <summary>Run time allowed to an attempt of a task that names none, 1 to 2592000000 ms (30 days). Default 300000.</summary>
    public TimeSpan DefaultTimeout { get; init; } = TimeSpan.FromMilliseconds(300_000);

    /// <summary>Tasks at once of an agent that names no limit, 1 to 100000. Default 3.</summary>
    public int MaxConcurrentPerAgent { get; init; } = 3;

    /// <summary>Whether a task with an owner goes only to agents of that owner. Default true.</summary>
    public bool OwnerFilterEnabled { get; init; } = true;

    /// <summary>Waiting time that counts as one step of priority, 1 to 2592000000 ms (30 days). Default 60000.</summary>
    public TimeSpan Aging { get; init; } = TimeSpan.FromMilliseconds(60_000);
}

/// <summary>Section <c>agents</c>.</summary>
public sealed record AgentSettings
{
    /// <summary>An agent without a sign of life for this long is offline and loses its tasks, 10 to 86400000 ms. Default 30000.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromMilliseconds(30_000);

    /// <summary>An agent offline for this long is deregistered unless drained, 10 to 31536000000 ms (365 days). Default 86400000.</summary>
    public TimeSpan ReapAfter { get; init; } = TimeSpan.FromMilliseconds(86_400_000);
}

/// <summary>Section <c>limits</c>.</summary>
public sealed record LimitSettings
{
    /// <summary>Largest request body, 1024 to 67108864 bytes; larger is refused with 413. Default 1048576.</summary>
    public int BodyBytes { get; init; } = 1_048_576;

    /// <summary>Lasting rate of one caller, 0 to 10000000 requests a second; 0 is no limit. Default 5000.</summary>
    public int RequestsPerSecond { get; init; } = 5_000;

    /// <summary>Requests one caller may make at once after a pause, 1 to 10000000. Default 10000.</summary>
    public int Burst { get; init; } = 10_000;
}

/// <summary>Section <c>retry</c>: delay before attempt n+1 is <c>min(base * 2^(n-1), cap)</c> with full jitter.</summary>
public sealed record RetrySettings
{
    /// <summary>First delay, 1 to 86400000 ms. Default 1000.</summary>
    public TimeSpan Base { get; init; } = TimeSpan.FromMilliseconds(1_000);

    /// <summary>Longest delay, 1 to 86400000 ms, not below the first. Default 300000.</summary>
    public TimeSpan Cap { get; init; } = TimeSpan.FromMilliseconds(300_000);
}

/// <summary>Section <c>retention</c>.</summary>
public sealed record RetentionSettings
{
    /// <summary>Finished tasks are kept this long, 1000 to 315360000000 ms (10 years). Default 2592000000 (30 days).</summary>
    public TimeSpan FinishedTasks { get; init; } = TimeSpan.FromMilliseconds(2_592_000_000);

    /// <summary>Events are kept this long, and a quarter of it longer at the most: 0 for ever, or 1000 to 315360000000 ms (10 years). Default 7776000000 (90 days).</summary>
    public TimeSpan Events { get; init; } = TimeSpan.FromMilliseconds(7_776_000_000);

    /// <summary>The newest events are kept up to this size, and a quarter of it more at the most: 0 is no limit, or 1048576 to 1125899906842624 bytes. Default 0.</summary>
    public long EventsBytes { get; init; }

    /// <summary>
    /// A follower with a place of its own in the log (a webhook, a handler) that does not move on for this long holds nothing back any more,
    /// 1000 to 315360000000 ms. Default 604800000 (7 days).
    /// </summary>
    public TimeSpan SubscriberDead { get; init; } = TimeSpan.FromMilliseconds(604_800_000);

    /// <summary>Period of the sweep that removes what is no longer kept, 10 to 86400000 ms. Default 1000.</summary>
    public TimeSpan Sweep { get; init; } = TimeSpan.FromMilliseconds(1_000);
}

/// <summary>Section <c>questions</c>.</summary>
public sealed record QuestionSettings
{
    /// <summary>How long a question waits for answers when it does not say itself, 1000 to 2592000000 ms (30 days). Default 86400000.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromDays(1);
}

/// <summary>Section <c>webhooks</c>.</summary>
public sealed record WebhookSettings
{
    /// <summary>Whether deliveries may go to loopback, private, link-local and other addresses that are not public. Default false.</summary>
    public bool AllowPrivate { get; init; }
}

/// <summary>Shape of a log line.</summary>
public enum LogFormat
{
    /// <summary>One JSON object a line.</summary>
    Json,

    /// <summary>One line for a person.</summary>
    Text,
}

/// <summary>Which requests the access log tells of.</summary>
public enum AccessLogging
{
    /// <summary>Every request.</summary>
    All,

    /// <summary>Requests answered with 400 or above.</summary>
    Errors,

    /// <summary>None.</summary>
    Off,
}

/// <summary>Section <c>logging</c>.</summary>
public sealed record LoggingSettings
{
    /// <summary>Least level written: trace, debug, info, warn, error or off. Default info.</summary>
    public LogLevel Level { get; init; } = LogLevel.Information;

    /// <summary>json or text. Default json.</summary>
    public LogFormat Format { get; init; } = LogFormat.Json;

    /// <summary>all, errors or off. Default all.</summary>
    public AccessLogging Access { get; init; } = AccessLogging.All;
}

/// <summary>Section <c>telemetry</c>.</summary>
public sealed record TelemetrySettings
{
    /// <summary>OTLP/HTTP collector, such as http://localhost:4318; /v1/traces and /v1/metrics are added. Default null: nothing is exported.</summary>
    public string? OtlpEndpoint { get; init; }
}

/// <summary>Section <c>hermes</c>.</summary>
public sealed record HermesSettings
{
    /// <summary>nats:// or tls:// address. Default null.</summary>
    public string? Url { get; init; }
}

/// <summary>Section <c>warren</c>.</summary>
public sealed record WarrenSettings
{
    /// <summary>http:// or https:// address. Default null.</summary>
    public string? Url { get; init; }

    /// <summary>Bearer token for it: 1 to 512 visible ASCII characters. Default null.</summary>
    public string? Token { get; init; }
}

/// <summary>Section <c>promptforge</c>.</summary>
public sealed record PromptForgeSettings
{
    /// <summary>http:// or https:// address. Default null.</summary>
    public string? Url { get; init; }
}

/// <summary>Section <c>alexandria</c>.</summary>
public sealed record AlexandriaSettings
{
    /// <summary>http:// or https:// address. Default null.</summary>
    public string? Url { get; init; }
}

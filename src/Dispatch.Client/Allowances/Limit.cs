using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>Whose spending a limit counts. Each level holds the ones before it.</summary>
public static class LimitLevel
{
    public const string Agent = "agent";
    public const string Owner = "owner";
    public const string Team = "team";
    public const string Swarm = "swarm";
}

/// <summary>What a limit counts, or the rule it is.</summary>
public static class LimitUnit
{
    /// <summary>Tokens in and out together.</summary>
    public const string Tokens = "tokens";
    public const string TokensIn = "tokens_in";
    public const string TokensOut = "tokens_out";

    /// <summary>Micro-units of the broker's currency.</summary>
    public const string Money = "money";

    /// <summary>Attempts that were begun.</summary>
    public const string Jobs = "jobs";

    /// <summary>Tasks held at once.</summary>
    public const string ConcurrentJobs = "concurrent_jobs";

    /// <summary>Longest run of one attempt in milliseconds.</summary>
    public const string JobMs = "job_ms";
    public const string Requests = "requests";
    public const string PullRequests = "pull_requests";
    public const string Issues = "issues";

    /// <summary>Milliseconds without new work after an attempt failed.</summary>
    public const string CooldownMs = "cooldown_ms";

    /// <summary>Which models may be used.</summary>
    public const string Models = "models";
}

/// <summary>When what was used counts no more.</summary>
public sealed record LimitWindow
{
    /// <summary><c>lifetime</c>, <c>hour</c>, <c>day</c>, <c>week</c>, <c>month</c> or <c>rolling</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>IANA name of the zone whose calendar it is; null: UTC.</summary>
    public string? TimeZone { get; init; }

    /// <summary>0 to 23: when the day, week or month begins; 0 when null.</summary>
    public int? ResetHour { get; init; }

    /// <summary>Week: 1 (Monday) to 7; month: 1 to 31. 1 when null.</summary>
    public int? ResetDay { get; init; }

    /// <summary>Length of a rolling window.</summary>
    [JsonPropertyName("rolling_ms")]
    public TimeSpan? Rolling { get; init; }
}

/// <summary>A limit to be set. Members left null take the broker's defaults.</summary>
public sealed record LimitRequest
{
    /// <summary>One of <see cref="LimitLevel"/>.</summary>
    public required string Level { get; init; }

    /// <summary>The agent, owner or team; <c>*</c> for each that has none of its own; null for the swarm.</summary>
    public string? Target { get; init; }

    /// <summary>One of <see cref="LimitUnit"/>.</summary>
    public required string Unit { get; init; }

    /// <summary>How much, in the unit; null for models.</summary>
    public long? Amount { get; init; }

    /// <summary>Null: what was used stays used.</summary>
    public LimitWindow? Window { get; init; }

    /// <summary>Counts only work with this model.</summary>
    public string? Model { get; init; }

    /// <summary>Counts only work whose label <c>repo</c> is this.</summary>
    public string? Repo { get; init; }

    /// <summary>1 to 100: at this share a warning is raised; 80 when null.</summary>
    public int? SoftPercent { get; init; }

    /// <summary><c>finish</c> or <c>pause</c>: what becomes of running work when it is used up; finish when null.</summary>
    public string? OnExceed { get; init; }

    /// <summary>With unit models: the only ones allowed, exact or with <c>*</c> at the end.</summary>
    public IReadOnlyList<string>? Allow { get; init; }

    /// <summary>With unit models: those that are not.</summary>
    public IReadOnlyList<string>? Deny { get; init; }

    /// <summary>Only when the limit has this version; 0: only when there is none.</summary>
    public int? IfVersion { get; init; }
}

/// <summary>What may be spent, by whom.</summary>
public sealed record Limit
{
    public required string Id { get; init; }

    /// <summary>One of <see cref="LimitLevel"/>.</summary>
    public required string Level { get; init; }

    /// <summary>The agent, owner or team; <c>*</c> for each that has none of its own; null for the swarm.</summary>
    public string? Target { get; init; }

    /// <summary>One of <see cref="LimitUnit"/>.</summary>
    public required string Unit { get; init; }

    /// <summary>How much, in the unit; null for models.</summary>
    public long? Amount { get; init; }

    /// <summary>Null for what is not used up.</summary>
    public LimitWindow? Window { get; init; }
    public string? Model { get; init; }
    public string? Repo { get; init; }
    public int SoftPercent { get; init; }

    /// <summary><c>finish</c> or <c>pause</c>.</summary>
    public string? OnExceed { get; init; }
    public IReadOnlyList<string> Allow { get => field ?? []; init; }
    public IReadOnlyList<string> Deny { get => field ?? []; init; }

    /// <summary>1, and one more with every change.</summary>
    public int Version { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset UpdatedAt { get; init; }

    /// <summary>How it stands for each target something was booked for. Only a single limit read by id has them.</summary>
    public IReadOnlyList<LimitStanding> Standings { get => field ?? []; init; }
}

/// <summary>Which limits to list. What is absent lets everything through; all given must hold.</summary>
public sealed record LimitFilter
{
    /// <summary>One of <see cref="LimitLevel"/>.</summary>
    public string? Level { get; init; }
    public string? Target { get; init; }

    /// <summary>One of <see cref="LimitUnit"/>.</summary>
    public string? Unit { get; init; }

    /// <summary>Length of a page, 1 to 1,000; null: 100.</summary>
    public int? Limit { get; init; }
}

/// <param name="Limits">By id.</param>
/// <param name="NextCursor">Where the next page begins; null on the last.</param>
public sealed record LimitPage(IReadOnlyList<Limit> Limits, string? NextCursor);

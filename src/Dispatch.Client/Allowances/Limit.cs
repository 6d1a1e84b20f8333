using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>A limit as it is to be: whose spending it counts, of what, and how much there is.</summary>
public sealed record NewLimit
{
    /// <summary><c>agent</c>, <c>owner</c>, <c>team</c> or <c>swarm</c>.</summary>
    public required string Level { get; init; }

    /// <summary>The agent, owner or team, or <c>*</c> for each that has none of its own; null for the swarm.</summary>
    public string? Target { get; init; }

    /// <summary><c>tokens</c>, <c>tokens_in</c>, <c>tokens_out</c>, <c>money</c>, <c>jobs</c>, <c>concurrent_jobs</c>, <c>job_ms</c>, <c>requests</c>, <c>pull_requests</c>, <c>issues</c>, <c>cooldown_ms</c> or <c>models</c>.</summary>
    public required string Unit { get; init; }

    /// <summary>In the unit, money in micro-units; null with unit <c>models</c> alone.</summary>
    public long? Amount { get; init; }

    /// <summary>Null: what was used stays used.</summary>
    public LimitWindow? Window { get; init; }

    /// <summary>Counts only work with this model.</summary>
    public string? Model { get; init; }

    /// <summary>Counts only work in this repository.</summary>
    public string? Repo { get; init; }

    /// <summary>Share of the amount at which a warning is raised, 1 to 100; 80 when null.</summary>
    public int? SoftPercent { get; init; }

    /// <summary><c>finish</c> or <c>pause</c>; null: finish.</summary>
    public string? OnExceed { get; init; }

    /// <summary>With unit <c>models</c>: the only ones allowed, exact or with <c>*</c> at the end.</summary>
    public IReadOnlyList<string>? Allow { get; init; }

    /// <summary>With unit <c>models</c>: those that are not. Wins.</summary>
    public IReadOnlyList<string>? Deny { get; init; }

    /// <summary>Only when the limit has this version, 0 for none yet; null: whatever it has.</summary>
    public int? IfVersion { get; init; }
}

/// <summary>When what was used counts no more.</summary>
public sealed record LimitWindow
{
    /// <summary><c>lifetime</c>, <c>hour</c>, <c>day</c>, <c>week</c>, <c>month</c> or <c>rolling</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>IANA name; null: UTC.</summary>
    public string? TimeZone { get; init; }
    public int? ResetHour { get; init; }

    /// <summary>Of a week 1 Monday to 7 Sunday, of a month 1 to 31.</summary>
    public int? ResetDay { get; init; }

    /// <summary>With <c>rolling</c>: its length.</summary>
    [JsonPropertyName("rolling_ms")]
    public TimeSpan? Rolling { get; init; }
}

/// <summary>A limit that an admin set, or the budget of a task.</summary>
public sealed record Limit
{
    public required string Id { get; init; }

    /// <summary><c>agent</c>, <c>owner</c>, <c>team</c>, <c>swarm</c>, or <c>task</c> for a budget.</summary>
    public required string Level { get; init; }

    /// <summary><c>*</c>: each that has none of its own; null for the swarm.</summary>
    public string? Target { get; init; }
    public required string Unit { get; init; }

    /// <summary>In the unit, money in micro-units; null with unit <c>models</c>.</summary>
    public long? Amount { get; init; }
    public LimitWindow? Window { get; init; }
    public string? Model { get; init; }
    public string? Repo { get; init; }
    public int? SoftPercent { get; init; }
    public string? OnExceed { get; init; }
    public IReadOnlyList<string>? Allow { get; init; }
    public IReadOnlyList<string>? Deny { get; init; }

    /// <summary>1, and one more with every change.</summary>
    public int Version { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset UpdatedAt { get; init; }

    /// <summary>How it stands, the most used first; only where one limit was asked for.</summary>
    public IReadOnlyList<LimitStanding>? Standings { get; init; }
}

/// <summary>How a limit stands for one target.</summary>
public sealed record LimitStanding
{
    public required Limit Limit { get; init; }

    /// <summary>The limit's id; behind a slash the target, when the limit is for each.</summary>
    public required string Key { get; init; }
    public string? Target { get; init; }

    /// <summary><c>ok</c>, <c>warning</c> or <c>exceeded</c>.</summary>
    public required string State { get; init; }
    public long Used { get; init; }

    /// <summary>Kept for work in hand.</summary>
    public long Reserved { get; init; }
    public long Remaining { get; init; }

    /// <summary>Used beyond the amount.</summary>
    public long Overshoot { get; init; }
    public DateTimeOffset? WindowStart { get; init; }
    public DateTimeOffset? ResetsAt { get; init; }

    /// <summary>When it is used up if spending goes on as in this window; null when that is not before the reset.</summary>
    public DateTimeOffset? ExhaustedAt { get; init; }
    public DateTimeOffset? CooldownUntil { get; init; }
}

/// <summary>What an agent may spend: every limit that counts for it, its own first.</summary>
public sealed record AgentAllowance
{
    public required string Agent { get; init; }
    public string? Owner { get; init; }
    public string? Team { get; init; }
    public bool Registered { get; init; }
    public IReadOnlyList<LimitStanding> Limits { get => field ?? []; init; }
}

/// <summary>A task that an agent could be given.</summary>
public sealed record AllowanceCheck
{
    public string? Model { get; init; }
    public string? Repo { get; init; }

    /// <summary>What it is expected to use, by name.</summary>
    public IReadOnlyDictionary<string, long>? Estimate { get; init; }
}

/// <summary>Whether it could be given now.</summary>
public sealed record AllowanceAnswer
{
    public bool Allowed { get; init; }

    /// <summary>The limit that binds; null: none does.</summary>
    public AllowanceRefusal? Refusal { get; init; }
    public IReadOnlyList<LimitStanding> Limits { get => field ?? []; init; }
}

/// <summary>Why a limit refuses.</summary>
public sealed record AllowanceRefusal
{
    public required string Limit { get; init; }
    public required string Key { get; init; }
    public long Needed { get; init; }
    public long Remaining { get; init; }

    /// <summary>When there may be room again by itself.</summary>
    public DateTimeOffset? FreesAt { get; init; }
    public required string Message { get; init; }
}

/// <summary>Spending that is reported apart from the end of a task.</summary>
public sealed record UsageReport
{
    /// <summary>The reporter's own id for it: a repeat changes nothing.</summary>
    public required string Id { get; init; }

    /// <summary>Whose spending it is; null: the caller's.</summary>
    public string? Agent { get; init; }
    public string? TaskId { get; init; }
    public int? Attempt { get; init; }
    public string? Model { get; init; }
    public string? Repo { get; init; }

    /// <summary>What was used, by name.</summary>
    public required IReadOnlyDictionary<string, long> Usage { get; init; }
}

/// <summary>A usage report that was taken.</summary>
public sealed record UsageReceipt
{
    public required string Id { get; init; }
    public long Sequence { get; init; }

    /// <summary>What was booked, by balance; null for a repeat.</summary>
    public IReadOnlyDictionary<string, long>? Spent { get; init; }
}

/// <summary>What an attempt, or a usage report, reserved and spent on a limit.</summary>
public sealed record LedgerEntry
{
    public string? TaskId { get; init; }
    public int? Attempt { get; init; }
    public required string Agent { get; init; }

    /// <summary>Null while it is in hand.</summary>
    public string? Outcome { get; init; }
    public DateTimeOffset At { get; init; }
    public required string Key { get; init; }
    public long Reserved { get; init; }
    public long Spent { get; init; }
}

/// <param name="NextCursor">Where the next page begins; null on the last.</param>
public sealed record LimitPage(IReadOnlyList<Limit> Limits, string? NextCursor);

/// <param name="NextCursor">Where the next page begins; null on the last.</param>
public sealed record LedgerPage(IReadOnlyList<LedgerEntry> Entries, string? NextCursor);

using System.Text.Json;

namespace Dispatch.Client;

/// <summary>How a limit stands for one target.</summary>
public sealed record LimitStanding
{
    public required Limit Limit { get; init; }

    /// <summary>The limit's id; behind a slash the target, when it is for each.</summary>
    public required string Key { get; init; }

    /// <summary>Whose it is; empty for the swarm.</summary>
    public string Target { get => field ?? ""; init; }

    /// <summary><c>ok</c>, <c>warning</c> (the soft limit is reached) or <c>exceeded</c> (nothing is left).</summary>
    public required string State { get; init; }

    /// <summary>In the window.</summary>
    public long Used { get; init; }

    /// <summary>Kept for work in hand.</summary>
    public long Reserved { get; init; }

    /// <summary>What is left beside both.</summary>
    public long Remaining { get; init; }

    /// <summary>Used beyond the amount by work that was under way.</summary>
    public long Overshoot { get; init; }
    public DateTimeOffset? WindowStart { get; init; }

    /// <summary>When what is used becomes less by itself; null: it does not.</summary>
    public DateTimeOffset? ResetsAt { get; init; }

    /// <summary>When it is used up if spending goes on as in this window; null when that is not before the reset.</summary>
    public DateTimeOffset? ExhaustedAt { get; init; }

    /// <summary>No new work before.</summary>
    public DateTimeOffset? CooldownUntil { get; init; }
}

/// <summary>What an agent may spend.</summary>
public sealed record Allowance
{
    public required string Agent { get; init; }
    public string? Owner { get; init; }

    /// <summary>The team of its owner.</summary>
    public string? Team { get; init; }
    public bool Registered { get; init; }

    /// <summary>Every limit that counts for it, its own first.</summary>
    public IReadOnlyList<LimitStanding> Limits { get => field ?? []; init; }
}

/// <summary>Work that is asked about before it is taken.</summary>
public sealed record AllowanceCheck
{
    /// <summary>The model it would use; null: the broker's default.</summary>
    public string? Model { get; init; }

    /// <summary>Its repository, as in the label <c>repo</c> of a task.</summary>
    public string? Repo { get; init; }

    /// <summary>As the estimate of a task.</summary>
    public JsonElement? Estimate { get; init; }
}

/// <summary>Whether an agent could be given such work now.</summary>
public sealed record AllowanceAnswer
{
    public bool Allowed { get; init; }

    /// <summary>The first limit that binds; null: none does.</summary>
    public AllowanceRefusal? Refusal { get; init; }

    /// <summary>Every limit that counts for such work.</summary>
    public IReadOnlyList<LimitStanding> Limits { get => field ?? []; init; }
}

/// <summary>Why a limit refuses.</summary>
public sealed record AllowanceRefusal
{
    /// <summary>Its id.</summary>
    public required string Limit { get; init; }

    /// <summary>The limit's id; behind a slash the target, when it is for each.</summary>
    public required string Key { get; init; }

    /// <summary>In the limit's unit.</summary>
    public long Needed { get; init; }

    /// <summary>In the limit's unit.</summary>
    public long Remaining { get; init; }

    /// <summary>When there may be room again by itself; null: only when the limit changes or work ends.</summary>
    public DateTimeOffset? FreesAt { get; init; }

    /// <summary>The sentence for a person.</summary>
    public string? Message { get; init; }
}

/// <summary>What was used, reported apart from the end of a task.</summary>
public sealed record UsageReport
{
    /// <summary>The reporter's own name for it, 1 to 128 characters: a repeat books nothing.</summary>
    public required string Id { get; init; }

    /// <summary>Whose usage it is; null: the caller's. An admin must say.</summary>
    public string? Agent { get; init; }

    /// <summary>The task it was for, which the agent holds or held last.</summary>
    public string? TaskId { get; init; }

    /// <summary>Null: the current or last one.</summary>
    public int? Attempt { get; init; }

    /// <summary>The model that was used; null: that of the task.</summary>
    public string? Model { get; init; }

    /// <summary>The repository it was for, when no task says it.</summary>
    public string? Repo { get; init; }

    /// <summary>Whole numbers by name, as <c>tokens_in</c>.</summary>
    public required IReadOnlyDictionary<string, long> Usage { get; init; }
}

/// <summary>What became of a usage report.</summary>
public sealed record UsageReceipt
{
    public required string Id { get; init; }

    /// <summary>Number of the event that booked it.</summary>
    public long Sequence { get; init; }

    /// <summary>What was booked, by key of a limit; null for a repeat.</summary>
    public IReadOnlyDictionary<string, long>? Spent { get; init; }
}

/// <summary>What one attempt, or one usage report apart from attempts, reserved and spent on a limit.</summary>
public sealed record LedgerEntry
{
    public string? TaskId { get; init; }
    public int? Attempt { get; init; }
    public required string Agent { get; init; }

    /// <summary>How the attempt ended; null while it is in hand, and for a report.</summary>
    public string? Outcome { get; init; }
    public DateTimeOffset At { get; init; }

    /// <summary>The limit's id; behind a slash the target, when it is for each.</summary>
    public required string Key { get; init; }
    public long Reserved { get; init; }
    public long Spent { get; init; }
}

/// <param name="Entries">Of the task that was submitted last first.</param>
/// <param name="NextCursor">Where the next page begins; null on the last.</param>
public sealed record LedgerPage(IReadOnlyList<LedgerEntry> Entries, string? NextCursor);

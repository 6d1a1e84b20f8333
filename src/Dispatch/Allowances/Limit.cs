using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Allowances;

/// <summary>Whose spending a limit counts. Each level holds the ones before it: agent, its owner, the owner's team, the swarm.</summary>
[JsonConverter(typeof(SnakeCaseEnumConverter<LimitLevel>))]
public enum LimitLevel : byte
{
    Agent,
    Owner,
    Team,
    Swarm,

    /// <summary>The budget a task was submitted with: for it, its retries, and the tasks below it.</summary>
    Task,
}

/// <summary>What a limit counts, or the rule it is.</summary>
[JsonConverter(typeof(SnakeCaseEnumConverter<LimitUnit>))]
public enum LimitUnit : byte
{
    /// <summary>Tokens in and out together.</summary>
    Tokens,
    TokensIn,
    TokensOut,

    /// <summary>Micro-units of the configured currency: 1,000,000 is one dollar or euro.</summary>
    Money,

    /// <summary>Attempts that were begun: handed back or lost ones don't count.</summary>
    Jobs,

    /// <summary>Tasks held at once.</summary>
    ConcurrentJobs,

    /// <summary>Longest run of one attempt in milliseconds: one that runs longer is timed out.</summary>
    JobMs,

    /// <summary>Requests to models and tools.</summary>
    Requests,
    PullRequests,
    Issues,

    /// <summary>Milliseconds without new work after an attempt failed.</summary>
    CooldownMs,

    /// <summary>Which models may be used.</summary>
    Models,
}

/// <summary>What happens to running work when its limit is reached.</summary>
[JsonConverter(typeof(SnakeCaseEnumConverter<OnExceed>))]
public enum OnExceed : byte
{
    /// <summary>It goes on to its end; what it uses beyond the limit is booked and shown. New work waits.</summary>
    Finish,

    /// <summary>It is taken back unharmed, at no cost in attempts, and waits until there is room again.</summary>
    Pause,
}

/// <summary>A limit that an admin set, or the budget of a task.</summary>
public sealed record Limit
{
    /// <summary>For every agent, owner or team that has no limit of this unit of its own.</summary>
    public const string Each = "*";

    /// <summary>Chosen by who set it; <c>task:{id}/{unit}</c> for the budget of a task.</summary>
    public required string Id { get; init; }

    public required LimitLevel Level { get; init; }

    /// <summary>The agent's, owner's or team's id, or <see cref="Each"/>; empty for the swarm; the task's id for a budget.</summary>
    public required string Target { get; init; }

    public required LimitUnit Unit { get; init; }

    /// <summary>How much, in the unit; 0 gives nothing.</summary>
    public required long Amount { get; init; }

    public required LimitWindow Window { get; init; }

    /// <summary>Counts only tasks with this model; null: all.</summary>
    public string? Model { get; init; }

    /// <summary>Counts only tasks whose label <c>repo</c> is this; null: all.</summary>
    public string? Repo { get; init; }

    /// <summary>At this share of the amount a warning is raised, 1..100.</summary>
    public int SoftPercent { get; init; } = DefaultSoftPercent;

    public OnExceed OnExceed { get; init; }

    /// <summary>With unit <c>models</c>: the only ones allowed, exact or with <c>*</c> at the end; empty: all that are not denied.</summary>
    public string[] Allow { get; init; } = [];

    /// <summary>With unit <c>models</c>: those that are not. Wins over <see cref="Allow"/>.</summary>
    public string[] Deny { get; init; } = [];

    /// <summary>1, and one more with every change.</summary>
    public required int Version { get; init; }

    public required long CreatedAt { get; init; }

    public required long UpdatedAt { get; init; }

    public required long LastSequence { get; init; }

    public const int DefaultSoftPercent = 80;

    /// <summary>Largest amount: the largest whole number that every reader of JSON keeps exact.</summary>
    public const long MaxAmount = 9_007_199_254_740_991;

    public const int MaxId = 128;

    /// <summary>Most entries of <see cref="Allow"/> and of <see cref="Deny"/>.</summary>
    public const int MaxModels = 100;

    /// <summary>Shortest and longest rolling window: a minute and 366 days.</summary>
    public const long MinRollingMs = 60_000;

    public const long MaxRollingMs = 31_622_400_000;

    public bool IsEach => Target == Each;

    /// <summary>True for what is used up and comes back with the next window; false for what is only held, and for rules.</summary>
    public bool IsConsumed => Consumes(Unit);

    /// <summary>Used from which the warning is raised.</summary>
    public long SoftAmount => (long)((Int128)Amount * SoftPercent / 100);

    /// <summary>True when it refuses every agent alike.</summary>
    internal bool IsForAll => Level is LimitLevel.Swarm or LimitLevel.Task;

    /// <summary>The same of a unit.</summary>
    public static bool Consumes(LimitUnit unit) => unit is not (LimitUnit.ConcurrentJobs or LimitUnit.JobMs or LimitUnit.CooldownMs or LimitUnit.Models);

    internal bool CountsFor(string? model, string? repo) =>
        (Model is null || string.Equals(Model, model, StringComparison.Ordinal)) && (Repo is null || string.Equals(Repo, repo, StringComparison.Ordinal));

    internal bool Permits(string model) => !Matches(Deny, model) && (Allow.Length == 0 || Matches(Allow, model));

    private static bool Matches(string[] patterns, string model) => Array.Exists(
        patterns, pattern => pattern.EndsWith('*') ? model.StartsWith(pattern[..^1], StringComparison.Ordinal) : string.Equals(pattern, model, StringComparison.Ordinal));
}

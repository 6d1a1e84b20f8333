using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>The broker at a glance.</summary>
public sealed record Statistics
{
    /// <summary>How many tasks are in each state.</summary>
    public IReadOnlyDictionary<string, long> Tasks { get => field ?? Nothing; init; }

    /// <summary>Age of the task that has waited longest, in milliseconds; null when none waits.</summary>
    public double? OldestPendingMs { get; init; }

    /// <summary>Time from being ready for work to assignment, in milliseconds.</summary>
    [JsonPropertyName("queue_ms")]
    public Distribution QueueMs { get => field ?? Distribution.Empty; init; }

    /// <summary>Time from start to end, in milliseconds.</summary>
    [JsonPropertyName("run_ms")]
    public Distribution RunMs { get => field ?? Distribution.Empty; init; }
    public long DeadLetters { get; init; }
    public IReadOnlyList<AgentStatistics> Agents { get => field ?? []; init; }

    /// <summary>Number of the last event.</summary>
    public long Sequence { get; init; }
    public long UptimeMs { get; init; }

    /// <summary>Commands that wait in front of the sequencer.</summary>
    public long QueueDepth { get; init; }
    public string? Version { get; init; }

    private static readonly Dictionary<string, long> Nothing = [];
}

/// <summary>A measured quantity: how often, average and percentiles.</summary>
public sealed record Distribution
{
    public long Count { get; init; }
    public double Avg { get; init; }
    public double P50 { get; init; }
    public double P95 { get; init; }
    public double P99 { get; init; }

    internal static readonly Distribution Empty = new();
}

/// <summary>One agent's load and record.</summary>
public sealed record AgentStatistics
{
    public required string Id { get; init; }
    public string? Status { get; init; }
    public bool Drained { get; init; }
    public int Active { get; init; }
    public int MaxConcurrent { get; init; }
    public long Completed { get; init; }
    public long Failed { get; init; }
    public long Timeout { get; init; }
    public long Lost { get; init; }
    public double? AvgRunMs { get; init; }
}

/// <summary>Whether the broker takes work.</summary>
public sealed record Readiness
{
    /// <summary><c>ready</c> or <c>unready</c>.</summary>
    public required string Status { get; init; }
    public long? Sequence { get; init; }
    public string? Reason { get; init; }

    [JsonIgnore]
    public bool IsReady => Status == "ready";
}

namespace Dispatch.Chaos.Checking;

/// <summary>What the broker holds once the load has ended, read over HTTP.</summary>
/// <param name="IsDrained">Every task had time to end. If not, only what can't be undone any more is judged.</param>
public sealed record Snapshot(IReadOnlyList<FinalTask> Tasks, bool IsDrained)
{
    public IReadOnlyDictionary<string, FinalTask> ById { get; } = Tasks.GroupBy(task => task.Id).ToDictionary(same => same.Key, same => same.First());
}

/// <summary>A task as it was read back.</summary>
/// <param name="Token">The label that names its submission; null if it has none.</param>
/// <param name="Result">The token in its result, or null.</param>
/// <param name="Attempt">The last attempt number given out; 0 for none.</param>
/// <param name="Attempts">The attempts that ended, oldest first.</param>
/// <param name="Events">Its history, oldest first.</param>
public sealed record FinalTask(
    string Id, string? Token, string Status, string? Assignee, int Attempt, int MaxRetries, string? Result, IReadOnlyList<string> DependsOn,
    IReadOnlyList<EndedAttempt> Attempts, IReadOnlyList<TaskEvent> Events)
{
    /// <summary>The beginning of its history is no longer kept.</summary>
    public bool IsCut { get; init; }

    /// <summary>Who was given this attempt, or null when the broker knows of no such attempt.</summary>
    public string? HolderOf(int attempt) =>
        Attempts.FirstOrDefault(ended => ended.Attempt == attempt)?.Agent ?? (attempt == Attempt ? Assignee : null);

    public EndedAttempt? FindEnded(int attempt) => Attempts.FirstOrDefault(ended => ended.Attempt == attempt);
}

/// <param name="Outcome">completed, failed, timeout, released, lost or cancelled.</param>
/// <param name="IsStarted">The agent had begun.</param>
public sealed record EndedAttempt(int Attempt, string Agent, string Outcome, bool IsStarted)
{
    /// <summary>It used up one of the task's retries.</summary>
    public bool IsCharged => Outcome is "failed" or "timeout" or "lost";
}

/// <param name="Attempt">The attempt it is about, or null.</param>
/// <param name="IsManual">Of task.retried: somebody put a finished task back.</param>
public sealed record TaskEvent(long Sequence, string Type, int? Attempt, string? Agent, bool IsManual);

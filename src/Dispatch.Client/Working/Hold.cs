namespace Dispatch.Client;

/// <summary>Names one attempt at one task.</summary>
internal readonly record struct HoldKey(string TaskId, int Attempt);

/// <summary>Where a held attempt stands on this side of the wire.</summary>
internal enum HoldPhase
{
    /// <summary>Delivered; no handler yet.</summary>
    Waiting,

    /// <summary>A handler is at it.</summary>
    Working,

    /// <summary>No handler any more; what is left is to report.</summary>
    Over,
}

/// <summary>One attempt in a worker's hands, with what the broker has not been told yet. Belongs to the loop, but for its progress.</summary>
internal sealed class Hold
{
    private readonly CancellationTokenSource stopping = new();
    private readonly Action progressed;
    private TaskReport? progress;

    /// <param name="task">The task as delivered.</param>
    /// <param name="progressed">Called from the handler's thread when there is progress to be sent and there was none before.</param>
    public Hold(DispatchTask task, Action progressed)
    {
        this.progressed = progressed;
        Key = new HoldKey(task.Id, task.Attempt);
        Item = new WorkItem(task, TakeProgress);
    }

    public HoldKey Key { get; }
    public WorkItem Item { get; }
    public CancellationToken Stopping => stopping.Token;
    public HoldPhase Phase { get; set; }

    /// <summary>Ends when the handler has returned and the loop was told; completed before there is one.</summary>
    public Task Handler { get; set; } = Task.CompletedTask;

    /// <summary>True when the attempt is no longer this worker's: nothing about it is reported or claimed.</summary>
    public bool Gone { get; set; }

    /// <summary>The word that it has begun, until answered.</summary>
    public TaskReport? Started { get; set; }

    /// <summary>The latest progress, until answered.</summary>
    public TaskReport? Progress => Volatile.Read(ref progress);

    /// <summary>The last word on it, until answered.</summary>
    public TaskReport? Final { get; set; }

    public TaskReport Report(string outcome) => new() { TaskId = Key.TaskId, Attempt = Key.Attempt, Outcome = outcome };

    /// <summary>Forgets this progress once it was answered, unless there is newer.</summary>
    public void ProgressAnswered(TaskReport sent) => Interlocked.CompareExchange(ref progress, null, sent);

    /// <summary>Asks the handler to stop. Its callbacks run elsewhere, so that a slow one does not hold up the loop.</summary>
    /// <returns>Ends when they have run; fails when one of them threw.</returns>
    public Task StopAsync(StopCause cause, string? reason)
    {
        Item.Stopped(cause, reason);
        return stopping.CancelAsync();
    }

    private void TakeProgress(TaskProgress said)
    {
        var report = Report(ReportOutcome.Progress) with { Percent = said.Percent, Message = said.Message, Data = said.Data };
        if (Interlocked.Exchange(ref progress, report) is null)
            progressed();
    }
}

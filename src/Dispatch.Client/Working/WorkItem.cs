using System.Text.Json;

namespace Dispatch.Client;

/// <summary>One attempt at a task, in a handler's hands. Safe to use from several threads.</summary>
/// <param name="task">The task as it was delivered.</param>
/// <param name="progress">Takes the handler's progress; null: it is dropped, as a test of a handler may want.</param>
public sealed class WorkItem(DispatchTask task, Action<TaskProgress>? progress = null)
{
    private volatile StopNote? stop;

    /// <summary>The task as it was delivered.</summary>
    public DispatchTask Task { get; } = task;

    /// <summary>The attempt's number, from 1.</summary>
    public int Attempt => Task.Attempt;

    /// <summary>Why the handler's token was cancelled; <see cref="StopCause.None"/> while it is not.</summary>
    public StopCause StopCause => stop?.Cause ?? StopCause.None;

    /// <summary>The broker's or the worker's words on it.</summary>
    public string? StopReason => stop?.Reason;

    /// <summary>
    /// Says how far the work is. Returns at once: the worker sends the latest progress when it can, so that a broker that is away
    /// does not hold up the work.
    /// </summary>
    /// <param name="percent">0 to 100.</param>
    public void ReportProgress(double? percent = null, string? message = null, JsonElement? data = null) =>
        progress?.Invoke(new TaskProgress { Percent = percent, Message = message, Data = data });

    internal void Stopped(StopCause cause, string? reason) => stop ??= new StopNote(cause, reason);

    private sealed record StopNote(StopCause Cause, string? Reason);
}

/// <summary>Why a handler is asked to stop.</summary>
public enum StopCause
{
    /// <summary>It is not.</summary>
    None,

    /// <summary>The broker no longer wants the task: it was cancelled or its time is up.</summary>
    Cancelled,

    /// <summary>The attempt is no longer this worker's; nothing it reports will count.</summary>
    LeaseLost,

    /// <summary>The worker is stopping and its patience is over.</summary>
    Shutdown,
}

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
    /// <param name="percent">0 to 100; what is outside is taken as the nearer end.</param>
    /// <param name="message">For a person; cut after 1,000 characters.</param>
    /// <param name="data">A JSON object.</param>
    /// <exception cref="ArgumentException"><paramref name="data"/> is no JSON object, or <paramref name="percent"/> is not a number.</exception>
    public void ReportProgress(double? percent = null, string? message = null, JsonElement? data = null)
    {
        if (percent is double.NaN)
            throw new ArgumentException("The percentage is not a number.", nameof(percent));
        var said = new TaskProgress
        {
            Percent = percent is { } given ? Math.Clamp(given, 0, 100) : null,
            Message = Wording.Shortened(message, Wording.MostOfMessage),
            Data = Wording.Object(data, nameof(data)),
        };
        progress?.Invoke(said);
    }

    internal void Stopped(StopCause cause, string? reason) => stop ??= new StopNote(cause, reason);

    private sealed record StopNote(StopCause Cause, string? Reason);
}

/// <summary>Why a handler is asked to stop.</summary>
public enum StopCause
{
    /// <summary>It is not.</summary>
    None,

    /// <summary>The broker no longer wants the task from this worker: it was cancelled, its time is up, or it was taken back.</summary>
    Cancelled,

    /// <summary>The attempt is no longer this worker's; nothing it reports will count.</summary>
    LeaseLost,

    /// <summary>The worker is stopping and its patience is over.</summary>
    Shutdown,
}

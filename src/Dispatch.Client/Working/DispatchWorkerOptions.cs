namespace Dispatch.Client;

/// <summary>What a worker can do, how much at once, and how it behaves when idle and at the end.</summary>
public sealed record DispatchWorkerOptions
{
    /// <summary>What tasks may require of it; compared without regard to case.</summary>
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    /// <summary>Whose agent it is; null: nobody's.</summary>
    public string? Owner { get; init; }
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary>How the broker can wake it when it is not connected; null: not at all.</summary>
    public WakeTarget? Wake { get; init; }

    /// <summary>Tasks at once, 1 to 1000. Default 3.</summary>
    public int MaxConcurrent { get; init; } = 3;

    /// <summary>How long one long poll may wait for work, up to 60 s. Default 30 s.</summary>
    public TimeSpan PollWait { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Longest silence towards the broker. Null: a third of the lease the broker grants, and at most 3 s while work is in hand, so
    /// that a cancellation is heard of soon.
    /// </summary>
    public TimeSpan? HeartbeatInterval { get; init; }

    /// <summary>Shortest time between two calls that bring nothing but progress; only the latest progress is sent. Default 500 ms.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>After this long without work it says that it sleeps; the broker then prefers others and wakes it first. Null: never.</summary>
    public TimeSpan? SleepAfter { get; init; }

    /// <summary>Run when the broker wakes a sleeping worker, before it says that it is ready. An exception leaves it asleep.</summary>
    public Func<CancellationToken, Task>? WarmUp { get; init; }

    /// <summary>How long running work may go on after the stop; then its tokens are cancelled. Default 30 s.</summary>
    public TimeSpan ShutdownGrace { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long handlers may take to return once their tokens were cancelled by the stop; then the work is handed back over their heads. Default 5 s.</summary>
    public TimeSpan UnwindGrace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the stop waits for the broker to take the last reports. Default 10 s.</summary>
    public TimeSpan FlushGrace { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Whether it deregisters at the end. False keeps it known to the broker, offline. Default true.</summary>
    public bool LeaveOnStop { get; init; } = true;

    /// <summary>Is told what happens, for a log. Called from the worker's loop: must be quick and must not throw.</summary>
    public Action<WorkerNotice>? Notice { get; init; }
}

/// <summary>Something that happened in a worker.</summary>
/// <param name="Kind">What.</param>
/// <param name="Message">The sentence for a person.</param>
/// <param name="TaskId">The task it is about, if one.</param>
/// <param name="Attempt">Its attempt; 0 without a task.</param>
/// <param name="Cause">The exception behind it, if one.</param>
public sealed record WorkerNotice(WorkerNoticeKind Kind, string Message, string? TaskId = null, int Attempt = 0, Exception? Cause = null);

/// <summary>What a <see cref="WorkerNotice"/> is about.</summary>
public enum WorkerNoticeKind
{
    /// <summary>The broker knows the worker, for the first time or again.</summary>
    Registered,

    /// <summary>The broker does not answer or refuses for now; the worker goes on and tries again.</summary>
    BrokerAway,

    /// <summary>The broker answers again.</summary>
    BrokerBack,

    /// <summary>A handler was started.</summary>
    TaskStarted,

    /// <summary>The broker has taken a task's last report.</summary>
    TaskEnded,

    /// <summary>The broker no longer wants a task; its handler was told.</summary>
    TaskCancelled,

    /// <summary>The attempt is no longer this worker's; its handler was told and its result is void.</summary>
    LeaseLost,

    /// <summary>A handler threw; the task is reported as failed.</summary>
    HandlerFailed,

    /// <summary>The broker would not take a report as it was.</summary>
    ReportRefused,

    /// <summary>The worker has said that it sleeps.</summary>
    Sleeping,

    /// <summary>The worker was woken and is ready.</summary>
    Woken,

    /// <summary>Warming up failed; the worker stays asleep.</summary>
    WarmUpFailed,

    /// <summary>The worker takes no more work and winds up.</summary>
    Stopping,

    /// <summary>A handler did not return in time; its task was handed back.</summary>
    HandlerAbandoned,

    /// <summary>The worker has deregistered.</summary>
    Left,

    /// <summary>The worker could not deregister; its lease will run out.</summary>
    LeaveFailed,
}

/// <summary>What a worker has done since it was made.</summary>
public sealed record WorkerStatistics
{
    /// <summary>Handlers running now.</summary>
    public int Running { get; init; }

    /// <summary>Completed tasks the broker has taken.</summary>
    public long Completed { get; init; }

    /// <summary>Failures the broker has taken.</summary>
    public long Failed { get; init; }

    /// <summary>Tasks handed back.</summary>
    public long Released { get; init; }

    /// <summary>Tasks the broker cancelled under way.</summary>
    public long Cancelled { get; init; }

    /// <summary>Attempts that were no longer this worker's when it reported.</summary>
    public long Lost { get; init; }

    /// <summary>Deliveries ignored because the worker had the task already.</summary>
    public long Duplicates { get; init; }
}

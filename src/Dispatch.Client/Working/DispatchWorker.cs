namespace Dispatch.Client;

/// <summary>
/// Turns a function into an agent: registers, takes tasks, runs the handler on up to
/// <see cref="DispatchWorkerOptions.MaxConcurrent"/> of them at once, and reports. It outlives the broker: while that is away the work goes
/// on, and no report is dropped before it was answered.
/// </summary>
/// <remarks>
/// A task may be done more than once (a lost lease is given to somebody else), but only one attempt's report counts. The handler's token
/// is cancelled when the task is no longer wanted, when the lease was lost, and when a stop has run out of patience;
/// <see cref="WorkItem.StopCause"/> says which. A handler that throws has failed in a retryable way; one that throws
/// <see cref="OperationCanceledException"/> or fails after a stop cancelled its token has handed the task back.
/// </remarks>
public sealed class DispatchWorker
{
    // A call that hangs longer than this would cost the lease that the next one renews.
    private static readonly TimeSpan LongestCall = TimeSpan.FromSeconds(10);

    private readonly DispatchClient client;
    private readonly DispatchWorkerOptions options;
    private readonly Func<WorkItem, CancellationToken, Task<WorkResult>> handler;
    private readonly WorkerRecord record = new();
    private int running;

    /// <param name="client">The connection to the broker; its agent id is the worker's.</param>
    /// <param name="options">What the worker can do and how it behaves.</param>
    /// <param name="handler">Does one attempt at one task.</param>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public DispatchWorker(DispatchClient client, DispatchWorkerOptions options, Func<WorkItem, CancellationToken, Task<WorkResult>> handler)
    {
        if (options.MaxConcurrent is < 1 or > 1000)
            throw new ArgumentException("MaxConcurrent must be 1 to 1000.", nameof(options));
        if (options.PollWait <= TimeSpan.Zero || options.PollWait > TimeSpan.FromSeconds(60))
            throw new ArgumentException("PollWait must be longer than zero and at most 60 s.", nameof(options));
        if (options.HeartbeatInterval <= TimeSpan.Zero || options.SleepAfter <= TimeSpan.Zero)
            throw new ArgumentException("HeartbeatInterval and SleepAfter must be longer than zero.", nameof(options));
        if (options.ProgressInterval < TimeSpan.Zero || options.ShutdownGrace < TimeSpan.Zero || options.UnwindGrace < TimeSpan.Zero || options.FlushGrace < TimeSpan.Zero)
            throw new ArgumentException("ProgressInterval and the graces must not be negative.", nameof(options));

        this.client = client;
        this.options = options;
        this.handler = handler;
    }

    /// <summary>What has been done so far; a snapshot, safe to read at any time.</summary>
    public WorkerStatistics Statistics => record.Statistics;

    /// <summary>
    /// Works until <paramref name="stop"/> is cancelled; then hands back what has not begun, waits for what runs, sends the last reports,
    /// deregisters, and returns.
    /// </summary>
    /// <exception cref="DispatchException">The broker refuses the worker as such: its token, its id or its registration.</exception>
    /// <exception cref="InvalidOperationException">It is running already.</exception>
    public async Task RunAsync(CancellationToken stop)
    {
        if (Interlocked.Exchange(ref running, 1) == 1)
            throw new InvalidOperationException("The worker is running already.");
        try
        {
            await new WorkerRun(client.Once(LongestCall), options, handler, record).RunAsync(stop);
        }
        finally
        {
            Volatile.Write(ref running, 0);
        }
    }
}

using System.Collections.Concurrent;

namespace Dispatch.Client.Tests;

/// <summary>A worker under test, running.</summary>
internal sealed class RunningWorker : IAsyncDisposable
{
    private readonly DispatchClient client;
    private readonly CancellationTokenSource stop = new();
    private readonly ConcurrentQueue<WorkerNotice> notices = new();
    private readonly ConcurrentQueue<(string Id, int Attempt)> begun = new();
    private int running;
    private int mostRunning;

    public RunningWorker(LoopbackServer server, Func<WorkItem, CancellationToken, Task<WorkResult>> handler, Func<DispatchWorkerOptions, DispatchWorkerOptions>? change = null)
        : this(server.Client(), handler, change)
    {
    }

    /// <param name="client">Is the worker's from now on.</param>
    public RunningWorker(DispatchClient client, Func<WorkItem, CancellationToken, Task<WorkResult>> handler, Func<DispatchWorkerOptions, DispatchWorkerOptions>? change = null)
    {
        this.client = client;
        var options = new DispatchWorkerOptions { Capabilities = ["words"], MaxConcurrent = 3, ShutdownGrace = TimeSpan.FromMilliseconds(100), Notice = notices.Enqueue };
        Worker = new DispatchWorker(client, change?.Invoke(options) ?? options, async (item, cancel) =>
        {
            begun.Enqueue((item.Task.Id, item.Attempt));
            InterlockedMax(Interlocked.Increment(ref running));
            try
            {
                return await handler(item, cancel);
            }
            finally
            {
                Interlocked.Decrement(ref running);
            }
        });
        Running = Worker.RunAsync(stop.Token);
    }

    public DispatchWorker Worker { get; }
    public Task Running { get; }

    /// <summary>Every start of the handler.</summary>
    public IReadOnlyList<(string Id, int Attempt)> Begun => [.. begun];
    public IReadOnlyList<WorkerNotice> Notices => [.. notices];
    public int MostRunning => Volatile.Read(ref mostRunning);

    public bool Said(WorkerNoticeKind kind) => notices.Any(notice => notice.Kind == kind);

    public Task StopAsync()
    {
        stop.Cancel();
        return Running.WaitAsync(TimeSpan.FromSeconds(30));
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        try
        {
            await Running.WaitAsync(TimeSpan.FromSeconds(30));
        }
        catch (DispatchException)
        {
            // The test has looked at it already.
        }
        client.Dispose();
        stop.Dispose();
    }

    private void InterlockedMax(int value)
    {
        int seen;
        while ((seen = Volatile.Read(ref mostRunning)) < value && Interlocked.CompareExchange(ref mostRunning, value, seen) != seen)
        {
        }
    }
}

using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Dispatch.Bench.Wire;

/// <summary>Something with a descriptor that the loop wakes when it can be read or written.</summary>
internal abstract class EventSource
{
    /// <summary>Called on the loop's thread; <paramref name="events"/> are epoll's bits.</summary>
    public abstract void OnReady(uint events);
}

/// <summary>
/// One thread that serves every connection of a run. One is enough: a request costs it two system calls, and the
/// second core belongs to the broker under test. Not safe for use from several threads.
/// </summary>
internal sealed unsafe class EventLoop : IDisposable
{
    private const int Capacity = 256;
    private const int LongestWaitMs = 100;

    private readonly int _epoll = Native.CreateEpoll();
    private readonly List<EventSource> _sources = [];
    private readonly byte* _events = (byte*)NativeMemory.AllocZeroed(Capacity, (nuint)Native.EventSize);
    private readonly CancellationToken _cancellation;

    /// <param name="cancellation">Ends a run with an <see cref="OperationCanceledException"/> within 100 ms.</param>
    public EventLoop(CancellationToken cancellation) => _cancellation = cancellation;

    /// <summary>Watches a descriptor for reading; the answer is its token for <see cref="Watch"/>.</summary>
    public int Add(EventSource source, int descriptor)
    {
        _sources.Add(source);
        var token = _sources.Count - 1;
        Native.Watch(_epoll, descriptor, Native.Readable, token);
        return token;
    }

    /// <summary>Changes what a descriptor is watched for.</summary>
    public void Watch(int descriptor, int token, uint events) => Native.Rewatch(_epoll, descriptor, events, token);

    /// <summary>Serves events until <paramref name="finished"/> holds (true) or the time is up (false).</summary>
    public bool Run(Func<bool> finished, TimeSpan limit)
    {
        var end = Stopwatch.GetTimestamp() + (long)(limit.TotalSeconds * Stopwatch.Frequency);
        while (!finished())
        {
            _cancellation.ThrowIfCancellationRequested();
            var left = end - Stopwatch.GetTimestamp();
            if (left <= 0)
                return false;

            Turn((int)Math.Min(LongestWaitMs, (left * 1000 / Stopwatch.Frequency) + 1));
        }

        return true;
    }

    /// <summary>Serves events for a fixed time.</summary>
    public void Run(TimeSpan time) => Run(static () => false, time);

    public void Dispose()
    {
        _ = Native.Close(_epoll);
        NativeMemory.Free(_events);
    }

    private void Turn(int timeoutMs)
    {
        var count = Native.Wait(_epoll, _events, Capacity, timeoutMs);
        if (count < 0 && Marshal.GetLastPInvokeError() != Native.Interrupted)
            throw new IOException($"epoll_wait failed: {Marshal.GetLastPInvokeErrorMessage()}");

        for (var i = 0; i < count; i++)
        {
            var entry = _events + (i * Native.EventSize);
            _sources[*(int*)(entry + Native.EventDataOffset)].OnReady(*(uint*)entry);
        }
    }
}

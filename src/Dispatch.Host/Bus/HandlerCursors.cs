using Dispatch.Sequencing;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Bus;

/// <summary>
/// Keeps in the store how far durable handlers have come: many at once, at most ten times a second, and when they stop. What can't be written is
/// tried again; a crash before that only repeats events.
/// </summary>
internal sealed class HandlerCursors(IStore store, TimeProvider clock, ILogger logger)
{
    private const string CursorPrefix = "handler/";

    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Recovering = TimeSpan.FromSeconds(2);

    private readonly SemaphoreSlim writing = new(1, 1);
    private readonly SemaphoreSlim asked = new(0);
    private IReadOnlyDictionary<string, long> loaded = new Dictionary<string, long>();
    private IReadOnlyList<HandlerRunner> durable = [];
    private int isAsked;

    /// <exception cref="StoreException">The store can't be read.</exception>
    public async Task LoadAsync(CancellationToken cancel) => loaded = await store.LoadCursorsAsync(cancel);

    /// <summary>Where the handler was when the broker last ran; null before its first time.</summary>
    public long? PositionOf(string handler) => loaded.TryGetValue(CursorPrefix + handler, out var sequence) ? sequence : null;

    /// <summary>Whose places are kept.</summary>
    public void Keep(IReadOnlyList<HandlerRunner> runners) => durable = runners;

    /// <summary>There is something to write. From any thread, as often as one likes.</summary>
    public void Moved()
    {
        if (Volatile.Read(ref isAsked) == 0 && Interlocked.Exchange(ref isAsked, 1) == 0)
            asked.Release();
    }

    /// <summary>Writes until it is stopped.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                await asked.WaitAsync(stop);
                await Task.Delay(Gathering, clock, stop);
                Interlocked.Exchange(ref isAsked, 0);
                try
                {
                    await SaveAsync(stop);
                }
                catch (StoreException failure)
                {
                    logger.HandlerCursorsNotSaved(failure.Message);
                    await Task.Delay(Recovering, clock, stop);
                    Moved();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    /// <summary>Writes what is not written.</summary>
    /// <exception cref="StoreException">It could not be.</exception>
    public async Task SaveAsync(CancellationToken cancel)
    {
        await writing.WaitAsync(cancel);
        try
        {
            List<(HandlerRunner Runner, long Position)> moved = [.. durable.Select(runner => (runner, runner.Position)).Where(one => one.Position != one.runner.Saved)];
            if (moved.Count == 0)
                return;
            await store.SaveCursorsAsync(moved.ConvertAll(one => (CursorPrefix + one.Runner.Name, one.Position)), [], cancel);
            foreach (var (runner, position) in moved)
                runner.Saved = position;
        }
        finally
        {
            writing.Release();
        }
    }
}

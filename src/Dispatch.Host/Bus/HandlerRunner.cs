using Dispatch.Events;
using Dispatch.Sequencing;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Bus;

/// <summary>What a runner works with.</summary>
/// <param name="Moved">A durable handler came further, or will wait for a long time: its place is worth keeping.</param>
internal sealed record HandlerTools(EventFeed Feed, TimeProvider Clock, ILogger Logger, Action Moved);

/// <summary>Follows the log for one handler: one event after another, the next only when the one before was handled or passed.</summary>
internal sealed class HandlerRunner
{
    private const int AtOnce = 1024;

    // Events that were only looked at are worth a write of their own once they are many.
    private const int WorthSaving = 1_000;

    private static readonly TimeSpan Recovering = TimeSpan.FromSeconds(2);

    private readonly HandlerPlan plan;
    private readonly HandlerTools tools;

    // Shared with nobody: jitter has no need of a seed that can be known.
    private readonly Random random = new();
    private long position;
    private long saved;
    private Trouble? trouble;
    private TaskCompletionSource<bool>? parked;

    /// <param name="after">Where it starts.</param>
    /// <param name="saved">What the store has of it; null for nothing.</param>
    public HandlerRunner(HandlerPlan plan, HandlerTools tools, long after, long? saved)
    {
        this.plan = plan;
        this.tools = tools;
        position = after;
        this.saved = saved ?? -1;
    }

    public string Name => plan.Name;

    public bool IsDurable => plan.IsDurable;

    /// <summary>Sequence of the last event that it is done with.</summary>
    public long Position => Volatile.Read(ref position);

    /// <summary>What the store has.</summary>
    public long Saved
    {
        get => Volatile.Read(ref saved);
        set => Volatile.Write(ref saved, value);
    }

    public HandlerStatus Status
    {
        get
        {
            var isParked = Volatile.Read(ref parked) is not null;
            var now = Volatile.Read(ref trouble);
            var state = now is null ? HandlerState.Running : isParked ? HandlerState.Parked : HandlerState.Retrying;
            return new HandlerStatus(Name, IsDurable, state, Position, Math.Max(0, tools.Feed.Head - Position), now?.FailedAt, now?.Attempts ?? 0, now?.Error);
        }
    }

    /// <summary>Runs until it is stopped.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        // On a thread of its own from the start: what the handler does must not hold up whoever starts it.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            while (true)
                await FollowAsync(cancel);
        }
        catch (Exception) when (cancel.IsCancellationRequested)
        {
            // Stopped. What was being handled is handled again, if it is durable.
        }
    }

    /// <summary>Lets a parked handler go on: with the event it failed at, or (<paramref name="skip"/>) behind it. False: it is not parked.</summary>
    public bool Unpark(bool skip) => Interlocked.Exchange(ref parked, null)?.TrySetResult(skip) ?? false;

    private async Task FollowAsync(CancellationToken cancel)
    {
        try
        {
            using var cursor = tools.Feed.Follow(EventSight.System, EventFilter.All, Position);
            while (true)
            {
                var events = await cursor.ReadAsync(AtOnce, cancel);
                for (var i = 0; i < events.Count; i++)
                    Advance(events[i].Sequence, await TakeAsync(events[i], cancel));
                if (events.Count == 0)
                    await cursor.WaitAsync(cancel);
                else
                    await Task.Yield();
            }
        }
        catch (EventsGoneException gone)
        {
            tools.Logger.HandlerMissedEvents(Name, Position, gone.Horizon);
            if (await ParkAsync(new Trouble(Position + 1, 0, gone.Message), cancel))
                Advance(gone.Horizon - 1, wasWanted: true);
            Volatile.Write(ref trouble, null);
        }
        catch (Exception failure) when (!cancel.IsCancellationRequested)
        {
            // The store can't be read: it goes on from where it was.
            tools.Logger.HandlerStumbled(Name, failure.Message);
            await Task.Delay(Recovering, tools.Clock, cancel);
        }
    }

    /// <summary>Returns when the event was handled or passed; false when it was not wanted.</summary>
    private ValueTask<bool> TakeAsync(FeedEvent happened, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        Task handling;
        try
        {
            handling = plan.Deliver(happened, 1, cancel);
        }
        catch (Exception failure) when (!cancel.IsCancellationRequested)
        {
            handling = Task.FromException(failure);
        }

        if (handling == HandlerPlan.NotWanted)
            return new ValueTask<bool>(false);
        return handling.IsCompletedSuccessfully ? new ValueTask<bool>(true) : new ValueTask<bool>(FinishAsync(happened, handling, cancel));
    }

    private async Task<bool> FinishAsync(FeedEvent happened, Task handling, CancellationToken cancel)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await handling;
                Volatile.Write(ref trouble, null);
                return true;
            }
            catch (Exception failure) when (!cancel.IsCancellationRequested)
            {
                tools.Logger.HandlerFailed(Name, happened.Sequence, attempt, failure);
                var failed = new Trouble(happened.Sequence, attempt, $"{failure.GetType().Name}: {failure.Message}");
                if (attempt < plan.Retry.Attempts)
                {
                    Volatile.Write(ref trouble, failed);
                    await Task.Delay(plan.Retry.DelayAfter(attempt, random), tools.Clock, cancel);
                }
                else
                {
                    tools.Logger.HandlerParked(Name, happened.Sequence, attempt);
                    if (await ParkAsync(failed, cancel))
                    {
                        Volatile.Write(ref trouble, null);
                        return true;
                    }

                    attempt = 0;
                }
            }

            handling = BeginAsync(happened, attempt + 1, cancel);
        }
    }

    private async Task BeginAsync(FeedEvent happened, int attempt, CancellationToken cancel) =>
        await plan.Deliver(happened, attempt, cancel);

    /// <summary>Waits for a decision; true: pass the event.</summary>
    private async Task<bool> ParkAsync(Trouble why, CancellationToken cancel)
    {
        var decided = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref trouble, why);
        Volatile.Write(ref parked, decided);
        Move();
        var skip = await decided.Task.WaitAsync(cancel);
        if (skip)
            tools.Logger.HandlerSkipped(Name, why.FailedAt);
        else
            Volatile.Write(ref trouble, why with { Attempts = 0 });
        return skip;
    }

    private void Advance(long sequence, bool wasWanted)
    {
        Volatile.Write(ref position, sequence);
        if (wasWanted || sequence - Saved >= WorthSaving)
            Move();
    }

    private void Move()
    {
        if (IsDurable)
            tools.Moved();
    }

    private sealed record Trouble(long FailedAt, int Attempts, string Error);
}

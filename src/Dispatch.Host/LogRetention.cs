using Dispatch.Host.Configuration;
using Dispatch.Host.Telemetry;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Webhooks;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host;

/// <summary>
/// Keeps the log as long as it is to be kept: takes bases, moves the horizon to one of them when all before it is too old or too much, and has the
/// store delete what is below, bit by bit. Durable followers hold it back, unless they are dead.
/// </summary>
internal sealed class LogRetention
{
    private const string WebhookCursor = "webhook/";

    // Each bit is a transaction between commits.
    private const int TrimmedAtOnce = 2_048;

    // A new base is due when a quarter of what is kept came since the last, so that a quarter too much is kept at the most.
    private const int BasesPerLimit = 4;

    // What failed costs room and time: it is not tried each second.
    private static readonly TimeSpan Recovering = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan BusyPace = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan IdlePace = TimeSpan.FromMinutes(1);

    // A broker that was away for long must not take its followers for dead before they can say a word.
    private static readonly TimeSpan Grace = TimeSpan.FromHours(1);

    private readonly Sequencer sequencer;
    private readonly IStore store;
    private readonly LiveConfig config;
    private readonly Func<CancellationToken, Task> settle;
    private readonly TimeProvider clock;
    private readonly ILogger<LogRetention> logger;
    private readonly long startedAt;
    private readonly Dictionary<string, long> dead = new(StringComparer.Ordinal);
    private LogGauges gauges = new(1, 0, 0);
    private (string Name, long Sequence)? holder;
    private long? lookedAt;
    private long lookedTo;
    private bool isRecovering;

    /// <param name="settle">Has followers that keep their place in memory write it down.</param>
    public LogRetention(
        Sequencer sequencer, IStore store, LiveConfig config, Func<CancellationToken, Task> settle, DispatchMetrics metrics, TimeProvider clock,
        ILogger<LogRetention> logger)
    {
        this.sequencer = sequencer;
        this.store = store;
        this.config = config;
        this.settle = settle;
        this.clock = clock;
        this.logger = logger;
        startedAt = Now;
        metrics.ObserveLog(() => gauges);
    }

    /// <summary>Ends with the look that is being taken.</summary>
    public Task Ended { get; private set; } = Task.CompletedTask;

    private long Now => clock.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>Begins a look when one is due and none is being taken. To be called now and then, by one caller.</summary>
    public void Tick(CancellationToken stop)
    {
        if (Ended.IsCompleted && IsLookDue())
            Ended = Task.Run(() => RunAsync(stop), CancellationToken.None);
    }

    /// <summary>One look at the log, and what is due of it.</summary>
    public async Task RunOnceAsync(CancellationToken cancel)
    {
        var limits = config.Current.Retention;
        var extent = await store.FindExtentAsync(cancel);
        if (!extent.IsTrimmed)
            await TrimAsync(cancel);
        if (IsBaseDue(extent, limits))
        {
            var made = await store.TakeBaseAsync(cancel);
            logger.BaseTaken(made.Sequence, made.Parts);
            extent = await store.FindExtentAsync(cancel);
        }

        long held = 0;
        if (FindDue(extent, limits) is { } due)
        {
            held = due.Base.Sequence - await MoveAsync(extent, due.Base, due.Reason, limits, cancel);
            extent = await store.FindExtentAsync(cancel);
        }
        else
        {
            holder = null;
        }

        gauges = new LogGauges(extent.Horizon, extent.KeptBytes, held);
    }

    private bool IsBaseDue(LogExtent extent, RetentionSettings limits)
    {
        var (covered, bytes) = extent.Bases.Count == 0 ? (extent.Horizon - 1, 0) : (extent.Bases[^1].Sequence, extent.Bases[^1].Bytes);

        // One event is what moving the horizon leaves behind: an idle log would go on like this for ever.
        if (extent.Head <= covered + 1 || extent.UncoveredSince is not { } since)
            return false;
        return (limits.Events > TimeSpan.Zero && Now - since >= limits.Events.TotalMilliseconds / BasesPerLimit)
            || (limits.EventsBytes > 0 && extent.Bytes - bytes >= limits.EventsBytes / BasesPerLimit);
    }

    /// <summary>The newest base that all before it may be dropped for.</summary>
    private (LogBase Base, TrimReason Reason)? FindDue(LogExtent extent, RetentionSettings limits)
    {
        foreach (var known in extent.Bases.Reverse().TakeWhile(known => known.Sequence >= extent.Horizon))
        {
            if (limits.Events > TimeSpan.Zero && Now - known.Timestamp >= limits.Events.TotalMilliseconds)
                return (known, TrimReason.Age);
            if (limits.EventsBytes > 0 && extent.Bytes - known.Bytes >= limits.EventsBytes)
                return (known, TrimReason.Size);
        }

        return null;
    }

    /// <summary>Moves the horizon as far as followers let it, and returns up to where the log is dropped then.</summary>
    private async Task<long> MoveAsync(LogExtent extent, LogBase due, TrimReason reason, RetentionSettings limits, CancellationToken cancel)
    {
        var last = await FindLastAsync(extent, due.Sequence, limits, cancel);
        if (last is { } slow && (holder?.Name != slow.Name || holder?.Sequence != slow.Sequence))
            logger.LogHeldBack(slow.Name, slow.Sequence, due.Sequence + 1);
        holder = last is { } held ? (held.Name, held.Sequence) : null;
        if (extent.Bases.LastOrDefault(known => known.Sequence >= extent.Horizon && known.Sequence <= Math.Min(due.Sequence, last?.Sequence ?? long.MaxValue)) is not { } target)
            return extent.Horizon - 1;

        await store.PrepareTrimAsync(target.Sequence, cancel);
        if (await sequencer.ExecuteAsync(new TrimLog(target, reason)))
            logger.HorizonMoved(extent.Horizon, target.Sequence + 1, target.Sequence + 1 - extent.Horizon, reason);
        await TrimAsync(cancel);
        return target.Sequence;
    }

    private async Task TrimAsync(CancellationToken cancel)
    {
        while (await store.TrimAsync(TrimmedAtOnce, cancel))
            cancel.ThrowIfCancellationRequested();
    }

    /// <summary>The follower that is farthest behind of those that hold the log back; null when none is.</summary>
    private async Task<FollowerPlace?> FindLastAsync(LogExtent extent, long upTo, RetentionSettings limits, CancellationToken cancel)
    {
        await settle(cancel);
        FollowerPlace? last = null;
        foreach (var follower in await ListFollowersAsync(cancel))
        {
            if (follower.Sequence < upTo && (last is null || follower.Sequence < last.Sequence) && await IsAliveAsync(follower, extent, limits, cancel))
                last = follower;
        }

        return last;
    }

    /// <summary>Where durable followers are: whoever has a cursor, but for webhooks only those that are enabled.</summary>
    private async Task<IReadOnlyList<FollowerPlace>> ListFollowersAsync(CancellationToken cancel)
    {
        var webhooks = await sequencer.ExecuteAsync(new ListWebhooks());
        var cursors = (await store.ListCursorsAsync(cancel)).ToDictionary(cursor => cursor.Name, StringComparer.Ordinal);
        var followers = cursors.Values.Where(cursor => !cursor.Name.StartsWith(WebhookCursor, StringComparison.Ordinal)).ToList();
        foreach (var webhook in webhooks.Where(webhook => webhook.Status == WebhookStatus.Enabled))
        {
            var place = cursors.GetValueOrDefault(WebhookCursor + webhook.Id) ?? new FollowerPlace(WebhookCursor + webhook.Id, webhook.StartsAfter, webhook.CreatedAt);
            followers.Add(place with { MovedAt = Math.Max(place.MovedAt, webhook.StatusAt) });
        }

        return followers;
    }

    /// <summary>False for one that has had something to move to for too long, and for one that has lost events already.</summary>
    private async Task<bool> IsAliveAsync(FollowerPlace follower, LogExtent extent, RetentionSettings limits, CancellationToken cancel)
    {
        if (follower.Sequence < extent.Horizon - 1)
            return false;

        var next = await store.ListEventsAsync(follower.Sequence, 1, cancel);
        var since = Math.Max(follower.MovedAt, next.Count == 0 ? Now : next[0].Timestamp);
        var patience = limits.SubscriberDead;
        if (Now - since < patience.TotalMilliseconds || Now - startedAt < Math.Min(patience.TotalMilliseconds, Grace.TotalMilliseconds))
            return true;
        if (dead.GetValueOrDefault(follower.Name, -1) != follower.Sequence)
            logger.FollowerDead(follower.Name, follower.Sequence, DateTimeOffset.FromUnixTimeMilliseconds(since));
        dead[follower.Name] = follower.Sequence;
        return false;
    }

    /// <summary>Age changes nothing within seconds, and an idle broker should do nothing: only a limit of size is looked at as soon as there is more.</summary>
    private bool IsLookDue()
    {
        var limits = config.Current.Retention;
        var head = sequencer.CommittedSequence;
        var longest = head == lookedTo ? IdlePace : BusyPace;
        var pace = limits.EventsBytes > 0 && head != lookedTo ? TimeSpan.Zero
            : limits.Events > TimeSpan.Zero && limits.Events / 100 < longest ? limits.Events / 100 : longest;
        if (lookedAt is { } before && clock.GetElapsedTime(before) < (isRecovering ? Recovering : pace))
            return false;
        isRecovering = false;
        (lookedAt, lookedTo) = (clock.GetTimestamp(), head);
        return true;
    }

    private async Task RunAsync(CancellationToken stop)
    {
        try
        {
            await RunOnceAsync(stop);
        }
        catch (RefusedException)
        {
            // Busy, or the store is away: the next look tries again, and /ready tells the reason.
            lookedAt = null;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Stopped.
        }
        catch (Exception failure)
        {
            // Whatever it is, a later look tries again: the broker serves without it.
            logger.RetentionFailed(failure.Message);
            isRecovering = true;
        }
    }
}

internal static partial class LogRetentionMessages
{
    [LoggerMessage(EventId = 4701, Level = LogLevel.Information, Message = "The horizon of the log moved from {From} to {To}: {Events} events are no longer kept, for their {Reason}")]
    public static partial void HorizonMoved(this ILogger logger, long from, long to, long events, TrimReason reason);

    [LoggerMessage(EventId = 4702, Level = LogLevel.Warning, Message = "The log is kept from before {Due} on although it need not be: {Follower} has come to event {Sequence} only")]
    public static partial void LogHeldBack(this ILogger logger, string follower, long sequence, long due);

    [LoggerMessage(EventId = 4703, Level = LogLevel.Warning, Message = "{Follower} is taken for dead: it stands at event {Sequence} and could have moved since {Since}. The log is no longer kept for it")]
    public static partial void FollowerDead(this ILogger logger, string follower, long sequence, DateTimeOffset since);

    [LoggerMessage(EventId = 4704, Level = LogLevel.Warning, Message = "Retention of the log failed and is tried again later: {Reason}")]
    public static partial void RetentionFailed(this ILogger logger, string reason);

    [LoggerMessage(EventId = 4705, Level = LogLevel.Debug, Message = "The state as of event {Sequence} was kept, in {Parts} parts")]
    public static partial void BaseTaken(this ILogger logger, long sequence, int parts);
}

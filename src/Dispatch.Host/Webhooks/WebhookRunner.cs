using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Webhooks;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Webhooks;

/// <summary>How the delivery of an endpoint's current event goes.</summary>
/// <param name="Sequence">That event; 0 while nothing has failed.</param>
/// <param name="Attempts">That failed.</param>
/// <param name="FailingSince">When the first did, Unix milliseconds; null while nothing has failed.</param>
/// <param name="NextAttemptAt">Unix milliseconds, or null.</param>
internal sealed record WebhookProgress(long Sequence, int Attempts, long? FailingSince, string? LastError, long? NextAttemptAt)
{
    public static readonly WebhookProgress Fine = new(0, 0, null, null, null);
}

/// <summary>What a runner works with.</summary>
internal sealed record WebhookTools(
    EventFeed Feed, Sequencer Sequencer, DeliveryBook Book, WebhookSender Sender, string Space, TimeProvider Clock, ILogger Logger);

/// <summary>
/// Follows the log for one endpoint, as it was at one moment, and delivers one event after another: the next only when the one before was taken.
/// At least once: what was being delivered when it stopped is delivered again.
/// </summary>
internal sealed class WebhookRunner(WebhookEndpoint webhook, WebhookTools tools, WebhookProgress before)
{
    private const int AtOnce = 64;

    private static readonly TimeSpan Recovering = TimeSpan.FromSeconds(2);

    // Shared with nobody: jitter has no need of a seed that can be known.
    private readonly Random random = new();
    private WebhookProgress progress = before;

    public WebhookEndpoint Webhook => webhook;

    public WebhookProgress Progress => Volatile.Read(ref progress);

    /// <summary>Runs until it is stopped, or the endpoint is disabled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        var after = tools.Book.PositionOf(webhook.Id) ?? webhook.StartsAfter;
        while (!stop.IsCancellationRequested)
        {
            try
            {
                using var cursor = tools.Feed.Follow(EventSight.Owner, webhook.Filter, after);
                await FollowAsync(cursor, stop);
                return;
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (EventsGoneException gone)
            {
                tools.Logger.WebhookMissedEvents(webhook.Id, after, gone.Horizon);
                after = gone.Horizon - 1;
                tools.Book.Advance(webhook.Id, after, wasTold: true);
            }
            catch (Exception failure)
            {
                // The store can't be read, or something nobody thought of: the other endpoints go on, and this one from where it was.
                tools.Logger.WebhookStumbled(webhook.Id, failure.Message);
                after = tools.Book.PositionOf(webhook.Id) ?? after;
                await Task.Delay(Recovering, tools.Clock, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task FollowAsync(EventCursor cursor, CancellationToken stop)
    {
        while (true)
        {
            var events = await cursor.ReadAsync(AtOnce, stop);
            foreach (var happened in events)
            {
                if (!await DeliverAsync(happened, stop))
                    return;
            }

            tools.Book.Advance(webhook.Id, cursor.Position, wasTold: false);
            if (events.Count == 0 && cursor.Lag == 0)
                await cursor.WaitAsync(stop);
        }
    }

    /// <summary>Tries until the event is taken; false when it is given up, with all that would follow.</summary>
    private async Task<bool> DeliverAsync(FeedEvent happened, CancellationToken stop)
    {
        var body = happened.CloudEvent(tools.Space);
        var id = $"{tools.Space}/{happened.Sequence}";
        var (attempts, failingSince) = progress.Sequence == happened.Sequence ? (progress.Attempts, progress.FailingSince) : (0, null);
        while (true)
        {
            var at = Now();
            var sent = await tools.Sender.SendAsync(webhook.Url, webhook.SecretsAt(at), id, body, stop);
            attempts++;
            tools.Book.Add(new WebhookDelivery(webhook.Id, happened.Sequence, attempts, at, sent.DurationMs, sent.Status, sent.Error, sent.Excerpt));
            if (sent.IsDelivered)
            {
                tools.Book.Advance(webhook.Id, happened.Sequence, wasTold: true);
                Volatile.Write(ref progress, WebhookProgress.Fine);
                return true;
            }

            var now = Now();
            var since = failingSince ??= at;
            if (sent.IsGone || RetrySchedule.IsOver(since, now))
            {
                Volatile.Write(ref progress, new WebhookProgress(happened.Sequence, attempts, since, sent.Error, null));
                await DisableAsync(sent.IsGone ? sent.Error! : $"Deliveries failed for 24 hours; the last error: {sent.Error}", stop);
                return false;
            }

            // The last attempt is at the end of the time, not somewhere before.
            var delay = Math.Min(RetrySchedule.DelayMs(attempts, sent.RetryAfterMs, random), Math.Max(1, since + RetrySchedule.GiveUpMs - now));
            Volatile.Write(ref progress, new WebhookProgress(happened.Sequence, attempts, since, sent.Error, now + delay));
            await Task.Delay(TimeSpan.FromMilliseconds(delay), tools.Clock, stop);
        }
    }

    private async Task DisableAsync(string reason, CancellationToken stop)
    {
        while (true)
        {
            try
            {
                // Null: it was changed meanwhile, and whoever did that brings a new runner.
                if (await tools.Sequencer.ExecuteAsync(new DisableWebhook(webhook.Id, reason, webhook.LastSequence)) is not null)
                    tools.Logger.WebhookDisabled(webhook.Id, reason);
                return;
            }
            catch (RefusedException)
            {
                await Task.Delay(Recovering, tools.Clock, stop);
            }
        }
    }

    private long Now() => tools.Clock.GetUtcNow().ToUnixTimeMilliseconds();
}

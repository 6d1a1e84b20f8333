using Dispatch.Host.Telemetry;
using Dispatch.Sequencing;
using Dispatch.Webhooks;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Webhooks;

/// <summary>One runner for each enabled webhook; they follow what the log says of the endpoints.</summary>
internal sealed class WebhookRunners(WebhookTools tools) : IDisposable
{
    private static readonly TimeSpan Recovering = TimeSpan.FromSeconds(1);

    private readonly Lock gate = new();
    private readonly SemaphoreSlim changed = new(1, 1);
    private readonly Dictionary<string, Running> running = new(StringComparer.Ordinal);

    // Of those that do not run: how it went when they last did.
    private readonly Dictionary<string, WebhookProgress> stopped = new(StringComparer.Ordinal);

    private int disabled;

    /// <summary>How they stand, for the gauges.</summary>
    public WebhookGauges Gauges
    {
        get
        {
            lock (gate)
            {
                var failing = running.Values.Count(runner => runner.Runner.Progress.FailingSince is not null);
                return new WebhookGauges(running.Count - failing, failing, disabled);
            }
        }
    }

    /// <summary>Ends when everything was stopped and what was delivered is written.</summary>
    public Task Ended { get; private set; } = Task.CompletedTask;

    /// <summary>Webhooks were changed, or may have been. From any thread.</summary>
    public void Changed()
    {
        lock (gate)
        {
            if (changed.CurrentCount == 0)
                changed.Release();
        }
    }

    public void Start(CancellationToken stop) => Ended = RunAsync(stop);

    public WebhookProgress ProgressOf(string webhook)
    {
        lock (gate)
            return running.TryGetValue(webhook, out var found) ? found.Runner.Progress : stopped.GetValueOrDefault(webhook, WebhookProgress.Fine);
    }

    /// <summary>Closes connections; call when it has ended.</summary>
    public void Dispose() => tools.Sender.Dispose();

    private async Task RunAsync(CancellationToken stop)
    {
        using var writing = new CancellationTokenSource();
        try
        {
            await RetryAsync(() => tools.Book.LoadAsync(stop), stop);
            var saving = tools.Book.RunAsync(writing.Token);
            try
            {
                while (true)
                {
                    await changed.WaitAsync(stop);
                    await RetryAsync(async () => await FollowAsync(await tools.Sequencer.ExecuteAsync(new ListWebhooks()), stop), stop);
                }
            }
            finally
            {
                foreach (var runner in running.Values.ToList())
                    await StopAsync(runner);
                await writing.CancelAsync();
                await saving;
                await tools.Book.FlushAsync(CancellationToken.None);
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
        catch (StoreException failure)
        {
            tools.Logger.CursorsNotSaved(failure.Message);
        }
    }

    /// <summary>Starts, stops and replaces runners until they are those of the endpoints.</summary>
    private async Task FollowAsync(IReadOnlyList<WebhookEndpoint> webhooks, CancellationToken stop)
    {
        lock (gate)
            disabled = webhooks.Count(webhook => webhook.Status == WebhookStatus.Disabled);
        var wanted = webhooks.ToDictionary(webhook => webhook.Id, StringComparer.Ordinal);
        foreach (var (id, runner) in running.ToList())
        {
            var now = wanted.GetValueOrDefault(id);
            if (now?.LastSequence == runner.Runner.Webhook.LastSequence)
                continue;
            await StopAsync(runner);
            lock (gate)
            {
                running.Remove(id);
                stopped[id] = runner.Runner.Progress;
            }
        }

        foreach (var gone in stopped.Keys.Where(id => !wanted.ContainsKey(id)).ToList())
        {
            lock (gate)
                stopped.Remove(gone);
            tools.Book.Forget(gone);
        }

        foreach (var webhook in webhooks.Where(webhook => webhook.Status == WebhookStatus.Enabled && !running.ContainsKey(webhook.Id)))
        {
            var runner = new WebhookRunner(webhook, tools, await ProgressOfAsync(webhook, stop));
            var end = CancellationTokenSource.CreateLinkedTokenSource(stop);
            lock (gate)
            {
                stopped.Remove(webhook.Id);
                running[webhook.Id] = new Running(runner, end, runner.RunAsync(end.Token));
            }
        }
    }

    /// <summary>How far a delivery had come before: in this process, or in the one before it. Failures from before it was enabled do not count.</summary>
    private async Task<WebhookProgress> ProgressOfAsync(WebhookEndpoint webhook, CancellationToken cancel)
    {
        if (stopped.TryGetValue(webhook.Id, out var known))
            return known.FailingSince >= webhook.StatusAt ? known : WebhookProgress.Fine;

        // An event that fails for a day has about a hundred attempts.
        var history = await tools.Book.ListAsync(webhook.Id, WebhookDelivery.Kept, cancel);
        if (history.Count == 0 || history[0].IsDelivered || history[0].Sequence <= tools.Book.PositionOf(webhook.Id))
            return WebhookProgress.Fine;
        var failed = history.TakeWhile(delivery => delivery.Sequence == history[0].Sequence && !delivery.IsDelivered && delivery.At >= webhook.StatusAt).ToList();
        return failed.Count == 0 ? WebhookProgress.Fine : new WebhookProgress(failed[0].Sequence, failed[0].Attempt, failed[^1].At, failed[0].Error, null);
    }

    private static async Task StopAsync(Running runner)
    {
        await runner.End.CancelAsync();
        await runner.Task;
        runner.End.Dispose();
    }

    private async Task RetryAsync(Func<Task> work, CancellationToken stop)
    {
        while (true)
        {
            try
            {
                await work();
                return;
            }
            catch (Exception failure) when (failure is RefusedException or StoreException)
            {
                await Task.Delay(Recovering, tools.Clock, stop);
            }
        }
    }

    private sealed record Running(WebhookRunner Runner, CancellationTokenSource End, Task Task);
}

internal static partial class WebhookMessages
{
    [LoggerMessage(EventId = 4401, Level = LogLevel.Warning, Message = "Webhook {Webhook} was disabled: {Reason}")]
    public static partial void WebhookDisabled(this ILogger logger, string webhook, string reason);

    [LoggerMessage(EventId = 4402, Level = LogLevel.Warning, Message = "Webhook {Webhook} was not told of the events after {After} up to {Horizon}: they are no longer kept")]
    public static partial void WebhookMissedEvents(this ILogger logger, string webhook, long after, long horizon);

    [LoggerMessage(EventId = 4403, Level = LogLevel.Warning, Message = "Webhook {Webhook} goes on in a moment: {Reason}")]
    public static partial void WebhookStumbled(this ILogger logger, string webhook, string reason);

    [LoggerMessage(EventId = 4404, Level = LogLevel.Warning, Message = "How far webhooks have come is kept in memory until the store takes it: {Reason}")]
    public static partial void CursorsNotSaved(this ILogger logger, string reason);
}

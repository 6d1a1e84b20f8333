using Dispatch.Sequencing;
using Dispatch.Webhooks;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Webhooks;

/// <summary>
/// How far each webhook has come, and what it was told. Written to the store a moment later, many at once; what can't be written stays in
/// memory and is tried again. A crash before that only repeats deliveries.
/// </summary>
internal sealed class DeliveryBook(IStore store, TimeProvider clock, ILogger<DeliveryBook> logger)
{
    private const int MostWaiting = 10_000;

    // Events that were only looked at are worth a write of their own once they are many.
    private const int WorthSaving = 1_000;

    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Recovering = TimeSpan.FromSeconds(2);

    private readonly Lock gate = new();
    private readonly SemaphoreSlim writing = new(1, 1);
    private readonly SemaphoreSlim asked = new(0, 1);
    private readonly Dictionary<string, long> positions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> saved = new(StringComparer.Ordinal);
    private readonly HashSet<string> moved = new(StringComparer.Ordinal);
    private List<WebhookDelivery> waiting = [];

    /// <exception cref="StoreException">The store can't be read.</exception>
    public async Task LoadAsync(CancellationToken cancel)
    {
        var stored = await store.LoadCursorsAsync(cancel);
        lock (gate)
        {
            foreach (var (name, sequence) in stored)
            {
                if (name.StartsWith(CursorPrefix, StringComparison.Ordinal))
                    positions[name[CursorPrefix.Length..]] = saved[name[CursorPrefix.Length..]] = sequence;
            }
        }
    }

    /// <summary>Sequence of the last event that this webhook is done with; null before its first.</summary>
    public long? PositionOf(string webhook)
    {
        lock (gate)
            return positions.TryGetValue(webhook, out var sequence) ? sequence : null;
    }

    /// <param name="wasTold">True for an event that was delivered, false for what the webhook does not want.</param>
    public void Advance(string webhook, long sequence, bool wasTold)
    {
        lock (gate)
        {
            if (positions.GetValueOrDefault(webhook) >= sequence)
                return;
            positions[webhook] = sequence;
            moved.Add(webhook);
            if (!wasTold && sequence - saved.GetValueOrDefault(webhook) < WorthSaving)
                return;
        }

        Ask();
    }

    public void Add(WebhookDelivery delivery)
    {
        lock (gate)
        {
            waiting.Add(delivery);
            if (waiting.Count > MostWaiting)
                waiting.RemoveRange(0, waiting.Count - MostWaiting);
        }

        Ask();
    }

    /// <summary>The webhook was deleted.</summary>
    public void Forget(string webhook)
    {
        lock (gate)
        {
            positions.Remove(webhook);
            saved.Remove(webhook);
            moved.Remove(webhook);
            waiting.RemoveAll(delivery => delivery.Webhook == webhook);
        }
    }

    /// <summary>The deliveries of a webhook, newest first.</summary>
    /// <exception cref="StoreException">The store can't be read.</exception>
    public async Task<IReadOnlyList<WebhookDelivery>> ListAsync(string webhook, int limit, CancellationToken cancel)
    {
        try
        {
            await FlushAsync(cancel);
        }
        catch (StoreException)
        {
            // Then what waits is told from memory.
        }

        var stored = await store.ListDeliveriesAsync(webhook, limit, cancel);
        lock (gate)
            return [.. waiting.Where(delivery => delivery.Webhook == webhook).Reverse().Concat(stored).Take(limit)];
    }

    /// <summary>Writes until it is stopped, and what is left then.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                await asked.WaitAsync(stop);
                await Task.Delay(Gathering, clock, stop);
                try
                {
                    await FlushAsync(stop);
                }
                catch (StoreException failure)
                {
                    logger.CursorsNotSaved(failure.Message);
                    await Task.Delay(Recovering, clock, stop);
                    Ask();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    /// <summary>Writes what waits.</summary>
    /// <exception cref="StoreException">It could not be written, and still waits.</exception>
    public async Task FlushAsync(CancellationToken cancel)
    {
        await writing.WaitAsync(cancel);
        try
        {
            List<(string Webhook, long Sequence)> cursors;
            List<WebhookDelivery> deliveries;
            lock (gate)
            {
                cursors = [.. moved.Select(webhook => (webhook, positions[webhook]))];
                (deliveries, waiting) = (waiting, []);
                moved.Clear();
            }

            if (cursors.Count + deliveries.Count == 0)
                return;
            try
            {
                await store.SaveCursorsAsync(cursors.ConvertAll(cursor => (CursorPrefix + cursor.Webhook, cursor.Sequence)), deliveries, cancel);
            }
            catch
            {
                lock (gate)
                {
                    waiting = [.. deliveries, .. waiting];
                    foreach (var (webhook, _) in cursors.Where(cursor => positions.ContainsKey(cursor.Webhook)))
                        moved.Add(webhook);
                }

                throw;
            }

            lock (gate)
            {
                foreach (var (webhook, sequence) in cursors)
                    saved[webhook] = sequence;
            }
        }
        finally
        {
            writing.Release();
        }
    }

    private const string CursorPrefix = "webhook/";

    private void Ask()
    {
        lock (gate)
        {
            if (asked.CurrentCount == 0)
                asked.Release();
        }
    }
}

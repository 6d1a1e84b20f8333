namespace Dispatch.Webhooks;

/// <summary>One attempt to deliver one event.</summary>
/// <param name="Webhook">Id of the endpoint.</param>
/// <param name="Sequence">The event.</param>
/// <param name="Attempt">From 1, counted per event.</param>
/// <param name="At">When it began, Unix milliseconds.</param>
/// <param name="DurationMs">Until the answer was read or the attempt given up.</param>
/// <param name="Status">HTTP status; null when there was no answer.</param>
/// <param name="Error">Why it does not count as delivered; null when it does.</param>
/// <param name="Excerpt">The beginning of the answer's body, at most <see cref="MaxExcerpt"/> bytes; null when it was empty.</param>
public sealed record WebhookDelivery(string Webhook, long Sequence, int Attempt, long At, long DurationMs, int? Status, string? Error, string? Excerpt)
{
    /// <summary>Bytes of an answer that are kept.</summary>
    public const int MaxExcerpt = 1_024;

    /// <summary>Deliveries kept of one endpoint, the newest.</summary>
    public const int Kept = 1_000;

    public bool IsDelivered => Error is null;
}

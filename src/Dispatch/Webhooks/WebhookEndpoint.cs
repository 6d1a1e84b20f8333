using Dispatch.Events;

namespace Dispatch.Webhooks;

/// <summary>Whether events are delivered.</summary>
public enum WebhookStatus
{
    Enabled,
    Disabled,
}

/// <summary>Somebody outside who is told of events by HTTP requests, one at a time in order.</summary>
/// <param name="Id"><c>whk_</c> and a UUID; never used again.</param>
/// <param name="Url">http or https. It may hold a key of the receiver's, so it stands in no event that a follower sees.</param>
/// <param name="Secret">Signs deliveries: <c>whsec_</c> and base64.</param>
/// <param name="PreviousSecret">Signs too until <paramref name="PreviousUntil"/>; null when there is none.</param>
/// <param name="PreviousUntil">Unix milliseconds, or null.</param>
/// <param name="StatusAt">Since when it has its status, Unix milliseconds; failures from before do not count against it.</param>
/// <param name="DisabledReason">Null while enabled.</param>
/// <param name="CreatedAt">Unix milliseconds.</param>
/// <param name="StartsAfter">Sequence behind which the first delivery is looked for, as long as no cursor is stored.</param>
/// <param name="LastSequence">Its last event.</param>
public sealed record WebhookEndpoint(
    string Id, string Url, string? Description, EventFilter Filter, string Secret, string? PreviousSecret, long? PreviousUntil,
    WebhookStatus Status, long StatusAt, string? DisabledReason, long CreatedAt, long StartsAfter, long LastSequence)
{
    /// <summary>Longest URL, in characters.</summary>
    public const int MaxUrl = 2_048;

    /// <summary>How long the secret before stays valid when nobody says otherwise.</summary>
    public const long DefaultOverlapMs = 86_400_000;

    /// <summary>The secrets that sign at this time, the newest first.</summary>
    public IReadOnlyList<string> SecretsAt(long now) => PreviousSecret is { } previous && now < PreviousUntil ? [Secret, previous] : [Secret];

    // A record's own would print the secrets into the first log line or test message it meets.
    public override string ToString() => $"{Id} ({Status})";
}

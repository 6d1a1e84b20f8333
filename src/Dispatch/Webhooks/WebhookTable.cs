using Dispatch.Events;

namespace Dispatch.Webhooks;

/// <summary>Webhooks by id.</summary>
public sealed class WebhookTable
{
    private readonly SortedDictionary<string, WebhookEndpoint> webhooks = new(StringComparer.Ordinal);
    private readonly SortedSet<string> dirty = new(StringComparer.Ordinal);

    public IReadOnlyCollection<WebhookEndpoint> All => webhooks.Values;

    public WebhookEndpoint? Find(string id) => webhooks.GetValueOrDefault(id);

    internal void Load(IReadOnlyList<WebhookEndpoint> stored)
    {
        foreach (var webhook in stored)
            webhooks.Add(webhook.Id, webhook);
    }

    internal void Apply(DispatchEvent happened, WebhookEvent data)
    {
        var id = happened.Subject;
        dirty.Add(id);
        if (data is WebhookDeleted)
        {
            webhooks.Remove(id);
            return;
        }

        webhooks[id] = (data switch
        {
            WebhookCreated e => new WebhookEndpoint(
                id, "", e.Description, FilterOf(e.Types, e.Sources, e.Subjects, e.Sessions), "", null, null, WebhookStatus.Enabled, happened.Timestamp, null, happened.Timestamp, happened.Sequence, 0),
            WebhookUpdated e => webhooks[id] with { Description = e.Description, Filter = FilterOf(e.Types, e.Sources, e.Subjects, e.Sessions) },
            WebhookDisabled e => webhooks[id] with { Status = WebhookStatus.Disabled, StatusAt = happened.Timestamp, DisabledReason = e.Reason },
            WebhookEnabled => webhooks[id] with { Status = WebhookStatus.Enabled, StatusAt = happened.Timestamp, DisabledReason = null },
            WebhookSecretRotated e => webhooks[id] with { PreviousSecret = webhooks[id].Secret, PreviousUntil = e.PreviousUntil },
            WebhookUrlSet e => webhooks[id] with { Url = e.Url },
            WebhookSecretSet e => webhooks[id] with { Secret = e.Secret },
            _ => throw new InvalidOperationException($"{happened.Type} is no event that a webhook knows."),
        }) with
        { LastSequence = happened.Sequence };
    }

    internal (List<WebhookEndpoint> Changed, List<string> Removed) TakeChanges()
    {
        if (dirty.Count == 0)
            return ([], []);
        var changed = new List<WebhookEndpoint>();
        var removed = new List<string>();
        foreach (var id in dirty)
        {
            if (webhooks.TryGetValue(id, out var webhook))
                changed.Add(webhook);
            else
                removed.Add(id);
        }

        dirty.Clear();
        return (changed, removed);
    }

    private static EventFilter FilterOf(string[]? types, string[]? sources, string[]? subjects, string[]? sessions) =>
        new() { Types = types ?? [], Sources = sources ?? [], Subjects = subjects ?? [], Sessions = sessions ?? [] };
}

using Dispatch.Webhooks;

namespace Dispatch.Invariants;

/// <summary>The rules for the events of webhooks.</summary>
internal sealed class WebhookRules(LogChecker log)
{
    private readonly Dictionary<string, (bool Enabled, long LastSequence)> webhooks = new(StringComparer.Ordinal);
    private readonly HashSet<string> gone = new(StringComparer.Ordinal);

    public void Begin(WebhookEndpoint webhook) => webhooks[webhook.Id] = (webhook.Status == WebhookStatus.Enabled, webhook.LastSequence);

    public void Check(WebhookEvent data)
    {
        var (id, sequence) = (log.Current.Subject, log.Current.Sequence);
        var isKnown = webhooks.TryGetValue(id, out var known);
        log.CheckChain(known.LastSequence);
        if (data is WebhookCreated)
        {
            if (isKnown || gone.Contains(id))
                log.Find("I-13", "the webhook exists already, or did");
            webhooks[id] = (true, sequence);
            return;
        }

        if (!isKnown)
        {
            log.Find("I-13", "there is no such webhook");
            return;
        }

        switch (data)
        {
            case WebhookDeleted:
                webhooks.Remove(id);
                gone.Add(id);
                return;
            case WebhookDisabled when !known.Enabled:
                log.Find("I-13", "it was disabled already");
                break;
            case WebhookEnabled when known.Enabled:
                log.Find("I-13", "it was enabled already");
                break;
        }

        webhooks[id] = (data is WebhookEnabled || (data is not WebhookDisabled && known.Enabled), sequence);
    }
}

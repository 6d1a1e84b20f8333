using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Webhooks;

/// <summary>Makes an endpoint, enabled; it is told of what happens from now on. Id and secret were made at the edge.</summary>
public sealed record CreateWebhook(string Id, Uri Url, string? Description, EventFilter Filter, string Secret) : Command<WebhookEndpoint>
{
    public override WebhookEndpoint Decide(State state, Decision decision)
    {
        var (types, sources, subjects, sessions) = FilterLists.Of(Filter);
        decision.Raise(Id, null, 0, new WebhookCreated(Url.Authority, Description, types, sources, subjects, sessions));
        decision.RaiseOf(state, Id, new WebhookUrlSet(Url.AbsoluteUri));
        decision.RaiseOf(state, Id, new WebhookSecretSet(Secret));
        return state.Webhooks.Find(Id)!;
    }

    public override string ToString() => $"{nameof(CreateWebhook)} {Id}";
}

/// <summary>Changes what is given; null: no such webhook.</summary>
/// <param name="Url">Null: as it is.</param>
/// <param name="Description">Null: as it is; empty: none.</param>
/// <param name="Filter">Null: as it is.</param>
public sealed record UpdateWebhook(string Id, Uri? Url, string? Description, EventFilter? Filter) : Command<WebhookEndpoint?>
{
    public override WebhookEndpoint? Decide(State state, Decision decision)
    {
        if (state.Webhooks.Find(Id) is not { } webhook)
            return null;

        var (types, sources, subjects, sessions) = FilterLists.Of(Filter ?? webhook.Filter);
        var description = Description is null ? webhook.Description : Description.Length == 0 ? null : Description;
        decision.RaiseOf(state, Id, new WebhookUpdated((Url ?? new Uri(webhook.Url)).Authority, description, types, sources, subjects, sessions));
        if (Url is not null && Url.AbsoluteUri != webhook.Url)
            decision.RaiseOf(state, Id, new WebhookUrlSet(Url.AbsoluteUri));
        return state.Webhooks.Find(Id);
    }
}

/// <summary>Removes it with its delivery history; false: there is none.</summary>
public sealed record DeleteWebhook(string Id) : Command<bool>
{
    public override bool Decide(State state, Decision decision)
    {
        if (state.Webhooks.Find(Id) is null)
            return false;
        decision.RaiseOf(state, Id, new WebhookDeleted());
        return true;
    }
}

/// <summary>Gives it a new secret; the one before signs too for a while. One still older no longer does. Null: no such webhook.</summary>
public sealed record RotateWebhookSecret(string Id, string Secret, long OverlapMs) : Command<WebhookEndpoint?>
{
    public override WebhookEndpoint? Decide(State state, Decision decision)
    {
        if (state.Webhooks.Find(Id) is null)
            return null;
        decision.RaiseOf(state, Id, new WebhookSecretRotated(decision.Now + OverlapMs));
        decision.RaiseOf(state, Id, new WebhookSecretSet(Secret));
        return state.Webhooks.Find(Id);
    }

    public override string ToString() => $"{nameof(RotateWebhookSecret)} {Id}";
}

/// <summary>Stops deliveries. Null: it is not there, or has changed since it was looked at.</summary>
/// <param name="SeenSequence">The endpoint's last event as the caller knew it: who was enabled or moved meanwhile gets another chance.</param>
public sealed record DisableWebhook(string Id, string Reason, long SeenSequence) : Command<WebhookEndpoint?>
{
    public override WebhookEndpoint? Decide(State state, Decision decision)
    {
        if (state.Webhooks.Find(Id) is not { Status: WebhookStatus.Enabled } webhook || webhook.LastSequence != SeenSequence)
            return null;
        decision.RaiseOf(state, Id, new WebhookDisabled(Reason));
        return state.Webhooks.Find(Id);
    }
}

/// <summary>Has deliveries go on from where they stopped; repeating it changes nothing. Null: no such webhook.</summary>
public sealed record EnableWebhook(string Id) : Command<WebhookEndpoint?>
{
    public override WebhookEndpoint? Decide(State state, Decision decision)
    {
        if (state.Webhooks.Find(Id) is { Status: WebhookStatus.Disabled })
            decision.RaiseOf(state, Id, new WebhookEnabled());
        return state.Webhooks.Find(Id);
    }
}

/// <summary>All webhooks, by id.</summary>
public sealed record ListWebhooks : Command<IReadOnlyList<WebhookEndpoint>>
{
    public override IReadOnlyList<WebhookEndpoint> Decide(State state, Decision decision) => state.Webhooks.All.ToArray();
}

internal static class FilterLists
{
    /// <summary>The lists of a filter as events hold them: null for an empty one.</summary>
    public static (string[]? Types, string[]? Sources, string[]? Subjects, string[]? Sessions) Of(EventFilter filter) =>
        (Some(filter.Types), Some(filter.Sources), Some(filter.Subjects), Some(filter.Sessions));

    public static void RaiseOf(this Decision decision, State state, string id, WebhookEvent data) =>
        decision.Raise(id, null, state.Webhooks.Find(id)!.LastSequence, data);

    private static string[]? Some(IReadOnlyList<string> values) => values.Count == 0 ? null : [.. values];
}

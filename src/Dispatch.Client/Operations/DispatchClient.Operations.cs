using System.Text;

namespace Dispatch.Client;

public sealed partial class DispatchClient
{
    private static PathAndQuery DeadLetters => new("api/v1/dead-letters");
    private static PathAndQuery Tokens => new("api/v1/tokens");
    private static PathAndQuery Webhooks => new("api/v1/webhooks");

    /// <summary>The broker at a glance. For an admin.</summary>
    public Task<Statistics> GetStatisticsAsync(CancellationToken cancel = default) =>
        ReadAsync(Get(new PathAndQuery("api/v1/stats")), WireJson.Default.Statistics, cancel);

    /// <summary>One page of tasks that failed or timed out for good. For an admin.</summary>
    /// <param name="cursor"><see cref="TaskPage.NextCursor"/> of the page before; null: the first page.</param>
    public async Task<TaskPage> ListDeadLettersAsync(DeadLetterFilter? filter = null, string? cursor = null, CancellationToken cancel = default)
    {
        var path = DeadLetters.With("status", filter?.Status).With("scope", filter?.Scope).With("requester", filter?.Requester)
            .With("limit", filter?.Limit).With("cursor", cursor);
        var answer = await connection.SendAsync(Get(path), WireJson.Default.IReadOnlyListDispatchTask, cancel);
        return new TaskPage(answer.Value, answer.NextCursor);
    }

    /// <summary>All dead letters that match, read page by page as they are asked for. For an admin.</summary>
    public IAsyncEnumerable<DispatchTask> ListAllDeadLettersAsync(DeadLetterFilter? filter = null, CancellationToken cancel = default) =>
        PagesAsync((cursor, stop) => ListDeadLettersAsync(filter, cursor, stop), cancel);

    /// <summary>Puts dead letters back into the queue with fresh attempts. For an admin.</summary>
    public Task<RedriveAnswer> RedriveAsync(RedriveRequest request, CancellationToken cancel = default) =>
        ReadAsync(Post(DeadLetters.Then("redrive"), Repeating.OnlyIfUntouched) with { Body = Bytes(request, WireJson.Default.RedriveRequest) }, WireJson.Default.RedriveAnswer, cancel);

    /// <summary>Makes a token for an agent. For an admin.</summary>
    public Task<IssuedToken> CreateTokenAsync(NewToken token, CancellationToken cancel = default) =>
        ReadAsync(Post(Tokens, Repeating.OnlyIfUntouched) with { Body = Bytes(token, WireJson.Default.NewToken) }, WireJson.Default.IssuedToken, cancel);

    /// <summary>All tokens, without their secrets. For an admin.</summary>
    public Task<IReadOnlyList<TokenEntry>> ListTokensAsync(CancellationToken cancel = default) =>
        ReadAsync(Get(Tokens), WireJson.Default.IReadOnlyListTokenEntry, cancel);

    /// <summary>Revokes a token; it is refused from now on. For an admin.</summary>
    public async Task RevokeTokenAsync(string tokenId, CancellationToken cancel = default) =>
        await connection.SendAsync(new Call(HttpMethod.Delete, connection.At(Tokens.Segment(tokenId)), Repeating.Safe), cancel);

    /// <summary>Has events delivered to a receiver; the answer shows the secret, this once. For an admin.</summary>
    public Task<Webhook> CreateWebhookAsync(WebhookChange webhook, CancellationToken cancel = default) =>
        ReadAsync(Post(Webhooks, Repeating.OnlyIfUntouched) with { Body = Bytes(webhook, WireJson.Default.WebhookChange) }, WireJson.Default.Webhook, cancel);

    /// <summary>All webhooks, without their secrets. For an admin.</summary>
    public Task<IReadOnlyList<Webhook>> ListWebhooksAsync(CancellationToken cancel = default) =>
        ReadAsync(Get(Webhooks), WireJson.Default.IReadOnlyListWebhook, cancel);

    /// <summary>One webhook and how far it has come. For an admin.</summary>
    public Task<Webhook> GetWebhookAsync(string webhookId, CancellationToken cancel = default) =>
        ReadAsync(Get(Webhooks.Segment(webhookId)), WireJson.Default.Webhook, cancel);

    /// <summary>Changes what is given. For an admin.</summary>
    public Task<Webhook> UpdateWebhookAsync(string webhookId, WebhookChange change, CancellationToken cancel = default) =>
        ReadAsync(
            new Call(HttpMethod.Patch, connection.At(Webhooks.Segment(webhookId)), Repeating.Safe) { Body = Bytes(change, WireJson.Default.WebhookChange) },
            WireJson.Default.Webhook, cancel);

    /// <summary>Removes a webhook and its history. For an admin.</summary>
    public async Task DeleteWebhookAsync(string webhookId, CancellationToken cancel = default) =>
        await connection.SendAsync(new Call(HttpMethod.Delete, connection.At(Webhooks.Segment(webhookId)), Repeating.OnlyIfUntouched), cancel);

    /// <summary>Sends a test event now and tells what came of it. For an admin.</summary>
    public Task<WebhookDelivery> TestWebhookAsync(string webhookId, CancellationToken cancel = default) =>
        ReadAsync(Post(Webhooks.Segment(webhookId).Then("test"), Repeating.OnlyIfUntouched), WireJson.Default.WebhookDelivery, cancel);

    /// <summary>Gives a webhook a new secret; the answer shows it, this once. For an admin.</summary>
    /// <param name="overlap">How long the secret before signs too; null: 24 hours.</param>
    public Task<Webhook> RotateWebhookSecretAsync(string webhookId, TimeSpan? overlap = null, CancellationToken cancel = default) =>
        ReadAsync(
            Post(Webhooks.Segment(webhookId).Then("rotate-secret"), Repeating.OnlyIfUntouched) with { Body = Bytes(new RotateBody(overlap), WireJson.Default.RotateBody) },
            WireJson.Default.Webhook, cancel);

    /// <summary>Has the deliveries of a disabled webhook go on. For an admin.</summary>
    public Task<Webhook> EnableWebhookAsync(string webhookId, CancellationToken cancel = default) =>
        ReadAsync(Post(Webhooks.Segment(webhookId).Then("enable"), Repeating.Safe), WireJson.Default.Webhook, cancel);

    /// <summary>The attempts to deliver, newest first. For an admin.</summary>
    /// <param name="limit">1 to 1000; null: 100.</param>
    public Task<IReadOnlyList<WebhookDelivery>> ListWebhookDeliveriesAsync(string webhookId, int? limit = null, CancellationToken cancel = default) =>
        ReadAsync(Get(Webhooks.Segment(webhookId).Then("deliveries").With("limit", limit)), WireJson.Default.IReadOnlyListWebhookDelivery, cancel);

    /// <summary>Whether the broker takes work, asked once at its operations port.</summary>
    /// <param name="operations">The address of that port, for example <c>http://127.0.0.1:8601</c>.</param>
    public async Task<Readiness> GetReadinessAsync(Uri operations, CancellationToken cancel = default)
    {
        try
        {
            return await ReadAsync(Outside(operations, "/ready"), WireJson.Default.Readiness, cancel);
        }
        catch (DispatchException refused) when (refused.Status == 503)
        {
            return new Readiness { Status = "unready", Reason = refused.Detail };
        }
    }

    /// <summary>The broker's metrics in Prometheus text, from its operations port.</summary>
    /// <inheritdoc cref="GetReadinessAsync"/>
    public async Task<string> GetMetricsAsync(Uri operations, CancellationToken cancel = default) =>
        Encoding.UTF8.GetString((await connection.SendAsync(Outside(operations, "/metrics"), cancel)).Body);

    private static Call Outside(Uri operations, string path) => new(HttpMethod.Get, new Uri(operations, path), Repeating.Never) { Anonymous = true };

    private static PathAndQuery Nodes => new("api/v1/nodes");

    private static PathAndQuery Namespaces => new("api/v1/namespaces");

    /// <summary>The processes on the database. Needs the admin's token, like everything about nodes and namespaces.</summary>
    public Task<IReadOnlyList<Node>> ListNodesAsync(CancellationToken cancel = default) => ReadAsync(Get(Nodes), WireJson.Default.IReadOnlyListNode, cancel);

    /// <summary>Has a node hand its namespaces over and take none, or take them again.</summary>
    public Task<Node> DrainNodeAsync(string node, bool draining = true, CancellationToken cancel = default) =>
        ReadAsync(Post(Nodes.Segment(node).Segment(draining ? "drain" : "undrain"), Repeating.Safe), WireJson.Default.Node, cancel);

    /// <summary>The swarms on the database.</summary>
    public Task<IReadOnlyList<Namespace>> ListNamespacesAsync(CancellationToken cancel = default) => ReadAsync(Get(Namespaces), WireJson.Default.IReadOnlyListNamespace, cancel);

    /// <summary>Makes a swarm; one that is there stays as it is.</summary>
    /// <param name="name">1 to 40 of a-z, 0-9, - and _, the first a letter or digit.</param>
    public Task<Namespace> CreateNamespaceAsync(string name, CancellationToken cancel = default) =>
        ReadAsync(Post(Namespaces, Repeating.Safe) with { Body = Bytes(new NewNamespace(name), WireJson.Default.NewNamespace) }, WireJson.Default.Namespace, cancel);

    /// <summary>Says which node should write a swarm; null: whichever has least to do.</summary>
    public Task<Namespace> MoveNamespaceAsync(string name, string? node, CancellationToken cancel = default) =>
        ReadAsync(Post(Namespaces.Segment(name).Segment("move"), Repeating.Safe) with { Body = Bytes(new NamespaceMove(node), WireJson.Default.NamespaceMove) }, WireJson.Default.Namespace, cancel);
}

using System.Text;

namespace Dispatch.Client;

public sealed partial class DispatchClient
{
    private static PathAndQuery DeadLetters => new("api/v1/dead-letters");
    private static PathAndQuery Tokens => new("api/v1/tokens");

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
}

namespace Dispatch.Client;

public sealed partial class DispatchClient
{
    private static PathAndQuery Limits => new("api/v1/limits");

    /// <summary>Sets a limit, or changes the one of this id. Effective at once. For an admin.</summary>
    /// <exception cref="DispatchException"><c>version_mismatch</c>: it was changed since <see cref="NewLimit.IfVersion"/>.</exception>
    public Task<Limit> SetLimitAsync(string id, NewLimit limit, CancellationToken cancel = default) =>
        ReadAsync(new Call(HttpMethod.Put, connection.At(Limits.Segment(id)), Repeating.Safe) { Body = Bytes(limit, WireJson.Default.NewLimit) }, WireJson.Default.Limit, cancel);

    /// <summary>One page of limits, by id. For an admin.</summary>
    /// <param name="limit">Length of the page, 1 to 1,000; null: 100.</param>
    /// <param name="cursor"><see cref="LimitPage.NextCursor"/> of the page before; null: the first page.</param>
    public async Task<LimitPage> ListLimitsAsync(
        string? level = null, string? target = null, string? unit = null, int? limit = null, string? cursor = null, CancellationToken cancel = default)
    {
        var path = Limits.With("level", level).With("target", target).With("unit", unit).With("limit", limit).With("cursor", cursor);
        var answer = await connection.SendAsync(Get(path), WireJson.Default.IReadOnlyListLimit, cancel);
        return new LimitPage(answer.Value, answer.NextCursor);
    }

    /// <summary>A limit and how it stands. For an admin.</summary>
    public Task<Limit> GetLimitAsync(string id, CancellationToken cancel = default) => ReadAsync(Get(Limits.Segment(id)), WireJson.Default.Limit, cancel);

    /// <summary>Deletes a limit, and returns it as it was. For an admin.</summary>
    public Task<Limit> DeleteLimitAsync(string id, CancellationToken cancel = default) =>
        ReadAsync(new Call(HttpMethod.Delete, connection.At(Limits.Segment(id)), Repeating.OnlyIfUntouched), WireJson.Default.Limit, cancel);

    /// <summary>One page of what was reserved and spent on a limit, newest first. For an admin.</summary>
    public async Task<LedgerPage> ListLedgerAsync(string id, string? target = null, int? limit = null, string? cursor = null, CancellationToken cancel = default)
    {
        var path = Limits.Segment(id).Then("ledger").With("target", target).With("limit", limit).With("cursor", cursor);
        var answer = await connection.SendAsync(Get(path), WireJson.Default.IReadOnlyListLedgerEntry, cancel);
        return new LedgerPage(answer.Value, answer.NextCursor);
    }

    /// <summary>What an agent may spend. For the agent itself, and for an admin.</summary>
    public Task<AgentAllowance> GetAllowanceAsync(string agentId, CancellationToken cancel = default) =>
        ReadAsync(Get(new PathAndQuery("api/v1/agents").Segment(agentId).Then("allowance")), WireJson.Default.AgentAllowance, cancel);

    /// <summary>Whether an agent could be given such a task now. Reserves nothing. For the agent itself, and for an admin.</summary>
    public Task<AllowanceAnswer> CheckAllowanceAsync(string agentId, AllowanceCheck check, CancellationToken cancel = default) =>
        ReadAsync(
            Post(new PathAndQuery("api/v1/agents").Segment(agentId).Then("allowance").Then("check"), Repeating.Safe) with { Body = Bytes(check, WireJson.Default.AllowanceCheck) },
            WireJson.Default.AllowanceAnswer, cancel);

    /// <summary>How the limits stand of which the largest share is used, these first. For an admin.</summary>
    /// <param name="limit">1 to 1,000; null: 20.</param>
    public Task<IReadOnlyList<LimitStanding>> ListSpendingAsync(string? unit = null, int? limit = null, CancellationToken cancel = default) =>
        ReadAsync(Get(new PathAndQuery("api/v1/spending").With("unit", unit).With("limit", limit)), WireJson.Default.IReadOnlyListLimitStanding, cancel);

    /// <summary>Reports spending apart from the end of a task. The same report again changes nothing.</summary>
    public Task<UsageReceipt> ReportUsageAsync(UsageReport report, CancellationToken cancel = default) =>
        ReadAsync(Post(new PathAndQuery("api/v1/usage"), Repeating.Safe) with { Body = Bytes(report, WireJson.Default.UsageReport) }, WireJson.Default.UsageReceipt, cancel);
}

namespace Dispatch.Client;

public sealed partial class DispatchClient
{
    private static PathAndQuery Limits => new("api/v1/limits");

    /// <summary>Sets a limit, or changes it; effective at once. For an admin.</summary>
    /// <exception cref="DispatchException"><c>version_mismatch</c>: it has another version than <see cref="LimitRequest.IfVersion"/>.</exception>
    public Task<Limit> SetLimitAsync(string limitId, LimitRequest limit, CancellationToken cancel = default) =>
        ReadAsync(
            new Call(HttpMethod.Put, connection.At(Limits.Segment(limitId)), limit.IfVersion is null ? Repeating.Safe : Repeating.OnlyIfUntouched)
            {
                Body = Bytes(limit, WireJson.Default.LimitRequest),
            },
            WireJson.Default.Limit, cancel);

    /// <summary>One page of limits, by id. For an admin.</summary>
    /// <param name="cursor"><see cref="LimitPage.NextCursor"/> of the page before; null: the first page.</param>
    public async Task<LimitPage> ListLimitsAsync(LimitFilter? filter = null, string? cursor = null, CancellationToken cancel = default)
    {
        var path = Limits.With("level", filter?.Level).With("target", filter?.Target).With("unit", filter?.Unit).With("limit", filter?.Limit).With("cursor", cursor);
        var answer = await connection.SendAsync(Get(path), WireJson.Default.IReadOnlyListLimit, cancel);
        return new LimitPage(answer.Value, answer.NextCursor);
    }

    /// <summary>One limit and how it stands. For an admin.</summary>
    public Task<Limit> GetLimitAsync(string limitId, CancellationToken cancel = default) => ReadAsync(Get(Limits.Segment(limitId)), WireJson.Default.Limit, cancel);

    /// <summary>Deletes a limit; what waited for it is looked at again. For an admin.</summary>
    public async Task DeleteLimitAsync(string limitId, CancellationToken cancel = default) =>
        await connection.SendAsync(new Call(HttpMethod.Delete, connection.At(Limits.Segment(limitId)), Repeating.OnlyIfUntouched), cancel);

    /// <summary>One page of what was reserved and spent on a limit, by task, the last submitted first. For an admin.</summary>
    /// <param name="target">Of a limit that is for each: of this target; null: of all.</param>
    /// <param name="limit">Length of a page, 1 to 1,000; null: 100.</param>
    /// <param name="cursor"><see cref="LedgerPage.NextCursor"/> of the page before; null: the first page.</param>
    public async Task<LedgerPage> ListLedgerAsync(string limitId, string? target = null, int? limit = null, string? cursor = null, CancellationToken cancel = default)
    {
        var path = Limits.Segment(limitId).Then("ledger").With("target", target).With("limit", limit).With("cursor", cursor);
        var answer = await connection.SendAsync(Get(path), WireJson.Default.IReadOnlyListLedgerEntry, cancel);
        return new LedgerPage(answer.Value, answer.NextCursor);
    }

    /// <summary>How the limits stand of which the largest share is used. For an admin.</summary>
    /// <param name="unit">One of <see cref="LimitUnit"/> that is used up; null: all.</param>
    /// <param name="limit">How many, 1 to 1,000; null: 20.</param>
    public Task<IReadOnlyList<LimitStanding>> ListSpendingAsync(string? unit = null, int? limit = null, CancellationToken cancel = default) =>
        ReadAsync(Get(new PathAndQuery("api/v1/spending").With("unit", unit).With("limit", limit)), WireJson.Default.IReadOnlyListLimitStanding, cancel);

    /// <summary>What an agent may spend. For itself, or an admin.</summary>
    public Task<Allowance> GetAllowanceAsync(string agentId, CancellationToken cancel = default) =>
        ReadAsync(Get(Agents.Segment(agentId).Then("allowance")), WireJson.Default.Allowance, cancel);

    /// <summary>Whether an agent could be given such work now. Reserves nothing. For itself, or an admin.</summary>
    public Task<AllowanceAnswer> CheckAllowanceAsync(string agentId, AllowanceCheck work, CancellationToken cancel = default) =>
        ReadAsync(
            Post(Agents.Segment(agentId).Then("allowance").Then("check"), Repeating.Safe) with { Body = Bytes(work, WireJson.Default.AllowanceCheck) },
            WireJson.Default.AllowanceAnswer, cancel);

    /// <summary>Reports what was used, apart from the end of a task. Saying so again changes nothing.</summary>
    public Task<UsageReceipt> ReportUsageAsync(UsageReport usage, CancellationToken cancel = default) =>
        ReadAsync(Post(new PathAndQuery("api/v1/usage"), Repeating.Safe) with { Body = Bytes(usage, WireJson.Default.UsageReport) }, WireJson.Default.UsageReceipt, cancel);
}

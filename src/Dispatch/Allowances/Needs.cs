using Dispatch.Matching;

namespace Dispatch.Allowances;

/// <summary>What a task needs, worked out when a limit asks for it.</summary>
internal struct Needs(AllowanceOptions options, UsageHistory history, string agent, TaskCost? cost, Requirement? kind)
{
    private Estimate? known;
    private bool looked;

    public TaskCost? Cost { get; } = cost;

    public string? Model { get; } = cost?.Model ?? options.DefaultModel;

    /// <summary>True when money can't be told from tokens.</summary>
    public readonly bool IsUnpriced => Cost?.Estimate.Money is null && options.PriceOf(Model) is null;

    public long Of(LimitUnit unit) => unit switch
    {
        LimitUnit.Tokens => Cost?.Estimate.Tokens ?? Amounts.Add(In, Out),
        LimitUnit.TokensIn => In,
        LimitUnit.TokensOut => Out,
        LimitUnit.Money => Cost?.Estimate.Money ?? options.PriceOf(Model)!.Of(Cost?.Estimate is { Tokens: not null, TokensIn: null } ? 0 : In, Out),
        LimitUnit.Jobs or LimitUnit.ConcurrentJobs => 1,
        LimitUnit.Requests => Cost?.Estimate.Requests ?? History?.Requests ?? 1,
        LimitUnit.PullRequests => Cost?.Estimate.PullRequests ?? 0,
        LimitUnit.Issues => Cost?.Estimate.Issues ?? 0,
        _ => 0,
    };

    /// <summary>True when what was asked of it was not all said by the task.</summary>
    public readonly bool IsExperience => looked;

    /// <summary>What no agent needs less of.</summary>
    public readonly long LeastOf(LimitUnit unit, long need)
    {
        if (!looked || kind is null || history.Least(kind) is not { } least)
            return need;
        var lowest = new Needs(options, history, agent, Cost, kind)
        {
            looked = true,
            known = new Estimate(
                Math.Min(least.TokensIn!.Value, options.DefaultTokensIn), Math.Min(least.TokensOut!.Value, options.DefaultTokensOut),
                Requests: Math.Min(least.Requests!.Value, 1)),
        };
        return Math.Min(need, lowest.Of(unit));
    }

    private long In => Cost?.Estimate.TokensIn ?? Cost?.Estimate.Tokens ?? History?.TokensIn ?? options.DefaultTokensIn;

    private long Out => Cost?.Estimate.TokensOut ?? Cost?.Estimate.Tokens ?? History?.TokensOut ?? options.DefaultTokensOut;

    private Estimate? History
    {
        get
        {
            if (!looked)
                (looked, known) = (true, kind is null ? null : history.P95(agent, kind));
            return known;
        }
    }
}

namespace Dispatch.Allowances;

/// <summary>Price of a model in micro-units of the currency per million tokens.</summary>
public sealed record ModelPrice(long In, long Out)
{
    /// <summary>What so many tokens cost, rounded up; the largest number when it would be more.</summary>
    public long Of(long tokensIn, long tokensOut)
    {
        var cost = (((Int128)tokensIn * In) + ((Int128)tokensOut * Out) + 999_999) / 1_000_000;
        return cost > long.MaxValue ? long.MaxValue : (long)cost;
    }
}

/// <summary>Settings of allowances that come from the configuration.</summary>
public sealed record AllowanceOptions
{
    /// <summary>By model.</summary>
    public IReadOnlyDictionary<string, ModelPrice> Prices { get; init; } = new Dictionary<string, ModelPrice>();

    /// <summary>The team of each owner that has one.</summary>
    public IReadOnlyDictionary<string, string> TeamOf { get; init; } = new Dictionary<string, string>();

    /// <summary>The model of a task that names none; null: unknown, and so is its price.</summary>
    public string? DefaultModel { get; init; }

    /// <summary>Reserved for a task that says nothing and whose like has not been seen.</summary>
    public long DefaultTokensIn { get; init; } = 8_000;

    public long DefaultTokensOut { get; init; } = 2_000;

    /// <summary>The price of a model; null when it is not known.</summary>
    public ModelPrice? PriceOf(string? model) => model is null ? null : Prices.GetValueOrDefault(model);
}

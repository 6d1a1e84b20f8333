using Dispatch.Allowances;

namespace Dispatch.Host.Configuration;

/// <summary>Section <c>allowances</c>.</summary>
public sealed record AllowanceSettings
{
    private readonly IReadOnlyDictionary<string, IReadOnlyList<string>> teams = new Dictionary<string, IReadOnlyList<string>>();

    /// <summary>The model of work that names none, 1 to 128 characters. Default null: unknown, and so is its price.</summary>
    public string? DefaultModel
    {
        get => Options.DefaultModel;
        init => Options = Options with { DefaultModel = value };
    }

    /// <summary>Tokens in that are reserved for a task that says nothing and whose like has not been seen, 0 to 1000000000. Default 8000.</summary>
    public int DefaultTokensIn
    {
        get => (int)Options.DefaultTokensIn;
        init => Options = Options with { DefaultTokensIn = value };
    }

    /// <summary>The same for tokens out, 0 to 1000000000. Default 2000.</summary>
    public int DefaultTokensOut
    {
        get => (int)Options.DefaultTokensOut;
        init => Options = Options with { DefaultTokensOut = value };
    }

    /// <summary>The currency that limits of money and prices are in: 3 capital letters, only shown. Default USD.</summary>
    public string Currency { get; init; } = "USD";

    /// <summary>By model, in micro-units of the currency per million tokens. Default {}.</summary>
    public IReadOnlyDictionary<string, ModelPrice> Prices
    {
        get => Options.Prices;
        init => Options = Options with { Prices = value };
    }

    /// <summary>The owners of each team; an owner is in one team. Default {}.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Teams
    {
        get => teams;
        init
        {
            teams = value;
            Options = Options with { TeamOf = TeamOf(value) };
        }
    }

    /// <summary>What the core goes by: the same instance as long as nothing of it is changed, by which it sees that nothing is.</summary>
    internal AllowanceOptions Options { get; private init; } = new();

    /// <summary>An owner that is in two teams, and those; null when none is.</summary>
    internal (string Owner, string One, string Other)? FindShared()
    {
        var found =
            from team in teams
            from owner in team.Value
            where Options.TeamOf[owner] != team.Key
            select ((string, string, string)?)(owner, Options.TeamOf[owner], team.Key);
        return found.FirstOrDefault();
    }

    private static Dictionary<string, string> TeamOf(IReadOnlyDictionary<string, IReadOnlyList<string>> teams)
    {
        var teamOf = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (team, owners) in teams)
        {
            // One that is in two is refused when all keys are known.
            foreach (var owner in owners)
                teamOf.TryAdd(owner, team);
        }

        return teamOf;
    }
}

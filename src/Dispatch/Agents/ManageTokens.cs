using Dispatch.Sequencing;

namespace Dispatch.Agents;

/// <summary>Keeps a new token; the secret was made at the edge and is not known here.</summary>
/// <param name="Hash">Lower-case hexadecimal SHA-256 of the secret.</param>
/// <param name="ExpiresInMs">From now on; null: never.</param>
public sealed record CreateToken(string Id, string Hash, string Agent, string? Name, long? ExpiresInMs) : Command<AgentToken>
{
    public override AgentToken Decide(State state, Decision decision)
    {
        decision.Raise(Id, null, 0, new TokenCreated(Hash, Agent, Name, ExpiresInMs is { } ms ? decision.Now + ms : null));
        return state.Tokens.Find(Id)!;
    }
}

/// <summary>Revokes a token; repeating it changes nothing. Null: no such token.</summary>
public sealed record RevokeToken(string Id) : Command<AgentToken?>
{
    public override AgentToken? Decide(State state, Decision decision)
    {
        if (state.Tokens.Find(Id) is not { } token)
            return null;
        if (token.RevokedAt is null)
            decision.Raise(Id, null, token.LastSequence, new TokenRevoked());
        return state.Tokens.Find(Id);
    }
}

/// <summary>All tokens, revoked ones too.</summary>
public sealed record ListTokens : Command<IReadOnlyList<AgentToken>>
{
    public override IReadOnlyList<AgentToken> Decide(State state, Decision decision) => state.Tokens.All.ToArray();
}

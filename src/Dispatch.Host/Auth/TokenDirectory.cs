using System.Collections.Concurrent;
using Dispatch.Agents;

namespace Dispatch.Host.Auth;

/// <summary>
/// The valid agent tokens by hash. The sequencer's state is the record; this follows it and is read by every request without a
/// lock.
/// </summary>
public sealed class TokenDirectory(TimeProvider time)
{
    private volatile ConcurrentDictionary<TokenHash, AgentToken> tokens = new();

    /// <summary>Takes the place of everything before: after the state was loaded.</summary>
    public void Replace(IEnumerable<AgentToken> all) =>
        tokens = new ConcurrentDictionary<TokenHash, AgentToken>(all
            .Where(token => token.RevokedAt is null)
            .Select(token => KeyValuePair.Create(TokenHash.Parse(token.Hash), token)));

    /// <summary>Adds a token, or follows a change of it: a revoked one goes.</summary>
    public void Add(AgentToken token)
    {
        if (token.RevokedAt is null)
            tokens[TokenHash.Parse(token.Hash)] = token;
        else
            Revoke(token);
    }

    /// <summary>Ends a token at once. Unknown ones are let be.</summary>
    public void Revoke(AgentToken token) => tokens.TryRemove(TokenHash.Parse(token.Hash), out _);

    /// <summary>Whether this is the hash of a token of that agent which has not expired.</summary>
    public bool IsValid(in TokenHash hash, string agent) =>
        tokens.TryGetValue(hash, out AgentToken? token)
        && token.Agent == agent
        && (token.ExpiresAt is not { } end || time.GetUtcNow().ToUnixTimeMilliseconds() < end);
}

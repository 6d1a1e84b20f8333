using Dispatch.Events;

namespace Dispatch.Agents;

/// <summary>Agent tokens by their public id. Revoked ones stay listed.</summary>
public sealed class TokenTable
{
    private readonly SortedDictionary<string, AgentToken> tokens = new(StringComparer.Ordinal);
    private List<AgentToken> dirty = [];

    public IReadOnlyCollection<AgentToken> All => tokens.Values;

    public AgentToken? Find(string id) => tokens.GetValueOrDefault(id);

    internal void Load(IReadOnlyList<AgentToken> stored)
    {
        foreach (var token in stored)
            tokens.Add(token.Id, token);
    }

    internal void Apply(DispatchEvent happened)
    {
        var token = happened.Data switch
        {
            TokenCreated e => new AgentToken(happened.Subject, e.Hash, e.Agent, e.Name, happened.Timestamp, e.ExpiresAt, null, happened.Sequence),
            TokenRevoked => tokens[happened.Subject] with { RevokedAt = happened.Timestamp, LastSequence = happened.Sequence },
            _ => throw new InvalidOperationException($"{happened.Type} is no token event."),
        };
        tokens[token.Id] = token;
        dirty.RemoveAll(known => string.Equals(known.Id, token.Id, StringComparison.Ordinal));
        dirty.Add(token);
    }

    internal List<AgentToken> TakeChanges()
    {
        var taken = dirty;
        dirty = [];
        return taken;
    }
}

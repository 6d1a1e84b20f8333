using System.Collections.Concurrent;
using Dispatch.Sessions;

namespace Dispatch.Host.Auth;

/// <summary>
/// The passes of guests by the hash of their token. The sequencer's state is the record; this follows it and is read by every request
/// without a lock.
/// </summary>
public sealed class SessionDirectory(TimeProvider time)
{
    private readonly ConcurrentDictionary<TokenHash, GuestPass> passes = new();
    private readonly Dictionary<string, GuestPass> byId = new(StringComparer.Ordinal);
    private readonly Lock changing = new();
    private long followed;

    /// <summary>Takes the place of everything before: after the state was loaded. Who may stay, stays.</summary>
    /// <param name="sequence">Of the last event in that state.</param>
    public void Replace(IReadOnlyCollection<Session> open, long sequence)
    {
        lock (changing)
        {
            followed = sequence;
            foreach (var gone in byId.Keys.Except(open.Select(session => session.Id), StringComparer.Ordinal).ToList())
                Remove(gone);
            foreach (var session in open)
                Add(session);
        }
    }

    /// <summary>Follows a commit: who may come in, and who no longer.</summary>
    /// <param name="sequence">Of its last event.</param>
    public void Follow(IReadOnlyList<Session> open, IReadOnlyList<string> closed, long sequence)
    {
        lock (changing)
        {
            followed = sequence;
            foreach (var session in open)
                Add(session);
            foreach (var id in closed)
                Remove(id);
        }
    }

    /// <summary>Lets its guests in a moment before the commit is followed here. One that was followed already is as it should be.</summary>
    public void Open(Session session)
    {
        lock (changing)
        {
            if (session.LastSequence > followed)
                Add(session);
        }
    }

    /// <summary>Shuts its guests out at once; their streams end.</summary>
    public void Close(Session session)
    {
        lock (changing)
        {
            if (byId.TryGetValue(session.Id, out var pass) && pass.Hash.Equals(TokenHash.Parse(session.Hash)))
                Remove(session.Id);
        }
    }

    /// <summary>The pass that belongs to a token, or null: the session is closed, its time is up, or there never was one.</summary>
    internal GuestPass? Find(in TokenHash hash) => passes.TryGetValue(hash, out var pass) && pass.IsValid ? pass : null;

    private void Add(Session session)
    {
        var hash = TokenHash.Parse(session.Hash);
        if (byId.TryGetValue(session.Id, out var known))
        {
            if (known.Hash.Equals(hash))
                return;
            Remove(session.Id);
        }

        passes[hash] = byId[session.Id] = new GuestPass(session, hash, time);
    }

    private void Remove(string id)
    {
        if (!byId.Remove(id, out var pass))
            return;
        passes.TryRemove(pass.Hash, out _);
        pass.End();
    }
}

/// <summary>What a guest shows: the one session whose events it may follow, and until when.</summary>
internal sealed class GuestPass
{
    private readonly CancellationTokenSource ended = new();
    private readonly Session session;
    private readonly TimeProvider time;

    public GuestPass(Session session, TokenHash hash, TimeProvider time)
    {
        (this.session, Hash, this.time) = (session, hash, time);
        var name = $"guest:{session.Id}";
        Entry = new CallerDirectory.Entry(name) { Plain = new Caller(name, IsAdmin: false) { Pass = this } };
    }

    public string Session => session.Id;

    public TokenHash Hash { get; }

    /// <summary>All guests of a session are one caller with one allowance.</summary>
    public CallerDirectory.Entry Entry { get; }

    /// <summary>Ends with the session.</summary>
    public CancellationToken Ended => ended.Token;

    public bool IsValid => !ended.IsCancellationRequested && Left > TimeSpan.Zero;

    /// <summary>How long until it expires.</summary>
    public TimeSpan Left => DateTimeOffset.FromUnixTimeMilliseconds(session.ExpiresAt) - time.GetUtcNow();

    /// <summary>From here on it is not valid. What waits for that runs elsewhere.</summary>
    public void End() => _ = ended.CancelAsync();
}

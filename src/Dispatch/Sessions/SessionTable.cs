using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Sessions;

/// <summary>The open sessions by id. A closed one is gone: the log remembers it.</summary>
public sealed class SessionTable
{
    private readonly State state;
    private readonly SortedDictionary<string, Entry> entries = new(StringComparer.Ordinal);
    private readonly SortedSet<string> touched = new(StringComparer.Ordinal);

    internal SessionTable(State state) => this.state = state;

    public IEnumerable<Session> All => entries.Values.Select(entry => entry.Session);

    public Session? Find(string id) => entries.GetValueOrDefault(id)?.Session;

    /// <summary>When the timer of an open session is set to go off, or null.</summary>
    internal long? DueOf(string id) => entries.GetValueOrDefault(id) is { Expiry: { IsArmed: true } timer } ? timer.Due : null;

    internal void Load(IReadOnlyList<Session> stored)
    {
        foreach (var session in stored)
            Add(session);
    }

    internal void Apply(DispatchEvent happened, SessionEvent data)
    {
        var id = happened.Subject;
        switch (data)
        {
            case SessionCreated e:
                Add(new Session(id, e.Name, "", happened.Timestamp, e.ExpiresAt, happened.Sequence));
                break;
            case SessionTokenMade e:
                entries[id].Session = entries[id].Session with { Hash = e.Hash, LastSequence = happened.Sequence };
                break;
            case SessionClosed:
                entries.Remove(id, out var gone);
                state.WallDue.Disarm(gone!.Expiry);
                break;
            default:
                throw new InvalidOperationException($"{happened.Type} is no session event.");
        }

        touched.Add(id);
    }

    internal (List<Session> Sessions, List<string> Removed) TakeChanges()
    {
        var (sessions, removed) = (new List<Session>(), new List<string>());
        foreach (var id in touched)
        {
            if (Find(id) is { } session)
                sessions.Add(session);
            else
                removed.Add(id);
        }

        touched.Clear();
        return (sessions, removed);
    }

    private void Add(Session session)
    {
        var entry = new Entry(session);
        entries.Add(session.Id, entry);
        if (state.IsLive)
            state.WallDue.Arm(entry.Expiry, session.ExpiresAt);
    }

    private sealed class Entry
    {
        public Entry(Session session) => (Session, Expiry) = (session, new ExpiryTimer(session.Id));

        public Session Session { get; set; }

        public ExpiryTimer Expiry { get; }
    }

    private sealed class ExpiryTimer(string id) : DueTimer
    {
        public override void Fire(State state, Decision decision) =>
            decision.Raise(id, id, state.Sessions.Find(id)!.LastSequence, new SessionClosed(SessionEnd.Expired));
    }
}

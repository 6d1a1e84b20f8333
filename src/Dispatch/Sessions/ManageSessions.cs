using Dispatch.Sequencing;

namespace Dispatch.Sessions;

/// <summary>Opens a session; its guests' token was made at the edge and is not known here. Null: one with this id is open.</summary>
/// <param name="Hash">Lower-case hexadecimal SHA-256 of the token.</param>
/// <param name="ExpiresInMs">From now on.</param>
public sealed record OpenSession(string Id, string? Name, string Hash, long ExpiresInMs) : Command<Session?>
{
    public override Session? Decide(State state, Decision decision)
    {
        if (state.Sessions.Find(Id) is not null)
            return null;

        var created = decision.Raise(Id, Id, 0, new SessionCreated(Name, decision.Now + ExpiresInMs));
        decision.Raise(Id, Id, created.Sequence, new SessionTokenMade(Hash));
        return state.Sessions.Find(Id);
    }
}

/// <summary>Closes a session and answers with it as it was. Null: none with this id is open.</summary>
public sealed record CloseSession(string Id) : Command<Session?>
{
    public override Session? Decide(State state, Decision decision)
    {
        if (state.Sessions.Find(Id) is not { } session)
            return null;

        decision.Raise(Id, Id, session.LastSequence, new SessionClosed(SessionEnd.Closed));
        return session;
    }
}

/// <summary>The open sessions, by id.</summary>
public sealed record ListSessions : Command<IReadOnlyList<Session>>
{
    public override IReadOnlyList<Session> Decide(State state, Decision decision) => state.Sessions.All.ToArray();
}

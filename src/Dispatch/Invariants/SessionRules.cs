using Dispatch.Sessions;

namespace Dispatch.Invariants;

/// <summary>What the log may say about sessions: opened, given a token at once, closed, and then perhaps opened again.</summary>
internal sealed class SessionRules(LogChecker log)
{
    private readonly Dictionary<string, Known> open = new(StringComparer.Ordinal);

    public void Begin(Session session) => open[session.Id] = new Known(session.ExpiresAt, session.LastSequence, session.Hash.Length > 0);

    public void Check(SessionEvent data)
    {
        var happened = log.Current;
        var id = happened.Subject;
        var known = open.GetValueOrDefault(id);
        log.CheckChain(known?.Last ?? 0);
        if (happened.Session != id)
            log.Find("I-13", $"it belongs to session {happened.Session ?? "none"}");
        switch (data)
        {
            case SessionCreated created:
                if (known is not null)
                    log.Find("I-13", "the session is open already");
                if (created.ExpiresAt < happened.Timestamp)
                    log.Find("I-13", "it expired before it was opened");
                open[id] = new Known(created.ExpiresAt, happened.Sequence, HasToken: false);
                return;
            case SessionTokenMade:
                if (known is null || known.HasToken)
                    log.Find("I-13", known is null ? "there is no such session" : "the session has a token already");
                else
                    open[id] = known with { HasToken = true, Last = happened.Sequence };
                return;
            case SessionClosed closed:
                if (known is null)
                    log.Find("I-13", "there is no such session");
                else if (closed.Reason == SessionEnd.Expired && happened.Timestamp < known.ExpiresAt)
                    log.Find("I-13", $"it expired before its time {known.ExpiresAt}");
                open.Remove(id);
                return;
        }
    }

    private sealed record Known(long ExpiresAt, long Last, bool HasToken);
}

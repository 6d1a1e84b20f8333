namespace Dispatch.Events;

/// <summary>Who follows the log.</summary>
public enum EventRole
{
    /// <summary>Sees everything but what is internal.</summary>
    Owner,

    /// <summary>Sees only the events of its own session; one without a session is nobody's guest's.</summary>
    Guest,

    /// <summary>Sees internal events too. Only parts of the broker itself.</summary>
    System,
}

/// <summary>What somebody may see of the log. Applied before any filter, in one place: <c>EventCursor</c>.</summary>
public readonly record struct EventSight
{
    private EventSight(EventRole role, string? session) => (Role, Session) = (role, session);

    public static EventSight Owner => new(EventRole.Owner, null);

    public static EventSight System => new(EventRole.System, null);

    public EventRole Role { get; }

    /// <summary>A guest's session.</summary>
    public string? Session { get; }

    public static EventSight Guest(string session) => new(EventRole.Guest, session);

    public bool Sees(FeedEvent happened) => Role switch
    {
        EventRole.System => true,
        _ when happened.IsInternal => false,
        EventRole.Owner => true,
        EventRole.Guest => happened.Session is { } session && string.Equals(session, Session, StringComparison.Ordinal),
        _ => false,
    };
}

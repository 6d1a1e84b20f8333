using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Sessions;

/// <summary>The events of sessions; subject and session are both its id. JSON names are the public contract: additive changes only.</summary>
public abstract record SessionEvent(EventKind Kind) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds = [SessionCreated.Is, SessionTokenMade.Is, SessionClosed.Is];
}

/// <summary>An admin opened a session; an id may be opened again once it is closed.</summary>
/// <param name="Name">What it is about, for people.</param>
/// <param name="ExpiresAt">When it closes by itself, Unix milliseconds.</param>
public sealed record SessionCreated(string? Name, long ExpiresAt) : SessionEvent(Is)
{
    public static readonly EventKind Is = new("session.created", "sessions", SessionEventJson.Default.SessionCreated);
}

/// <summary>The token for its guests, right after it was opened. Apart from <see cref="SessionCreated"/>, because a guest reads that one.</summary>
/// <param name="Hash">Lower-case hexadecimal SHA-256 of the token.</param>
public sealed record SessionTokenMade(string Hash) : SessionEvent(Is)
{
    public static readonly EventKind Is = new("session.token_made", "sessions", SessionEventJson.Default.SessionTokenMade) { IsInternal = true };
}

/// <summary>It is over; its guests are shut out.</summary>
/// <param name="Reason">By an admin, or because its time was up.</param>
public sealed record SessionClosed(SessionEnd Reason) : SessionEvent(Is)
{
    public static readonly EventKind Is = new("session.closed", "sessions", SessionEventJson.Default.SessionClosed);
}

[JsonConverter(typeof(SnakeCaseEnumConverter<SessionEnd>))]
public enum SessionEnd : byte
{
    /// <summary>An admin closed it.</summary>
    Closed,

    /// <summary>Its time was up.</summary>
    Expired,
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(SessionCreated))]
[JsonSerializable(typeof(SessionTokenMade))]
[JsonSerializable(typeof(SessionClosed))]
internal sealed partial class SessionEventJson : JsonSerializerContext;

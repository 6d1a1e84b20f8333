namespace Dispatch.Sessions;

/// <summary>A session that is open: what belongs to it, a guest may follow. Times are Unix milliseconds.</summary>
/// <param name="Id">What its tasks and events name: 1 to 256 printable characters.</param>
/// <param name="Name">What it is about, for people, or null.</param>
/// <param name="Hash">Lower-case hexadecimal SHA-256 of its guests' token.</param>
public sealed record Session(string Id, string? Name, string Hash, long CreatedAt, long ExpiresAt, long LastSequence);

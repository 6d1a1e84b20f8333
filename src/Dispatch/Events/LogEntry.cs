namespace Dispatch.Events;

/// <summary>One entry of the log as it is stored, its data unread. The other members are those of <see cref="DispatchEvent"/>.</summary>
/// <param name="Type">Dotted type; may be one that only another release knows.</param>
/// <param name="Source">The module or publisher that raised it.</param>
/// <param name="Data">The data object, byte for byte as it was written.</param>
/// <param name="Hash">32 bytes: its link in the chain, see <see cref="HashChain"/>.</param>
public sealed record LogEntry(
    long Sequence, long Timestamp, string Type, string Source, string Subject, string? Session, string Actor, long CausedBy, long Previous,
    JsonBytes Data, byte[] Hash);

namespace Dispatch.Publishing;

/// <summary>Somebody outside who may add events to the log.</summary>
/// <param name="Id">The agent id it calls with; the source and actor of its events.</param>
/// <param name="Types">Which types, sorted.</param>
/// <param name="Session">The one session whose events it may add, or null for any and none.</param>
/// <param name="RegisteredAt">Unix milliseconds; of its first registration.</param>
public sealed record Publisher(string Id, string[] Types, string? Session, long RegisteredAt, long LastSequence);

/// <summary>An event taken from outside: one for each publisher and id of the publisher's own.</summary>
/// <param name="Hash">Lower-case hexadecimal, of all that the publisher said.</param>
/// <param name="Sequence">The event's.</param>
public sealed record PublishedRow(string Publisher, string Id, string Hash, long Sequence);

/// <summary>Facts read from the store, true as of a sequence number.</summary>
/// <param name="AsOf">Everything up to this sequence number was seen.</param>
/// <param name="Rows">Those of the ids asked for that were used.</param>
public sealed record PublishedFacts(long AsOf, IReadOnlyDictionary<string, PublishedRow> Rows);

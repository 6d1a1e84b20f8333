using System.Text.Json.Serialization;
using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Retention;

/// <summary>A base: the state as of one event, from which folding begins once the events up to there are gone.</summary>
/// <param name="Sequence">That event.</param>
/// <param name="Timestamp">Its timestamp, Unix milliseconds.</param>
/// <param name="Bytes">What the log takes up to there, counted from its first event, kept or not. See <see cref="LogExtent.Bytes"/>.</param>
/// <param name="Parts">In how many pieces it is stored.</param>
/// <param name="Digest">SHA-256 over these, hexadecimal.</param>
public sealed record LogBase(long Sequence, long Timestamp, long Bytes, int Parts, string Digest);

/// <summary>How far the log reaches.</summary>
/// <param name="Horizon">Sequence of the oldest event that is kept; 1 while all are.</param>
/// <param name="Head">That of the last one; 0 for an empty log.</param>
/// <param name="Bytes">What all events up to the head take, counted from the first, kept or not: their data, and <see cref="EventBytes"/> each.</param>
/// <param name="UncoveredSince">Timestamp of the oldest event that no base covers; null when there is none.</param>
/// <param name="Bases">The complete bases at or above the horizon, oldest first.</param>
/// <param name="IsTrimmed">False while something below the horizon is left to be deleted.</param>
public sealed record LogExtent(long Horizon, long Head, long Bytes, long? UncoveredSince, IReadOnlyList<LogBase> Bases, bool IsTrimmed)
{
    /// <summary>What an event takes besides its data.</summary>
    public const int EventBytes = 160;

    /// <summary>What the kept events take.</summary>
    public long KeptBytes => Bytes - (Bases.FirstOrDefault(known => known.Sequence == Horizon - 1)?.Bytes ?? 0);
}

/// <summary>How far a durable follower has come.</summary>
/// <param name="Sequence">The last event it is done with.</param>
/// <param name="MovedAt">When it came there, Unix milliseconds.</param>
public sealed record FollowerPlace(string Name, long Sequence, long MovedAt);

/// <summary>One row of a base: exactly one member is set. Rows come in the order of the members.</summary>
public sealed record BaseRow
{
    public BaseStart? Start { get; init; }

    public Agent? Agent { get; init; }

    public AgentToken? Token { get; init; }

    public Session? Session { get; init; }

    public Publisher? Publisher { get; init; }

    public WebhookEndpoint? Webhook { get; init; }

    /// <summary>One that is open.</summary>
    public Question? Question { get; init; }

    public Responder? Responder { get; init; }

    /// <summary>A limit, or the budget of a task.</summary>
    public Limit? Limit { get; init; }

    public LimitBalance? Balance { get; init; }

    public StoredTask? Task { get; init; }

    public EndedAttempt? Attempt { get; init; }

    public IdempotencyRow? Key { get; init; }

    public BaseEnd? End { get; init; }
}

/// <summary>Where a base stands in the log. What was published from outside is not in it: a publisher's own ids are remembered as long as the log.</summary>
/// <param name="Hash">The hash of the event it was taken at.</param>
/// <param name="Horizon">The horizon at that time.</param>
public sealed record BaseStart(long Sequence, long Timestamp, byte[] Hash, long Horizon, long[] Totals);

/// <param name="Rows">All rows of the base, but this one.</param>
public sealed record BaseEnd(long Rows)
{
    /// <summary>The digest of what was read.</summary>
    [JsonIgnore]
    public string Digest { get; init; } = "";
}

using Dispatch.Events;

namespace Dispatch.Host.Bus;

/// <summary>How a handler follows the log.</summary>
public sealed class EventHandlerOptions
{
    /// <summary>
    /// 1 to 256 printable characters, unique in the program; what logs, metrics and <see cref="EventBus.Resume"/> know it by. Default: the names of the handler's type and
    /// the event's. A durable handler must be given one, and keep it: its place in the log is stored under it.
    /// </summary>
    public string? Name { get; set; }

    /// <summary>
    /// True: its place is kept in the store, and after a restart or a crash it goes on there, with repeats at most.
    /// False (default): it starts anew each time.
    /// </summary>
    public bool Durable { get; set; }

    /// <summary>What of its events it wants. Default: all.</summary>
    public EventFilter Filter { get; set; } = EventFilter.All;

    /// <summary>Default: five attempts.</summary>
    public HandlerRetry Retry { get; set; } = new();

    /// <summary>
    /// Where it starts while it has no place yet: behind this sequence; 0 for the whole log. Null (default): with what comes next.
    /// </summary>
    public long? StartAfter { get; set; }
}

/// <summary>How often, and when, an event is tried again.</summary>
public sealed record HandlerRetry
{
    /// <summary>Attempts before the handler is parked, the first included, 1 to 1,000. Default 5.</summary>
    public int Attempts { get; init; } = 5;

    /// <summary>The wait before the second attempt; it doubles with each. 0 to <see cref="Cap"/>. Default 200 ms.</summary>
    public TimeSpan Base { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>The longest wait, up to a day. Default 30 s.</summary>
    public TimeSpan Cap { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>One attempt: what fails is parked at once.</summary>
    public static HandlerRetry None { get; } = new() { Attempts = 1 };

    // Between half of it and all of it, so that handlers that failed together do not come back together.
    internal TimeSpan DelayAfter(int attempt, Random random) =>
        Math.Min(Cap.TotalMilliseconds, Base.TotalMilliseconds * Math.Pow(2, attempt - 1)) * TimeSpan.FromMilliseconds(0.5 + (random.NextDouble() / 2));

    internal string? Fault() =>
        Attempts is < 1 or > 1_000 ? $"Retry.Attempts: {Attempts} is not allowed; it must be 1 to 1000."
        : Cap < TimeSpan.Zero || Cap > TimeSpan.FromDays(1) ? $"Retry.Cap: {Cap} is not allowed; it must be 0 to a day."
        : Base < TimeSpan.Zero || Base > Cap ? $"Retry.Base: {Base} is not allowed; it must be 0 to Retry.Cap ({Cap})."
        : null;
}

/// <summary>What a handler is doing.</summary>
public enum HandlerState
{
    /// <summary>It handles events, or waits for the next.</summary>
    Running,

    /// <summary>It failed at an event, which is tried again.</summary>
    Retrying,

    /// <summary>It failed at an event too often, or its next event is no longer kept; it waits for <see cref="EventBus.Resume"/> or <see cref="EventBus.Skip"/>.</summary>
    Parked,
}

/// <summary>How a handler stands.</summary>
/// <param name="Position">Sequence of the last event it is done with, wanted or not.</param>
/// <param name="Lag">Events that were committed since.</param>
/// <param name="FailedAt">Sequence of the event that it is failing at, or null.</param>
/// <param name="Attempts">At that event, since the start or the last <see cref="EventBus.Resume"/>.</param>
/// <param name="LastError">What the last of them came to; null while nothing fails.</param>
public sealed record HandlerStatus(
    string Name, bool Durable, HandlerState State, long Position, long Lag, long? FailedAt, int Attempts, string? LastError);

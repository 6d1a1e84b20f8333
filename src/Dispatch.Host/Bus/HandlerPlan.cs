using Dispatch.Events;

namespace Dispatch.Host.Bus;

/// <summary>What a handler follows, and how.</summary>
/// <param name="Deliver">Begins to handle an event, at its nth attempt; <see cref="NotWanted"/> when it is none of the handler's.</param>
internal sealed record HandlerPlan(
    string Name, bool IsDurable, HandlerRetry Retry, long? StartAfter, Func<FeedEvent, int, CancellationToken, Task> Deliver)
{
    /// <summary>Ended, and no other task is this one.</summary>
    public static readonly Task NotWanted = Task.FromResult(new object());

    /// <exception cref="InvalidOperationException">The type or the filter names an event that there is not.</exception>
    public static HandlerPlan Make<TEvent>(
        string name, EventHandlerOptions options, EventTypes types, Func<EventContext<TEvent>, CancellationToken, Task> handle)
        where TEvent : class
    {
        var filter = options.Filter;
        if (types.FaultOf(filter) is { } fault)
            throw new InvalidOperationException($"{name}: {fault}");
        var (isOne, read) = types.ReaderOf<TEvent>();

        // The data last: what was read from the store is parsed only for those who want it.
        return new HandlerPlan(
            name, options.Durable, options.Retry, options.StartAfter,
            (happened, attempt, cancel) => isOne(happened) && filter.Takes(happened)
                ? handle(new EventContext<TEvent>(read(happened), happened, attempt), cancel)
                : NotWanted);
    }
}

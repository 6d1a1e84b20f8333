using Dispatch.Events;

namespace Dispatch.Host.Bus;

/// <summary>
/// Follows the log in this process for one kind of event. It is called for one event after another, in the order of the log, each at least once;
/// handlers run beside each other and beside the broker. One instance serves as long as the broker runs.
/// </summary>
/// <typeparam name="TEvent">
/// An event record of Dispatch (<c>TaskCompleted</c>), a family of them (<c>TaskEvent</c>; <c>EventData</c> for all), or a type declared with
/// <see cref="EventBusComposition.AddEvent{TEvent}"/>.
/// </typeparam>
public interface IEventHandler<TEvent>
    where TEvent : class
{
    /// <summary>
    /// Handles an event. What it throws is logged, and the event is tried again as the handler's <see cref="HandlerRetry"/> says; after the last
    /// attempt the handler is parked there. It must wait by awaiting: a blocked thread is missing elsewhere.
    /// </summary>
    /// <param name="happened">The event. Its data is shared with all who follow: read it only.</param>
    /// <param name="cancel">The broker stops, or the subscription was disposed. An event that ends with an exception then counts as not handled.</param>
    Task HandleAsync(EventContext<TEvent> happened, CancellationToken cancel);
}

/// <summary>An event as a handler gets it.</summary>
/// <param name="Data">What happened.</param>
/// <param name="Entry">Its place in the log: sequence, timestamp, type, source, subject, session, actor.</param>
/// <param name="Attempt">1, or more when the handler failed at it before.</param>
public readonly record struct EventContext<TEvent>(TEvent Data, FeedEvent Entry, int Attempt)
    where TEvent : class;

using Dispatch.Publishing;
using Dispatch.Sequencing;

namespace Dispatch.Host.Bus;

/// <summary>The way of a publisher's events into the log, whether it is a program outside or the one this broker runs in.</summary>
internal sealed class EventIntake(Sequencer sequencer, IStore store)
{
    // Each read of the facts is out of date only when thousands of events came meanwhile.
    private const int FactReads = 10;

    private static readonly PublishedFacts NoneUsed = new(long.MaxValue, new Dictionary<string, PublishedRow>());

    /// <summary>Adds them, all or none, and returns when they are durable.</summary>
    /// <param name="areNew">Their ids were made a moment ago, and can't have been used.</param>
    /// <exception cref="RefusedException">It was not taken, or its commit failed.</exception>
    /// <exception cref="StoreException">The store can't be read.</exception>
    public async Task<PublishOutcome> PublishAsync(string publisher, NewOutsideEvent[] events, bool areNew, CancellationToken cancel)
    {
        var ids = Array.ConvertAll(events, happened => happened.Data.Id);
        for (var read = 0; read < FactReads; read++)
        {
            var facts = areNew ? NoneUsed : await store.FindPublishedAsync(publisher, ids, cancel);
            if (await sequencer.ExecuteAsync(new PublishEvents(events, facts) { Caller = publisher }) is not PublishOutcome.NeedsFacts and var outcome)
                return outcome;
        }

        throw new RefusedException(Refusal.Busy, "The log went on faster than it could be read. Try again.");
    }
}

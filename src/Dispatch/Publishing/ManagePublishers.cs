using Dispatch.Sequencing;

namespace Dispatch.Publishing;

/// <summary>Registers a publisher, or replaces its registration; the same again changes nothing.</summary>
/// <param name="Types">Sorted, each of them one of <see cref="OutsideEvent.Kinds"/>.</param>
public sealed record RegisterPublisher(string Id, string[] Types, string? Session) : Command<RegisteredPublisher>
{
    public override RegisteredPublisher Decide(State state, Decision decision)
    {
        var known = state.Publishers.Find(Id);
        var isSame = known is not null && known.Session == Session && known.Types.AsSpan().SequenceEqual(Types);
        if (!isSame)
            decision.Raise(Id, null, known?.LastSequence ?? 0, new PublisherRegistered(Types, Session));
        return new RegisteredPublisher(state.Publishers.Find(Id)!, known is null);
    }
}

public sealed record RegisteredPublisher(Publisher Publisher, bool IsNew);

/// <summary>Takes a publisher's right to add events. Null: no such publisher.</summary>
public sealed record RemovePublisher(string Id) : Command<Publisher?>
{
    public override Publisher? Decide(State state, Decision decision)
    {
        if (state.Publishers.Find(Id) is not { } publisher)
            return null;

        decision.Raise(Id, null, publisher.LastSequence, new PublisherRemoved());
        return publisher;
    }
}

/// <summary>All publishers, by id.</summary>
public sealed record ListPublishers : Command<IReadOnlyList<Publisher>>
{
    public override IReadOnlyList<Publisher> Decide(State state, Decision decision) => state.Publishers.All.ToArray();
}

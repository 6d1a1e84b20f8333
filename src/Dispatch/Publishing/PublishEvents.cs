using Dispatch.Sequencing;

namespace Dispatch.Publishing;

/// <summary>An event that a publisher wants in the log; shape and sizes are checked at the edge.</summary>
public sealed record NewOutsideEvent(OutsideEvent Data, string Subject, string? Session)
{
    internal string Hash { get; } = Data.Hash(Subject, Session);
}

/// <summary>What became of it.</summary>
public abstract record PublishOutcome
{
    /// <summary>All are in the log, in the order given.</summary>
    public sealed record Accepted(PublishedEvent[] Events) : PublishOutcome;

    /// <summary>What the command brought along is out of date: read again as of now.</summary>
    public sealed record NeedsFacts : PublishOutcome;

    /// <summary>The caller is not registered.</summary>
    public sealed record NotRegistered : PublishOutcome;

    /// <summary>The registration does not allow this one.</summary>
    public sealed record NotAllowed(int Index, string Member, string Problem) : PublishOutcome;

    /// <summary>The id was used for another event.</summary>
    public sealed record Mismatch(int Index, long Sequence) : PublishOutcome;
}

/// <param name="IsNew">False for a repeat; the sequence number is then that of the first time.</param>
public readonly record struct PublishedEvent(string Id, long Sequence, bool IsNew);

/// <summary>Adds a publisher's events to the log: all or none. Their ids differ from each other.</summary>
/// <param name="Facts">What the store knows about the ids.</param>
public sealed record PublishEvents(IReadOnlyList<NewOutsideEvent> Events, PublishedFacts Facts) : Command<PublishOutcome>
{
    public override PublishOutcome Decide(State state, Decision decision)
    {
        if (state.Publishers.Find(Caller!) is not { } publisher)
            return new PublishOutcome.NotRegistered();

        var results = new PublishedEvent[Events.Count];
        for (var i = 0; i < Events.Count; i++)
        {
            var wanted = Events[i];
            if (!publisher.Types.Contains(wanted.Data.Kind.Name, StringComparer.Ordinal))
                return new PublishOutcome.NotAllowed(i, "type", $"{publisher.Id} is registered for {string.Join(", ", publisher.Types)} only");
            if (publisher.Session is { } only && only != wanted.Session)
                return new PublishOutcome.NotAllowed(i, "session", $"{publisher.Id} is registered for session {only} only");

            if (!state.Publishers.Recent.TryGet((publisher.Id, wanted.Data.Id), out var known))
            {
                if (Facts.AsOf < state.Publishers.Recent.Floor)
                    return new PublishOutcome.NeedsFacts();
                known = Facts.Rows.GetValueOrDefault(wanted.Data.Id);
            }

            if (known is null)
                continue;
            if (known.Hash != wanted.Hash)
                return new PublishOutcome.Mismatch(i, known.Sequence);
            results[i] = new PublishedEvent(known.Id, known.Sequence, false);
        }

        for (var i = 0; i < Events.Count; i++)
        {
            if (results[i].Id is null)
                results[i] = new PublishedEvent(Events[i].Data.Id, decision.Raise(Events[i].Subject, Events[i].Session, 0, Events[i].Data).Sequence, true);
        }

        return new PublishOutcome.Accepted(results);
    }
}

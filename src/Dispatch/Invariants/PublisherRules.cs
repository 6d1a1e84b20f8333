using Dispatch.Publishing;

namespace Dispatch.Invariants;

/// <summary>What the log may hold from outside: events of registered publishers, of their types and session, each id once.</summary>
internal sealed class PublisherRules(LogChecker log)
{
    private readonly Dictionary<string, (PublisherRegistered Registration, long Last)> known = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Publisher, string Id), long> used = [];

    public void Begin(Publisher publisher) =>
        known[publisher.Id] = (new PublisherRegistered(publisher.Types, publisher.Session), publisher.LastSequence);

    public void Check(PublisherEvent data)
    {
        var id = log.Current.Subject;
        var isKnown = known.TryGetValue(id, out var before);
        log.CheckChain(before.Last);
        if (data is PublisherRegistered registration)
        {
            known[id] = (registration, log.Current.Sequence);
            return;
        }

        if (!isKnown)
            log.Find("I-13", "there is no such publisher");
        known.Remove(id);
    }

    public void Check(OutsideEvent data)
    {
        var happened = log.Current;

        // An id is remembered as long as its event is kept.
        if (used.TryGetValue((happened.Source, data.Id), out var before) && before >= log.Horizon)
            log.Find("I-3", $"{happened.Source} used the id {data.Id} before");
        used[(happened.Source, data.Id)] = happened.Sequence;
        if (!known.TryGetValue(happened.Source, out var publisher))
            log.Find("I-13", $"{happened.Source} is no publisher");
        else if (!publisher.Registration.Types.Contains(happened.Type, StringComparer.Ordinal))
            log.Find("I-13", $"{happened.Source} may not publish it");
        else if (publisher.Registration.Session is { } only && only != happened.Session)
            log.Find("I-13", $"{happened.Source} may not publish in session {happened.Session ?? "none"}");
    }
}

using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Publishing;

/// <summary>The publishers by id, and the newest of what they have published; the store has the rest.</summary>
public sealed class PublisherTable
{
    private readonly State state;
    private readonly SortedDictionary<string, Publisher> publishers = new(StringComparer.Ordinal);
    private readonly SortedSet<string> touched = new(StringComparer.Ordinal);
    private List<PublishedRow> published = [];

    internal PublisherTable(State state)
    {
        this.state = state;
        Recent = new(state.Options.RecentKept);
    }

    public IReadOnlyCollection<Publisher> All => publishers.Values;

    internal RecentWindow<(string Publisher, string Id), PublishedRow?> Recent { get; }

    public Publisher? Find(string id) => publishers.GetValueOrDefault(id);

    internal void Load(IReadOnlyList<Publisher> stored)
    {
        Recent.Floor = state.Sequence;
        foreach (var publisher in stored)
            publishers.Add(publisher.Id, publisher);
    }

    internal void Apply(DispatchEvent happened, PublisherEvent data)
    {
        var id = happened.Subject;
        switch (data)
        {
            case PublisherRegistered e:
                publishers[id] = new Publisher(id, e.Types, e.Session, Find(id)?.RegisteredAt ?? happened.Timestamp, happened.Sequence);
                break;
            case PublisherRemoved:
                publishers.Remove(id);
                break;
            default:
                throw new InvalidOperationException($"{happened.Type} is no event about a publisher.");
        }

        touched.Add(id);
    }

    internal void Apply(DispatchEvent happened, OutsideEvent data)
    {
        var row = new PublishedRow(happened.Source, data.Id, data.Hash(happened.Subject, happened.Session), happened.Sequence);
        published.Add(row);
        if (state.IsLive)
            Recent.Add((row.Publisher, row.Id), row, row.Sequence);
    }

    internal (List<Publisher> Publishers, List<string> Removed, List<PublishedRow> Published) TakeChanges()
    {
        var taken = (touched.Where(publishers.ContainsKey).Select(id => publishers[id]).ToList(), touched.Where(id => !publishers.ContainsKey(id)).ToList(), published);
        touched.Clear();
        published = [];
        return taken;
    }
}

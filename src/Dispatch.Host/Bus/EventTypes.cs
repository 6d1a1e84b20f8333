using System.Text.Json.Serialization.Metadata;
using Dispatch.Events;
using Dispatch.Host.Configuration;
using Dispatch.Publishing;
using Dispatch.Sequencing;

namespace Dispatch.Host.Bus;

/// <summary>A type of event that the program declared.</summary>
internal sealed record DeclaredEvent(Type Type, EventKind Kind, JsonTypeInfo Json)
{
    public string Name => Kind.Name;
}

/// <summary>The types of events that this program can name: Dispatch's, and those it declared.</summary>
internal sealed class EventTypes
{
    private readonly Dictionary<Type, DeclaredEvent> declared = [];

    /// <exception cref="BrokerStartException">A name or a type was declared twice.</exception>
    public EventTypes(IEnumerable<DeclaredEvent> events)
    {
        foreach (var one in events)
        {
            if (declared.Values.FirstOrDefault(other => string.Equals(other.Name, one.Name, StringComparison.Ordinal)) is { } same)
                throw new BrokerStartException($"AddEvent: '{one.Name}' is declared for {same.Type.Name} and for {one.Type.Name}.", "Give each type its own name.");
            if (!declared.TryAdd(one.Type, one))
                throw new BrokerStartException($"AddEvent: {one.Type.Name} is declared as '{declared[one.Type].Name}' and as '{one.Name}'.", "Declare each type once.");
        }
    }

    public string[] DeclaredNames => [.. declared.Values.Select(one => one.Name).Order(StringComparer.Ordinal)];

    /// <exception cref="InvalidOperationException">It was not declared.</exception>
    public DeclaredEvent Declared(Type type) => declared.TryGetValue(type, out var found) ? found : throw new InvalidOperationException(Undeclared(type));

    /// <summary>Which events are of this type, and how they become one.</summary>
    /// <exception cref="InvalidOperationException">It is neither Dispatch's nor declared.</exception>
    public (Func<FeedEvent, bool> IsOne, Func<FeedEvent, TEvent> Read) ReaderOf<TEvent>()
        where TEvent : class
    {
        if (!typeof(EventData).IsAssignableFrom(typeof(TEvent)))
        {
            var own = Declared(typeof(TEvent));
            var json = (JsonTypeInfo<TEvent>)own.Json;
            return (happened => IsOf(happened, own.Name), happened => ((ProgramEvent)happened.Event.Data).Read(json));
        }

        Func<FeedEvent, TEvent> read = happened => (TEvent)(object)happened.Event.Data;
        if (State.EventKinds.FirstOrDefault(kind => kind.Json.Type == typeof(TEvent)) is { } exact)
            return (happened => IsOf(happened, exact.Name), read);
        if (!State.EventKinds.Any(kind => typeof(TEvent).IsAssignableFrom(kind.Json.Type)) && typeof(TEvent) != typeof(ProgramEvent))
            throw new InvalidOperationException(Undeclared(typeof(TEvent)));
        return (happened => happened.Kind is { } kind && typeof(TEvent).IsAssignableFrom(kind.Json.Type), read);
    }

    /// <summary>What of a filter can never match, in words; null when all of it may.</summary>
    public string? FaultOf(EventFilter filter)
    {
        foreach (var pattern in filter.Types)
        {
            var known = State.EventKinds.Select(kind => kind.Name).Concat(DeclaredNames).Order(StringComparer.Ordinal).ToList();
            if (known.Exists(type => EventFilter.IsOf(pattern, type)))
                continue;
            var meant = NearestName.Find(pattern, known) is { } near ? $"Did you mean '{near}'?" : "docs/events.md lists Dispatch's; AddEvent declares the program's own.";
            return $"Filter.Types: '{pattern}' is no type of event. {meant}";
        }

        return null;
    }

    private static bool IsOf(FeedEvent happened, string name) => string.Equals(happened.Type, name, StringComparison.Ordinal);

    private static string Undeclared(Type type) =>
        $"TEvent: {type.Name} is no event of Dispatch, and was not declared. Add services.AddEvent<{type.Name}>(\"some.name\") where the broker is started.";
}

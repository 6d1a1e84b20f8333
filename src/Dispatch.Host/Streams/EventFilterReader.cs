using Dispatch.Events;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http;
using Dispatch.Publishing;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Streams;

/// <summary>Reads the filter of a follower from its query: each name may be repeated, or hold several values with commas between.</summary>
internal static class EventFilterReader
{
    private const int MaxValues = 100;

    public static EventFilter Read(HttpRequest request, Faults faults) => new()
    {
        Types = Types(Values(request, "type", faults), "type", faults),
        Sources = Values(request, "source", faults),
        Subjects = Values(request, "subject", faults),
        Sessions = Values(request, "session", faults),
    };

    /// <summary>What of the filter can match nothing, and what may have been meant.</summary>
    public static IReadOnlyList<string> Warnings(EventFilter filter)
    {
        var known = State.EventKinds.Concat(ProgramEvent.KnownKinds).Where(kind => !kind.IsInternal).Select(kind => kind.Name).Order(StringComparer.Ordinal).ToArray();
        return
        [
            .. filter.Types.Where(pattern => !known.Any(type => EventFilter.IsOf(pattern, type)))
                .Select(pattern => $"type '{Excerpt.Of(pattern, 100)}' matches no type of event of this release{Nearest(pattern, known)}"),
        ];
    }

    private static string Nearest(string pattern, string[] known) => NearestName.Find(pattern, known) is { } near ? $"; did you mean {near}?" : "";

    /// <summary>Checks patterns of types, and takes them as they are meant.</summary>
    public static string[] Types(string[] types, string field, Faults faults)
    {
        foreach (var type in types)
        {
            var star = type.IndexOf('*', StringComparison.Ordinal);
            if (star >= 0 && type != "*" && (star != type.Length - 1 || !type.EndsWith(".*", StringComparison.Ordinal)))
                faults.Add(field, $"'{Excerpt.Of(type, 100)}': a star may only stand for the end of a type, after a dot, as in task.*");
        }

        // The envelope's type has a prefix; who copies it from there means the same.
        return [.. types.Select(static type => type.StartsWith("dispatch.", StringComparison.Ordinal) ? type["dispatch.".Length..] : type)];
    }

    private static string[] Values(HttpRequest request, string name, Faults faults)
    {
        if (!request.Query.TryGetValue(name, out var given))
            return [];
        var values = given.SelectMany(static text => (text ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)).Distinct(StringComparer.Ordinal).ToArray();
        if (values.Length is 0 or > MaxValues)
            faults.Add(name, $"must hold 1 to {MaxValues} values");
        return values;
    }
}

namespace Dispatch.Events;

/// <summary>Which events a subscriber wants. An absent list lets everything through; each given one must hold.</summary>
public sealed record EventFilter
{
    public static readonly EventFilter All = new();

    /// <summary>Types, exact (<c>task.completed</c>) or all below a name (<c>task.*</c>).</summary>
    public IReadOnlyList<string> Types { get; init; } = [];

    /// <summary>The modules or publishers that raised them.</summary>
    public IReadOnlyList<string> Sources { get; init; } = [];

    /// <summary>Ids of what they are about.</summary>
    public IReadOnlyList<string> Subjects { get; init; } = [];

    public IReadOnlyList<string> Sessions { get; init; } = [];

    /// <summary>Only within the process: asked for each event that passed the rest; null lets everything through.</summary>
    public Func<FeedEvent, bool>? Predicate { get; init; }

    /// <summary>Events of any of these types, exact (<c>task.completed</c>) or all below a name (<c>task.*</c>).</summary>
    public static EventFilter Type(params string[] types) => new() { Types = types };

    /// <summary>Events that any of these modules or publishers raised.</summary>
    public static EventFilter Source(params string[] sources) => new() { Sources = sources };

    /// <summary>Events about any of these.</summary>
    public static EventFilter Subject(params string[] subjects) => new() { Subjects = subjects };

    /// <summary>Events of any of these sessions.</summary>
    public static EventFilter Session(params string[] sessions) => new() { Sessions = sessions };

    /// <summary>Events that the predicate takes. It must be quick and always answer the same.</summary>
    public static EventFilter Custom(Func<FeedEvent, bool> predicate) => new() { Predicate = predicate };

    /// <summary>Whether the name, or name with <c>*</c> at its end, is this type or one above it.</summary>
    public static bool IsOf(string pattern, string type) =>
        pattern == "*" || (pattern.EndsWith(".*", StringComparison.Ordinal)
            ? type.AsSpan().StartsWith(pattern.AsSpan()[..^1], StringComparison.Ordinal)
            : string.Equals(pattern, type, StringComparison.Ordinal));

    public bool Takes(FeedEvent happened) =>
        (Types.Count == 0 || TakesType(happened.Type))
        && IsAmong(Sources, happened.Source) && IsAmong(Subjects, happened.Subject) && IsAmong(Sessions, happened.Session)
        && (Predicate is null || Predicate(happened));

    private static bool IsAmong(IReadOnlyList<string> wanted, string? value)
    {
        if (wanted.Count == 0)
            return true;
        for (var i = 0; i < wanted.Count; i++)
        {
            if (string.Equals(wanted[i], value, StringComparison.Ordinal))
                return true;
        }

        return false;
    }

    private bool TakesType(string type)
    {
        for (var i = 0; i < Types.Count; i++)
        {
            if (IsOf(Types[i], type))
                return true;
        }

        return false;
    }
}

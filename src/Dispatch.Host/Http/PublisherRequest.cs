using System.Text.Json;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>Reads what a publisher is registered for, and what it publishes.</summary>
internal static class PublisherRequest
{
    public const int MaxEvents = 1_000;

    /// <summary>Largest <c>data</c>, in bytes.</summary>
    public const int MaxData = 64 << 10;

    private static readonly string[] Types = [.. OutsideEvent.Kinds.Select(kind => kind.Name).Order(StringComparer.Ordinal)];
    private static readonly string Allowed = $"must be one of {string.Join(", ", Types)}";

    // What a module of the broker raises must not be told from what somebody outside says by that name.
    private static readonly HashSet<string> Taken = [.. State.EventKinds.Select(kind => kind.Source).Where(source => source.Length > 0), "admin", "system"];

    private static readonly MemberNames OfRegistration = new("types", "session");
    private static readonly MemberNames OfEvent = new("id", "type", "subject", "session", "data");

    /// <summary>Whether no publisher may be called so.</summary>
    public static bool IsTaken(string id) => Taken.Contains(id);

    public static RegisterPublisher ReadRegistration(JsonBody body, string id, string? program)
    {
        var faults = new Faults();
        string[]? types = null;
        string? session = null;
        if (IsTaken(id))
            faults.Add("id", "is the name of a part of the broker");
        if (string.Equals(id, program, StringComparison.Ordinal))
            faults.Add("id", "is the name of the program that the broker runs in");
        if (!body.HasRoot || body.Root.ValueKind != JsonValueKind.Object)
        {
            faults.Add("body", "must be a JSON object with types");
            faults.ThrowIfAny();
        }

        foreach (var member in body.Root.EnumerateObject())
        {
            var name = OfRegistration.Of(member);
            if (member.Value.ValueKind == JsonValueKind.Null && OfRegistration.Has(name))
                continue;
            switch (name)
            {
                case "types":
                    types = faults.Names(member.Value, name, Types.Length);
                    for (var i = 0; i < types.Length; i++)
                    {
                        if (!Types.Contains(types[i], StringComparer.Ordinal))
                            faults.Add($"types[{i}]", Allowed);
                    }

                    break;
                case "session":
                    session = faults.Name(member.Value, name);
                    break;
                default:
                    faults.Unknown(name, OfRegistration.All);
                    break;
            }
        }

        if (types is not { Length: > 0 } && faults.Count == 0)
            faults.Add("types", "is required, with at least one type");
        faults.ThrowIfAny();
        return new RegisterPublisher(id, [.. types!.Order(StringComparer.Ordinal)], session);
    }

    /// <summary>One event, or an array of them.</summary>
    public static NewOutsideEvent[] ReadEvents(JsonElement root)
    {
        var faults = new Faults();
        if (root.ValueKind == JsonValueKind.Object)
        {
            var one = ReadEvent(root, faults);
            faults.ThrowIfAny();
            return [one!];
        }

        if (root.ValueKind != JsonValueKind.Array || root.GetArrayLength() is 0 or > MaxEvents)
            throw JsonBody.Refuse($"The body must be an event, or an array of 1 to {MaxEvents} events.");
        var events = new List<NewOutsideEvent>(root.GetArrayLength());
        var ids = new HashSet<string>(StringComparer.Ordinal);
        var index = 0;
        foreach (var item in root.EnumerateArray())
        {
            faults.Enter("events", index++);
            if (item.ValueKind != JsonValueKind.Object)
                faults.Add("", "must be a JSON object");
            else if (ReadEvent(item, faults) is { } happened && ids.Add(happened.Data.Id))
                events.Add(happened);
            else if (faults.Count == 0)
                faults.Add("id", "appears twice in this request");
        }

        faults.Leave();
        faults.ThrowIfAny();
        return [.. events];
    }

    private static NewOutsideEvent? ReadEvent(JsonElement root, Faults faults)
    {
        string? id = null, type = null, subject = null, session = null;
        JsonBytes? data = null;
        var before = faults.Count;
        foreach (var member in root.EnumerateObject())
        {
            var name = OfEvent.Of(member);
            var value = member.Value;
            if (value.ValueKind == JsonValueKind.Null && OfEvent.Has(name))
                continue;
            switch (name)
            {
                case "id":
                    id = faults.Name(value, name);
                    break;
                case "type":
                    type = faults.Text(value, name, TaskLimits.MaxName);
                    if (type is not null && !Types.Contains(type, StringComparer.Ordinal))
                        faults.Add(name, Allowed, value);
                    break;
                case "subject":
                    subject = faults.Name(value, name);
                    break;
                case "session":
                    session = faults.Name(value, name);
                    break;
                case "data":
                    data = faults.Object(value, name);
                    if (data?.Length > MaxData)
                        faults.Add(name, $"is {data.Length} bytes; at most {MaxData} are allowed");
                    break;
                default:
                    faults.Unknown(name, OfEvent.All);
                    break;
            }
        }

        if (faults.Count == before)
        {
            foreach (var (name, isThere) in ((string, bool)[])[("id", id is not null), ("type", type is not null), ("subject", subject is not null), ("data", data is not null)])
            {
                if (!isThere)
                    faults.Add(name, "is required");
            }
        }

        return faults.Count == before ? new NewOutsideEvent(OutsideEvent.Make(type!, id!, data!), subject!, session) : null;
    }
}

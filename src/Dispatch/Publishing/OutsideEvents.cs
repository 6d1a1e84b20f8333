using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Publishing;

/// <summary>
/// The events that registered publishers may add; actor and source are the publisher's id. They tell no table anything: their subject is
/// whatever the publisher calls it, and has no history. JSON names are the public contract: additive changes only.
/// </summary>
/// <param name="Id">The publisher's own id of the event, by which a repeat is known.</param>
/// <param name="Content">What the publisher says: an object, as it was given.</param>
public abstract record OutsideEvent(EventKind Kind, string Id, JsonBytes Content) : EventData(Kind)
{
    public static readonly IReadOnlyList<EventKind> Kinds = [MessageReceived.Is, ToolExecutionRequested.Is, ToolExecuted.Is, MemoryUpdated.Is];

    /// <summary>The event of that type, which is one of <see cref="Kinds"/>.</summary>
    public static OutsideEvent Make(string type, string id, JsonBytes content) => type switch
    {
        "message.received" => new MessageReceived(id, content),
        "tool.execution_requested" => new ToolExecutionRequested(id, content),
        "tool.executed" => new ToolExecuted(id, content),
        "memory.updated" => new MemoryUpdated(id, content),
        _ => throw new ArgumentException($"{type} is not published from outside.", nameof(type)),
    };

    /// <summary>The hash by which a repeat is told from another event with the same id: first half of SHA-256, lower-case hexadecimal.</summary>
    internal string Hash(string subject, string? session)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var part in (ReadOnlySpan<string?>)[Kind.Name, subject, session])
        {
            hash.AppendData(Encoding.UTF8.GetBytes(part ?? ""));
            hash.AppendData([part is null ? (byte)1 : (byte)0]);
        }

        hash.AppendData(Content.Span);
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16));
    }
}

/// <summary>A message reached an agent or a channel.</summary>
/// <param name="Id">The publisher's own id of the event.</param>
/// <param name="Content">An object, as the publisher gave it.</param>
public sealed record MessageReceived(string Id, JsonBytes Content) : OutsideEvent(Is, Id, Content)
{
    public static readonly EventKind Is = new("message.received", "", OutsideEventJson.Default.MessageReceived);
}

/// <summary>An agent wants to run a tool.</summary>
/// <param name="Id">The publisher's own id of the event.</param>
/// <param name="Content">An object, as the publisher gave it.</param>
public sealed record ToolExecutionRequested(string Id, JsonBytes Content) : OutsideEvent(Is, Id, Content)
{
    public static readonly EventKind Is = new("tool.execution_requested", "", OutsideEventJson.Default.ToolExecutionRequested);
}

/// <summary>A tool has run.</summary>
/// <param name="Id">The publisher's own id of the event.</param>
/// <param name="Content">An object, as the publisher gave it.</param>
public sealed record ToolExecuted(string Id, JsonBytes Content) : OutsideEvent(Is, Id, Content)
{
    public static readonly EventKind Is = new("tool.executed", "", OutsideEventJson.Default.ToolExecuted);
}

/// <summary>A memory of the swarm was written.</summary>
/// <param name="Id">The publisher's own id of the event.</param>
/// <param name="Content">An object, as the publisher gave it.</param>
public sealed record MemoryUpdated(string Id, JsonBytes Content) : OutsideEvent(Is, Id, Content)
{
    public static readonly EventKind Is = new("memory.updated", "", OutsideEventJson.Default.MemoryUpdated);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(MessageReceived))]
[JsonSerializable(typeof(ToolExecutionRequested))]
[JsonSerializable(typeof(ToolExecuted))]
[JsonSerializable(typeof(MemoryUpdated))]
[JsonSerializable(typeof(ProgramEvent))]
internal sealed partial class OutsideEventJson : JsonSerializerContext;

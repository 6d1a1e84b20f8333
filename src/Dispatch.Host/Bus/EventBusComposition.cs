using System.Diagnostics.CodeAnalysis;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;
using Dispatch.Events;
using Dispatch.Host.Auth;
using Dispatch.Host.Http;
using Dispatch.Publishing;
using Dispatch.Sequencing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Dispatch.Host.Bus;

/// <summary>What an embedding program adds to the services that it hands to <see cref="Broker.StartAsync(Configuration.DispatchConfig, TimeProvider, CancellationToken, Stream, Configuration.LoadedConfig, Action{IServiceCollection})"/>.</summary>
public static partial class EventBusComposition
{
    // First words of types that this release has or a later one will have: a stored event of the program's must never be taken for one of Dispatch's.
    private static readonly HashSet<string> Reserved =
    [
        .. State.EventKinds.Except(OutsideEvent.Kinds).Select(kind => kind.Name.Split('.')[0]),
        "action", "allowance", "approval", "config", "dispatch", "log", "notification", "os", "policy", "question", "schedule", "time", "world",
    ];

    private static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
    };

    /// <summary>Names the program: source and actor of the events it publishes. Needed once it declares any; keep it, repeats are known by it.</summary>
    /// <param name="services">The broker's.</param>
    /// <param name="source">1 to 256 printable characters; not the name of a part of the broker, nor of a publisher outside.</param>
    /// <exception cref="ArgumentException">It can't be a source.</exception>
    public static IServiceCollection AddEventSource(this IServiceCollection services, string source)
    {
        if (!AgentIds.IsValid(source))
            throw new ArgumentException($"source: '{source}' {AgentIds.Fault}.", nameof(source));
        if (PublisherRequest.IsTaken(source))
            throw new ArgumentException($"source: '{source}' is the name of a part of the broker. Choose the program's own name.", nameof(source));
        return services.AddSingleton(new ProgramSource(source));
    }

    /// <summary>Declares a type of the program's own events.</summary>
    /// <param name="services">The broker's.</param>
    /// <param name="name">Dotted lower-case type, as in <c>memory.created</c>; it stands in the log and must never change its meaning. Its first word is none of Dispatch's own.</param>
    /// <param name="json">How it is written: as a JSON object, at most 64 KiB. Null: by reflection, with names in snake case.</param>
    /// <exception cref="ArgumentException">The name or the type can't be taken.</exception>
    public static IServiceCollection AddEvent<TEvent>(this IServiceCollection services, string name, JsonTypeInfo<TEvent>? json = null)
        where TEvent : class
    {
        if (name.Length > AgentIds.MaxLength || !TypeName().IsMatch(name))
            throw new ArgumentException($"name: '{name}' must be two or more lower-case words with dots between, as in 'memory.created'.", nameof(name));
        if (State.EventKinds.Any(kind => string.Equals(kind.Name, name, StringComparison.Ordinal)))
            throw new ArgumentException($"name: '{name}' is an event of Dispatch. Choose another name.", nameof(name));
        if (Reserved.Contains(name.Split('.')[0]))
            throw new ArgumentException($"name: '{name}' begins with a word that Dispatch keeps for its own events. Begin with another, as in 'my_{name}'.", nameof(name));
        if (typeof(EventData).IsAssignableFrom(typeof(TEvent)))
            throw new ArgumentException($"TEvent: {typeof(TEvent).Name} is an event of Dispatch, and needs no declaration. Declare a record of the program's own.", nameof(name));
        json ??= (JsonTypeInfo<TEvent>)Json.GetTypeInfo(typeof(TEvent));
        if (json.Kind is not (JsonTypeInfoKind.Object or JsonTypeInfoKind.Dictionary))
            throw new ArgumentException($"TEvent: {typeof(TEvent).Name} is not written as a JSON object. Declare a record with named members.", nameof(name));
        return services.AddSingleton(new DeclaredEvent(typeof(TEvent), ProgramEvent.KindOf(name), json));
    }

    /// <summary>Adds a handler, which follows the log from the broker's start to its stop. Its type is made once, with what the services hold, <see cref="EventBus"/> included.</summary>
    /// <param name="services">The broker's.</param>
    /// <param name="configure">Changes the defaults: live, everything of that type, five attempts.</param>
    /// <exception cref="ArgumentException">An option can't be taken.</exception>
    public static IServiceCollection AddEventHandler<TEvent, [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(
        this IServiceCollection services, Action<EventHandlerOptions>? configure = null)
        where TEvent : class
        where THandler : class, IEventHandler<TEvent>
    {
        var options = new EventHandlerOptions();
        configure?.Invoke(options);
        if (options.Durable && options.Name is null)
            throw new ArgumentException($"Name: is missing. The durable handler {typeof(THandler).Name} keeps its place in the log under it; give it one that never changes.", nameof(configure));
        var name = options.Name ?? $"{typeof(THandler).Name}<{typeof(TEvent).Name}>";
        if (Fault(name, options) is { } fault)
            throw new ArgumentException(fault, nameof(configure));

        services.TryAddSingleton<THandler>();
        return services.AddSingleton(new HandlerRegistration((provider, types) => HandlerPlan.Make<TEvent>(
            name, options, types, provider.GetRequiredService<THandler>().HandleAsync)));
    }

    internal static string? Fault(string name, EventHandlerOptions options) =>
        !AgentIds.IsValid(name) ? $"Name: '{name}' {AgentIds.Fault}."
        : options.StartAfter < 0 ? $"StartAfter: {options.StartAfter} is not allowed; it must be 0 or more, or null for what comes next."
        : options.Retry.Fault();

    [GeneratedRegex(@"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex TypeName();
}

/// <summary>The program's name.</summary>
internal sealed record ProgramSource(string Name);

/// <summary>A handler that was added; made when the broker starts.</summary>
internal sealed record HandlerRegistration(Func<IServiceProvider, EventTypes, HandlerPlan> Make);

using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Host.Auth;
using Dispatch.Questions;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Dispatch.Host.Questions;

/// <summary>Answers questions inside the program that embeds the broker. One question at a time, in the order of asking.</summary>
public interface IQuestionResponder
{
    /// <summary>
    /// Answers a question. What throws is logged and leaves the question without this answer, until the broker starts again or the deadline's default
    /// stands for it. May be asked about a question again after a crash; the first answer counts.
    /// </summary>
    Task<ResponderAnswer> AnswerAsync(StoredQuestion question, CancellationToken cancel);
}

/// <summary>What a responder says.</summary>
public sealed record ResponderAnswer
{
    private ResponderAnswer(Verdict answer, string? reason, JsonBytes? replacement) => (Answer, Reason, Replacement) = (answer, reason, replacement);

    internal Verdict Answer { get; }

    internal string? Reason { get; }

    internal JsonBytes? Replacement { get; }

    /// <summary>The step may be taken.</summary>
    public static ResponderAnswer Allow(string? reason = null) => new(Verdict.Allow, reason, null);

    /// <summary>The step may not be taken.</summary>
    public static ResponderAnswer Deny(string reason) => new(Verdict.Deny, reason, null);

    /// <summary>The step may be taken as the replacement says: for a task any of <c>title</c>, <c>description</c>, <c>context</c>, <c>priority</c> (0 to 10).</summary>
    /// <exception cref="ArgumentException">It is no JSON object, or larger than 64 KiB.</exception>
    public static ResponderAnswer Modify(JsonElement replacement, string? reason = null)
    {
        if (replacement.ValueKind != JsonValueKind.Object || JsonBytes.From(replacement) is not { Length: <= QuestionRequest.MaxJson } json)
            throw new ArgumentException($"replacement: must be a JSON object of at most {QuestionRequest.MaxJson} bytes.", nameof(replacement));
        return new(Verdict.Modify, reason, json);
    }
}

/// <summary>What an embedding program adds to the services that it hands to <see cref="Broker.StartAsync(Configuration.DispatchConfig, TimeProvider, CancellationToken, Stream, Configuration.LoadedConfig, Action{IServiceCollection})"/>.</summary>
public static class QuestionComposition
{
    /// <summary>Adds a responder: registered when the broker starts, it is waited for by every question of its types. <c>dispatch responder remove</c> takes away one that is no longer added.</summary>
    /// <param name="services">The broker's.</param>
    /// <param name="id">The name it answers under, 1 to 256 printable characters.</param>
    /// <param name="types">What it answers: types, or all below a name (<c>tool.*</c>).</param>
    /// <exception cref="ArgumentException">The name or the types can't be taken.</exception>
    public static IServiceCollection AddQuestionResponder<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TResponder>(
        this IServiceCollection services, string id, params string[] types)
        where TResponder : class, IQuestionResponder
    {
        if (!AgentIds.IsValid(id) || id is "admin" or "system")
            throw new ArgumentException($"id: '{id}' {AgentIds.Fault}, and not a name of the broker's own.", nameof(id));
        if (types.Length == 0)
            throw new ArgumentException("types: at least one is needed, as in 'tool.*'.", nameof(types));
        services.TryAddSingleton<TResponder>();
        return services.AddSingleton(new ResponderRegistration(id, [.. types.Order(StringComparer.Ordinal)], static provider => provider.GetRequiredService<TResponder>()));
    }
}

/// <summary>A responder that was added; made when the broker starts.</summary>
internal sealed record ResponderRegistration(string Id, string[] Types, Func<IServiceProvider, IQuestionResponder> Make);

using System.Text.Json.Serialization;

namespace Dispatch.Chaos.Histories;

/// <summary>What an actor is about to ask for, with all that the checker needs to judge the answer.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "do")]
[JsonDerivedType(typeof(Submit), "submit")]
[JsonDerivedType(typeof(Cancel), "cancel")]
[JsonDerivedType(typeof(Retry), "retry")]
[JsonDerivedType(typeof(Look), "look")]
[JsonDerivedType(typeof(Post), "post")]
[JsonDerivedType(typeof(Exchange), "exchange")]
[JsonDerivedType(typeof(Holdings), "holdings")]
[JsonDerivedType(typeof(Join), "join")]
[JsonDerivedType(typeof(Leave), "leave")]
public abstract record Invocation
{
    /// <param name="MustBeRefused">The same idempotency key with another body, after the first was acknowledged.</param>
    public sealed record Submit(IReadOnlyList<NewTask> Tasks, bool MustBeRefused = false) : Invocation;

    public sealed record Cancel(string Task) : Invocation;

    public sealed record Retry(string Task) : Invocation;

    public sealed record Look(string Task) : Invocation;

    /// <summary>A report by its own route.</summary>
    public sealed record Post(Report Report) : Invocation;

    /// <summary>Reports and a request for work in one round trip.</summary>
    public sealed record Exchange(IReadOnlyList<Report> Reports) : Invocation;

    /// <summary>An agent asks what it holds.</summary>
    public sealed record Holdings : Invocation;

    public sealed record Join : Invocation;

    public sealed record Leave : Invocation;
}

/// <summary>A task as it is submitted.</summary>
/// <param name="Token">Written into the task's label <c>token</c>. One token is one task, however often it is submitted.</param>
/// <param name="Key">Idempotency key, or null.</param>
/// <param name="Id">Id given by the caller, or null.</param>
/// <param name="DependsOn">Ids of the tasks it waits for.</param>
public sealed record NewTask(string Token, string? Key, string? Id, IReadOnlyList<string> DependsOn, int MaxRetries)
{
    /// <summary>Submitting it again can't make a second task.</summary>
    public bool IsRepeatable => Key is not null || Id is not null;
}

/// <summary>An agent's word about an attempt.</summary>
/// <param name="Outcome">started, progress, completed, failed or released.</param>
/// <param name="Result">The token inside the result of a completion: one token is one result, however often it is reported.</param>
/// <param name="MustBeRefused">The agent knows that the attempt is not its own (any more).</param>
/// <param name="Retryable">False on a failure that no other attempt would better.</param>
public sealed record Report(
    string Agent, string Task, int Attempt, string Outcome, string? Result, bool MustBeRefused = false, bool Retryable = true);

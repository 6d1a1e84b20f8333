using System.Text.Json;

namespace Dispatch.Client;

/// <summary>How a handler's work on a task ended.</summary>
public abstract record WorkResult
{
    private WorkResult()
    {
    }

    /// <summary>The work is done.</summary>
    /// <param name="result">What was made, a JSON object; null: nothing to show.</param>
    /// <param name="usage">What it cost, a JSON object.</param>
    public static WorkResult Complete(JsonElement? result = null, JsonElement? usage = null) => new Completed(result, usage);

    /// <summary>The work failed.</summary>
    /// <param name="error">Why, for a person.</param>
    /// <param name="retryable">Whether another attempt makes sense; false ends the task.</param>
    /// <param name="retryAfter">Not before this pause; null: the broker's own backoff.</param>
    /// <param name="usage">What it cost, a JSON object.</param>
    public static WorkResult Fail(string error, bool retryable = true, TimeSpan? retryAfter = null, JsonElement? usage = null) =>
        new Failed(error, retryable, retryAfter, usage);

    /// <summary>The work was not done and goes back to the queue, at no cost in attempts.</summary>
    public static WorkResult Release() => Released.Instance;

    /// <summary>The work is done.</summary>
    public sealed record Completed(JsonElement? Result, JsonElement? Usage) : WorkResult;

    /// <summary>The work failed.</summary>
    public sealed record Failed(string Error, bool Retryable, TimeSpan? RetryAfter, JsonElement? Usage) : WorkResult;

    /// <summary>The work was handed back.</summary>
    public sealed record Released : WorkResult
    {
        private Released()
        {
        }

        internal static readonly Released Instance = new();
    }
}

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
    /// <param name="model">The model that was used, 1 to 128 characters; null: the one of the task's estimate.</param>
    /// <exception cref="ArgumentException">An argument is no JSON object, or no name of a model.</exception>
    public static WorkResult Complete(JsonElement? result = null, JsonElement? usage = null, string? model = null) =>
        new Completed(Wording.Object(result, nameof(result)), Wording.Object(usage, nameof(usage)), Wording.Model(model, nameof(model)));

    /// <summary>The work failed.</summary>
    /// <param name="error">Why, for a person; cut after 8,000 characters.</param>
    /// <param name="retryable">Whether another attempt makes sense; false ends the task.</param>
    /// <param name="retryAfter">Not before this pause, at most a day; null: the broker's own backoff.</param>
    /// <param name="usage">What it cost, a JSON object.</param>
    /// <param name="model">The model that was used, 1 to 128 characters; null: the one of the task's estimate.</param>
    /// <exception cref="ArgumentException"><paramref name="usage"/> is no JSON object, <paramref name="model"/> no name of a model, or <paramref name="retryAfter"/> is out of range.</exception>
    public static WorkResult Fail(string error, bool retryable = true, TimeSpan? retryAfter = null, JsonElement? usage = null, string? model = null)
    {
        if (retryAfter < TimeSpan.Zero || retryAfter > TimeSpan.FromDays(1))
            throw new ArgumentException("The pause must be between zero and a day.", nameof(retryAfter));
        var said = string.IsNullOrWhiteSpace(error) ? "The worker gave no reason." : error;
        return new Failed(Wording.Shortened(said, Wording.MostOfError), retryable, retryAfter, Wording.Object(usage, nameof(usage)), Wording.Model(model, nameof(model)));
    }

    /// <summary>The work was not done and goes back to the queue, at no cost in attempts.</summary>
    public static WorkResult Release() => Released.Instance;

    /// <summary>The work is done.</summary>
    public sealed record Completed : WorkResult
    {
        internal Completed(JsonElement? result, JsonElement? usage, string? model) => (Result, Usage, Model) = (result, usage, model);

        public JsonElement? Result { get; }
        public JsonElement? Usage { get; }
        public string? Model { get; }
    }

    /// <summary>The work failed.</summary>
    public sealed record Failed : WorkResult
    {
        internal Failed(string error, bool retryable, TimeSpan? retryAfter, JsonElement? usage, string? model) =>
            (Error, Retryable, RetryAfter, Usage, Model) = (error, retryable, retryAfter, usage, model);

        public string Error { get; }
        public bool Retryable { get; }
        public TimeSpan? RetryAfter { get; }
        public JsonElement? Usage { get; }
        public string? Model { get; }
    }

    /// <summary>The work was handed back.</summary>
    public sealed record Released : WorkResult
    {
        private Released()
        {
        }

        internal static readonly Released Instance = new();
    }
}

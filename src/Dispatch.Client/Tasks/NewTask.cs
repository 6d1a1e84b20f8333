using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>A task to be submitted. Members left null take the broker's defaults.</summary>
public sealed record NewTask
{
    /// <summary>What is to be done, in a line. The only member that must be given.</summary>
    public string? Title { get; init; }

    /// <summary>A UUID of the caller's own making; lets the tasks of one submit depend on each other. Null: the broker makes one.</summary>
    public string? Id { get; init; }
    public string? Description { get; init; }

    /// <summary>One required capability by another name.</summary>
    public string? Scope { get; init; }
    public IReadOnlyList<string>? RequiredCapabilities { get; init; }
    public IReadOnlyList<string>? PreferredCapabilities { get; init; }
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary>Whose agents alone may do it.</summary>
    public string? Owner { get; init; }
    public string? Submitter { get; init; }
    public string? Session { get; init; }

    /// <summary>0 to 10, higher is more urgent; 5 when null.</summary>
    [JsonConverter(typeof(PriorityConverter))]
    public int? Priority { get; init; }

    /// <summary>A JSON object for the worker.</summary>
    public JsonElement? Context { get; init; }

    /// <summary>How long one attempt may run; 5 minutes when null.</summary>
    [JsonPropertyName("timeout_ms")]
    public TimeSpan? Timeout { get; init; }

    /// <summary>How many attempts may follow the first; 3 when null.</summary>
    public int? MaxRetries { get; init; }

    /// <summary>Not before this time.</summary>
    public DateTimeOffset? RunAt { get; init; }

    /// <summary>No attempt outlives this time.</summary>
    public DateTimeOffset? Deadline { get; init; }

    /// <summary>Ids of the tasks that must be completed first.</summary>
    public IReadOnlyList<string>? DependsOn { get; init; }
    public string? ParentId { get; init; }

    /// <summary>The same key from the same caller is the same task. Null: see <see cref="DispatchClientOptions.GenerateIdempotencyKeys"/>.</summary>
    public string? IdempotencyKey { get; init; }
    /// <summary>What it is expected to use: a JSON object with <c>tokens_in</c>, <c>tokens_out</c>, <c>money</c> and the like, and <c>model</c>.</summary>
    public JsonElement? Estimate { get; init; }

    /// <summary>What it and the tasks below it may use, over all attempts, by name of unit; null: no budget of its own.</summary>
    public IReadOnlyDictionary<string, long>? Budget { get; init; }

    /// <summary>True: not given out before somebody has confirmed it; a question of type <c>task.confirmation</c> is asked about it.</summary>
    public bool? Confirm { get; init; }

    /// <summary>Members this library does not know. They are sent as they are; the broker refuses those it does not know either.</summary>
    // Not init: the serializer's generated code cannot fill such a member while it constructs.
    [JsonExtensionData]
    public IDictionary<string, JsonElement>? Other { get; set; }

    /// <summary>Reads a task from its JSON as the API takes it. Unknown members are kept in <see cref="Other"/>, so a typo is refused and not lost.</summary>
    /// <exception cref="JsonException">The text is no JSON object, or a known member has a wrong type.</exception>
    public static NewTask Parse(string json) =>
        JsonSerializer.Deserialize(json, WireJson.Default.NewTask) ?? throw new JsonException("A task is a JSON object, not null.");
}

/// <summary>What became of a submitted task.</summary>
/// <param name="Task">The task as it stands.</param>
/// <param name="IsNew">
/// False when its id or idempotency key had been seen before. When the caller gave the key and an answer was lost on the way,
/// also false for the task this very call made.
/// </param>
public sealed record Submission(DispatchTask Task, bool IsNew);

/// <summary>What became of tasks submitted together.</summary>
/// <param name="Tasks">The tasks as they stand, in the order sent.</param>
/// <param name="IsNew">False when the broker had seen them before; see <see cref="Submission"/>.</param>
public sealed record BulkSubmission(IReadOnlyList<DispatchTask> Tasks, bool IsNew);

/// <summary>A change to a task that is not final.</summary>
public sealed record TaskPatch
{
    /// <summary>Only <see cref="TaskState.Cancelled"/> is allowed.</summary>
    public string? Status { get; init; }

    /// <summary>Merged into the context by RFC 7396: a null member removes.</summary>
    public JsonElement? Context { get; init; }

    /// <summary>0 to 10; puts a waiting task to its new place in the queue.</summary>
    public int? Priority { get; init; }
}

/// <summary>The priorities that have names.</summary>
public static class TaskPriority
{
    public const int Critical = 10;
    public const int High = 8;
    public const int Normal = 5;
    public const int Low = 2;

    /// <summary>Reads a name (<c>critical</c>, <c>high</c>, <c>normal</c>, <c>medium</c>, <c>low</c>, in any case) or a number; the range is the broker's to judge.</summary>
    public static bool TryParse(string text, out int priority)
    {
        int? named = text.Trim().ToUpperInvariant() switch
        {
            "CRITICAL" => Critical,
            "HIGH" => High,
            "NORMAL" or "MEDIUM" => Normal,
            "LOW" => Low,
            _ => null,
        };
        if (named is null)
            return int.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out priority);
        priority = named.Value;
        return true;
    }
}

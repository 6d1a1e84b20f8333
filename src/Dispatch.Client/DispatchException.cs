namespace Dispatch.Client;

/// <summary>The broker answered, and refused. Nothing was changed unless <see cref="Code"/> is <c>store_unavailable</c>.</summary>
public sealed class DispatchException : Exception
{
    internal DispatchException(int status, string code, string detail, IReadOnlyList<Fault> faults, string? requestId, TimeSpan? retryAfter, Exception? cause = null)
        : base(Describe(detail, faults), cause)
    {
        Status = status;
        Code = code;
        Detail = detail;
        Faults = faults;
        RequestId = requestId;
        RetryAfter = retryAfter;
    }

    /// <summary>The HTTP status, for example 409.</summary>
    public int Status { get; }

    /// <summary>
    /// The broker's stable code, for example <c>stale_attempt</c>; <c>http_NNN</c> when the answer was no problem document
    /// (something between here and the broker spoke), <c>unreadable_answer</c> when a success could not be read.
    /// </summary>
    public string Code { get; }

    /// <summary>The sentence for a person.</summary>
    public string Detail { get; }

    /// <summary>Every fault found in the request; empty for other refusals.</summary>
    public IReadOnlyList<Fault> Faults { get; }

    /// <summary>The broker's name for this request, to be found in its log.</summary>
    public string? RequestId { get; }

    /// <summary>How long the broker asked to be left alone, when it did.</summary>
    public TimeSpan? RetryAfter { get; }

    private static string Describe(string detail, IReadOnlyList<Fault> faults) => faults.Count == 0
        ? detail
        : detail + " (" + string.Join("; ", faults.Take(5).Select(fault => $"{fault.Field}: {fault.Message}")) + (faults.Count > 5 ? "; ..." : "") + ")";
}

/// <summary>One thing wrong with a request.</summary>
public sealed record Fault
{
    /// <summary>Path of the member, for example <c>tasks[3].priority</c>.</summary>
    public string Field { get => field ?? ""; init; }

    /// <summary>What is wrong with it, and what is allowed.</summary>
    public string Message { get => field ?? ""; init; }

    /// <summary>The value that was refused, where it helps.</summary>
    public System.Text.Json.JsonElement? Value { get; init; }
}

/// <summary>No answer came: the broker is not running, not reachable, or was cut off. What was asked may or may not have happened.</summary>
public sealed class DispatchUnreachableException : Exception
{
    internal DispatchUnreachableException(Uri server, string reason, bool neverSent, Exception? cause)
        : base($"The broker at {server} did not answer: {reason}", cause)
    {
        Server = server;
        NeverSent = neverSent;
    }

    /// <summary>The address that was tried.</summary>
    public Uri Server { get; }

    /// <summary>True when no connection was made, so the last attempt surely had no effect.</summary>
    public bool NeverSent { get; }
}

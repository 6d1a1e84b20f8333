namespace Dispatch.Client;

/// <summary>Where the broker is, who is calling, and how patient the client is.</summary>
public sealed record DispatchClientOptions
{
    /// <summary>The broker's address; a path in it is kept. Default <c>http://127.0.0.1:8600</c>.</summary>
    public Uri Server { get; init; } = new("http://127.0.0.1:8600");

    /// <summary>The caller's agent id, sent as <c>X-Agent-ID</c> with every call. 1 to 256 characters.</summary>
    public required string AgentId { get; init; }

    /// <summary>Bearer token: the agent's own, or the admin's for admin routes. Null sends none.</summary>
    public string? Token { get; init; }

    /// <summary>The namespace of every call, sent as <c>Dispatch-Namespace</c>: a-z, 0-9, - and _. Null: the one that the broker takes by default.</summary>
    public string? Namespace { get; init; }

    /// <summary>How long one attempt of a call may take, on top of the time it asks the broker to wait. Default 30 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a call that is safe to repeat is repeated, counted from its first attempt. Zero: never. Default 30 s.</summary>
    public TimeSpan RetryFor { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Upper bound of the first pause between attempts; it doubles, with full jitter. Default 100 ms.</summary>
    public TimeSpan RetryBase { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Upper bound of any pause between attempts the broker did not ask for. Default 5 s.</summary>
    public TimeSpan RetryCap { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Whether a submit that carries neither an id nor an idempotency key is given a key, which makes it safe to repeat
    /// when its answer is lost. Default true.
    /// </summary>
    public bool GenerateIdempotencyKeys { get; init; } = true;

    /// <summary>The clock for pauses and deadlines. Default the system's.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Without the token, so that a log line does not give it away.</summary>
    public override string ToString() => $"DispatchClientOptions {{ Server = {Server}, AgentId = {AgentId} }}";
}

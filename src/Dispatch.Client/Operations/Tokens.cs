using System.Text.Json.Serialization;

namespace Dispatch.Client;

/// <summary>A token to be made for an agent.</summary>
public sealed record NewToken
{
    /// <summary>The only agent id the token will speak for.</summary>
    public required string AgentId { get; init; }

    /// <summary>A note for the list of tokens.</summary>
    public string? Name { get; init; }

    /// <summary>How long it is good for; null: until revoked.</summary>
    [JsonPropertyName("expires_in_ms")]
    public TimeSpan? ExpiresIn { get; init; }
}

/// <summary>A token just made. The secret is shown this once.</summary>
public sealed record IssuedToken
{
    public required string Id { get; init; }
    public required string AgentId { get; init; }
    public string? Name { get; init; }

    /// <summary>The secret, <c>dsp_...</c>. The broker keeps only its hash.</summary>
    public required string Token { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>Without the secret, so that a log line does not give it away.</summary>
    public override string ToString() => $"IssuedToken {{ Id = {Id}, AgentId = {AgentId} }}";
}

/// <summary>A token as it is listed: without its secret.</summary>
public sealed record TokenEntry
{
    public required string Id { get; init; }
    public required string AgentId { get; init; }
    public string? Name { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? ExpiresAt { get; init; }
    public DateTimeOffset? RevokedAt { get; init; }
}

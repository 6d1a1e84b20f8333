namespace Dispatch.Host;

/// <summary>Why a broker could not start, and what to do about it.</summary>
/// <param name="message">A sentence for a person.</param>
/// <param name="next">What to do next; null when there is nothing to suggest.</param>
public sealed class BrokerStartException(string message, string? next = null, Exception? cause = null) : Exception(message, cause)
{
    /// <summary>What to do next.</summary>
    public string? Next { get; } = next;
}

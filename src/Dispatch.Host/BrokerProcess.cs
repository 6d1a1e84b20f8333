using Dispatch.Host.Configuration;

namespace Dispatch.Host;

/// <summary>The broker as a process: what <c>dispatch serve</c> runs.</summary>
public static class BrokerProcess
{
    /// <summary>Runs a broker until it is told to stop; then commits what it has taken, answers, and closes.</summary>
    /// <param name="config">Every setting, validated.</param>
    /// <param name="stop">Begins the graceful stop.</param>
    /// <exception cref="BrokerStartException">It can not start: another broker has the store, a port is taken, the store is damaged.</exception>
    public static Task RunAsync(LoadedConfig config, CancellationToken stop) =>
        throw new BrokerStartException($"This build has no broker in it, and leaves {config.Config.DataDirectory} alone.", "Build it with: make build");
}

/// <summary>Why a broker could not start, and what to do about it.</summary>
/// <param name="message">A sentence for a person.</param>
/// <param name="next">What to do next; null when there is nothing to suggest.</param>
public sealed class BrokerStartException(string message, string? next = null, Exception? cause = null) : Exception(message, cause)
{
    /// <summary>What to do next.</summary>
    public string? Next { get; } = next;
}

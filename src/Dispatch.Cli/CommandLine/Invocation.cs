using System.CommandLine;
using Dispatch.Cli.Brokers;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.CommandLine;

/// <summary>One run of a command: what was typed, where to write, and when to stop.</summary>
/// <param name="Arguments">What was typed.</param>
/// <param name="Screen">Where to write.</param>
/// <param name="Stop">Cancelled by Ctrl+C and by a request to end.</param>
internal sealed record Invocation(ParseResult Arguments, Screen Screen, CancellationToken Stop)
{
    /// <summary>The value of an option; its default when it was not given.</summary>
    public T? Get<T>(Option<T> option) => Arguments.GetValue(option);

    /// <summary>The value of an argument that must be there.</summary>
    public T Get<T>(Argument<T> argument) => Arguments.GetRequiredValue(argument);

    /// <summary>The directory that was named, or the environment's, or ~/.dispatch.</summary>
    public DataDirectory DataDirectory => DataDirectory.Find(Get(GlobalOptions.DataDirectory));

    /// <summary>A client for the broker that was named, or found.</summary>
    /// <param name="access">Whether the admin token of the data directory may be used.</param>
    /// <param name="patience">How long calls are repeated while the broker is away or busy; not at all when null, so that an absent broker is told at once.</param>
    /// <exception cref="CommandException">The address is none.</exception>
    public DispatchClient Connect(Access access = Access.Operator, TimeSpan? patience = null)
    {
        var options = BrokerAddress.Find(this, access) with { RetryFor = patience ?? TimeSpan.Zero };
        try
        {
            return new DispatchClient(options);
        }
        catch (ArgumentException e)
        {
            throw CommandException.Usage(e.Message, "See --agent, DISPATCH_AGENT_ID, --token and DISPATCH_TOKEN.");
        }
    }
}

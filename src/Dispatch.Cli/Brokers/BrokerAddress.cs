using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Brokers;

/// <summary>As whom a command speaks to the broker.</summary>
internal enum Access
{
    /// <summary>As the agent that was named, with no more than its own token.</summary>
    Agent,

    /// <summary>As the person at the machine: the admin token of the data directory is used when no other was given.</summary>
    Operator,
}

/// <summary>Finds the broker and the caller's identity from flags, environment and data directory, in this order.</summary>
internal static class BrokerAddress
{
    private static readonly Uri Default = new("http://127.0.0.1:8600");

    /// <summary>Address, agent id and token for a client.</summary>
    /// <exception cref="CommandException">The address is no http address.</exception>
    public static DispatchClientOptions Find(Invocation run, Access access)
    {
        var directory = run.DataDirectory;
        var server = Named(run.Get(GlobalOptions.Server), "--server")
            ?? Named(Environment.GetEnvironmentVariable("DISPATCH_URL"), "DISPATCH_URL")
            ?? directory.FindBroker()?.Url
            ?? Default;

        var token = First(run.Get(GlobalOptions.Token), "DISPATCH_TOKEN", "DISPATCH_ADMIN_TOKEN");
        // The token of this machine's broker is no business of a broker elsewhere.
        if (token is null && access == Access.Operator && server.IsLoopback)
            token = directory.FindAdminToken();

        return new DispatchClientOptions
        {
            Server = server,
            AgentId = First(run.Get(GlobalOptions.Agent), "DISPATCH_AGENT_ID") ?? "cli",
            Token = token,
            Namespace = First(run.Get(GlobalOptions.Namespace), "DISPATCH_NAMESPACE"),
        };
    }

    private static Uri? Named(string? text, string where)
    {
        if (string.IsNullOrEmpty(text))
            return null;
        return Uri.TryCreate(text, UriKind.Absolute, out var address) && address.Scheme is "http" or "https"
            ? address
            : throw CommandException.Usage($"{where}: '{text}' is no address", "Write it like http://127.0.0.1:8600");
    }

    private static string? First(string? given, params ReadOnlySpan<string> variables)
    {
        if (!string.IsNullOrEmpty(given))
            return given;
        foreach (var name in variables)
        {
            if (Environment.GetEnvironmentVariable(name) is { Length: > 0 } value)
                return value;
        }

        return null;
    }
}

using System.CommandLine;

namespace Dispatch.Cli.CommandLine;

/// <summary>The options every command takes.</summary>
internal static class GlobalOptions
{
    public static Option<bool> Json { get; } = new("--json")
    {
        Description = "Write JSON to standard output, and nothing else",
        Recursive = true,
    };

    public static Option<string?> Server { get; } = new("--server")
    {
        Description = "The broker's address [DISPATCH_URL, else the broker of the data directory, else http://127.0.0.1:8600]",
        HelpName = "URL",
        Recursive = true,
    };

    public static Option<string?> Agent { get; } = new("--agent")
    {
        Description = "Who you are [DISPATCH_AGENT_ID, else cli]",
        HelpName = "ID",
        Recursive = true,
    };

    public static Option<string?> Token { get; } = new("--token")
    {
        Description = "Your token [DISPATCH_TOKEN, else DISPATCH_ADMIN_TOKEN, else the admin token in the data directory]",
        HelpName = "TOKEN",
        Recursive = true,
    };

    public static Option<string?> DataDirectory { get; } = new("--data-dir")
    {
        Description = "The broker's data directory [DISPATCH_DATA_DIR, else ~/.dispatch]",
        HelpName = "DIR",
        Recursive = true,
    };

    public static Option<string?> Namespace { get; } = new("--namespace")
    {
        Description = "The swarm it is about, where the broker has several [DISPATCH_NAMESPACE, else the broker's default]",
        HelpName = "NAME",
        Recursive = true,
    };

    public static IReadOnlyList<Option> All { get; } = [Json, Server, Agent, Token, DataDirectory, Namespace];
}

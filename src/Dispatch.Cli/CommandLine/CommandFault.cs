using Dispatch.Client;

namespace Dispatch.Cli.CommandLine;

/// <summary>Why a command did not succeed, and what to do about it.</summary>
/// <param name="ExitCode">One of <see cref="CommandLine.ExitCode"/>.</param>
/// <param name="Code">A stable word for scripts: the broker's own code, or one of this program's.</param>
/// <param name="Message">A sentence for a person.</param>
/// <param name="Next">What to do next; null when there is nothing to suggest.</param>
internal sealed record CommandFault(int ExitCode, string Code, string Message, string? Next = null)
{
    /// <summary>Single faults of a refused request, as <c>field: message</c>.</summary>
    public IReadOnlyList<string> Details { get; init; } = [];

    /// <summary>Translates whatever ended a command.</summary>
    public static CommandFault Of(Exception exception) => exception switch
    {
        CommandException known => known.Fault,
        DispatchUnreachableException lost => Unreachable(lost),
        DispatchException refused => Refused(refused),
        IOException or UnauthorizedAccessException => new CommandFault(CommandLine.ExitCode.Usage, "file", exception.Message),
        _ => new CommandFault(CommandLine.ExitCode.Internal, "internal", $"{exception.GetType().Name}: {exception.Message}",
            "This is a fault in dispatch. Set DISPATCH_DEBUG=1 to see where it happened."),
    };

    private static CommandFault Unreachable(DispatchUnreachableException lost) => new(
        CommandLine.ExitCode.Unreachable,
        "broker_unreachable",
        lost.NeverSent ? $"No broker answers at {lost.Server}" : lost.Message,
        lost.Server.IsLoopback
            ? "Start it with: dispatch serve   (or name another one with --server or DISPATCH_URL)"
            : "Check the address (--server or DISPATCH_URL) and that the broker runs there.");

    private static CommandFault Refused(DispatchException refused)
    {
        var exit = refused.Status switch
        {
            // What the broker calls invalid came from the command line, or from a file that it names.
            400 when refused.Code == "validation" => CommandLine.ExitCode.Usage,
            401 or 403 => CommandLine.ExitCode.Denied,
            404 => CommandLine.ExitCode.NotFound,
            _ => CommandLine.ExitCode.Failed,
        };
        var details = refused.Faults.Select(Describe).ToList();
        return details.Count == 1
            ? new CommandFault(exit, refused.Code, details[0], NextFor(refused.Code))
            : new CommandFault(exit, refused.Code, refused.Detail, NextFor(refused.Code)) { Details = details };
    }

    private static string Describe(Fault fault) =>
        fault.Value is { } value ? $"{fault.Field}: {fault.Message} (given: {Short(value.GetRawText())})" : $"{fault.Field}: {fault.Message}";

    private static string? NextFor(string code) => code switch
    {
        "unauthorized" => "Say who you are with --agent, and give --token or DISPATCH_TOKEN. An admin makes tokens with: dispatch token create AGENT",
        "forbidden" => "This needs the admin token: DISPATCH_ADMIN_TOKEN, or run it on the broker's machine as the user who runs the broker.",
        "task_not_found" => "See which tasks there are with: dispatch task list",
        "agent_not_found" => "See which agents there are with: dispatch agent list",
        "token_not_found" => "See which tokens there are with: dispatch token list",
        "limit_not_found" => "See which limits there are with: dispatch quota list",
        "version_mismatch" => "Look at it as it is now with: dispatch quota show ID",
        "task_state" => "See where the task stands with: dispatch task show ID",
        "idempotency_mismatch" => "This key was used for another task before. Use a new key, or send the same task again.",
        "task_exists" => "This id is taken by another task. Leave the id out and the broker makes one.",
        "store_unavailable" or "busy" or "shutting_down" or "too_many_requests" => "Try again in a moment.",
        "events_gone" => "Begin with the oldest that is kept: leave --after out (events list), or give its number to --from (events tail).",
        "payload_too_large" => "Keep large data elsewhere and put its address into the context.",
        "not_found" or "unreadable_answer" => "Is this really a dispatch broker, and of this version? See: dispatch version",
        _ => null,
    };

    private static string Short(string json) => json.Length <= 60 ? json : json[..57] + "...";
}

/// <summary>Ends a command with a fault.</summary>
internal sealed class CommandException(CommandFault fault) : Exception(fault.Message)
{
    /// <summary>What is wrong and what to do.</summary>
    public CommandFault Fault { get; } = fault;

    /// <summary>A flag, a file or the configuration is wrong.</summary>
    public static CommandException Usage(string message, string? next = null) => new(new CommandFault(ExitCode.Usage, "usage", message, next));
}

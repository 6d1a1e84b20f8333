namespace Dispatch.Cli.CommandLine;

/// <summary>The exit codes of the command; part of its contract with scripts.</summary>
internal static class ExitCode
{
    /// <summary>It did what was asked.</summary>
    public const int Ok = 0;

    /// <summary>The operation was refused, or a task that was waited for ended other than completed.</summary>
    public const int Failed = 1;

    /// <summary>A flag, a file or the configuration is wrong; nothing was done.</summary>
    public const int Usage = 2;

    /// <summary>No broker answers.</summary>
    public const int Unreachable = 3;

    /// <summary>There is no such task, agent or token.</summary>
    public const int NotFound = 4;

    /// <summary>The caller is not known, or may not do this.</summary>
    public const int Denied = 5;

    /// <summary>A fault of the program itself.</summary>
    public const int Internal = 70;

    /// <summary>Ended by Ctrl+C or a request to stop.</summary>
    public const int Interrupted = 130;

    /// <summary>All of them, in order, with what they mean: the text of the help.</summary>
    public static IReadOnlyList<(int Code, string Meaning)> All { get; } =
    [
        (Ok, "done"),
        (Failed, "refused, or a task that was waited for did not complete"),
        (Usage, "wrong flag, file or configuration; nothing was done"),
        (Unreachable, "no broker answers"),
        (NotFound, "no such task, agent or token"),
        (Denied, "not signed in, or not allowed"),
        (Internal, "a fault in dispatch itself"),
        (Interrupted, "interrupted"),
    ];
}

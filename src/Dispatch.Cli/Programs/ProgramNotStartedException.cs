using System.Runtime.InteropServices;

namespace Dispatch.Cli.Programs;

/// <summary>The operating system did not start a program.</summary>
/// <param name="program">The program as it was named.</param>
/// <param name="error">The operating system's error number.</param>
public sealed class ProgramNotStartedException(string program, int error)
    : Exception($"{program} could not be started: {Reason(error)}")
{
    private const int ArgumentsTooLong = 7;
    private const int FileNotFound = 2;

    /// <summary>False when the task's own values are the cause: they are too long for this system's command line.</summary>
    public bool Retryable { get; } = error != ArgumentsTooLong;

    private static string Reason(int error) => error switch
    {
        FileNotFound => "no such program here",
        ArgumentsTooLong => "its arguments are longer than this system allows; take them from standard input instead",
        _ => Marshal.GetPInvokeErrorMessage(error),
    };
}

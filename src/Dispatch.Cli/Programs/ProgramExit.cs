namespace Dispatch.Cli.Programs;

/// <summary>How a program ended: by itself with a code, or by a signal.</summary>
/// <param name="Code">The exit code, 0..255 but on Windows; 128 + the signal's number when one ended it.</param>
/// <param name="Signal">The number of the signal that ended it; null when it ended by itself.</param>
public readonly record struct ProgramExit(int Code, int? Signal = null)
{
    /// <inheritdoc/>
    public override string ToString() => Signal switch
    {
        null => $"exit code {Code}",
        6 => "ended by SIGABRT",
        9 => "ended by SIGKILL",
        11 => "ended by SIGSEGV",
        15 => "ended by SIGTERM",
        { } other => $"ended by signal {other}",
    };
}

namespace Dispatch.Cli.Programs;

/// <summary>A started program and everything it starts, which is ended as a whole.</summary>
public interface IProgramProcess : IAsyncDisposable
{
    /// <summary>The program's process id.</summary>
    int Id { get; }

    /// <summary>The program's standard input.</summary>
    Stream Input { get; }

    /// <summary>The program's standard output.</summary>
    Stream Output { get; }

    /// <summary>The program's standard error.</summary>
    Stream Errors { get; }

    /// <summary>Done when the program has ended. What it left running has been killed by then.</summary>
    Task<ProgramExit> Exited { get; }

    /// <summary>Asks the program and its descendants to end. Nothing happens when they have.</summary>
    void Terminate();

    /// <summary>Ends the program and its descendants at once. Nothing happens when they have.</summary>
    void Kill();
}

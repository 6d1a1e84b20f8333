using System.ComponentModel;
using System.Diagnostics;

namespace Dispatch.Cli.Programs;

/// <summary>A program and its descendants where there are no process groups, that is on Windows.</summary>
/// <remarks>There is no polite way to end a program there, so asking it to end kills it.</remarks>
internal sealed class ManagedProcess : IProgramProcess
{
    private readonly Process process;
    private readonly Task<ProgramExit> exited;

    private ManagedProcess(Process process)
    {
        this.process = process;
        exited = WaitAsync(process);
    }

    public int Id => process.Id;

    public Stream Input => process.StandardInput.BaseStream;

    public Stream Output => process.StandardOutput.BaseStream;

    public Stream Errors => process.StandardError.BaseStream;

    public Task<ProgramExit> Exited => exited;

    /// <summary>Starts a program.</summary>
    /// <exception cref="ProgramNotStartedException">The operating system refused.</exception>
    public static ManagedProcess Start(IReadOnlyList<string> words, IReadOnlyDictionary<string, string> environment)
    {
        var start = new ProcessStartInfo(words[0])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (var argument in words.Skip(1))
            start.ArgumentList.Add(argument);
        start.Environment.Clear();
        foreach (var (name, value) in environment)
            start.Environment[name] = value;

        try
        {
            return new ManagedProcess(Process.Start(start)!);
        }
        catch (Win32Exception e)
        {
            throw new ProgramNotStartedException(words[0], e.NativeErrorCode);
        }
    }

    public void Terminate() => Kill();

    public void Kill() => process.Kill(entireProcessTree: true);

    public async ValueTask DisposeAsync()
    {
        Kill();
        await exited;
        process.Dispose();
    }

    private static async Task<ProgramExit> WaitAsync(Process process)
    {
        await process.WaitForExitAsync();
        return new ProgramExit(process.ExitCode);
    }
}

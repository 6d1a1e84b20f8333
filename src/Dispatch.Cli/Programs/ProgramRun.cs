using System.Text.Json;

namespace Dispatch.Cli.Programs;

/// <summary>One run of a program for one task, from start to the end of its last process.</summary>
public sealed class ProgramRun
{
    /// <summary>Bytes of result taken from a program.</summary>
    public const int OutputLimit = 512 * 1024;

    /// <summary>Characters of an error; the broker takes 8,192.</summary>
    public const int ErrorLimit = 8_000;

    /// <summary>The exit code that asks for another attempt: EX_TEMPFAIL of sysexits.h.</summary>
    public const int TryAgainCode = 75;

    /// <summary>Output is read this long after the end, should a process that left the group still hold the pipe.</summary>
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(2);

    private readonly ProgramLauncher launcher;
    private readonly TimeSpan grace;
    private readonly TimeProvider time;

    /// <summary>Prepares runs.</summary>
    /// <param name="launcher">Starts the programs.</param>
    /// <param name="grace">Time between asking a program to end and killing it.</param>
    /// <param name="time">Measures the grace.</param>
    public ProgramRun(ProgramLauncher launcher, TimeSpan grace, TimeProvider time)
    {
        this.launcher = launcher;
        this.grace = grace;
        this.time = time;
    }

    /// <summary>Runs a program and waits for its end.</summary>
    /// <param name="words">The program and its arguments.</param>
    /// <param name="variables">Added to its environment.</param>
    /// <param name="input">Written to its standard input, which is then closed.</param>
    /// <param name="onProgress">Takes its progress lines.</param>
    /// <param name="stop">Ends the program and everything it started.</param>
    /// <exception cref="OperationCanceledException">It was stopped, and nothing of it runs any more.</exception>
    public async Task<ProgramVerdict> RunAsync(
        IReadOnlyList<string> words,
        IReadOnlyDictionary<string, string> variables,
        ReadOnlyMemory<byte> input,
        Action<int, string?> onProgress,
        CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        IProgramProcess process;
        try
        {
            process = launcher.Start(words, variables);
        }
        catch (ProgramNotStartedException e)
        {
            return new ProgramVerdict.Failed(e.Message, e.Retryable);
        }

        await using (process)
        {
            var output = new ProgramOutput(OutputLimit);
            var errors = new ProgramErrors(onProgress);
            using var drained = new CancellationTokenSource();
            var streams = Task.WhenAll(
                WriteAsync(process.Input, input, drained.Token),
                UntilStoppedAsync(output.ReadAsync(process.Output, drained.Token)),
                UntilStoppedAsync(errors.ReadAsync(process.Errors, drained.Token)));

            var (exit, stopped) = await EndOfAsync(process, stop);

            drained.CancelAfter(DrainTime);
            await streams;
            // A program that ended by itself just as it was to be stopped has done its work: its word counts.
            return stopped ? throw new OperationCanceledException(stop) : Judge(exit, output, errors);
        }
    }

    private static ProgramVerdict Judge(ProgramExit exit, ProgramOutput output, ProgramErrors errors)
    {
        if (exit is { Code: 0, Signal: null })
            return new ProgramVerdict.Completed(output.ToResult());
        // The last words are the ones that tell.
        var tail = errors.Tail.Length <= ErrorLimit ? errors.Tail : "..." + errors.Tail[^ErrorLimit..];
        var message = tail.Length > 0 ? $"{exit}: {tail}" : $"{exit}, and nothing on standard error";
        return new ProgramVerdict.Failed(message, Retryable: exit is { Code: TryAgainCode, Signal: null });
    }

    private async Task<(ProgramExit Exit, bool Stopped)> EndOfAsync(IProgramProcess process, CancellationToken stop)
    {
        try
        {
            return (await process.Exited.WaitAsync(stop), Stopped: false);
        }
        catch (OperationCanceledException)
        {
            process.Terminate();
        }

        try
        {
            return (await process.Exited.WaitAsync(grace, time, CancellationToken.None), Stopped: true);
        }
        catch (TimeoutException)
        {
            process.Kill();
            return (await process.Exited, Stopped: true);
        }
    }

    private static async Task WriteAsync(Stream stream, ReadOnlyMemory<byte> input, CancellationToken stop)
    {
        try
        {
            await stream.WriteAsync(input, stop);
            await stream.DisposeAsync();
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // A program need not read its input, and may end before it has.
        }
    }

    private static async Task UntilStoppedAsync(Task reading)
    {
        try
        {
            await reading;
        }
        catch (OperationCanceledException)
        {
            // The program has ended; what holds the pipe is a process that left its group.
        }
    }
}

/// <summary>What a program's end says about its task.</summary>
public abstract record ProgramVerdict
{
    private ProgramVerdict()
    {
    }

    /// <summary>It ended with 0.</summary>
    /// <param name="Result">Made of its standard output; null when there was none.</param>
    public sealed record Completed(JsonElement? Result) : ProgramVerdict;

    /// <summary>It ended otherwise, or could not be started.</summary>
    /// <param name="Error">A sentence and its last lines of standard error.</param>
    /// <param name="Retryable">Whether another attempt makes sense.</param>
    public sealed record Failed(string Error, bool Retryable) : ProgramVerdict;
}

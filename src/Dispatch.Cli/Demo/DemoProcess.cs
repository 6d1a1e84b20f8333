using Dispatch.Cli.Programs;

namespace Dispatch.Cli.Demo;

/// <summary>A process of the demo, with what it says kept in a file.</summary>
internal sealed class DemoProcess : IAsyncDisposable
{
    private readonly IProgramProcess process;
    private readonly Task logging;

    private DemoProcess(IProgramProcess process, string name, string log)
    {
        this.process = process;
        Name = name;
        Log = log;
        logging = LogAsync(process, log);
    }

    public string Name { get; }

    public int Id => process.Id;

    /// <summary>The file its output is in.</summary>
    public string Log { get; }

    public Task<ProgramExit> Exited => process.Exited;

    /// <summary>Starts this same executable with other arguments.</summary>
    /// <param name="yields">Whether it lets others have the processor first.</param>
    public static DemoProcess Start(string name, string directory, IEnumerable<string> arguments, GroupWatchdog? watchdog, bool yields = false)
    {
        IEnumerable<string> nice = yields ? ["nice", "-n", "10"] : [];
        var words = nice.Concat(OwnExecutable.Words).Concat(arguments).ToList();
        return new DemoProcess(PosixProcess.Start(words, OwnExecutable.CleanEnvironment, watchdog), name, Path.Combine(directory, name + ".log"));
    }

    /// <summary>SIGKILL: it gets no chance to say anything to anybody.</summary>
    public void Kill() => process.Kill();

    /// <summary>Asks it to end, and kills it when it does not.</summary>
    public async Task StopAsync(TimeSpan patience)
    {
        process.Terminate();
        try
        {
            await process.Exited.WaitAsync(patience, TimeProvider.System);
        }
        catch (TimeoutException)
        {
            process.Kill();
        }

        await process.Exited;
        await logging;
    }

    public async ValueTask DisposeAsync()
    {
        await process.DisposeAsync();
        await logging;
    }

    private static async Task LogAsync(IProgramProcess process, string path)
    {
        await process.Input.DisposeAsync();
        await using var log = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read);
        using var one = new SemaphoreSlim(1);
        await Task.WhenAll(CopyAsync(process.Output), CopyAsync(process.Errors));

        async Task CopyAsync(Stream from)
        {
            var buffer = new byte[4096];
            try
            {
                while (await from.ReadAsync(buffer) is > 0 and var count)
                {
                    await one.WaitAsync();
                    await log.WriteAsync(buffer.AsMemory(0, count));
                    await log.FlushAsync();
                    one.Release();
                }
            }
            catch (ObjectDisposedException)
            {
                // The process has ended and its pipes are closed.
            }
        }
    }
}

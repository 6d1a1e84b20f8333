using System.Diagnostics;
using System.IO.Pipes;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Dispatch.Cli.Programs;

/// <summary>A program in a process group of its own, on Linux and macOS.</summary>
/// <remarks>
/// <see cref="Process"/> can not put a program into a group, so this one is started with posix_spawn. The order at its
/// end is what makes signalling safe: wait without collecting, kill what is left of the group, collect. Until it is
/// collected the kernel gives its id to nobody else, so no signal ever reaches a stranger.
/// </remarks>
internal sealed class PosixProcess : IProgramProcess
{
    private const int WaiterStackBytes = 128 * 1024;

    private readonly Lock gate = new();
    private readonly TaskCompletionSource<ProgramExit> exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly GroupWatchdog? watchdog;
    private bool collected;

    private PosixProcess(int id, Pipe input, Pipe output, Pipe errors, GroupWatchdog? watchdog)
    {
        Id = id;
        Input = new AnonymousPipeClientStream(PipeDirection.Out, input.TakeWriteEnd());
        Output = new AnonymousPipeClientStream(PipeDirection.In, output.TakeReadEnd());
        Errors = new AnonymousPipeClientStream(PipeDirection.In, errors.TakeReadEnd());
        this.watchdog = watchdog;
        watchdog?.Guard(id);
        new Thread(Collect, WaiterStackBytes) { IsBackground = true, Name = $"wait {id}" }.Start();
    }

    public int Id { get; }

    public Stream Input { get; }

    public Stream Output { get; }

    public Stream Errors { get; }

    public Task<ProgramExit> Exited => exited.Task;

    /// <summary>Starts a program.</summary>
    /// <param name="words">The program and its arguments; the program is looked up in PATH when it holds no slash.</param>
    /// <param name="environment">The whole environment, as NAME=value.</param>
    /// <param name="watchdog">Ends the group should this process be killed; null when nobody does.</param>
    /// <param name="ownSession">True to leave the terminal's session as well.</param>
    /// <exception cref="ProgramNotStartedException">The operating system refused.</exception>
    public static unsafe PosixProcess Start(
        IReadOnlyList<string> words, IReadOnlyCollection<string> environment, GroupWatchdog? watchdog, bool ownSession = false)
    {
        using var input = Pipe.Open();
        using var output = Pipe.Open();
        using var errors = Pipe.Open();
        using var arguments = new NativeStrings(words);
        using var variables = new NativeStrings(environment);

        var actions = stackalloc byte[Libc.OpaqueSize];
        var attributes = stackalloc byte[Libc.OpaqueSize];
        var signals = stackalloc byte[Libc.OpaqueSize];
        Check(Libc.posix_spawn_file_actions_init(actions));
        Check(Libc.posix_spawnattr_init(attributes));
        try
        {
            Check(Libc.posix_spawn_file_actions_adddup2(actions, input.ReadEnd, 0));
            Check(Libc.posix_spawn_file_actions_adddup2(actions, output.WriteEnd, 1));
            Check(Libc.posix_spawn_file_actions_adddup2(actions, errors.WriteEnd, 2));

            // .NET ignores SIGPIPE, and an ignored signal stays ignored in the program: `yes | head` would never end.
            _ = Libc.sigfillset(signals);
            Check(Libc.posix_spawnattr_setsigdefault(attributes, signals));
            _ = Libc.sigemptyset(signals);
            Check(Libc.posix_spawnattr_setsigmask(attributes, signals));
            Check(Libc.posix_spawnattr_setpgroup(attributes, 0));
            Check(Libc.posix_spawnattr_setflags(attributes, (short)(
                Libc.SpawnSetDefaultSignals | Libc.SpawnSetSignalMask | Libc.SpawnInheritNothing
                | (ownSession ? Libc.SpawnSetSession : Libc.SpawnSetGroup))));

            var error = Libc.posix_spawnp(out var id, words[0], actions, attributes, arguments.Pointer, variables.Pointer);
            return error == 0
                ? new PosixProcess(id, input, output, errors, watchdog)
                : throw new ProgramNotStartedException(words[0], error);
        }
        finally
        {
            _ = Libc.posix_spawn_file_actions_destroy(actions);
            _ = Libc.posix_spawnattr_destroy(attributes);
        }

        void Check(int error)
        {
            if (error != 0)
                throw new ProgramNotStartedException(words[0], error);
        }
    }

    public void Terminate() => Signal(Libc.SigTerm);

    public void Kill() => Signal(Libc.SigKill);

    public async ValueTask DisposeAsync()
    {
        Kill();
        await exited.Task;
        await Input.DisposeAsync();
        await Output.DisposeAsync();
        await Errors.DisposeAsync();
    }

    private void Signal(int signal)
    {
        lock (gate)
        {
            if (!collected)
                SignalGroup(signal);
        }
    }

    private void SignalGroup(int signal)
    {
        // Not permitted: macOS says so of a group that has ended, Linux of one that has become another user's.
        if (Libc.kill(-Id, signal) != 0 && Marshal.GetLastPInvokeError() is not (Libc.NoSuchProcess or Libc.NotPermitted) and var error)
            throw new InvalidOperationException($"process group {Id} could not be signalled: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    private unsafe void Collect()
    {
        var info = stackalloc byte[Libc.OpaqueSize];
        const int processId = 1;
        while (Libc.waitid(processId, Id, info, Libc.WaitExitedKeep) != 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted)
        {
        }

        int status, result;
        lock (gate)
        {
            SignalGroup(Libc.SigKill);
            watchdog?.Release(Id);
            while ((result = Libc.waitpid(Id, out status, 0)) < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted)
            {
            }

            collected = true;
        }

        if (result != Id)
            exited.SetException(new InvalidOperationException($"the exit code of process {Id} is lost: somebody else collected it"));
        else if ((status & 0x7f) is var signal and not 0)
            exited.SetResult(new ProgramExit(128 + signal, signal));
        else
            exited.SetResult(new ProgramExit((status >> 8) & 0xff));
    }

    /// <summary>Both ends of a pipe; an end that nobody takes is closed.</summary>
    private sealed class Pipe : IDisposable
    {
        public int ReadEnd { get; private set; }

        public int WriteEnd { get; private set; }

        public static unsafe Pipe Open()
        {
            var ends = stackalloc int[2];
            return Libc.Pipe(ends) == 0
                ? new Pipe { ReadEnd = ends[0], WriteEnd = ends[1] }
                : throw new ProgramNotStartedException("pipe", Marshal.GetLastPInvokeError());
        }

        public SafePipeHandle TakeReadEnd()
        {
            var handle = new SafePipeHandle(ReadEnd, ownsHandle: true);
            ReadEnd = -1;
            return handle;
        }

        public SafePipeHandle TakeWriteEnd()
        {
            var handle = new SafePipeHandle(WriteEnd, ownsHandle: true);
            WriteEnd = -1;
            return handle;
        }

        public void Dispose()
        {
            if (ReadEnd >= 0)
                _ = Libc.close(ReadEnd);
            if (WriteEnd >= 0)
                _ = Libc.close(WriteEnd);
        }
    }
}

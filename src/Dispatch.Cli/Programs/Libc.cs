using System.Runtime.InteropServices;

namespace Dispatch.Cli.Programs;

/// <summary>The few calls of the C library that .NET has no word for.</summary>
internal static unsafe partial class Libc
{
    public const int HangUp = 1;
    public const int SigTerm = 15;
    public const int SigKill = 9;
    public const int NotPermitted = 1;
    public const int NoSuchProcess = 3;
    public const int Interrupted = 4;

    /// <summary>Larger than any attribute, file action or signal set of glibc, musl or macOS.</summary>
    public const int OpaqueSize = 1024;

    private const int CloseOnExecLinux = 0x80000;

    /// <summary>The flag that makes a spawned process the leader of a new group, named after its own id.</summary>
    public const int SpawnSetGroup = 0x02;
    public const int SpawnSetDefaultSignals = 0x04;
    public const int SpawnSetSignalMask = 0x08;

    public static int SpawnSetSession => OperatingSystem.IsMacOS() ? 0x0400 : 0x80;

    /// <summary>macOS has no pipe2; there a spawned process is told to inherit nothing that isn't named.</summary>
    public static int SpawnInheritNothing => OperatingSystem.IsMacOS() ? 0x4000 : 0;

    public static int WaitExitedKeep => 0x4 | (OperatingSystem.IsMacOS() ? 0x20 : 0x01000000);

    public static int ChildSignal => OperatingSystem.IsMacOS() ? 20 : 17;

    /// <summary>A pipe that no other program started by this process can inherit.</summary>
    public static int Pipe(int* ends) => OperatingSystem.IsMacOS() ? pipe(ends) : pipe2(ends, CloseOnExecLinux);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int pipe(int* ends);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int pipe2(int* ends, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int descriptor);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int kill(int process, int signal);

    /// <summary>Blocks until the process has ended; with <see cref="WaitExitedKeep"/> it can still be waited for.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int waitid(int idType, int id, byte* info, int options);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int waitpid(int process, out int status, int options);

    /// <summary>
    /// Makes ended children wait to be collected, when whoever started this process had told it to forget them.
    /// Without it the kernel throws their exit codes away. To be called before .NET looks at the signal.
    /// </summary>
    public static void KeepExitCodes()
    {
        if (IsIgnored(ChildSignal))
            signal(ChildSignal, 0);
    }

    /// <summary>Whether this process was started with a signal ignored.</summary>
    public static bool IsIgnored(int number)
    {
        // The handler is the structure's first member on every system this runs on.
        var before = stackalloc byte[OpaqueSize];
        return sigaction(number, null, before) == 0 && *(nint*)before == Ignore;
    }

    private const nint Ignore = 1;

    [LibraryImport("libc", SetLastError = true)]
    private static partial int sigaction(int number, byte* next, byte* before);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint signal(int number, nint handler);

    [LibraryImport("libc")]
    public static partial int sigfillset(byte* set);

    [LibraryImport("libc")]
    public static partial int sigemptyset(byte* set);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int posix_spawnp(out int process, string file, byte* actions, byte* attributes, byte** arguments, byte** environment);

    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_init(byte* actions);

    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_adddup2(byte* actions, int from, int to);

    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_destroy(byte* actions);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_init(byte* attributes);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_setflags(byte* attributes, short flags);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_setpgroup(byte* attributes, int group);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_setsigdefault(byte* attributes, byte* signals);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_setsigmask(byte* attributes, byte* signals);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_destroy(byte* attributes);
}

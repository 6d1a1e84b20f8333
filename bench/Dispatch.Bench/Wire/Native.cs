using System.Runtime.InteropServices;

namespace Dispatch.Bench.Wire;

/// <summary>The Linux calls of the load client. Plain system calls keep the client's share of the two cores small.</summary>
internal static unsafe partial class Native
{
    public const uint Readable = 0x001;
    public const uint Writable = 0x004;

    public const int TryAgain = 11;
    public const int Interrupted = 4;

    public const int DontWait = 0x40;
    public const int NoSignal = 0x4000;

    public const int Terminate = 15;
    public const int Kill = 9;

    private const int AddSource = 1;
    private const int ChangeSource = 3;
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int Monotonic = 1;

    // struct epoll_event is packed on x86-64 and nowhere else.
    private static readonly bool Packed = RuntimeInformation.ProcessArchitecture == Architecture.X64;

    /// <summary>Bytes of one struct epoll_event.</summary>
    public static readonly int EventSize = Packed ? 12 : 16;

    /// <summary>Offset of the user data in a struct epoll_event.</summary>
    public static readonly int EventDataOffset = Packed ? 4 : 8;

    public static int CreateEpoll() => Checked(epoll_create1(CloseOnExec), "epoll_create1");

    public static void Watch(int epoll, int descriptor, uint events, int token) =>
        Control(epoll, AddSource, descriptor, events, token);

    public static void Rewatch(int epoll, int descriptor, uint events, int token) =>
        Control(epoll, ChangeSource, descriptor, events, token);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    public static partial int Wait(int epoll, byte* events, int capacity, int timeoutMs);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    public static partial nint Receive(int descriptor, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    public static partial nint Send(int descriptor, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(int descriptor, byte* buffer, nuint length);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    public static partial int Signal(int process, int signal);

    /// <summary>A timer that becomes readable first after <paramref name="firstNs"/> and then every <paramref name="periodNs"/> nanoseconds.</summary>
    public static int StartTimer(long firstNs, long periodNs)
    {
        var timer = Checked(timerfd_create(Monotonic, NonBlocking | CloseOnExec), "timerfd_create");
        var specification = stackalloc long[4]
        {
            periodNs / 1_000_000_000, periodNs % 1_000_000_000,
            firstNs / 1_000_000_000, firstNs % 1_000_000_000,
        };
        Checked(timerfd_settime(timer, 0, specification, null), "timerfd_settime");
        return timer;
    }

    private static void Control(int epoll, int operation, int descriptor, uint events, int token)
    {
        var entry = stackalloc byte[16];
        *(uint*)entry = events;
        *(ulong*)(entry + EventDataOffset) = (uint)token;
        Checked(epoll_ctl(epoll, operation, descriptor, entry), "epoll_ctl");
    }

    private static int Checked(int result, string call) =>
        result >= 0 ? result : throw new IOException($"{call} failed: {Marshal.GetLastPInvokeErrorMessage()}");

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_ctl(int epoll, int operation, int descriptor, byte* entry);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int timerfd_create(int clock, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int timerfd_settime(int timer, int flags, long* specification, long* previous);
}

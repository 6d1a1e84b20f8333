using System.Runtime.InteropServices;
using System.Text;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// The file beside the database that one broker at a time holds locked, with its process id in it. The operating system frees the
/// lock when the process ends in whatever way. The file itself stays: removing it could take it from under a broker that is starting.
/// </summary>
internal sealed partial class BrokerLock : IDisposable
{
    private const int LockExclusiveNow = 2 | 4;

    /// <summary>What a lock held by somebody else looks like: a sharing violation on Windows, EWOULDBLOCK elsewhere.</summary>
    private static readonly int Held = OperatingSystem.IsWindows() ? unchecked((int)0x80070020) : OperatingSystem.IsMacOS() ? 35 : 11;

    private readonly FileStream file;

    private BrokerLock(FileStream file) => this.file = file;

    /// <summary>Takes the lock, or returns null with the process id of who holds it (0 when it can't be told).</summary>
    /// <exception cref="IOException">The file can't be made or written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file can't be made or written.</exception>
    internal static BrokerLock? TryTake(string path, out int holder)
    {
        holder = 0;
        FileStream file;
        try
        {
            file = Open(path);
        }
        catch (IOException refusal) when (refusal.HResult == Held)
        {
            _ = int.TryParse((OperatingSystem.IsWindows() ? ReadShared(path) : ReadAroundLock(path)).Trim(), out holder);
            return null;
        }

        try
        {
            file.SetLength(0);
            file.Write(Encoding.ASCII.GetBytes($"{Environment.ProcessId}\n"));
            file.Flush();
            return new BrokerLock(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        file.SetLength(0);
        file.Dispose();
    }

    private static FileStream Open(string path)
    {
        // On Windows readers are let in to see the process id; elsewhere reading goes around the lock anyway.
        var options = new FileStreamOptions
        {
            Mode = FileMode.OpenOrCreate,
            Access = FileAccess.ReadWrite,
            Share = OperatingSystem.IsWindows() ? FileShare.Read : FileShare.None,
            BufferSize = 0,
        };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        var file = new FileStream(path, options);
        if (OperatingSystem.IsWindows() || Flock(file.SafeFileHandle.DangerousGetHandle(), LockExclusiveNow) == 0)
            return file;

        // .NET's own locking can be switched off by an environment variable; ours must not be.
        file.Dispose();
        throw new IOException($"{path} is locked.", Held);
    }

    private static string ReadShared(string path)
    {
        using var reader = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd();
    }

    // .NET takes a shared lock on whatever it opens, and would be refused too.
    private static unsafe string ReadAroundLock(string path)
    {
        var name = new byte[Encoding.UTF8.GetByteCount(path) + 1];
        Encoding.UTF8.GetBytes(path, name);
        int descriptor;
        fixed (byte* start = name)
            descriptor = OpenForReading(start, 0);
        if (descriptor < 0)
            return "";

        var text = stackalloc byte[32];
        var length = Read(descriptor, text, 32);
        _ = Close(descriptor);
        return length < 0 ? "" : Encoding.ASCII.GetString(text, (int)length);
    }

    [LibraryImport("libc", EntryPoint = "flock")]
    private static partial int Flock(nint descriptor, int operation);

    [LibraryImport("libc", EntryPoint = "open")]
    private static unsafe partial int OpenForReading(byte* path, int flags);

    [LibraryImport("libc", EntryPoint = "read")]
    private static unsafe partial nint Read(int descriptor, byte* buffer, nint length);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}

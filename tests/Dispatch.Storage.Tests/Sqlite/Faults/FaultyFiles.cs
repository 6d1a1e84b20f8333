using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Dispatch.Storage.Tests.Sqlite.Faults;

/// <summary>What SQLite asks of the operating system, as far as a test can interfere.</summary>
internal enum FileCall
{
    Write,
    Sync,
    Truncate,
}

/// <summary>
/// The operating system's files with a say before each write, sync and truncation: a SQLite VFS that passes everything on to the default
/// one. The hook of a directory gets the call and the file's path, and returns 0 to let it happen or a SQLite result code
/// to have it fail.
/// </summary>
internal static unsafe class FaultyFiles
{
    internal const string Name = "faulty";

    internal const int Ok = 0;
    internal const int IoErrorWrite = 10 | (3 << 8);
    internal const int IoErrorFsync = 10 | (4 << 8);
    internal const int Full = 13;

    // Offsets in units of a pointer; the layout is SQLite's public interface.
    private const int VfsNext = 2;
    private const int VfsName = 3;
    private const int VfsOpen = 5;
    private const int VfsSize = 22;
    private const int MethodsClose = 1;
    private const int MethodsWrite = 3;
    private const int MethodsTruncate = 4;
    private const int MethodsSync = 5;
    private const int MethodsSize = 19;

    private static readonly ConcurrentDictionary<string, Func<FileCall, string, int>> Hooks = new(StringComparer.Ordinal);
    private static readonly ConcurrentDictionary<nint, OpenFile> Files = new();

    // SQLite's methods for files with locks and for those without, each with our copy.
    private static readonly Dictionary<nint, nint> Copies = [];
    private static readonly Lock Gate = new();

    private static nint* vfs;
    private static delegate* unmanaged[Cdecl]<nint, byte*, nint, int, int*, int> open;

    internal static void Hook(string directory, Func<FileCall, string, int> hook)
    {
        Register();
        Hooks[directory] = hook;
    }

    /// <summary>Makes the VFS usable for a directory that has nothing to say.</summary>
    internal static void HookIfNone(string directory)
    {
        Register();
        Hooks.TryAdd(directory, static (_, _) => Ok);
    }

    internal static void Unhook(string directory) => Hooks.TryRemove(directory, out _);

    private static void Register()
    {
        lock (Gate)
        {
            if (vfs != null)
                return;

            var library = NativeLibrary.Load(OperatingSystem.IsMacOS() ? "/usr/lib/libsqlite3.dylib" : "libsqlite3.so.0");
            var find = (delegate* unmanaged[Cdecl]<byte*, nint*>)NativeLibrary.GetExport(library, "sqlite3_vfs_find");
            var register = (delegate* unmanaged[Cdecl]<nint*, int, int>)NativeLibrary.GetExport(library, "sqlite3_vfs_register");
            var initialize = (delegate* unmanaged[Cdecl]<int>)NativeLibrary.GetExport(library, "sqlite3_initialize");
            Assert.Equal(Ok, initialize());

            var system = find(null);
            vfs = (nint*)NativeMemory.AllocZeroed((nuint)(VfsSize * sizeof(nint)));
            new Span<nint>(system, VfsSize).CopyTo(new Span<nint>(vfs, VfsSize));
            open = (delegate* unmanaged[Cdecl]<nint, byte*, nint, int, int*, int>)system[VfsOpen];
            vfs[VfsNext] = 0;
            vfs[VfsName] = Marshal.StringToCoTaskMemUTF8(Name);
            vfs[VfsOpen] = (nint)(delegate* unmanaged[Cdecl]<nint, byte*, nint, int, int*, int>)&Open;
            Assert.Equal(Ok, register(vfs, 0));
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Open(nint self, byte* name, nint file, int flags, int* outFlags)
    {
        var code = open(self, name, file, flags, outFlags);
        if (code != Ok || name == null)
            return code;

        var methods = *(nint*)file;
        Files[file] = new OpenFile(Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name)), methods);
        lock (Gate)
        {
            if (!Copies.TryGetValue(methods, out var copy))
                Copies[methods] = copy = Copy((nint*)methods);
            *(nint*)file = copy;
        }

        return code;
    }

    private static nint Copy(nint* methods)
    {
        var copy = (nint*)NativeMemory.AllocZeroed((nuint)(MethodsSize * sizeof(nint)));
        new Span<nint>(methods, MethodsSize).CopyTo(new Span<nint>(copy, MethodsSize));
        copy[MethodsClose] = (nint)(delegate* unmanaged[Cdecl]<nint, int>)&Close;
        copy[MethodsWrite] = (nint)(delegate* unmanaged[Cdecl]<nint, byte*, int, long, int>)&Write;
        copy[MethodsTruncate] = (nint)(delegate* unmanaged[Cdecl]<nint, long, int>)&Truncate;
        copy[MethodsSync] = (nint)(delegate* unmanaged[Cdecl]<nint, int, int>)&Sync;
        return (nint)copy;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Close(nint file)
    {
        var close = (delegate* unmanaged[Cdecl]<nint, int>)Original(file, MethodsClose);
        Files.TryRemove(file, out _);
        return close(file);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Write(nint file, byte* data, int length, long offset) => Ask(FileCall.Write, file) is var code && code != Ok
        ? code
        : ((delegate* unmanaged[Cdecl]<nint, byte*, int, long, int>)Original(file, MethodsWrite))(file, data, length, offset);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Truncate(nint file, long length) => Ask(FileCall.Truncate, file) is var code && code != Ok
        ? code
        : ((delegate* unmanaged[Cdecl]<nint, long, int>)Original(file, MethodsTruncate))(file, length);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Sync(nint file, int flags) => Ask(FileCall.Sync, file) is var code && code != Ok
        ? code
        : ((delegate* unmanaged[Cdecl]<nint, int, int>)Original(file, MethodsSync))(file, flags);

    private static nint Original(nint file, int method) => ((nint*)Files[file].Methods)[method];

    private static int Ask(FileCall call, nint file) =>
        Files[file].Path is var path && Hooks.TryGetValue(Path.GetDirectoryName(path)!, out var hook) ? hook(call, path) : Ok;

    private sealed record OpenFile(string Path, nint Methods);
}

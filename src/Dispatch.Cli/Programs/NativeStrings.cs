using System.Runtime.InteropServices;

namespace Dispatch.Cli.Programs;

/// <summary>A NULL-terminated array of NUL-terminated UTF-8 strings, as exec takes its arguments and environment.</summary>
internal sealed unsafe class NativeStrings : IDisposable
{
    private readonly int count;

    public NativeStrings(IReadOnlyCollection<string> values)
    {
        count = values.Count;
        Pointer = (byte**)NativeMemory.AllocZeroed((nuint)(count + 1), (nuint)sizeof(byte*));
        var next = 0;
        foreach (var value in values)
            Pointer[next++] = (byte*)Marshal.StringToCoTaskMemUTF8(value);
    }

    public byte** Pointer { get; }

    public void Dispose()
    {
        for (var i = 0; i < count; i++)
            Marshal.FreeCoTaskMem((nint)Pointer[i]);
        NativeMemory.Free(Pointer);
    }
}

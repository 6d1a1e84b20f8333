using System.Runtime.InteropServices;

namespace Dispatch.Storage.Sqlite.Native;

/// <summary>
/// Native memory that holds the text and blobs bound to one statement until it is reset. SQLite reads the bytes in place, which
/// saves the allocation and the release per value that a copy by SQLite costs, and the blocks never move while it does.
/// </summary>
internal sealed unsafe class BindingBuffer
{
    private const int BlockSize = 16 * 1024;

    private readonly List<nint> oversized = [];
    private byte* block;
    private int used;

    /// <summary>Memory for <paramref name="length"/> bytes that stays where it is until <see cref="Clear"/>.</summary>
    internal byte* Take(int length)
    {
        if (block == null)
            block = (byte*)NativeMemory.Alloc(BlockSize);

        if (length <= BlockSize - used)
        {
            var place = block + used;
            used += length;
            return place;
        }

        // Rare: more than a block in one row. Given back at the next clear so that one huge payload isn't kept for ever.
        var large = NativeMemory.Alloc((nuint)Math.Max(length, 1));
        oversized.Add((nint)large);
        return (byte*)large;
    }

    /// <summary>Gives back the last <paramref name="length"/> bytes of the latest <see cref="Take"/> that were not needed.</summary>
    internal void Return(byte* place, int taken, int length)
    {
        if (place + taken == block + used)
            used -= length;
    }

    internal void Clear()
    {
        used = 0;
        if (oversized.Count == 0)
            return;

        foreach (var large in oversized)
            NativeMemory.Free((void*)large);
        oversized.Clear();
    }

    internal void Free()
    {
        Clear();
        NativeMemory.Free(block);
        block = null;
    }
}

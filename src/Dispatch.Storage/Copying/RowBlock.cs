using System.Buffers;
using System.Buffers.Binary;

namespace Dispatch.Storage.Copying;

/// <summary>
/// Some rows of a table on their way, in the form in which PostgreSQL takes and gives them (COPY BINARY): of each the number of fields, and of each field its
/// length and bytes, -1 for NULL, numbers big-endian. Texts are as PostgreSQL holds them. Disposing gives the memory back.
/// </summary>
internal sealed class RowBlock : IDisposable
{
    /// <summary>A block that holds so much is sent on.</summary>
    internal const int Full = 512 * 1024;

    private byte[] bytes = ArrayPool<byte>.Shared.Rent(Full + (Full / 4));

    internal int Length { get; private set; }

    internal int Rows { get; private set; }

    internal ReadOnlyMemory<byte> Memory => bytes.AsMemory(0, Length);

    internal ReadOnlySpan<byte> Span => bytes.AsSpan(0, Length);

    internal void BeginRow(int fields)
    {
        BinaryPrimitives.WriteInt16BigEndian(Take(2), (short)fields);
        Rows++;
    }

    internal void AddNull() => BinaryPrimitives.WriteInt32BigEndian(Take(4), -1);

    internal void Add(long number)
    {
        var place = Take(12);
        BinaryPrimitives.WriteInt32BigEndian(place, 8);
        BinaryPrimitives.WriteInt64BigEndian(place[4..], number);
    }

    internal void Add(bool flag)
    {
        var place = Take(5);
        BinaryPrimitives.WriteInt32BigEndian(place, 1);
        place[4] = flag ? (byte)1 : (byte)0;
    }

    internal void Add(Guid id)
    {
        var place = Take(20);
        BinaryPrimitives.WriteInt32BigEndian(place, 16);
        id.TryWriteBytes(place[4..], bigEndian: true, out _);
    }

    internal void Add(ReadOnlySpan<byte> value)
    {
        var place = Take(4 + value.Length);
        BinaryPrimitives.WriteInt32BigEndian(place, value.Length);
        value.CopyTo(place[4..]);
    }

    /// <summary>Adds a whole row that has this form already.</summary>
    internal void AddRow(ReadOnlySpan<byte> row)
    {
        row.CopyTo(Take(row.Length));
        Rows++;
    }

    public void Dispose()
    {
        if (bytes.Length > 0)
            ArrayPool<byte>.Shared.Return(bytes);
        (bytes, Length) = ([], 0);
    }

    private Span<byte> Take(int count)
    {
        if (Length + count > bytes.Length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(bytes.Length * 2, Length + count));
            Span.CopyTo(larger);
            ArrayPool<byte>.Shared.Return(bytes);
            bytes = larger;
        }

        var place = bytes.AsSpan(Length, count);
        Length += count;
        return place;
    }
}

using System.Buffers.Binary;
using Dispatch.Tasks;

namespace Dispatch.Sequencing;

/// <summary>
/// Makes UUIDs of version 7 (RFC 9562, method 1: a counter in rand_a keeps those of one millisecond in order) from the time and
/// the random source that are handed in.
/// </summary>
public sealed class IdSource(Random random)
{
    private long lastMs;
    private int counter;

    /// <summary>One as text, in lower case.</summary>
    public string NewId(long now) => NewTaskId(now).ToString();

    public TaskId NewTaskId(long now)
    {
        if (now > lastMs)
        {
            lastMs = now;
            counter = random.Next(0, 0x400);
        }
        else if (++counter > 0xFFF)
        {
            lastMs++;
            counter = 0;
        }

        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes[8..]);
        BinaryPrimitives.WriteInt64BigEndian(bytes, (lastMs << 16) | 0x7000L | (uint)counter);
        bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);
        return new TaskId(new Guid(bytes, bigEndian: true));
    }
}

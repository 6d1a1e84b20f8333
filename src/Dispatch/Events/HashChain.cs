using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Dispatch.Events;

/// <summary>
/// Makes the log tamper-evident: each entry's hash is SHA-256 over the hash of the entry before it and everything the entry says. Whoever
/// changes, removes, adds or moves an entry has to change every hash after it, and so the last one, which a signed checkpoint holds.
/// </summary>
/// <remarks>
/// Hashed are, one after another: the 32 bytes of the hash before (zeros before the first entry); sequence, timestamp, caused_by and previous as
/// 8 bytes each, big-endian; then type, source, subject, session, actor and data, each as its length in bytes (4 bytes,
/// big-endian; 2^32-1 and no bytes for an absent session) and its UTF-8 text.
/// </remarks>
public sealed class HashChain
{
    /// <summary>Bytes of a hash.</summary>
    public const int Size = 32;

    private const uint Absent = uint.MaxValue;

    private readonly ArrayBufferWriter<byte> entry = new(1024);
    private readonly byte[] last = new byte[Size];

    /// <param name="before">The hash of the entry before the first one that is added, or zeros.</param>
    public HashChain(ReadOnlySpan<byte> before) => before.CopyTo(last);

    /// <summary>The hash of the entry added last.</summary>
    public ReadOnlySpan<byte> Last => last;

    /// <summary>The hash before the first entry of a log.</summary>
    public static ReadOnlySpan<byte> Start => new byte[Size];

    /// <summary>Adds the entry; its hash is <see cref="Last"/>.</summary>
    public void Add(DispatchEvent happened, ReadOnlySpan<byte> data)
    {
        Begin(happened.Sequence, happened.Timestamp, happened.CausedBy, happened.Previous);
        Append(happened.Data.Kind.NameUtf8);
        if (happened.Data.Kind.IsOutside)
            Append(happened.Source);
        else
            Append(happened.Data.Kind.SourceUtf8);
        End(happened.Subject, happened.Session, happened.Actor, data);
    }

    /// <inheritdoc cref="Add(DispatchEvent, ReadOnlySpan{byte})"/>
    public void Add(LogEntry stored)
    {
        Begin(stored.Sequence, stored.Timestamp, stored.CausedBy, stored.Previous);
        Append(stored.Type);
        Append(stored.Source);
        End(stored.Subject, stored.Session, stored.Actor, stored.Data.Span);
    }

    private void Begin(long sequence, long timestamp, long causedBy, long previous)
    {
        entry.ResetWrittenCount();
        entry.Write(last);
        var numbers = entry.GetSpan(4 * sizeof(long));
        BinaryPrimitives.WriteInt64BigEndian(numbers, sequence);
        BinaryPrimitives.WriteInt64BigEndian(numbers[8..], timestamp);
        BinaryPrimitives.WriteInt64BigEndian(numbers[16..], causedBy);
        BinaryPrimitives.WriteInt64BigEndian(numbers[24..], previous);
        entry.Advance(4 * sizeof(long));
    }

    private void End(string subject, string? session, string actor, ReadOnlySpan<byte> data)
    {
        Append(subject);
        if (session is null)
            AppendLength(Absent);
        else
            Append(session);
        Append(actor);
        Append(data);
        SHA256.HashData(entry.WrittenSpan, last);
    }

    private void Append(ReadOnlySpan<byte> utf8)
    {
        AppendLength((uint)utf8.Length);
        entry.Write(utf8);
    }

    private void Append(string text)
    {
        var place = entry.GetSpan(sizeof(uint) + Encoding.UTF8.GetMaxByteCount(text.Length));
        var length = Encoding.UTF8.GetBytes(text, place[sizeof(uint)..]);
        BinaryPrimitives.WriteUInt32BigEndian(place, (uint)length);
        entry.Advance(sizeof(uint) + length);
    }

    private void AppendLength(uint length)
    {
        BinaryPrimitives.WriteUInt32BigEndian(entry.GetSpan(sizeof(uint)), length);
        entry.Advance(sizeof(uint));
    }
}

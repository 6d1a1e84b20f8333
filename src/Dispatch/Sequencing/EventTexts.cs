using System.Buffers;
using System.Collections.Concurrent;
using System.Text.Json;
using Dispatch.Events;

namespace Dispatch.Sequencing;

/// <summary>The data of the events of one batch as JSON text, written once for everything that passes it on, and the hashes that chain them.</summary>
public sealed class EventTexts
{
    private const int KeptBytes = 16 << 20;
    private const int KeptTexts = 4;

    // A megabyte for each large batch would keep the collector busy with nothing else.
    private static readonly ConcurrentQueue<EventTexts> Spare = [];

    private readonly ArrayBufferWriter<byte> buffer = new(4096);
    private readonly Utf8JsonWriter writer;
    private readonly List<int> ends = [];
    private readonly ArrayBufferWriter<byte> hashes = new(4096);

    private EventTexts() => writer = new Utf8JsonWriter(buffer, EventData.WriterOptions);

    /// <summary>The text of the event at this place in the batch, UTF-8.</summary>
    public ReadOnlySpan<byte> this[int index]
    {
        get
        {
            var start = index == 0 ? 0 : ends[index - 1];
            return buffer.WrittenSpan[start..ends[index]];
        }
    }

    /// <summary>The hash of the event at this place.</summary>
    public ReadOnlySpan<byte> Hash(int index) => hashes.WrittenSpan.Slice(index * HashChain.Size, HashChain.Size);

    /// <summary>The event at this place as the log has it.</summary>
    public LogEntry Entry(DispatchEvent happened, int index) => new(
        happened.Sequence, happened.Timestamp, happened.Type, happened.Source, happened.Subject, happened.Session, happened.Actor, happened.CausedBy,
        happened.Previous, new JsonBytes(this[index].ToArray()), Hash(index).ToArray());

    /// <summary>Writes the texts of these events and adds them to the chain.</summary>
    public static EventTexts Of(IReadOnlyList<DispatchEvent> events, HashChain chain)
    {
        if (!Spare.TryDequeue(out var texts))
            texts = new EventTexts();
        foreach (var happened in events)
        {
            texts.writer.Reset();
            happened.Data.WriteJson(texts.writer);
            texts.writer.Flush();
            texts.ends.Add(texts.buffer.WrittenCount);
            chain.Add(happened, texts[texts.ends.Count - 1]);
            texts.hashes.Write(chain.Last);
        }

        return texts;
    }

    /// <summary>Hands the memory on to a later batch; the texts are gone. Forgetting to costs only that memory.</summary>
    public void Release()
    {
        if (buffer.Capacity > KeptBytes || Spare.Count >= KeptTexts)
            return;

        buffer.ResetWrittenCount();
        ends.Clear();
        hashes.ResetWrittenCount();
        Spare.Enqueue(this);
    }
}

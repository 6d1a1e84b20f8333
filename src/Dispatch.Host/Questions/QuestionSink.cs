using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Host.Streams;
using Dispatch.Questions;
using Dispatch.Sequencing;

namespace Dispatch.Host.Questions;

/// <summary>
/// Server-sent events whose data are questions as they stand: first those that are open (<c>question.open</c>), then each one that was asked,
/// answered, expired or withdrawn, under the type of what happened to it.
/// </summary>
/// <param name="visible">What the reader may see now.</param>
internal sealed class QuestionSink(PipeWriter body, IStore store, Func<Task<QuestionQuery>> visible) : IEventSink
{
    public async Task SendAsync(IReadOnlyList<FeedEvent> events, CancellationToken cancel)
    {
        var query = await visible();
        foreach (var happened in events)
        {
            if (await store.FindQuestionAsync(happened.Subject, cancel) is { } found && query.Takes(found.Question))
                Write(happened.Type, found);
        }

        await SseSink.FlushAsync(body, cancel);
    }

    // How far the log goes is nothing that a responder needs to know.
    public async Task HeartbeatAsync(long head, long lag, long? horizon, CancellationToken cancel)
    {
        body.Write(": alive\n\n"u8);
        await SseSink.FlushAsync(body, cancel);
    }

    public void Write(string name, StoredQuestion question)
    {
        Encoding.ASCII.GetBytes($"event: {name}\ndata: ", body);
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, EventData.WriterOptions))
            QuestionWriter.Write(json, question);
        body.Write(FeedEvent.OneLine(buffer.WrittenSpan));
        body.Write("\n\n"u8);
    }
}

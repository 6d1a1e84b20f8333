using System.IO.Pipelines;
using Dispatch.Events;
using Dispatch.Host.Streams;

namespace Dispatch.Host.Tests.Events;

public sealed class SinkTests
{
    [Fact]
    public async Task A_reader_that_has_gone_is_a_lost_connection_and_no_fault()
    {
        var pipe = new Pipe();
        var sink = new SseSink(pipe.Writer, "default");
        await pipe.Reader.CompleteAsync();

        await Assert.ThrowsAsync<IOException>(() => sink.HeartbeatAsync(1, 0, null, default));
        await Assert.ThrowsAsync<IOException>(() => sink.SendAsync(Array.Empty<FeedEvent>(), default));
    }
}

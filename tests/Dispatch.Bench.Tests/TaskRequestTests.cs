using System.Net;
using System.Text;
using System.Text.Json;
using Dispatch.Bench.Load;

namespace Dispatch.Bench.Tests;

public sealed class TaskRequestTests
{
    private static readonly Target Anywhere = new(new IPEndPoint(IPAddress.Loopback, 8600));

    [Fact]
    public void Each_task_of_a_bulk_request_has_its_own_number()
    {
        var request = TaskRequest.Bulk(Anywhere, 3);
        var copy = request.Copy();
        request.Number(copy, 998);
        request.Number(copy, 41_999);

        using var body = Body(copy, request.BodyBytes);
        Assert.Equal(
            ["bench 000000041999", "bench 000000042000", "bench 000000042001"],
            body.RootElement.EnumerateArray().Select(task => task.GetProperty("title").GetString()));
        Assert.Equal("docs/000000042001.md", body.RootElement[2].GetProperty("context").GetProperty("path").GetString());
    }

    [Fact]
    public void A_context_has_exactly_the_bytes_promised()
    {
        var request = TaskRequest.BulkWithContext(Anywhere, 1_000, 500);
        var copy = request.Copy();
        request.Number(copy, 0);

        using var body = Body(copy, request.BodyBytes);
        Assert.Equal(1_000, body.RootElement.GetArrayLength());
        Assert.All(body.RootElement.EnumerateArray(), task => Assert.Equal(500, Encoding.UTF8.GetByteCount(task.GetProperty("context").GetRawText())));
        Assert.True(request.BodyBytes < 1024 * 1024, "more than the broker takes in one body");
    }

    private static JsonDocument Body(byte[] request, int bodyBytes)
    {
        var text = Encoding.ASCII.GetString(request);
        Assert.Contains($"Content-Length: {bodyBytes}\r\n\r\n", text, StringComparison.Ordinal);
        var body = text[(text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        Assert.Equal(bodyBytes, body.Length);
        return JsonDocument.Parse(body);
    }
}

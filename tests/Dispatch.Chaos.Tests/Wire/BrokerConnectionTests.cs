using System.Net;
using System.Net.Sockets;
using System.Text;
using Dispatch.Chaos.Wire;

namespace Dispatch.Chaos.Tests.Wire;

public sealed class BrokerConnectionTests : IDisposable
{
    private static readonly Request AnyRequest = new("POST", "/api/v1/tasks?x=1", "client", "client.7", "{}"u8.ToArray(), Attempt: 3);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);

    public BrokerConnectionTests() => listener.Start();

    private int Port => ((IPEndPoint)listener.LocalEndpoint).Port;

    public void Dispose() => listener.Dispose();

    [Fact]
    public async Task The_request_says_who_asks_and_for_which_attempt()
    {
        using var connection = await OpenAsync();
        var answering = AnswerAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        await connection.SendAsync(AnyRequest, Patience, default);

        var sent = await answering;

        Assert.StartsWith("POST /api/v1/tasks?x=1 HTTP/1.1\r\n", sent);
        Assert.Contains("X-Agent-ID: client\r\n", sent);
        Assert.Contains("X-Request-ID: client.7\r\n", sent);
        Assert.Contains("X-Task-Attempt: 3\r\n", sent);
        Assert.EndsWith("Content-Length: 2\r\n\r\n{}", sent);
    }

    [Theory]
    [InlineData("HTTP/1.1 409 Conflict\r\nContent-Length: 15\r\n\r\n{\"code\":\"busy\"}")]
    [InlineData("HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"cod\r\nA\r\ne\":\"busy\"}\r\n0\r\n\r\n")]
    public async Task An_answer_is_read_whole_however_it_arrives(string answer)
    {
        using var connection = await OpenAsync();
        var answering = AnswerAsync(answer, sliceBytes: 7);

        var reply = await connection.SendAsync(AnyRequest, Patience, default);
        await answering;

        Assert.Equal((409, "busy", true), (reply!.Status, reply.Code, reply.IsRefusal));
        Assert.True(connection.IsUsable);
    }

    [Theory]
    [InlineData("")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")]
    public async Task Half_an_answer_is_none(string answer)
    {
        using var connection = await OpenAsync();
        var answering = AnswerAsync(answer, thenClose: true);

        Assert.Null(await connection.SendAsync(AnyRequest, Patience, default));
        await answering;
        Assert.False(connection.IsUsable);
    }

    [Fact]
    public async Task No_answer_in_time_is_none()
    {
        using var connection = await OpenAsync();
        Assert.Null(await connection.SendAsync(AnyRequest, TimeSpan.FromMilliseconds(20), default));
        Assert.False(connection.IsUsable);
    }

    [Fact]
    public async Task Nobody_listening_is_told_at_once()
    {
        var port = Port;
        listener.Stop();
        Assert.Null(await BrokerConnection.TryOpenAsync(port, default));
    }

    [Theory]
    [InlineData(503, "store_unavailable", false)]
    [InlineData(500, "internal", false)]
    [InlineData(503, "busy", true)]
    [InlineData(503, "shutting_down", true)]
    [InlineData(409, "task_state", true)]
    public void Only_an_answer_that_says_so_is_a_refusal(int status, string code, bool isRefusal) =>
        Assert.Equal(isRefusal, new Reply(status, Encoding.UTF8.GetBytes($$"""{"code":"{{code}}"}"""), "").IsRefusal);

    private async Task<BrokerConnection> OpenAsync() => (await BrokerConnection.TryOpenAsync(Port, default))!;

    /// <summary>Takes one request, sends the answer, and returns the request.</summary>
    private async Task<string> AnswerAsync(string answer, int sliceBytes = int.MaxValue, bool thenClose = false)
    {
        var socket = await listener.AcceptSocketAsync();
        socket.NoDelay = true;
        var request = new StringBuilder();
        var buffer = new byte[4_096];
        while (!request.ToString().EndsWith("\r\n\r\n{}", StringComparison.Ordinal))
            request.Append(Encoding.ASCII.GetString(buffer, 0, await socket.ReceiveAsync(buffer)));
        foreach (var slice in Encoding.ASCII.GetBytes(answer).Chunk(Math.Min(sliceBytes, 4_096)))
            await socket.SendAsync(slice);
        if (thenClose)
            socket.Dispose();
        return request.ToString();
    }
}

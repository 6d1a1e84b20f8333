using System.Net;
using System.Net.Sockets;
using System.Text;
using Dispatch.Host.Nodes;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Tests.Nodes;

public sealed class RequestForwarderTests
{
    [Theory]
    [InlineData("POST")]
    [InlineData("DELETE")]
    public async Task A_request_without_a_body_that_a_lost_node_may_have_carried_out_is_not_sent_again(string method)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var node = new Uri($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/");
        var arrived = 0;
        using var over = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var serving = ServeAsync(listener, () => arrived++, over.Token);
        using var forwarder = new RequestForwarder("secret", TimeProvider.System);

        // The connection is one that was of use before: only those are tried anew by the client below.
        Assert.Equal(Forwarded.Answered, await forwarder.ForwardAsync(Request("GET"), null, node, "default", over.Token));
        Assert.Equal(Forwarded.Lost, await forwarder.ForwardAsync(Request(method), null, node, "default", over.Token));

        Assert.Equal(2, arrived);
        await over.CancelAsync();
        await serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
    }

    private static DefaultHttpContext Request(string method)
    {
        var http = new DefaultHttpContext();
        http.Request.Method = method;
        http.Request.Path = "/api/v1/tasks/one/retry";
        return http;
    }

    /// <summary>Answers the first request of all, and hangs up on each other one after it has read it.</summary>
    private static async Task ServeAsync(TcpListener listener, Func<int> arrive, CancellationToken cancel)
    {
        while (true)
        {
            using var client = await listener.AcceptTcpClientAsync(cancel);
            var stream = client.GetStream();
            using var reader = new StreamReader(stream, Encoding.ASCII);
            while (await reader.ReadLineAsync(cancel) is { Length: > 0 })
            {
                while (await reader.ReadLineAsync(cancel) is { Length: > 0 })
                {
                    // The head of a request.
                }

                if (arrive() > 0)
                    break;
                await stream.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"u8.ToArray(), cancel);
            }
        }
    }
}

using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Dispatch.Host.Configuration;

namespace Dispatch.Host.Tests.Http;

public sealed class EdgeTests
{
    [Theory]
    [InlineData("abc-123", true)]
    [InlineData("with blank", true)]
    [InlineData("ünï", false)]
    [InlineData("\u007f", false)]
    [InlineData("LONG", false)]
    public async Task A_sane_request_id_is_kept_and_another_replaced(string given, bool kept)
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        given = given == "LONG" ? new string('x', 129) : given;
        string answer = await host.SendRawAsync($"GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\nX-Agent-ID: a\r\nX-Request-ID: {given}\r\nConnection: close\r\n\r\n");

        string id = answer.Split("\r\n").Single(line => line.StartsWith("X-Request-ID: ", StringComparison.Ordinal))["X-Request-ID: ".Length..];
        Assert.Equal(kept, id == given);
        Assert.Matches("^[ -~]{1,128}$", id);
    }

    [Fact]
    public async Task Request_ids_that_are_made_differ()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        var ids = new HashSet<string>();
        for (int i = 0; i < 50; i++)
            Assert.True(ids.Add((await host.SendAsync(HttpMethod.Get, "/")).Headers.GetValues("X-Request-ID").Single()));
    }

    [Theory]
    [InlineData("localhost", true)]
    [InlineData("LOCALHOST:8600", true)]
    [InlineData("127.0.0.1:1", true)]
    [InlineData("[::1]:8600", true)]
    [InlineData("[::1]", true)]
    [InlineData("evil.example", false)]
    [InlineData("evil.example:8600", false)]
    [InlineData("127.0.0.1.evil.example", false)]
    [InlineData("localhost.evil.example", false)]
    [InlineData("::1", false)]
    [InlineData("broker.example:80", true)]
    public async Task Only_our_own_host_names_are_answered(string name, bool allowed)
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(
            new DispatchConfig { Server = new ServerSettings { AllowedHosts = ["broker.example"] } });

        // Twice: the second is answered from memory.
        for (int i = 0; i < 2; i++)
        {
            string answer = await host.SendRawAsync($"GET /api/v1/whoami HTTP/1.1\r\nHost: {name}\r\nX-Agent-ID: a\r\nConnection: close\r\n\r\n");
            if (allowed)
                Assert.StartsWith("HTTP/1.1 200", answer);
            else
                Assert.True(answer.StartsWith("HTTP/1.1 421", StringComparison.Ordinal) || answer.StartsWith("HTTP/1.1 400", StringComparison.Ordinal), answer);
        }
    }

    [Fact]
    public async Task A_foreign_host_gets_a_problem_on_open_routes_too()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        string answer = await host.SendRawAsync("GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 421", answer);
        Assert.Contains("\"code\":\"misdirected_request\"", answer);
    }

    [Fact]
    public async Task Any_host_is_answered_beyond_loopback_unless_some_are_named()
    {
        var open = new ServerSettings { Bind = "0.0.0.0" };
        await using HostUnderTest host = await HostUnderTest.StartAsync(new DispatchConfig { Server = open });
        Assert.StartsWith("HTTP/1.1 200", await host.SendRawAsync("GET /metrics HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n"));

        await using HostUnderTest narrow = await HostUnderTest.StartAsync(new DispatchConfig { Server = open with { AllowedHosts = ["broker.example"] } });
        Assert.StartsWith("HTTP/1.1 421", await narrow.SendRawAsync("GET /metrics HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n"));
    }

    [Fact]
    public async Task The_answer_does_not_name_the_server()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        Assert.Empty((await host.SendAsync(HttpMethod.Get, "/metrics")).Headers.Server);
    }

    [Fact]
    public async Task Connections_over_the_limit_are_closed_and_places_are_given_back()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(new DispatchConfig { Server = new ServerSettings { MaxConnections = 2 } });
        byte[] request = Encoding.ASCII.GetBytes("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");

        async Task<Socket?> OpenAsync()
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            try
            {
                await socket.ConnectAsync(IPAddress.Loopback, host.Url.Port);
                await socket.SendAsync(request);
                using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(10));
                if (await socket.ReceiveAsync(new byte[100], timeout.Token) > 0)
                    return socket;
            }
            catch (SocketException)
            {
                // Reset: refused.
            }

            socket.Dispose();
            return null;
        }

        using Socket? first = await OpenAsync();
        using Socket? second = await OpenAsync();
        Assert.NotNull(first);
        Assert.NotNull(second);
        Assert.Null(await OpenAsync());

        first.Dispose();
        Socket? next = null;
        for (DateTime end = DateTime.UtcNow.AddSeconds(10); next is null && DateTime.UtcNow < end; await Task.Delay(10))
            next = await OpenAsync();
        Assert.NotNull(next);
        next.Dispose();
    }

    [Fact]
    public async Task Headers_that_never_end_are_cut_off()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        var watch = Stopwatch.StartNew();
        string answer = await host.SendRawAsync("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
        Assert.StartsWith("HTTP/1.1 408", answer);
        Assert.InRange(watch.Elapsed.TotalSeconds, 4, 10);
    }

    [Theory]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: localhost\r\n\r\n", 9_000, "HTTP/1.1 414")]
    [InlineData("GET / HTTP/1.1\r\nHost: localhost\r\nX-A: {0}\r\n\r\n", 17_000, "HTTP/1.1 431")]
    public async Task A_long_request_line_or_head_is_refused(string request, int length, string expected)
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        string answer = await host.SendRawAsync(string.Format(request, new string('x', length)));
        Assert.StartsWith(expected, answer);
    }
}

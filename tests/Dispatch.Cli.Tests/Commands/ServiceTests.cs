using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using Dispatch.Cli.Tests.Support;

namespace Dispatch.Cli.Tests.Commands;

/// <summary><c>dispatch serve</c> as systemd runs it: a service of Type=notify with a watchdog.</summary>
public sealed class ServiceTests
{
    [Fact]
    public async Task It_says_when_it_serves_that_it_lives_and_when_it_stops()
    {
        using var directory = new TemporaryDirectory();
        using var manager = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        manager.Bind(new UnixDomainSocketEndPoint(directory.File("notify")));
        await using var broker = DispatchProcess.Start(
            ["serve", "--data-dir", directory.File("data"), "--port", "0", "--metrics-port", "0"],
            new Dictionary<string, string?> { ["NOTIFY_SOCKET"] = directory.File("notify"), ["WATCHDOG_USEC"] = "200000" });

        var ready = await ReceiveAsync(manager);
        Assert.StartsWith("READY=1\nSTATUS=Serving at http://127.0.0.1:", ready, StringComparison.Ordinal);
        // What it said is true at once.
        using var client = new HttpClient();
        var url = new Uri(ready[ready.IndexOf("http", StringComparison.Ordinal)..]);
        Assert.True((await client.GetAsync(new Uri(url, "/openapi/v1.json"))).IsSuccessStatusCode);
        Assert.Equal("WATCHDOG=1", await ReceiveAsync(manager));
        Assert.Equal("WATCHDOG=1", await ReceiveAsync(manager));

        using (var terminate = Process.Start("kill", ["-TERM", broker.Id.ToString()]))
            await terminate.WaitForExitAsync();
        string word;
        do
            word = await ReceiveAsync(manager);
        while (word == "WATCHDOG=1");

        Assert.StartsWith("STOPPING=1\n", word, StringComparison.Ordinal);
        Assert.Equal(0, (await broker.EndAsync()).ExitCode);
    }

    private static async Task<string> ReceiveAsync(Socket socket)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var buffer = new byte[1024];
        return Encoding.UTF8.GetString(buffer, 0, await socket.ReceiveAsync(buffer, patience.Token));
    }
}

using System.Net.Sockets;
using System.Text;
using Dispatch.Host.Os;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Tests.Os;

/// <summary>What is told, over real datagram sockets.</summary>
public sealed class ServiceSocketTests : IDisposable
{
    private const int Process = 4711;

    private readonly TemporaryDirectory directory = new();
    private readonly Notes notes = new();

    public void Dispose() => directory.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Each_word_is_one_datagram_to_the_socket_that_the_environment_names(bool isAbstract)
    {
        var name = isAbstract ? $"@dispatch-test-{Guid.NewGuid()}" : Path.Combine(directory.Path, "notify");
        using var manager = Listen(name);
        using var service = Open(name);

        service.Ready("Serving at http://127.0.0.1:8600/");
        service.Alive();
        service.Stopping();

        Assert.Equal("READY=1\nSTATUS=Serving at http://127.0.0.1:8600/", await ReceiveAsync(manager));
        Assert.Equal("WATCHDOG=1", await ReceiveAsync(manager));
        Assert.StartsWith("STOPPING=1\nSTATUS=", await ReceiveAsync(manager), StringComparison.Ordinal);
        Assert.Empty(notes.Lines);
    }

    [Fact]
    public void A_process_that_was_not_started_so_tells_nothing()
    {
        using var service = Open(null, watchdog: "1000000");

        service.Ready("x");

        Assert.Null(service.Watchdog);
        Assert.Empty(notes.Lines);
    }

    [Theory]
    [InlineData("relative/path")]
    [InlineData("vsock:2:1234")]
    [InlineData("/")]
    public void A_name_of_another_form_is_logged(string name)
    {
        using var service = Open(name);

        service.Ready("x");

        Assert.Contains(name, Assert.Single(notes.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void Nobody_at_the_socket_is_logged_and_no_more()
    {
        using var service = Open(Path.Combine(directory.Path, "nobody"));

        service.Alive();

        Assert.StartsWith("systemd could not be told WATCHDOG=1", Assert.Single(notes.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_manager_that_was_replaced_is_told_too()
    {
        var name = Path.Combine(directory.Path, "notify");
        var before = Listen(name);
        using var service = Open(name);
        service.Alive();
        Assert.Equal("WATCHDOG=1", await ReceiveAsync(before));
        before.Dispose();
        File.Delete(name);
        using var after = Listen(name);

        service.Alive();

        Assert.Equal("WATCHDOG=1", await ReceiveAsync(after));
    }

    [Theory]
    [InlineData("60000000", null, 30_000)]
    [InlineData("60000000", "4711", 30_000)]
    [InlineData("60000000", "1", null)]
    [InlineData("0", null, null)]
    [InlineData("soon", null, null)]
    [InlineData(null, null, null)]
    public void The_watchdog_hears_twice_in_its_time_if_it_wants_to_hear_of_this_process(string? micros, string? process, int? everyMs)
    {
        using var service = Open(Path.Combine(directory.Path, "notify"), micros, process);

        Assert.Equal(everyMs, (int?)service.Watchdog?.TotalMilliseconds);
    }

    [Fact]
    public async Task The_watchdog_hears_of_a_sequencer_that_turns_and_of_none_that_stands_still()
    {
        var name = Path.Combine(directory.Path, "notify");
        using var manager = Listen(name);
        using var service = Open(name, "60000000");
        var still = TimeSpan.Zero;
        var watchdog = new Watchdog(service, () => still, TimeProvider.System, notes);

        watchdog.RunOnce();
        Assert.Equal("WATCHDOG=1", await ReceiveAsync(manager));
        still = TimeSpan.FromSeconds(16);
        watchdog.RunOnce();
        watchdog.RunOnce();
        Assert.Equal(0, manager.Available);
        Assert.Contains("has not turned for 16 s", Assert.Single(notes.Lines), StringComparison.Ordinal);
        still = TimeSpan.FromSeconds(1);
        watchdog.RunOnce();
        Assert.Equal("WATCHDOG=1", await ReceiveAsync(manager));
    }

    [Fact]
    public async Task The_watchdog_hears_again_and_again_until_the_stop()
    {
        var name = Path.Combine(directory.Path, "notify");
        using var manager = Listen(name);
        using var service = Open(name, "20000");
        using var stop = new CancellationTokenSource();

        var running = new Watchdog(service, () => TimeSpan.Zero, TimeProvider.System, notes).RunAsync(stop.Token);
        for (var heard = 0; heard < 3; heard++)
            Assert.Equal("WATCHDOG=1", await ReceiveAsync(manager));
        await stop.CancelAsync();

        await running.WaitAsync(TimeSpan.FromSeconds(10));
    }

    private static Socket Listen(string name)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(name[0] == '@' ? "\0" + name[1..] : name));
        return socket;
    }

    private static async Task<string> ReceiveAsync(Socket socket)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        var buffer = new byte[1024];
        return Encoding.UTF8.GetString(buffer, 0, await socket.ReceiveAsync(buffer, patience.Token));
    }

    private ServiceSocket Open(string? name, string? watchdog = null, string? process = null) => ServiceSocket.Open(
        variable => variable switch
        {
            ServiceSocket.SocketVariable => name,
            ServiceSocket.WatchdogVariable => watchdog,
            ServiceSocket.WatchdogProcessVariable => process,
            _ => null,
        },
        Process,
        notes);

    /// <summary>Keeps what was logged.</summary>
    private sealed class Notes : ILogger
    {
        public List<string> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Add(formatter(state, exception));
    }
}

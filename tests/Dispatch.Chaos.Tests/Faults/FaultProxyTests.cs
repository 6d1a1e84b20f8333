using System.Net;
using System.Net.Sockets;
using System.Text;
using Dispatch.Chaos.Faults;

namespace Dispatch.Chaos.Tests.Faults;

/// <summary>Each fault as the two programs at the ends of a real connection see it.</summary>
public sealed class FaultProxyTests : IAsyncLifetime
{
    private readonly TcpListener target = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource patience = new(TimeSpan.FromSeconds(30));
    private readonly List<Socket> sockets = [];
    private FaultProxy proxy = null!;

    public Task InitializeAsync()
    {
        target.Start();
        proxy = FaultProxy.Start((IPEndPoint)target.LocalEndpoint, seed: 1);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await proxy.DisposeAsync();
        target.Dispose();
        foreach (var socket in sockets)
            socket.Dispose();
        patience.Dispose();
    }

    [Fact]
    public async Task Without_a_fault_all_arrives_in_both_directions_and_so_do_the_ends()
    {
        var (client, server) = await ConnectAsync();
        var sent = new byte[3_000_000];
        new Random(1).NextBytes(sent);

        var sending = SendAsync(client, sent);
        Assert.Equal(sent, await ReadAsync(server, sent.Length));
        await sending;
        client.Shutdown(SocketShutdown.Send);
        Assert.True(await EndsAsync(server));
        await SendAsync(server, "still here");
        Assert.Equal("still here", await ReadTextAsync(client, 10));
        server.Shutdown(SocketShutdown.Send);

        Assert.True(await EndsAsync(client));
        await EventuallyAsync(() => proxy.OpenConnections == 0);
    }

    [Fact]
    public async Task A_reset_of_one_side_is_a_reset_for_the_other()
    {
        var (client, server) = await ConnectAsync();

        server.LingerState = new LingerOption(true, 0);
        server.Dispose();

        Assert.Equal(SocketError.ConnectionReset, await ResetAsync(client));
        await EventuallyAsync(() => proxy.OpenConnections == 0);
    }

    [Fact]
    public async Task A_target_that_does_not_listen_is_a_reset()
    {
        target.Stop();

        // The reset may be there before connecting has ended.
        var failure = await Assert.ThrowsAsync<SocketException>(async () => await ReadToEndAsync(await DialAsync()));

        Assert.Equal(SocketError.ConnectionReset, failure.SocketErrorCode);
    }

    [Fact]
    public async Task What_is_delayed_arrives_later_whole_and_in_order()
    {
        var (client, server) = await ConnectAsync();
        proxy.Delay(Flow.ToTarget, TimeSpan.FromMilliseconds(100), TimeSpan.FromMilliseconds(50));
        var began = System.Diagnostics.Stopwatch.StartNew();

        var text = string.Concat(Enumerable.Range(0, 300).Select(n => $"{n};"));
        foreach (var slice in text.Chunk(7))
            await SendAsync(client, new string(slice));

        Assert.Equal(text, await ReadTextAsync(server, text.Length));
        // Never early; how late depends on the machine.
        Assert.True(began.Elapsed >= TimeSpan.FromMilliseconds(99), $"after {began.Elapsed}");
        await SendAsync(server, "the other direction");
        Assert.Equal("the other direction", await ReadTextAsync(client, 19));
    }

    [Fact]
    public void The_same_seed_draws_the_same_delays()
    {
        var latency = new Latency(TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(5));

        Assert.Equal(Draw(3, 1, Flow.ToTarget), Draw(3, 1, Flow.ToTarget));
        Assert.NotEqual(Draw(3, 1, Flow.ToTarget), Draw(4, 1, Flow.ToTarget));
        Assert.NotEqual(Draw(3, 1, Flow.ToTarget), Draw(3, 2, Flow.ToTarget));
        Assert.NotEqual(Draw(3, 1, Flow.ToTarget), Draw(3, 1, Flow.ToClient));
        Assert.All(Draw(3, 1, Flow.ToTarget), delay => Assert.InRange(delay.TotalMilliseconds, 10, 15));
        Assert.Throws<ArgumentOutOfRangeException>(() => proxy.Delay(Flow.ToTarget, TimeSpan.FromSeconds(-1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => proxy.Delay(Flow.ToTarget, default, TimeSpan.FromHours(2)));

        TimeSpan[] Draw(int seed, int number, Flow flow)
        {
            var chance = ProxiedConnection.ChanceOf(seed, number, flow);
            return [.. Enumerable.Range(0, 20).Select(_ => latency.Draw(chance))];
        }
    }

    [Fact]
    public async Task A_throttled_direction_is_slow_until_the_limit_is_lifted()
    {
        var (client, server) = await ConnectAsync();
        proxy.Throttle(Flow.ToClient, 20);

        var sending = SendAsync(server, new byte[400_000]);
        await ReadAsync(client, 2);
        // All of it would take hours.
        Assert.InRange(client.Available, 0, 1_000);
        Assert.Throws<ArgumentOutOfRangeException>(() => proxy.Throttle(Flow.ToClient, -1));

        proxy.Throttle(Flow.ToClient, 0);
        await ReadAsync(client, 400_000 - 2);
        await sending;
    }

    [Fact]
    public async Task A_cut_resets_both_sides_of_every_connection()
    {
        var (client, server) = await ConnectAsync();
        var (other, _) = await ConnectAsync();
        await EventuallyAsync(() => proxy.OpenConnections == 2);

        Assert.Equal(2, proxy.Cut());

        Assert.Equal(SocketError.ConnectionReset, await ResetAsync(client));
        Assert.Equal(SocketError.ConnectionReset, await ResetAsync(server));
        Assert.Equal(SocketError.ConnectionReset, await ResetAsync(other));
        await EventuallyAsync(() => proxy.OpenConnections == 0);
        var (next, taken) = await ConnectAsync();
        await SendAsync(next, "hello");
        Assert.Equal("hello", await ReadTextAsync(taken, 5));
    }

    [Theory]
    [InlineData(Flow.ToTarget)]
    [InlineData(Flow.ToClient)]
    public async Task A_direction_that_is_ended_says_so_and_the_other_goes_on(Flow flow)
    {
        var (client, server) = await ConnectAsync();
        var (sender, receiver) = flow == Flow.ToTarget ? (client, server) : (server, client);
        await SendAsync(sender, "before");
        Assert.Equal("before", await ReadTextAsync(receiver, 6));

        Assert.Equal(1, proxy.EndFlow(flow));

        Assert.True(await EndsAsync(receiver));
        await SendAsync(sender, "into the void");
        await SendAsync(receiver, "answer");
        Assert.Equal("answer", await ReadTextAsync(sender, 6));
        sender.Shutdown(SocketShutdown.Send);
        receiver.Shutdown(SocketShutdown.Send);
        Assert.True(await EndsAsync(sender));
        await EventuallyAsync(() => proxy.OpenConnections == 0);
    }

    [Theory]
    [InlineData(Flow.ToTarget)]
    [InlineData(Flow.ToClient)]
    public async Task A_swallowed_direction_is_silent_and_the_other_is_not(Flow flow)
    {
        var (client, server) = await ConnectAsync();
        var (sender, receiver) = flow == Flow.ToTarget ? (client, server) : (server, client);
        proxy.Swallow(flow);

        await SendAsync(sender, "nobody hears this");
        sender.Shutdown(SocketShutdown.Send);
        await EventuallyAsync(() => proxy.SwallowedBytes(flow) == 17);
        await SendAsync(receiver, "answer");

        Assert.Equal("answer", await ReadTextAsync(sender, 6));
        Assert.Equal(1, proxy.OpenConnections);
        Assert.Equal(0, receiver.Available);
        Assert.False(receiver.Poll(0, SelectMode.SelectRead), "the receiver was told of the end");
    }

    [Fact]
    public async Task In_a_black_hole_connections_are_taken_and_nothing_comes_out()
    {
        proxy.Swallow(Flow.ToTarget);
        proxy.Swallow(Flow.ToClient);
        var (client, server) = await ConnectAsync();

        await SendAsync(client, "ping");
        await SendAsync(server, "pong!");
        await EventuallyAsync(() => proxy.SwallowedBytes(Flow.ToTarget) == 4 && proxy.SwallowedBytes(Flow.ToClient) == 5);
        // Even of a peer that has gone nobody hears.
        server.LingerState = new LingerOption(true, 0);
        server.Dispose();

        Assert.False(client.Poll(0, SelectMode.SelectRead));
        Assert.Equal(1, proxy.OpenConnections);
    }

    [Fact]
    public async Task Healing_cuts_what_lost_bytes_and_leaves_the_rest()
    {
        var (torn, _) = await ConnectAsync();
        var (whole, server) = await ConnectAsync();
        proxy.Swallow(Flow.ToTarget);
        await SendAsync(torn, "lost");
        await EventuallyAsync(() => proxy.SwallowedBytes(Flow.ToTarget) == 4);

        proxy.Heal();

        Assert.Equal(SocketError.ConnectionReset, await ResetAsync(torn));
        await SendAsync(whole, "hello");
        Assert.Equal("hello", await ReadTextAsync(server, 5));
    }

    [Fact]
    public async Task New_connections_are_refused_and_open_ones_stay_until_it_takes_them_again()
    {
        var (client, server) = await ConnectAsync();
        for (var round = 0; round < 3; round++)
        {
            proxy.RefuseNew();
            var refusal = await Assert.ThrowsAsync<SocketException>(DialAsync);
            Assert.Equal(SocketError.ConnectionRefused, refusal.SocketErrorCode);
            await SendAsync(client, "still here");
            Assert.Equal("still here", await ReadTextAsync(server, 10));

            proxy.AcceptNew();
            await ConnectAsync();
        }

        proxy.RefuseNew();
        proxy.Heal();
        await ConnectAsync();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(100)]
    public async Task After_its_pattern_a_connection_is_cut_and_the_pattern_arrives(int sliceBytes)
    {
        var (client, server) = await ConnectAsync();
        var cut = proxy.CutAtAsync(Flow.ToTarget, "COMMIT"u8, CutPoint.After, cancel: patience.Token);

        var lost = await SendSlicedAsync(client, "BEGIN; COM; COMMIT; SELECT 1", sliceBytes);
        await cut;

        Assert.Equal("BEGIN; COM; COMMIT", await ReadToEndAsync(server));
        Assert.Equal(SocketError.ConnectionReset, lost ?? await ResetAsync(client));
        server.Dispose();
        await EventuallyAsync(() => proxy.OpenConnections == 0);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(4)]
    [InlineData(1)]
    public async Task Before_its_pattern_a_connection_is_cut_and_the_pattern_does_not_arrive(int sliceBytes)
    {
        var (client, server) = await ConnectAsync();
        var cut = proxy.CutAtAsync(Flow.ToTarget, "COMMIT"u8, CutPoint.Before, cancel: patience.Token);

        var lost = await SendSlicedAsync(client, "BEGIN; COM; COMMIT; SELECT 1", sliceBytes);
        await cut;

        var arrived = await ReadUntilResetAsync(server);
        Assert.StartsWith("BEGIN; COM; COMMIT", arrived + "COMMIT"[Math.Min(6, Math.Max(0, arrived.Length - 12))..], StringComparison.Ordinal);
        Assert.DoesNotContain("COMMIT", arrived, StringComparison.Ordinal);
        Assert.Equal(SocketError.ConnectionReset, lost ?? await ResetAsync(client));
    }

    [Fact]
    public async Task A_pattern_in_the_answer_cuts_at_the_occurrence_that_was_asked_for()
    {
        var (client, server) = await ConnectAsync();
        var cut = proxy.CutAtAsync(Flow.ToClient, "OK"u8, CutPoint.After, occurrence: 2, cancel: patience.Token);

        await SendAsync(server, "OK 1 OK 2 OK 3");
        await cut;

        Assert.Equal("OK 1 OK", await ReadToEndAsync(client));
        Assert.Equal(SocketError.ConnectionReset, await ResetAsync(server));
    }

    [Fact]
    public async Task A_trap_cuts_one_connection_and_leaves_the_others()
    {
        var (first, firstServer) = await ConnectAsync();
        var (second, secondServer) = await ConnectAsync();
        var cut = proxy.CutAtAsync(Flow.ToTarget, "X"u8, CutPoint.After, cancel: patience.Token);

        await SendAsync(first, "X");
        await cut;
        await SendAsync(second, "X and more");

        Assert.Equal("X", await ReadToEndAsync(firstServer));
        Assert.Equal("X and more", await ReadTextAsync(secondServer, 10));
    }

    [Fact]
    public async Task A_trap_that_was_taken_away_does_not_spring()
    {
        var (client, server) = await ConnectAsync();
        using var end = new CancellationTokenSource();
        var cancelled = proxy.CutAtAsync(Flow.ToTarget, "X"u8, CutPoint.Before, cancel: end.Token);
        var healed = proxy.CutAtAsync(Flow.ToTarget, "X"u8, CutPoint.Before);

        await end.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        proxy.Heal();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => healed);
        await SendAsync(client, "X");

        Assert.Equal("X", await ReadTextAsync(server, 1));
    }

    [Fact]
    public async Task Closing_it_ends_everything_that_waits()
    {
        var (client, server) = await ConnectAsync();
        proxy.Delay(Flow.ToTarget, TimeSpan.FromHours(1));
        proxy.Swallow(Flow.ToClient);
        await SendAsync(client, "late");
        await SendAsync(server, "lost");
        var trap = proxy.CutAtAsync(Flow.ToTarget, "X"u8, CutPoint.Before);

        await proxy.DisposeAsync().AsTask().WaitAsync(patience.Token);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => trap);
        Assert.Equal(SocketError.ConnectionReset, await ResetAsync(client));
        Assert.Equal(SocketError.ConnectionReset, await ResetAsync(server));
        await Assert.ThrowsAsync<SocketException>(DialAsync);
        Assert.Throws<ObjectDisposedException>(proxy.AcceptNew);
    }

    [Fact]
    public async Task Commands_from_many_threads_leave_it_whole()
    {
        var faults = Enumerable.Range(0, 4).Select(n => Task.Run(() =>
        {
            var chance = new Random(n);
            for (var round = 0; round < 200; round++)
            {
                switch (chance.Next(6))
                {
                    case 0: proxy.Delay(Flow.ToTarget, TimeSpan.FromMilliseconds(chance.Next(3))); break;
                    case 1: proxy.Cut(); break;
                    case 2: proxy.RefuseNew(); break;
                    case 3: proxy.Swallow(Flow.ToClient); break;
                    case 4: proxy.EndFlow(Flow.ToTarget); break;
                    default: proxy.Heal(); break;
                }
            }
        })).ToArray();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(patience.Token);
        var serving = EchoAsync();
        for (var round = 0; round < 100; round++)
        {
            using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                await client.ConnectAsync(IPAddress.Loopback, proxy.Port, patience.Token);
                await client.SendAsync("x"u8.ToArray(), patience.Token);
            }
            catch (SocketException)
            {
                // Refused or cut, as it was told to.
            }
        }

        await Task.WhenAll(faults);
        proxy.Heal();

        var whole = await DialAsync();
        await SendAsync(whole, "hello");
        Assert.Equal("hello", await ReadTextAsync(whole, 5));
        await end.CancelAsync();
        await serving;

        async Task EchoAsync()
        {
            var echoes = new List<Task>();
            try
            {
                while (true)
                    echoes.Add(AnswerAsync(await target.AcceptSocketAsync(end.Token)));
            }
            catch (OperationCanceledException) when (end.IsCancellationRequested)
            {
                await Task.WhenAll(echoes);
            }
        }

        async Task AnswerAsync(Socket from)
        {
            using var socket = from;
            var buffer = new byte[16];
            try
            {
                while (await socket.ReceiveAsync(buffer, end.Token) is > 0 and var read)
                    await socket.SendAsync(buffer.AsMemory(0, read), end.Token);
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // Cut, as it was told to, or the test is over.
            }
        }
    }

    private async Task<(Socket Client, Socket Server)> ConnectAsync()
    {
        var client = await DialAsync();
        var server = await target.AcceptSocketAsync(patience.Token);
        sockets.Add(server);
        server.NoDelay = true;
        // The target's side is there before the proxy counts it.
        await EventuallyAsync(() => proxy.OpenConnections > 0);
        return (client, server);
    }

    private async Task<Socket> DialAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        sockets.Add(socket);
        await socket.ConnectAsync(IPAddress.Loopback, proxy.Port, patience.Token);
        return socket;
    }

    private async Task SendAsync(Socket socket, byte[] bytes)
    {
        for (var sent = 0; sent < bytes.Length;)
            sent += await socket.SendAsync(bytes.AsMemory(sent), patience.Token);
    }

    private Task SendAsync(Socket socket, string text) => SendAsync(socket, Encoding.ASCII.GetBytes(text));

    /// <summary>Says it in small pieces; returns how the connection was lost when it was cut before all was said.</summary>
    private async Task<SocketError?> SendSlicedAsync(Socket socket, string text, int sliceBytes)
    {
        try
        {
            foreach (var slice in Encoding.ASCII.GetBytes(text).Chunk(sliceBytes))
                await SendAsync(socket, slice);
            return null;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode;
        }
    }

    private async Task<byte[]> ReadAsync(Socket socket, int length)
    {
        var bytes = new byte[length];
        for (var at = 0; at < length;)
        {
            var read = await socket.ReceiveAsync(bytes.AsMemory(at), patience.Token);
            Assert.True(read > 0, $"ended after {at} of {length} bytes");
            at += read;
        }

        return bytes;
    }

    private async Task<string> ReadTextAsync(Socket socket, int length) => Encoding.ASCII.GetString(await ReadAsync(socket, length));

    private async Task<string> ReadToEndAsync(Socket socket)
    {
        var text = new StringBuilder();
        var buffer = new byte[256];
        while (await socket.ReceiveAsync(buffer, patience.Token) is > 0 and var read)
            text.Append(Encoding.ASCII.GetString(buffer, 0, read));
        return text.ToString();
    }

    private async Task<string> ReadUntilResetAsync(Socket socket)
    {
        var text = new StringBuilder();
        var buffer = new byte[256];
        try
        {
            while (await socket.ReceiveAsync(buffer, patience.Token) is > 0 and var read)
                text.Append(Encoding.ASCII.GetString(buffer, 0, read));
            Assert.Fail("It ended in an orderly way.");
        }
        catch (SocketException e)
        {
            Assert.Equal(SocketError.ConnectionReset, e.SocketErrorCode);
        }

        return text.ToString();
    }

    private async Task<bool> EndsAsync(Socket socket) => await socket.ReceiveAsync(new byte[1], patience.Token) == 0;

    private async Task<SocketError> ResetAsync(Socket socket)
    {
        var failure = await Assert.ThrowsAsync<SocketException>(async () =>
        {
            while (await socket.ReceiveAsync(new byte[256], patience.Token) > 0)
            {
                // What came before it.
            }
        });
        return failure.SocketErrorCode;
    }

    private async Task EventuallyAsync(Func<bool> condition)
    {
        while (!condition())
            await Task.Delay(5, patience.Token);
    }
}

using System.Net;
using System.Net.Sockets;
using System.Text;
using Dispatch.Bench.Load;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Tests;

public sealed class LoadTests
{
    [Fact]
    public async Task A_stalling_server_pays_for_every_task_that_was_due_meanwhile()
    {
        using var listener = Listen(out var target);
        var stall = TimeSpan.FromMilliseconds(200);
        var serving = ServeAsync(listener, stall);

        using (var loop = new EventLoop(CancellationToken.None))
        using (var load = new PacedLoad(loop, target, perSecond: 1_000, count: 500))
        {
            Assert.True(loop.Run(() => load.Finished, TimeSpan.FromSeconds(30)), "not every task was answered");

            // 200 of the 500 are due while nobody gets an answer. Measured from their sends, only the 32 under way would be slow.
            Assert.Equal(500, load.Answered.Count);
            Assert.InRange(load.Answered.PercentileMs(75), 20, double.MaxValue);
            Assert.InRange(load.Answered.MaximumNs / 1e6, stall.TotalMilliseconds * 0.9, double.MaxValue);
        }

        await serving;
    }

    [Fact]
    public void A_refusal_is_counted_and_its_reason_kept()
    {
        var refusals = new Refusals();
        refusals.Add(503, "busy"u8);
        refusals.ThrowOnFault();
        refusals.Add(400, "priority: above 10"u8);

        Assert.Equal((2, 1), (refusals.Count, refusals.Faults));
        Assert.Contains("priority: above 10", Assert.Throws<RunFailedException>(refusals.ThrowOnFault).Message, StringComparison.Ordinal);
    }

    private static Socket Listen(out Target target)
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(64);
        target = new Target((IPEndPoint)listener.LocalEndPoint!);
        return listener;
    }

    /// <summary>Answers each request at once, but for one stretch after the first 100 in which nobody gets an answer.</summary>
    private static async Task ServeAsync(Socket listener, TimeSpan stall)
    {
        var answered = 0;
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        async Task ServeOneAsync(Socket connection)
        {
            using (connection)
            {
                var buffer = new byte[4096];
                while (await connection.ReceiveAsync(buffer) > 0)
                {
                    var number = Interlocked.Increment(ref answered);
                    if (number == 100)
                    {
                        await Task.Delay(stall);
                        open.SetResult();
                    }
                    else if (number > 100)
                    {
                        await open.Task;
                    }

                    await connection.SendAsync(Encoding.ASCII.GetBytes("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"));
                }
            }
        }

        List<Task> connections = [];
        for (var i = 0; i < PacedLoad.Connections; i++)
            connections.Add(ServeOneAsync(await listener.AcceptAsync()));

        await Task.WhenAll(connections);
    }
}

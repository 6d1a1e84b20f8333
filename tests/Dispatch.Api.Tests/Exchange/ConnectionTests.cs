using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Exchange;

public sealed class ConnectionTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task A_connection_cut_while_it_waits_gives_unstarted_work_back_and_new_work_goes_to_another()
    {
        var name = Unique.Name("agent");
        var cut = new Worker(broker.OnOwnConnections(name, out var connections), name);
        (await cut.Api.PutAsync($"/api/v1/agents/{name}", new { capabilities = new[] { capability }, max_concurrent = 10 })).Expect(201);
        var (unstarted, running) = (await alice.SubmitForAsync(capability), await alice.SubmitForAsync(capability));
        (await cut.ExchangeAsync()).GetProperty("tasks");
        (await cut.Api.PostAsync($"/api/v1/tasks/{running}/start")).Expect(200);
        using var abandon = new CancellationTokenSource();
        var waiting = cut.ExchangeAsync(new { holding = new[] { unstarted, running } }, waitMs: 60_000, cancel: abandon.Token);
        var other = await broker.RegisterAsync(Unique.Name("agent"), capability, status: "busy");

        var watch = Stopwatch.StartNew();
        await abandon.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        connections.Dispose();

        var given = await Eventually.GetAsync(() => alice.TaskAsync(unstarted), task => task.Find("assignee") == other.Agent, "another agent has the task");
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 3);
        Assert.Equal((0, "released"), (given.Number("retry_count"), given.Items("attempts").Single().Text("outcome")));
        Assert.Equal("running", await alice.StatusAsync(running));
        Assert.Equal(other.Agent, (await alice.SubmitAsync(new { title = "new", scope = capability })).Text("assignee"));

        // What runs stays with it while its lease lasts, and its next word makes it eligible again.
        var back = new Worker(broker.As(name), name);
        await back.CompleteAsync(running, new { attempt = 1 });
        Assert.Equal(name, (await alice.SubmitAsync(new { title = "newer", scope = capability })).Text("assignee"));
    }

    [Fact]
    public async Task A_worker_that_is_killed_between_exchanges_gives_unstarted_work_back()
    {
        var name = Unique.Name("agent");
        var killed = new Worker(broker.OnOwnConnections(name, out var connections), name);
        (await killed.Api.PutAsync($"/api/v1/agents/{name}", new { capabilities = new[] { capability } })).Expect(201);
        await killed.ExchangeAsync();
        var task = await alice.SubmitForAsync(capability);
        Assert.Equal([task], (await killed.ExchangeAsync()).GetProperty("tasks").Ids());

        connections.Dispose();

        await alice.ReachesAsync(task, "pending");
        Assert.Contains("connection dropped", (await alice.TaskAsync(task)).Items("attempts").Single().Text("error"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_client_with_a_connection_for_each_request_keeps_its_work()
    {
        var name = Unique.Name("agent");
        var worker = await broker.RegisterAsync(name, capability);
        var task = await alice.SubmitForAsync(capability);

        Assert.Contains(task, await OnceAsync("POST", $"/api/v1/agents/{name}/work", name), StringComparison.Ordinal);

        // Longer than the time after which the work of a dropped line goes back.
        await Task.Delay(2_000);
        Assert.Equal(("assigned", 1), ((await alice.TaskAsync(task)).Text("status"), (await alice.TaskAsync(task)).Number("attempt")));
        await worker.CompleteAsync(task, new { attempt = 1 });
    }

    [Fact]
    public async Task A_worker_that_comes_back_on_another_connection_at_once_keeps_its_work()
    {
        var name = Unique.Name("agent");
        var worker = new Worker(broker.OnOwnConnections(name, out var first), name);
        (await worker.Api.PutAsync($"/api/v1/agents/{name}", new { capabilities = new[] { capability } })).Expect(201);
        await worker.ExchangeAsync();
        var task = await alice.SubmitForAsync(capability);
        Assert.Equal([task], (await worker.ExchangeAsync()).GetProperty("tasks").Ids());

        first.Dispose();
        var again = new Worker(broker.As(name), name);
        await again.ExchangeAsync(new { holding = new[] { task } }, waitMs: 2_500);

        Assert.Equal("assigned", await alice.StatusAsync(task));
        await again.CompleteAsync(task, new { attempt = 1 });
    }

    [Fact]
    public async Task A_worker_that_still_shows_life_on_another_connection_keeps_its_work()
    {
        var name = Unique.Name("agent");
        var exchanging = new Worker(broker.OnOwnConnections(name, out var idle), name);
        var beating = new Worker(broker.OnOwnConnections(name, out var busy), name);
        (await exchanging.Api.PutAsync($"/api/v1/agents/{name}", new { capabilities = new[] { capability } })).Expect(201);
        await exchanging.ExchangeAsync();
        var task = await alice.SubmitForAsync(capability);
        Assert.Equal([task], (await exchanging.ExchangeAsync()).GetProperty("tasks").Ids());
        await beating.BeatAsync();
        await beating.BeatAsync();

        // As a pool does with a connection that it has not needed for a while.
        idle.Dispose();
        await Task.Delay(2_000);
        Assert.Equal("assigned", await alice.StatusAsync(task));

        busy.Dispose();
        await alice.ReachesAsync(task, "pending");
    }

    [Fact]
    public async Task Agents_that_leave_or_never_were_are_not_remembered()
    {
        var own = await TestBroker.StartAsync();
        await using var disposal = own;
        for (var n = 0; n < 20; n++)
        {
            (await own.As($"nobody-{n}").PostAsync($"/api/v1/agents/nobody-{n}/work")).ExpectProblem(404, "agent_not_found");
            var worker = await own.RegisterAsync($"guest-{n}", capability);
            await worker.ExchangeAsync();
            await worker.ExchangeAsync();
            Assert.True(own.Broker.Connections.Count >= 1);
            (await worker.Api.DeleteAsync($"/api/v1/agents/guest-{n}")).Expect(200);
        }

        await Eventually.HoldsAsync(() => own.Broker.Connections.Count == 0, "nothing is remembered of them");
    }

    private async Task<string> OnceAsync(string method, string path, string agent)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, broker.Url.Port);
        await socket.SendAsync(Encoding.ASCII.GetBytes($"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Agent-ID: {agent}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        using var stream = new NetworkStream(socket);
        using var reader = new StreamReader(stream);
        return await reader.ReadToEndAsync();
    }
}

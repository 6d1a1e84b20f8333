using System.Net.WebSockets;
using System.Text;
using Dispatch.Api.Tests.Support;
using Dispatch.Host.Nodes;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Api.Tests.Nodes;

/// <summary>Several nodes on one PostgreSQL: any takes any request, one writes each namespace, and another takes over.</summary>
[Collection(NodeCollection.Name)]
public sealed class NodeTests(NodeDatabase database)
{
    private const string Tasks = "/api/v1/tasks";

    [PostgresFact]
    public async Task Any_node_takes_any_request_as_who_asks()
    {
        await using var swarm = await database.NewSwarmAsync();
        var (one, two) = (await swarm.StartAsync("one"), await swarm.StartAsync("two"));
        Assert.Equal(["default"], one.Spaces);
        Assert.Empty(two.Spaces);

        var task = await swarm.JsonAsync(two, HttpMethod.Post, Tasks, """{"title":"Count"}""", status: 201, agent: "alice");
        Assert.Equal("alice", task.Text("requester"));
        var seen = await swarm.JsonAsync(one, HttpMethod.Get, $"{Tasks}/{task.Text("id")}", agent: "bob");
        Assert.Equal(task.Text("id"), seen.Text("id"));
        using var refused = await swarm.AskAsync(two, HttpMethod.Post, Tasks, """{"titel":"Count"}""", agent: "alice");
        Assert.Equal(400, (int)refused.StatusCode);
        Assert.Equal("application/problem+json", refused.Content.Headers.ContentType!.MediaType);
        Assert.True(refused.Headers.Contains("X-Request-ID"));
        await swarm.JsonAsync(two, HttpMethod.Get, "/api/v1/nodes", status: 401, agent: "alice");
    }

    [PostgresFact]
    public async Task Streams_and_sockets_go_through_another_node()
    {
        await using var swarm = await database.NewSwarmAsync();
        await swarm.StartAsync("one");
        var two = await swarm.StartAsync("two");
        var task = await swarm.JsonAsync(two, HttpMethod.Post, Tasks, """{"title":"Count"}""", status: 201);

        using (var stream = await swarm.AskAsync(two, HttpMethod.Get, "/api/v1/events/stream?after=0"))
        {
            Assert.Equal("text/event-stream", stream.Content.Headers.ContentType!.MediaType);
            using var reader = new StreamReader(await stream.Content.ReadAsStreamAsync());
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            string? line;
            do
                line = await reader.ReadLineAsync(patience.Token);
            while (line is not null && !line.Contains("dispatch.task.created", StringComparison.Ordinal));
            Assert.NotNull(line);
        }

        using var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("X-Agent-ID", "admin");
        socket.Options.SetRequestHeader("Authorization", $"Bearer {TestBroker.AdminSecret}");
        await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{two.Url.Port}/api/v1/events/ws?after=0&subject={task.Text("id")}"), CancellationToken.None);
        var message = new StringBuilder();
        var buffer = new byte[4096];
        using (var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30)))
        {
            while (!message.ToString().Contains("dispatch.task.created", StringComparison.Ordinal))
                message.Append(Encoding.UTF8.GetString(buffer.AsSpan(0, (await socket.ReceiveAsync(buffer, patience.Token)).Count)));
            await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, patience.Token);
        }
    }

    [PostgresFact]
    public async Task A_node_that_stops_hands_its_namespace_over_and_the_log_goes_on()
    {
        await using var swarm = await database.NewSwarmAsync();
        var (one, two) = (await swarm.StartAsync("one"), await swarm.StartAsync("two"));
        var before = await swarm.JsonAsync(one, HttpMethod.Post, Tasks, """{"title":"before"}""", status: 201);

        var stopping = one.StopAsync();
        var after = await swarm.JsonAsync(two, HttpMethod.Post, Tasks, """{"title":"after"}""", status: 201, headers: ("Idempotency-Key", "after"));
        await stopping;

        Assert.Equal(["default"], two.Spaces);
        var events = await swarm.JsonAsync(two, HttpMethod.Get, "/api/v1/events?type=task.created");
        Assert.Equal([before.Text("id"), after.Text("id")], events.GetProperty("events").EnumerateArray().Select(happened => happened.Text("subject")));
        Assert.Equal("2", await swarm.QueryAsync("SELECT epoch FROM dispatch.writers WHERE namespace = 'default'"));
        var nodes = await swarm.JsonAsync(two, HttpMethod.Get, "/api/v1/nodes");
        Assert.Equal(["two"], nodes.EnumerateArray().Select(node => node.Text("name")));
    }

    [PostgresFact]
    public async Task A_node_whose_place_was_taken_gives_the_namespace_up()
    {
        await using var swarm = await database.NewSwarmAsync();
        var one = await swarm.StartAsync("one");
        await swarm.JsonAsync(one, HttpMethod.Post, Tasks, """{"title":"before"}""", status: 201);

        // As if it had been stopped so long that somebody else has come and gone meanwhile.
        await swarm.QueryAsync("UPDATE dispatch.writers SET holder = '', epoch = epoch + 1, expires_at = clock_timestamp(), backend_pid = NULL, backend_start = NULL");
        await Eventually.HoldsAsync(
            async () => (await swarm.QueryAsync("SELECT epoch FROM dispatch.writers")) == "3" && one.Spaces.Contains("default"), "it takes the place anew");
        await swarm.JsonAsync(one, HttpMethod.Post, Tasks, """{"title":"after"}""", status: 201);
    }

    [PostgresFact]
    public async Task Namespaces_are_swarms_of_their_own()
    {
        await using var swarm = await database.NewSwarmAsync();
        var (one, two) = (await swarm.StartAsync("one"), await swarm.StartAsync("two"));
        await swarm.JsonAsync(two, HttpMethod.Post, "/api/v1/namespaces", """{"name":"Blue!"}""", status: 400);
        await swarm.JsonAsync(two, HttpMethod.Post, "/api/v1/namespaces", """{"name":"blue"}""", status: 201);
        await swarm.JsonAsync(two, HttpMethod.Post, "/api/v1/namespaces", """{"name":"blue"}""");

        // The one with less to do takes it.
        await Eventually.HoldsAsync(() => two.Spaces.Contains("blue"), "blue is written");
        await swarm.JsonAsync(one, HttpMethod.Post, Tasks, """{"title":"red"}""", status: 201);
        await swarm.JsonAsync(one, HttpMethod.Post, Tasks, """{"title":"blue"}""", space: "blue", status: 201);
        Assert.Equal(["blue"], await TitlesAsync(swarm, one, "/ns/blue" + Tasks));
        Assert.Equal(["red"], await TitlesAsync(swarm, two, Tasks));
        var problem = await swarm.JsonAsync(one, HttpMethod.Get, "/ns/green" + Tasks, status: 404);
        Assert.Equal("namespace_not_found", problem.Text("code"));

        using var metrics = new HttpClient();
        var page = await metrics.GetStringAsync(new Uri(two.OperationsUrl, "/metrics"));
        Assert.Contains("dispatch_tasks{namespace=\"blue\",status=\"pending\"} 1\n", page, StringComparison.Ordinal);
        Assert.Single(page.Split('\n'), line => line.StartsWith("# TYPE dispatch_tasks ", StringComparison.Ordinal));
    }

    [PostgresFact]
    public async Task A_namespace_is_moved_and_a_node_is_drained_without_a_refused_request()
    {
        await using var swarm = await database.NewSwarmAsync();
        var (one, two) = (await swarm.StartAsync("one"), await swarm.StartAsync("two"));
        await swarm.JsonAsync(one, HttpMethod.Post, "/api/v1/namespaces/default/move", """{"node":"three"}""", status: 404);
        await swarm.JsonAsync(one, HttpMethod.Post, "/api/v1/namespaces/green/move", """{"node":"two"}""", status: 404);

        await MovesAsync("/api/v1/namespaces/default/move", """{"node":"two"}""", 202, two);
        await MovesAsync("/api/v1/namespaces/default/move", "{}", 202, two);
        await MovesAsync("/api/v1/nodes/two/drain", null, 200, one);
        await swarm.JsonAsync(one, HttpMethod.Post, "/api/v1/nodes/three/drain", status: 404);
        var nodes = await swarm.JsonAsync(two, HttpMethod.Get, "/api/v1/nodes");
        Assert.Equal([("one", "up"), ("two", "draining")], nodes.EnumerateArray().Select(node => (node.Text("name"), node.Text("status"))));

        async Task MovesAsync(string path, string? body, int status, Node to)
        {
            await swarm.JsonAsync(one, HttpMethod.Post, path, body, status: status);
            for (var n = 0; n < 50 || !to.Spaces.Contains("default"); n++)
            {
                using var answer = await swarm.AskAsync(n % 2 == 0 ? one : two, HttpMethod.Post, Tasks, """{"title":"t"}""", headers: ("Idempotency-Key", $"{path}-{body}-{n}"));
                Assert.True((int)answer.StatusCode is 201 or 503, $"{(int)answer.StatusCode}");
                if ((int)answer.StatusCode == 503)
                    Assert.NotNull(answer.Headers.RetryAfter);
                Assert.True(n < 5_000, "it never moves");
            }

            Assert.Equal(["default"], to.Spaces);
        }
    }

    [PostgresFact]
    public async Task A_request_is_handed_on_once_and_only_nodes_can_say_that_it_was()
    {
        await using var swarm = await database.NewSwarmAsync();
        var (one, two) = (await swarm.StartAsync("one"), await swarm.StartAsync("two"));

        // A mark that nobody's key made is no mark.
        await swarm.JsonAsync(two, HttpMethod.Get, Tasks, headers: (RequestForwarder.Mark, "1790000000 " + new string('0', 64)));

        // What a node says was handed on already stays where it is, and waits in vain.
        var mark = MarkOf(await swarm.QueryAsync("SELECT secret FROM dispatch.cluster"));
        var problem = await swarm.JsonAsync(two, HttpMethod.Get, Tasks, status: 503, headers: (RequestForwarder.Mark, mark));
        Assert.Equal("no_writer", problem.Text("code"));
        await swarm.JsonAsync(one, HttpMethod.Get, Tasks, headers: (RequestForwarder.Mark, mark));
    }

    [PostgresFact]
    public async Task A_second_process_under_the_name_of_a_node_ends_the_first()
    {
        await using var swarm = await database.NewSwarmAsync();
        var one = await swarm.StartAsync("one");
        var again = await swarm.StartAsync("one");

        var failure = await Assert.ThrowsAsync<Host.BrokerStartException>(() => one.Completion.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("node one", failure.Message, StringComparison.Ordinal);
        await one.StopAsync();
        await Eventually.HoldsAsync(() => again.Spaces.Contains("default"), "the second writes");
    }

    private static async Task<IEnumerable<string?>> TitlesAsync(NodeSwarm swarm, Node node, string path) =>
        (await swarm.JsonAsync(node, HttpMethod.Get, path)).EnumerateArray().Select(task => task.Text("title"));

    private static string MarkOf(string secret)
    {
        var seconds = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var hash = System.Security.Cryptography.HMACSHA256.HashData(Encoding.ASCII.GetBytes(secret), Encoding.UTF8.GetBytes($"{seconds}\nGET\n{new PathString(Tasks)}"));
        return $"{seconds} {Convert.ToHexStringLower(hash)}";
    }
}

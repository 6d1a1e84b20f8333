using System.Diagnostics;
using System.Text.Json;
using Dispatch.Api.Tests.Support;
using Dispatch.Host;

namespace Dispatch.Api.Tests.Running;

public sealed class StopTests
{
    [Fact]
    public async Task A_stop_answers_who_waits_and_ends_soon()
    {
        await using var broker = await TestBroker.StartAsync();
        var alice = broker.As("alice");
        var id = await alice.SubmitForAsync("nobody");
        var worker = await broker.RegisterAsync("worker", "do");
        var polls = Enumerable.Range(0, 5).Select(_ => worker.ExchangeAsync(waitMs: 60_000)).ToArray();
        var reads = Enumerable.Range(0, 5).Select(_ => alice.GetAsync($"/api/v1/tasks/{id}?wait_ms=60000")).ToArray();
        await Eventually.HoldsAsync(() => broker.Broker.Connections.Active == 5 && broker.Broker.Reads.Count == 5, "all of them wait");

        var watch = Stopwatch.StartNew();
        await broker.StopAsync();

        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 10);
        Assert.All(await Task.WhenAll(polls), answer => Assert.Empty(answer.Items("tasks")));
        Assert.All(await Task.WhenAll(reads), reply => Assert.Equal("pending", reply.Expect(200).Text("status")));
    }

    [Fact]
    public async Task A_stop_in_the_middle_of_a_crowd_loses_nothing_that_was_accepted()
    {
        await using var broker = await TestBroker.StartAsync();
        var accepted = new System.Collections.Concurrent.ConcurrentBag<string>();
        using var stop = new CancellationTokenSource();
        var crowd = Enumerable.Range(0, 16).Select(n => SubmitAsync(broker.As($"requester-{n}"))).ToArray();
        await Eventually.HoldsAsync(() => accepted.Count > 200, "the crowd is at it");

        var watch = Stopwatch.StartNew();
        await broker.StopAsync();
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 10);
        await stop.CancelAsync();
        await Task.WhenAll(crowd);
        await broker.RestartAsync();

        var there = (await broker.Admin.GetAsync("/api/v1/stats")).Expect(200).GetProperty("tasks").Number("pending");
        Assert.InRange(there, accepted.Count, accepted.Count + 16);
        foreach (var id in accepted.Take(100))
            Assert.Equal("pending", await broker.As("alice").StatusAsync(id));

        async Task SubmitAsync(ApiClient requester)
        {
            var url = broker.Url;
            while (!stop.IsCancellationRequested)
            {
                var id = Unique.Id();
                try
                {
                    var reply = await requester.PostAsync(new Uri(url, "/api/v1/tasks").ToString(), new { id, title = "x" });
                    if (reply.Status == 201)
                        accepted.Add(id);
                    else
                        reply.ExpectProblem(503, "shutting_down");
                }
                catch (HttpRequestException)
                {
                    // The door is shut.
                    return;
                }
            }
        }
    }

    [Fact]
    public async Task The_file_that_tells_where_the_broker_is_goes_with_it()
    {
        using var directory = new TemporaryDirectory();
        await using var broker = await TestBroker.StartAsync(directory: directory.Path);
        var file = Path.Combine(directory.Path, "broker.json");

        var running = JsonDocument.Parse(await File.ReadAllBytesAsync(file)).RootElement;
        await broker.StopAsync();

        Assert.Equal(Environment.ProcessId, running.Number("pid"));
        Assert.StartsWith("http://127.0.0.1:", running.Text("url"), StringComparison.Ordinal);
        Assert.NotEqual(running.Text("url"), running.Text("metrics_url"));
        Assert.Equal("0.1.0", running.Text("version"));
        Assert.False(File.Exists(file));
    }

    [Fact]
    public async Task A_second_broker_on_the_same_store_is_refused_and_told_by_whom()
    {
        using var directory = new TemporaryDirectory();
        await using var first = await TestBroker.StartAsync(directory: directory.Path);

        var refusal = await Assert.ThrowsAsync<BrokerStartException>(() => TestBroker.StartAsync(directory: directory.Path));

        Assert.Contains($"process {Environment.ProcessId}", refusal.Message, StringComparison.Ordinal);
        (await first.As("alice").PostAsync("/api/v1/tasks", new { title = "x" })).Expect(201);
        await first.StopAsync();
        await using var second = await TestBroker.StartAsync(directory: directory.Path);
        Assert.Single((await second.As("alice").GetAsync("/api/v1/tasks")).Expect(200).Items());
    }

    [Fact]
    public async Task A_port_that_is_taken_is_told_and_the_store_is_free_again()
    {
        using var directory = new TemporaryDirectory();
        await using var other = await TestBroker.StartAsync();

        var refusal = await Assert.ThrowsAsync<BrokerStartException>(() => TestBroker.StartAsync(
            config => config with { Server = config.Server with { Port = other.Url.Port } }, directory.Path));

        Assert.Contains(other.Url.Port.ToString(), refusal.Message, StringComparison.Ordinal);
        await using var again = await TestBroker.StartAsync(directory: directory.Path);
    }

    [Fact]
    public async Task The_admin_token_is_made_once_and_kept_for_its_owner_only()
    {
        using var directory = new TemporaryDirectory();
        await using var broker = await TestBroker.StartAsync(config => config with { Server = config.Server with { AdminToken = null } }, directory.Path);
        var file = Path.Combine(directory.Path, "admin-token");
        var secret = (await File.ReadAllTextAsync(file)).Trim();

        (await broker.As("root", secret).GetAsync("/api/v1/stats")).Expect(200);
        await broker.RestartAsync();

        (await broker.As("root", secret).GetAsync("/api/v1/stats")).Expect(200);
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.DoesNotContain(secret, broker.Log, StringComparison.Ordinal);
    }
}

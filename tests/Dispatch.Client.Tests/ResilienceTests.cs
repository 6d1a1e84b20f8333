using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Dispatch.Client.Tests;

/// <summary>What the client does when the broker refuses, is busy, is away, or is cut off.</summary>
public sealed class ResilienceTests
{
    private static readonly Reply Busy = Reply.Problem(503, "busy", retryAfter: "0");
    private static readonly Reply CommitFailed = Reply.Problem(503, "store_unavailable", retryAfter: "0");

    [Fact]
    public async Task A_refusal_carries_everything_the_broker_said()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Problem(400, "validation", "Two members are wrong.", retryAfter: "7",
            """, "errors":[{"field":"tasks[3].priority","message":"0 to 10","value":11},{"field":"title","message":"required"}]"""));
        using var client = server.Client();

        var refused = await Assert.ThrowsAsync<DispatchException>(() => client.SubmitAsync(new NewTask()));

        Assert.Equal((400, "validation", "Two members are wrong.", "req-1", TimeSpan.FromSeconds(7)), (refused.Status, refused.Code, refused.Detail, refused.RequestId, refused.RetryAfter!.Value));
        Assert.Equal(["tasks[3].priority", "title"], refused.Faults.Select(fault => fault.Field));
        Assert.Equal(11, refused.Faults[0].Value!.Value.GetInt32());
        Assert.Equal("Two members are wrong. (tasks[3].priority: 0 to 10; title: required)", refused.Message);
        Assert.Single(server.Received);
    }

    [Fact]
    public async Task A_refusal_by_something_in_between_is_told_by_its_status()
    {
        await using var server = await LoopbackServer.StartAsync(new Reply(407, "<html>Who are you?</html>", "text/html"));
        using var client = server.Client();

        var refused = await Assert.ThrowsAsync<DispatchException>(() => client.GetTaskAsync("t1"));

        Assert.Equal((407, "http_407", "req-1"), (refused.Status, refused.Code, refused.RequestId));
    }

    [Theory]
    [InlineData("<html>Welcome</html>")]
    [InlineData("""{"id":"t1"}""")]
    [InlineData("""{"id":"t1","title":"T","status":"pending","priority":"many"}""")]
    [InlineData("null")]
    [InlineData("")]
    public async Task A_success_that_is_no_answer_is_not_taken_for_one(string body)
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Ok(body));
        using var client = server.Client();

        var unreadable = await Assert.ThrowsAsync<DispatchException>(() => client.GetTaskAsync("t1"));

        Assert.Equal((200, "unreadable_answer"), (unreadable.Status, unreadable.Code));
    }

    [Fact]
    public async Task Reads_and_reports_are_repeated_while_the_broker_is_busy_or_cut_off()
    {
        await using var server = await LoopbackServer.StartAsync(
            Busy, Reply.Cut, CommitFailed, Reply.Problem(429, "too_many_requests", retryAfter: "0"), new Reply(502, "bad gateway", "text/plain"), Reply.Ok(Wire.Task()));
        using var client = server.Client();

        await client.CompleteTaskAsync("t1", attempt: 1);

        Assert.Equal(6, server.Received.Count);
        Assert.Single(server.Received.Select(request => request.Route + request.Body).Distinct());
    }

    [Fact]
    public async Task A_submit_whose_answer_was_lost_is_repeated_with_the_same_key_and_is_still_new()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Cut, CommitFailed, Reply.Ok(Wire.Task()));
        using var client = server.Client();

        var submission = await client.SubmitAsync(new NewTask { Title = "T" });

        Assert.True(submission.IsNew);
        Assert.Equal(3, server.Received.Count);
        Assert.Single(server.Received.Select(request => request.Json.GetProperty("idempotency_key").GetString()).Distinct());
    }

    [Fact]
    public async Task A_submit_without_a_name_is_repeated_only_when_it_surely_was_not_looked_at()
    {
        await using var busy = await LoopbackServer.StartAsync(Busy, new Reply(201, Wire.Task()));
        await using var failing = await LoopbackServer.StartAsync(CommitFailed);
        await using var cutting = await LoopbackServer.StartAsync(Reply.Cut);
        Func<DispatchClientOptions, DispatchClientOptions> plain = options => options with { GenerateIdempotencyKeys = false };
        using var first = busy.Client(plain);
        using var second = failing.Client(plain);
        using var third = cutting.Client(plain);

        await first.SubmitAsync(new NewTask { Title = "T" });
        await Assert.ThrowsAsync<DispatchException>(() => second.SubmitAsync([new NewTask { Title = "T" }, new NewTask { Title = "T", Id = "named" }]));
        var lost = await Assert.ThrowsAsync<DispatchUnreachableException>(() => third.SubmitAsync(new NewTask { Title = "T" }));

        Assert.False(lost.NeverSent);
        Assert.Equal((2, 1, 1), (busy.Received.Count, failing.Received.Count, cutting.Received.Count));
    }

    [Fact]
    public async Task Calls_that_do_something_else_when_repeated_are_not()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Cut);
        using var client = server.Client();

        await Assert.ThrowsAsync<DispatchUnreachableException>(() => client.RetryTaskAsync("t1"));
        await Assert.ThrowsAsync<DispatchUnreachableException>(() => client.RedriveAsync(new RedriveRequest()));
        await Assert.ThrowsAsync<DispatchUnreachableException>(() => client.CreateTokenAsync(new NewToken { AgentId = "a" }));

        Assert.Equal(3, server.Received.Count);
    }

    [Fact]
    public async Task A_cancel_whose_answer_was_lost_succeeds()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Cut, Reply.Problem(409, "task_state"), Reply.Ok(Wire.Task(status: "cancelled")));
        using var client = server.Client();

        Assert.Equal("cancelled", (await client.CancelTaskAsync("t1")).Status);
    }

    [Fact]
    public async Task A_cancel_of_a_task_that_ended_otherwise_is_refused()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Problem(409, "task_state"), Reply.Ok(Wire.Task(status: "completed")));
        using var client = server.Client();

        var refused = await Assert.ThrowsAsync<DispatchException>(() => client.CancelTaskAsync("t1"));

        Assert.Equal("task_state", refused.Code);
    }

    [Fact]
    public async Task Retry_After_is_honoured()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Problem(503, "busy", retryAfter: "1"), Reply.Ok(Wire.Task()));
        using var client = server.Client();
        var watch = Stopwatch.StartNew();

        await client.GetTaskAsync("t1");

        Assert.InRange(watch.Elapsed.TotalSeconds, 0.99, 10);
    }

    [Fact]
    public async Task A_pause_that_would_outlast_the_deadline_is_not_begun()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Problem(503, "busy", retryAfter: "3600"));
        using var client = server.Client();
        var watch = Stopwatch.StartNew();

        var refused = await Assert.ThrowsAsync<DispatchException>(() => client.GetTaskAsync("t1"));

        Assert.Equal(TimeSpan.FromHours(1), refused.RetryAfter);
        Assert.Single(server.Received);
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(15));
    }

    [Fact]
    public async Task Repeating_ends_at_the_deadline()
    {
        await using var server = await LoopbackServer.StartAsync(Busy);
        using var client = server.Client(options => options with { RetryFor = TimeSpan.FromMilliseconds(200) });

        await Assert.ThrowsAsync<DispatchException>(() => client.GetTaskAsync("t1"));
        var asked = server.Received.Count;
        using var never = server.Client(options => options with { RetryFor = TimeSpan.Zero });
        await Assert.ThrowsAsync<DispatchException>(() => never.GetTaskAsync("t1"));

        Assert.True(asked > 1);
    }

    [Fact]
    public async Task A_broker_that_is_not_there_is_told_apart_from_one_that_refuses()
    {
        using var client = new DispatchClient(new DispatchClientOptions { AgentId = "a", Server = new Uri($"http://127.0.0.1:{FreePort()}"), RetryFor = TimeSpan.FromMilliseconds(50) });

        var away = await Assert.ThrowsAsync<DispatchUnreachableException>(() => client.GetTaskAsync("t1"));

        Assert.True(away.NeverSent);
        Assert.Equal(client.Server, away.Server);
    }

    [Fact]
    public async Task A_call_finds_a_broker_that_comes_back()
    {
        var port = FreePort();
        using var client = new DispatchClient(new DispatchClientOptions { AgentId = "a", Server = new Uri($"http://127.0.0.1:{port}"), RetryBase = TimeSpan.FromMilliseconds(20) });

        // Without a key it may be repeated only because no connection came about.
        var submitting = client.RetryTaskAsync("t1");
        await Task.Delay(150);
        Assert.False(submitting.IsCompleted);
        await using var server = await LoopbackServer.StartAsync(_ => Task.FromResult(Reply.Ok(Wire.Task())), port);

        Assert.Equal(Wire.TaskId, (await submitting).Id);
    }

    [Fact]
    public async Task An_answer_that_does_not_come_is_given_up()
    {
        await using var server = await LoopbackServer.StartAsync(async request =>
        {
            await Task.Delay(Timeout.Infinite, request.Gone).ContinueWith(_ => { }, TaskScheduler.Default);
            return Reply.Cut;
        });
        using var client = server.Client(options => options with { Timeout = TimeSpan.FromMilliseconds(100), RetryFor = TimeSpan.Zero });

        var late = await Assert.ThrowsAsync<DispatchUnreachableException>(() => client.GetTaskAsync("t1"));

        Assert.False(late.NeverSent);
        Assert.Contains("no answer within 0.1 s", late.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_time_the_broker_is_asked_to_wait_does_not_count_against_the_call()
    {
        await using var server = await LoopbackServer.StartAsync(async request =>
        {
            await Task.Delay(500, request.Gone);
            return Reply.Ok(Wire.Task());
        });
        using var client = server.Client(options => options with { Timeout = TimeSpan.FromMilliseconds(300), RetryFor = TimeSpan.Zero });

        Assert.Equal(Wire.TaskId, (await client.GetTaskAsync("t1", TimeSpan.FromSeconds(5))).Id);
    }

    [Fact]
    public async Task A_cancelled_call_says_so()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Problem(503, "busy", retryAfter: "10"));
        using var client = server.Client();
        using var cancel = new CancellationTokenSource();

        var call = client.GetTaskAsync("t1", cancel: cancel.Token);
        await Eventually.BeTrueAsync(() => server.Received.Count == 1);
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
    }

    [Fact]
    public async Task A_body_over_the_limit_is_a_refusal_and_not_a_broken_connection()
    {
        await using var server = await LoopbackServer.StartAsync(_ => Task.FromResult(Reply.Ok(Wire.Task())), bodyLimit: 1 << 20);
        using var client = server.Client(options => options with { RetryFor = TimeSpan.Zero });

        var refused = await Assert.ThrowsAsync<DispatchException>(() => client.SubmitAsync(new NewTask { Title = new string('x', 3 << 20) }));

        Assert.Equal((413, "payload_too_large"), (refused.Status, refused.Code));
    }

    [Fact]
    public void Pauses_double_up_to_the_cap_with_full_jitter()
    {
        var backoff = new Backoff(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(5), new Random(1));

        for (var failures = 1; failures < 60; failures++)
        {
            var ceiling = TimeSpan.FromMilliseconds(Math.Min(100 * Math.Pow(2, failures - 1), 5000));
            var pauses = Enumerable.Range(0, 200).Select(_ => backoff.Pause(failures)).ToList();
            Assert.All(pauses, pause => Assert.InRange(pause, TimeSpan.Zero, ceiling));
            Assert.True(pauses.Max() > ceiling * 0.9 && pauses.Min() < ceiling * 0.1);
        }
        Assert.All(Enumerable.Range(0, 200), _ => Assert.InRange(backoff.Pause(3, TimeSpan.FromSeconds(60)), TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(75)));
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}

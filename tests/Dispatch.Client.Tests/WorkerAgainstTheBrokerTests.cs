using System.Text.Json;
using Dispatch.Host.Configuration;

namespace Dispatch.Client.Tests;

/// <summary>The worker loop against the broker itself.</summary>
public sealed class WorkerAgainstTheBrokerTests
{
    private static readonly string[] Words = ["words"];

    [Fact]
    public async Task Workers_share_the_work_and_flaky_work_is_done_in_the_end()
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        await using var one = new RunningWorker(broker.Client("w1"), Flaky);
        await using var two = new RunningWorker(broker.Client("w2"), Flaky);

        var submitted = await requester.SubmitAsync([.. Enumerable.Range(0, 300).Select(i => Counting(i))]);
        await Eventually.BeTrueAsync(() => one.Worker.Statistics.Completed + two.Worker.Statistics.Completed == 300);

        foreach (var task in submitted.Tasks)
        {
            var done = await requester.GetTaskAsync(task.Id);
            Assert.Equal("completed", done.Status);
            Assert.Equal(done.Context.GetProperty("n").GetInt32() % 7 == 0 ? 2 : 1, done.Attempt);
            Assert.NotNull(done.StartedAt);
        }
        Assert.Equal(43, one.Worker.Statistics.Failed + two.Worker.Statistics.Failed);
        Assert.Equal((0, 0), (one.Worker.Statistics.Lost + two.Worker.Statistics.Lost, one.Worker.Statistics.Cancelled + two.Worker.Statistics.Cancelled));
        Assert.True(one.Worker.Statistics.Completed > 0 && two.Worker.Statistics.Completed > 0);

        static Task<WorkResult> Flaky(WorkItem item, CancellationToken cancel) => Task.FromResult(
            item.Task.Context.GetProperty("n").GetInt32() % 7 == 0 && item.Attempt == 1 ? WorkResult.Fail("Once.") : WorkResult.Complete(item.Task.Context));
    }

    [Fact]
    public async Task Work_submitted_to_a_waiting_worker_is_begun_at_once()
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        await using var worker = new RunningWorker(broker.Client("w1"), (_, _) => Task.FromResult(WorkResult.Complete()));
        await Eventually.BeTrueAsync(() => worker.Said(WorkerNoticeKind.Registered));

        for (var i = 0; i < 5; i++)
        {
            var id = (await requester.SubmitAsync(Counting(i))).Task.Id;
            var done = await requester.WaitForTaskAsync(id, TimeSpan.FromSeconds(8));
            Assert.Equal("completed", done.Status);
        }
    }

    [Fact]
    public async Task Nothing_is_lost_when_the_broker_restarts_under_the_work()
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        await using var worker = new RunningWorker(broker.Client("w1"), async (item, cancel) =>
        {
            await Task.Delay(20, cancel);
            return WorkResult.Complete(item.Task.Context);
        }, options => options with { MaxConcurrent = 4 });
        var submitted = await requester.SubmitAsync([.. Enumerable.Range(0, 120).Select(i => Counting(i))]);
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Completed > 20);

        await broker.StopAsync();
        await Eventually.BeTrueAsync(() => worker.Said(WorkerNoticeKind.BrokerAway));
        await broker.StartAgainAsync();
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics is { Running: 0 } statistics && statistics.Completed + statistics.Lost >= 120);

        foreach (var task in submitted.Tasks)
        {
            var done = await requester.WaitForTaskAsync(task.Id, TimeSpan.FromSeconds(20));
            Assert.Equal("completed", done.Status);
            Assert.Single(done.Attempts, attempt => attempt.Outcome == "completed");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Nothing_is_lost_over_a_bad_line(int seed)
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        using var straight = new HttpClient { BaseAddress = broker.Url };
        var dice = new Random(seed);
        await using var line = await LoopbackServer.StartAsync(async request =>
        {
            Fault fault;
            lock (dice)
                fault = dice.Next(12) switch { 0 => Fault.Unavailable, 1 => Fault.CutBefore, 2 => Fault.AnswerLost, _ => Fault.None };
            if (fault == Fault.Unavailable)
                return Reply.Problem(503, "store_unavailable", retryAfter: "0");
            if (fault == Fault.CutBefore)
                return Reply.Cut;
            using var passed = new HttpRequestMessage(new HttpMethod(request.Method), request.Path + request.Query) { Content = new StringContent(request.Body, null, "application/json") };
            passed.Headers.Add("X-Agent-ID", request.Headers["X-Agent-ID"]);
            using var answer = await straight.SendAsync(passed, request.Gone);
            return fault == Fault.AnswerLost ? Reply.Cut : new Reply((int)answer.StatusCode, await answer.Content.ReadAsStringAsync());
        });
        await using var worker = new RunningWorker(line.Client(options => options with { AgentId = "w1" }), async (item, cancel) =>
        {
            await Task.Delay(2, cancel);
            return WorkResult.Complete(item.Task.Context);
        }, options => options with { MaxConcurrent = 8 });

        var submitted = await requester.SubmitAsync([.. Enumerable.Range(0, 150).Select(i => Counting(i))]);
        foreach (var task in submitted.Tasks)
        {
            var done = await requester.WaitForTaskAsync(task.Id, TimeSpan.FromSeconds(30));
            Assert.Equal("completed", done.Status);
            Assert.Equal(done.Context.GetRawText(), done.Result!.Value.GetRawText());
        }

        await Eventually.BeTrueAsync(() => worker.Worker.Statistics is { Running: 0 } statistics && statistics.Completed == 150);
        using var itself = broker.Client("w1");
        Assert.Empty(await itself.GetHeldTasksAsync("w1"));
        Assert.True(worker.Said(WorkerNoticeKind.BrokerBack));
    }

    [Fact]
    public async Task A_cancelled_and_a_timed_out_task_stop_their_handlers()
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        var causes = new System.Collections.Concurrent.ConcurrentDictionary<string, StopCause>();
        await using var worker = new RunningWorker(broker.Client("w1"), async (item, cancel) =>
        {
            try
            {
                await Task.Delay(Timeout.Infinite, cancel);
            }
            catch (OperationCanceledException)
            {
                causes[item.Task.Title] = item.StopCause;
                throw;
            }
            return WorkResult.Complete();
        });
        var cancelled = await requester.SubmitAsync(Counting(0) with { Title = "cancelled" });
        var late = await requester.SubmitAsync(Counting(1) with { Title = "late", Timeout = TimeSpan.FromMilliseconds(300), MaxRetries = 0 });
        await Eventually.BeTrueAsync(() => worker.Begun.Count == 2);

        await requester.CancelTaskAsync(cancelled.Task.Id);
        await Eventually.BeTrueAsync(() => causes.Count == 2);

        // Two calls are under way: one is told why, the other only that the task is not held any more, and either may come first.
        Assert.All(causes.Values, cause => Assert.Contains(cause, new[] { StopCause.Cancelled, StopCause.LeaseLost }));
        Assert.Equal("timeout", (await requester.WaitForTaskAsync(late.Task.Id, TimeSpan.FromSeconds(10))).Status);
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics is { Running: 0 } statistics && statistics.Cancelled + statistics.Lost == 2);
    }

    [Fact]
    public async Task Heartbeats_keep_the_lease_of_long_work()
    {
        await using var broker = await RealBroker.StartAsync(config => config with { Agents = new AgentSettings { Lease = TimeSpan.FromSeconds(2) } });
        using var requester = broker.Client("requester");
        var finish = new TaskCompletionSource();
        await using var worker = new RunningWorker(broker.Client("w1"), async (_, cancel) =>
        {
            await finish.Task.WaitAsync(cancel);
            return WorkResult.Complete();
        }, options => options with { MaxConcurrent = 1 });
        var id = (await requester.SubmitAsync(Counting(0))).Task.Id;

        // Two and a half leases long.
        Assert.Equal("running", (await requester.WaitForTaskAsync(id, TimeSpan.FromSeconds(5))).Status);
        finish.SetResult();

        var done = await requester.WaitForTaskAsync(id, TimeSpan.FromSeconds(10));
        Assert.Equal(("completed", 1), (done.Status, done.Attempt));
    }

    [Fact]
    public async Task A_stop_leaves_nothing_in_hand()
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        using var admin = broker.Client("admin", admin: true);
        var submitted = await requester.SubmitAsync([.. Enumerable.Range(0, 10).Select(i => Counting(i))]);
        await using var worker = new RunningWorker(broker.Client("w1"), async (_, cancel) =>
        {
            await Task.Delay(Timeout.Infinite, cancel);
            return WorkResult.Complete();
        });
        await Eventually.BeTrueAsync(() => worker.Begun.Count == 3);

        await worker.StopAsync();

        Assert.Empty(await admin.ListAgentsAsync());
        foreach (var task in submitted.Tasks)
        {
            var back = await requester.GetTaskAsync(task.Id);
            Assert.Equal(("pending", 0), (back.Status, back.RetryCount));
        }
        Assert.Equal(3, worker.Worker.Statistics.Released);
    }

    [Fact]
    public async Task A_sleeping_worker_is_woken_by_the_broker()
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        var warmUps = 0;
        await using var worker = new RunningWorker(broker.Client("w1"), (_, _) => Task.FromResult(WorkResult.Complete()), options => options with
        {
            SleepAfter = TimeSpan.FromMilliseconds(200),
            WarmUp = _ =>
            {
                Interlocked.Increment(ref warmUps);
                return Task.CompletedTask;
            },
        });
        await Eventually.BeTrueAsync(() => worker.Said(WorkerNoticeKind.Sleeping) && requester.GetAgentAsync("w1").GetAwaiter().GetResult().Status == "sleeping");

        var id = (await requester.SubmitAsync(Counting(0))).Task.Id;
        var done = await requester.WaitForTaskAsync(id, TimeSpan.FromSeconds(10));

        Assert.Equal(("completed", 1), (done.Status, Volatile.Read(ref warmUps)));
    }

    [Fact]
    public async Task A_worker_the_broker_forgot_registers_again()
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        using var admin = broker.Client("admin", admin: true);
        await using var worker = new RunningWorker(broker.Client("w1"), (_, _) => Task.FromResult(WorkResult.Complete()),
            options => options with { HeartbeatInterval = TimeSpan.FromMilliseconds(200) });
        await Eventually.BeTrueAsync(() => worker.Said(WorkerNoticeKind.Registered));

        await admin.LeaveAsync("w1");
        var id = (await requester.SubmitAsync(Counting(0))).Task.Id;

        Assert.Equal("completed", (await requester.WaitForTaskAsync(id, TimeSpan.FromSeconds(15))).Status);
        Assert.True(worker.Notices.Count(notice => notice.Kind == WorkerNoticeKind.Registered) >= 2);
    }

    private static NewTask Counting(int n) => new() { Title = $"T{n}", RequiredCapabilities = Words, Context = JsonElement.Parse($$"""{"n":{{n}}}""") };
}

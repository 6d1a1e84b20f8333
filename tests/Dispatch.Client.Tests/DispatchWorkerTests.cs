using System.Diagnostics;
using System.Text.Json;

namespace Dispatch.Client.Tests;

/// <summary>The worker loop over real HTTP, against a broker that keeps to the exchange's contract and faults that do not.</summary>
public sealed class DispatchWorkerTests
{
    private static readonly Func<WorkItem, CancellationToken, Task<WorkResult>> Done = (_, _) => Task.FromResult(WorkResult.Complete());

    private static async Task<WorkResult> UntilStoppedAsync(CancellationToken cancel)
    {
        await Task.Delay(Timeout.Infinite, cancel);
        return WorkResult.Complete();
    }

    [Fact]
    public async Task Tasks_are_done_within_the_limit_and_every_result_arrives()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var tasks = Enumerable.Range(0, 40).Select(i => broker.Submit($$"""{"n":{{i}}}""")).ToList();
        await using var worker = new RunningWorker(broker.Server, async (item, cancel) =>
        {
            await Task.Delay(3, cancel);
            return WorkResult.Complete(JsonElement.Parse($$"""{"twice":{{2 * item.Task.Context.GetProperty("n").GetInt32()}}}"""), JsonElement.Parse("""{"tokens_in":1}"""));
        }, options => options with { MaxConcurrent = 4 });

        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Completed == 40);

        foreach (var (task, i) in tasks.Select((task, i) => (task, i)))
        {
            Assert.Equal(["started", "completed"], task.Accepted.Select(report => report["outcome"]!.GetValue<string>()));
            Assert.Equal(2 * i, task.Last!["result"]!["twice"]!.GetValue<int>());
            Assert.Equal(1, task.Last["usage"]!["tokens_in"]!.GetValue<int>());
            Assert.Equal(1, task.Deliveries);
        }
        Assert.Equal(4, worker.MostRunning);
        Assert.Equal(40, worker.Begun.Count);
        Assert.True(broker.MostOpenCalls <= 2, "A worker makes two calls at once at most.");
    }

    [Fact]
    public async Task It_registers_with_what_it_can_do_before_anything_else()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        await using var worker = new RunningWorker(broker.Server, Done, options => options with
        {
            Capabilities = ["words", "lines"],
            Owner = "o",
            Labels = new Dictionary<string, string> { ["zone"] = "z" },
            MaxConcurrent = 7,
            Wake = new WakeTarget("http://127.0.0.1:9/wake"),
        });

        await Eventually.BeTrueAsync(() => broker.See(() => broker.OpenPolls) == 1);

        Assert.Equal("PUT /api/v1/agents/agent-1", broker.Server.Received[0].Route);
        Assert.Equal("""{"capabilities":["words","lines"],"owner":"o","labels":{"zone":"z"},"max_concurrent":7,"status":"ready","wake":{"url":"http://127.0.0.1:9/wake"}}""", broker.Server.Received[0].Body);
    }

    [Fact]
    public async Task A_report_does_not_wait_for_the_long_poll()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var finish = new TaskCompletionSource();
        await using var worker = new RunningWorker(broker.Server, async (_, cancel) =>
        {
            await finish.Task.WaitAsync(cancel);
            return WorkResult.Complete();
        });
        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status == "running" && broker.OpenPolls == 1));
        var before = broker.Server.Received.Count(Polls);

        var watch = Stopwatch.StartNew();
        finish.SetResult();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "completed");

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10), "The poll was to last 30 s.");
        Assert.Equal(before, broker.Server.Received.Count(Polls));
        var last = broker.Server.Received.Last(request => request.Body.Contains("completed", StringComparison.Ordinal));
        Assert.Equal("?max=3", last.Query);
    }

    [Fact]
    public async Task A_failure_says_all_it_knows_and_a_throw_is_a_failure_that_may_be_retried()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        await using var worker = new RunningWorker(broker.Server, (item, _) => item.Task.Id == "task-0"
            ? Task.FromResult(WorkResult.Fail("No such file.", retryable: false, TimeSpan.FromSeconds(2), JsonElement.Parse("""{"tokens_in":3}""")))
            : item.Attempt < 3 ? throw new InvalidOperationException("Not yet.") : Task.FromResult(WorkResult.Complete()));
        var final = broker.Submit();
        var flaky = broker.Submit();

        await Eventually.BeTrueAsync(() => broker.See(() => final.Status == "failed" && flaky.Status == "completed"));
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics is { Completed: 1, Failed: 3 });

        Assert.Equal("""{"task_id":"task-0","attempt":1,"outcome":"failed","usage":{"tokens_in":3},"error":"No such file.","retryable":false,"retry_after_ms":2000}""", final.Last!.ToJsonString());
        Assert.Equal(["Not yet.", "Not yet."], flaky.Accepted.Where(report => report["error"] is not null).Select(report => report["error"]!.GetValue<string>()));
        Assert.All(flaky.Accepted.Where(report => report["error"] is not null), report => Assert.True(report["retryable"]!.GetValue<bool>()));
        Assert.Equal(2, worker.Notices.Count(notice => notice is { Kind: WorkerNoticeKind.HandlerFailed, Cause: InvalidOperationException }));
    }

    [Fact]
    public async Task A_handler_may_hand_work_back()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        await using var worker = new RunningWorker(broker.Server, (item, _) => Task.FromResult(item.Attempt == 1 ? WorkResult.Release() : WorkResult.Complete()));
        var task = broker.Submit();

        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "completed");

        Assert.Contains(task.Accepted, report => report["outcome"]!.GetValue<string>() == "released");
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics is { Released: 1, Completed: 1, Running: 0 });
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task No_report_is_lost_and_nothing_is_done_twice_over_a_bad_line(int seed)
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var dice = new Random(seed);
        broker.Faults = _ =>
        {
            lock (dice)
                return dice.Next(10) switch { 0 => Fault.Unavailable, 1 => Fault.CutBefore, 2 or 3 => Fault.AnswerLost, _ => Fault.None };
        };
        var tasks = Enumerable.Range(0, 150).Select(_ => broker.Submit()).ToList();
        await using var worker = new RunningWorker(broker.Server, async (_, cancel) =>
        {
            await Task.Delay(1, cancel);
            return WorkResult.Complete();
        }, options => options with { MaxConcurrent = 8 });

        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Completed == 150);

        Assert.All(tasks, task => Assert.Equal("completed", task.Status));
        Assert.Equal(150, worker.Begun.Count);
        Assert.Equal(150, worker.Begun.Distinct().Count());
        Assert.Equal(0, worker.Worker.Statistics.Lost);
        Assert.True(worker.Said(WorkerNoticeKind.BrokerAway) && worker.Said(WorkerNoticeKind.BrokerBack));
        // The faults did what they are for: something was said twice, something was delivered twice.
        Assert.Contains(tasks, task => task.Ignored.Count > 0);
        Assert.Contains(tasks, task => task.Deliveries > 1);
    }

    [Fact]
    public async Task A_task_delivered_twice_is_done_once()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var finish = new TaskCompletionSource();
        var deliveries = 0;
        broker.Instead = request => Polls(request) && Interlocked.Increment(ref deliveries) <= 3
            ? Reply.Ok($$"""{"tasks":[{{Wire.Task("task-0", "assigned", 1)}}]}""")
            : null;
        var task = broker.See(() => broker.Submit());
        broker.See(() => (task.Status, task.Attempt) = ("assigned", 1));
        await using var worker = new RunningWorker(broker.Server, async (_, cancel) =>
        {
            await finish.Task.WaitAsync(cancel);
            return WorkResult.Complete();
        });

        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Duplicates >= 2);
        finish.SetResult();
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Completed == 1);

        Assert.Equal([("task-0", 1)], worker.Begun);
        Assert.Contains(broker.Server.Received, request => Polls(request) && request.Body.Contains("""[{"task_id":"task-0","attempt":1}]""", StringComparison.Ordinal));
    }

    [Fact]
    public async Task More_work_than_was_asked_for_waits_its_turn()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var tasks = Enumerable.Range(0, 5).Select(_ => broker.Submit()).ToList();
        var given = 0;
        broker.Instead = request =>
        {
            if (!Polls(request) || Interlocked.Exchange(ref given, 1) == 1)
                return null;
            broker.See(() => tasks.All(task => ((task.Status, task.Attempt) = ("assigned", 1)).Attempt == 1));
            return Reply.Ok($$"""{"tasks":[{{string.Join(',', tasks.Select(task => Wire.Task(task.Id, "assigned", 1)))}}]}""");
        };
        await using var worker = new RunningWorker(broker.Server, async (_, cancel) =>
        {
            await Task.Delay(10, cancel);
            return WorkResult.Complete();
        }, options => options with { MaxConcurrent = 2 });

        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Completed == 5);

        Assert.Equal(2, worker.MostRunning);
        Assert.Equal(5, worker.Begun.Count);
    }

    [Fact]
    public async Task A_cancelled_task_stops_its_handler_and_is_not_reported()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        WorkItem? seen = null;
        await using var worker = new RunningWorker(broker.Server, (item, cancel) =>
        {
            seen ??= item;
            return UntilStoppedAsync(cancel);
        });
        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "running");

        broker.Cancel(task);
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics is { Cancelled: 1, Running: 0 });

        Assert.Equal((StopCause.Cancelled, "Not wanted any more."), (seen!.StopCause, seen.StopReason));
        var next = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => next.Status) == "running");
        Assert.Equal(["started"], task.Accepted.Select(report => report["outcome"]!.GetValue<string>()));
        Assert.Empty(task.Ignored);
    }

    [Fact]
    public async Task A_worker_with_its_hands_full_hears_of_a_cancellation_soon()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        await using var worker = new RunningWorker(broker.Server, (_, cancel) => UntilStoppedAsync(cancel), options => options with { MaxConcurrent = 1 });
        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status == "running" && broker.OpenPolls == 0));

        var watch = Stopwatch.StartNew();
        broker.Cancel(task);
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Cancelled == 1);

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(8), "A third of the lease is 10 s; at work it asks every 3 s.");
    }

    [Fact]
    public async Task A_lost_lease_stops_the_handler_and_its_result_is_void()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        WorkItem? seen = null;
        var ended = new TaskCompletionSource();
        await using var worker = new RunningWorker(broker.Server, async (item, cancel) =>
        {
            seen ??= item;
            while (!cancel.IsCancellationRequested)
            {
                item.ReportProgress(10);
                await Task.Delay(5, CancellationToken.None);
            }
            ended.TrySetResult();
            return WorkResult.Complete();
        }, options => options with { ProgressInterval = TimeSpan.FromMilliseconds(10) });
        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "running");

        broker.TakeAway(task);
        await ended.Task.WaitAsync(TimeSpan.FromSeconds(20));
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics is { Lost: 1, Running: 0 });
        var next = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => next.Status) == "running");

        Assert.Equal(StopCause.LeaseLost, seen!.StopCause);
        Assert.DoesNotContain(task.Accepted.Concat(task.Ignored), report => report["outcome"]!.GetValue<string>() == "completed");
        Assert.Equal(0, worker.Worker.Statistics.Completed);
    }

    [Fact]
    public async Task A_result_that_comes_too_late_is_lost_and_said_so()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var finish = new TaskCompletionSource();
        await using var worker = new RunningWorker(broker.Server, async (_, cancel) =>
        {
            await finish.Task.WaitAsync(cancel);
            return WorkResult.Complete();
        });
        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "running");

        broker.TakeAway(task);
        finish.SetResult();
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Lost == 1);

        Assert.Contains(worker.Notices, notice => notice is { Kind: WorkerNoticeKind.LeaseLost, TaskId: "task-0", Attempt: 1 });
        Assert.Equal("elsewhere", task.Status);
    }

    [Fact]
    public async Task Only_the_latest_progress_is_sent_and_not_too_often()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var finish = new TaskCompletionSource();
        await using var worker = new RunningWorker(broker.Server, async (item, cancel) =>
        {
            for (var i = 0; i <= 10_000; i++)
                item.ReportProgress(i / 100.0, $"step {i}", JsonElement.Parse("""{"x":1}"""));
            await finish.Task.WaitAsync(cancel);
            return WorkResult.Complete();
        }, options => options with { ProgressInterval = TimeSpan.FromMilliseconds(50) });
        var task = broker.Submit();

        await Eventually.BeTrueAsync(() => broker.See(() => task.Last?["message"]?.GetValue<string>()) == "step 10000");
        finish.SetResult();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "completed");

        Assert.True(task.Accepted.Count < 100);
        var last = task.Accepted.Last(report => report["outcome"]!.GetValue<string>() == "progress");
        Assert.Equal((100.0, 1), (last["percent"]!.GetValue<double>(), last["data"]!["x"]!.GetValue<int>()));
    }

    [Fact]
    public async Task A_broker_that_forgot_the_agent_is_told_again()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        await using var worker = new RunningWorker(broker.Server, Done);
        await Eventually.BeTrueAsync(() => broker.See(() => broker.OpenPolls) == 1);

        broker.See(() => broker.Registered = false);
        broker.Submit();
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Completed == 1);
        broker.See(() => broker.Registered = false);
        var second = broker.Submit();

        await Eventually.BeTrueAsync(() => broker.See(() => second.Status) == "completed");
        await Eventually.BeTrueAsync(() => broker.See(() => broker.Registrations) >= 2);
    }

    [Fact]
    public async Task Work_goes_on_while_the_broker_is_away_and_its_result_is_kept()
    {
        var broker = await new PlayedBroker().StartAsync();
        var finish = new TaskCompletionSource();
        await using var worker = new RunningWorker(broker.Server, async (_, cancel) =>
        {
            await finish.Task.WaitAsync(cancel);
            return WorkResult.Complete();
        });
        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "running");
        var port = broker.Server.Address.Port;

        await broker.DisposeAsync();
        finish.SetResult();
        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Running == 0 && worker.Said(WorkerNoticeKind.BrokerAway));
        Assert.Equal("running", broker.See(() => task.Status));
        await broker.StartAsync(port);

        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Completed == 1);
        Assert.Equal("completed", task.Status);
        Assert.Single(worker.Begun);
        await worker.StopAsync();
        await broker.DisposeAsync();
    }

    [Fact]
    public async Task It_never_is_silent_for_longer_than_a_third_of_the_lease()
    {
        await using var broker = await new PlayedBroker { Lease = TimeSpan.FromMilliseconds(900) }.StartAsync();
        var calls = new List<TimeSpan>();
        var watch = Stopwatch.StartNew();
        broker.Faults = _ =>
        {
            lock (calls)
                calls.Add(watch.Elapsed);
            return Fault.None;
        };
        await using var worker = new RunningWorker(broker.Server, (_, cancel) => UntilStoppedAsync(cancel), options => options with { MaxConcurrent = 1 });
        broker.Submit();

        await Eventually.BeTrueAsync(() =>
        {
            lock (calls)
                return calls.Count >= 12;
        });

        lock (calls)
        {
            var gaps = calls.Zip(calls.Skip(1), (one, next) => (next - one).TotalMilliseconds).Order().ToList();
            // The machine may be busy; the rule shows in the middle, the lease in the worst.
            Assert.InRange(gaps[gaps.Count / 2], 0, 600);
            Assert.InRange(watch.Elapsed.TotalMilliseconds, 12 * 300 * 0.5, double.MaxValue);
        }
    }

    [Fact]
    public async Task A_stop_waits_for_running_work_reports_it_and_leaves()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var finish = new TaskCompletionSource();
        await using var worker = new RunningWorker(broker.Server, async (_, cancel) =>
        {
            await finish.Task.WaitAsync(cancel);
            return WorkResult.Complete();
        }, options => options with { ShutdownGrace = TimeSpan.FromSeconds(20) });
        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "running");

        var stopped = worker.StopAsync();
        await Eventually.BeTrueAsync(() => broker.See(() => broker.Status == "degraded" && broker.OpenPolls == 0));
        var late = broker.Submit();
        Assert.False(stopped.IsCompleted);
        finish.SetResult();
        await stopped;

        Assert.Equal(("completed", "pending"), (task.Status, late.Status));
        Assert.True(broker.Left);
        Assert.Equal(1, worker.Worker.Statistics.Completed);
    }

    [Fact]
    public async Task A_stop_hands_back_what_has_not_begun_and_what_will_not_end()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var tasks = Enumerable.Range(0, 3).Select(_ => broker.Submit()).ToList();
        var given = 0;
        broker.Instead = request =>
        {
            if (!Polls(request) || Interlocked.Exchange(ref given, 1) == 1)
                return null;
            broker.See(() => tasks.All(task => ((task.Status, task.Attempt) = ("assigned", 1)).Attempt == 1));
            return Reply.Ok($$"""{"tasks":[{{string.Join(',', tasks.Select(task => Wire.Task(task.Id, "assigned", 1)))}}]}""");
        };
        var causes = new List<StopCause>();
        await using var worker = new RunningWorker(broker.Server, async (item, cancel) =>
        {
            try
            {
                return await UntilStoppedAsync(cancel);
            }
            catch (OperationCanceledException)
            {
                causes.Add(item.StopCause);
                // As a program does that dies of the signal.
                return WorkResult.Fail("Killed.");
            }
        }, options => options with { MaxConcurrent = 1, ShutdownGrace = TimeSpan.FromMilliseconds(100) });
        await Eventually.BeTrueAsync(() => broker.See(() => tasks[0].Status) == "running");

        await worker.StopAsync();

        Assert.All(tasks, task => Assert.Equal("pending", task.Status));
        Assert.Equal(["started", "released"], tasks[0].Accepted.Select(report => report["outcome"]!.GetValue<string>()));
        Assert.Equal(["released"], tasks[1].Accepted.Select(report => report["outcome"]!.GetValue<string>()));
        Assert.Equal([StopCause.Shutdown], causes);
        Assert.Equal((3, 0), (worker.Worker.Statistics.Released, worker.Worker.Statistics.Failed));
        Assert.Single(worker.Begun);
        Assert.True(broker.Left);
    }

    [Fact]
    public async Task A_handler_that_does_not_listen_cannot_hold_up_the_stop()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var never = new TaskCompletionSource<WorkResult>();
        await using var worker = new RunningWorker(broker.Server, (_, _) => never.Task, options => options with { ShutdownGrace = TimeSpan.FromMilliseconds(50), UnwindGrace = TimeSpan.FromMilliseconds(100) });
        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "running");

        await worker.StopAsync();

        Assert.Equal("pending", task.Status);
        Assert.True(broker.Left);
        Assert.True(worker.Said(WorkerNoticeKind.HandlerAbandoned));
        never.SetResult(WorkResult.Complete());
    }

    [Fact]
    public async Task A_stop_ends_also_when_the_broker_is_gone()
    {
        var broker = await new PlayedBroker().StartAsync();
        await using var worker = new RunningWorker(broker.Server, (_, cancel) => UntilStoppedAsync(cancel),
            options => options with { ShutdownGrace = TimeSpan.Zero, FlushGrace = TimeSpan.FromMilliseconds(200) });
        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "running");

        await broker.DisposeAsync();
        await worker.StopAsync();

        Assert.True(worker.Said(WorkerNoticeKind.LeaveFailed));
    }

    [Fact]
    public async Task A_worker_that_is_to_stay_known_says_that_it_takes_no_work()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        await using var worker = new RunningWorker(broker.Server, Done, options => options with { LeaveOnStop = false });
        await Eventually.BeTrueAsync(() => broker.See(() => broker.OpenPolls) == 1);

        await worker.StopAsync();

        Assert.False(broker.Left);
        Assert.Equal("degraded", broker.Status);
    }

    [Fact]
    public async Task An_idle_worker_sleeps_and_is_warm_before_it_takes_work_again()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var warm = new TaskCompletionSource();
        var warmUps = 0;
        await using var worker = new RunningWorker(broker.Server, Done, options => options with
        {
            SleepAfter = TimeSpan.FromMilliseconds(100),
            WarmUp = async cancel =>
            {
                Interlocked.Increment(ref warmUps);
                await warm.Task.WaitAsync(cancel);
            },
        });
        await Eventually.BeTrueAsync(() => broker.See(() => broker.Status) == "sleeping");

        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => Volatile.Read(ref warmUps) == 1);
        Assert.Equal(("pending", "sleeping"), broker.See(() => (task.Status, broker.Status)));
        warm.SetResult();
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "completed");
        await Eventually.BeTrueAsync(() => broker.See(() => broker.Status) == "sleeping");

        Assert.Equal(1, warmUps);
        Assert.Equal(["ready", "sleeping", "ready", "sleeping"], broker.See(() => broker.StatusesSaid.ToList()));
    }

    [Fact]
    public async Task A_worker_that_cannot_warm_up_is_not_given_work_and_tries_again()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var warmUps = 0;
        await using var worker = new RunningWorker(broker.Server, Done, options => options with
        {
            SleepAfter = TimeSpan.FromMilliseconds(50),
            WarmUp = _ => Interlocked.Increment(ref warmUps) == 1 ? throw new IOException("No model.") : Task.CompletedTask,
        });
        await Eventually.BeTrueAsync(() => broker.See(() => broker.Status) == "sleeping");

        var task = broker.Submit();
        await Eventually.BeTrueAsync(() => worker.Said(WorkerNoticeKind.WarmUpFailed));
        await Eventually.BeTrueAsync(() => broker.See(() => task.Status) == "completed");

        Assert.Contains("degraded", broker.See(() => broker.StatusesSaid.ToList()));
        Assert.Equal(2, warmUps);
    }

    [Theory]
    [InlineData(401, "unauthorized")]
    [InlineData(403, "forbidden")]
    [InlineData(404, "not_found")]
    public async Task A_broker_that_refuses_the_worker_as_such_ends_it(int status, string code)
    {
        await using var broker = await new PlayedBroker().StartAsync();
        broker.Instead = request => request.Method == "PUT" || broker.See(() => broker.Registered) ? null : Reply.Problem(status, code);
        await using var worker = new RunningWorker(broker.Server, Done);
        await Eventually.BeTrueAsync(() => broker.See(() => broker.OpenPolls) == 1);
        Assert.False(worker.Running.IsCompleted);

        broker.Instead = _ => Reply.Problem(status, code);
        broker.Submit();
        var refused = await Assert.ThrowsAsync<DispatchException>(() => worker.Running.WaitAsync(TimeSpan.FromSeconds(20)));

        Assert.Equal(code, refused.Code);
    }

    [Fact]
    public async Task A_result_too_large_to_be_said_fails_its_task_and_no_other()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var tasks = Enumerable.Range(0, 8).Select(_ => broker.Submit()).ToList();
        await using var worker = new RunningWorker(broker.Server, (item, _) => Task.FromResult(
            WorkResult.Complete(JsonElement.Parse($$"""{"text":"{{new string('x', item.Task.Id == "task-3" ? 2 << 20 : 10)}}"}"""))), options => options with { MaxConcurrent = 8 });

        await Eventually.BeTrueAsync(() => worker.Worker.Statistics is { Completed: 7, Failed: 1 });

        Assert.Equal("failed", tasks[3].Status);
        Assert.StartsWith("The broker refused the result: ", tasks[3].Last!["error"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Single(worker.Notices, notice => notice is { Kind: WorkerNoticeKind.ReportRefused, TaskId: "task-3" });
    }

    [Fact]
    public async Task Results_too_large_to_be_said_together_are_said_one_by_one()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        var all = new TaskCompletionSource();
        var arrived = 0;
        var tasks = Enumerable.Range(0, 8).Select(_ => broker.Submit()).ToList();
        await using var worker = new RunningWorker(broker.Server, async (_, cancel) =>
        {
            if (Interlocked.Increment(ref arrived) == 8)
                all.SetResult();
            await all.Task.WaitAsync(cancel);
            return WorkResult.Complete(JsonElement.Parse($$"""{"text":"{{new string('x', 400 << 10)}}"}"""));
        }, options => options with { MaxConcurrent = 8 });

        await Eventually.BeTrueAsync(() => worker.Worker.Statistics.Completed == 8);

        Assert.All(tasks, task => Assert.Equal("completed", task.Status));
        Assert.False(worker.Said(WorkerNoticeKind.ReportRefused));
    }

    [Fact]
    public async Task It_runs_once_at_a_time_and_may_run_again()
    {
        await using var broker = await new PlayedBroker().StartAsync();
        using var client = broker.Server.Client();
        var worker = new DispatchWorker(client, new DispatchWorkerOptions(), Done);
        using var first = new CancellationTokenSource();
        using var second = new CancellationTokenSource();

        var running = worker.RunAsync(first.Token);
        await Assert.ThrowsAsync<InvalidOperationException>(() => worker.RunAsync(second.Token));
        broker.Submit();
        await Eventually.BeTrueAsync(() => worker.Statistics.Completed == 1);
        await first.CancelAsync();
        await running;
        var again = worker.RunAsync(second.Token);
        broker.Submit();
        await Eventually.BeTrueAsync(() => worker.Statistics.Completed == 2);
        await second.CancelAsync();
        await again;

        Assert.Equal(2, broker.Registrations);
    }

    [Fact]
    public void Options_out_of_range_are_refused()
    {
        using var client = new DispatchClient(new DispatchClientOptions { AgentId = "a" });
        DispatchWorkerOptions[] wrong =
        [
            new() { MaxConcurrent = 0 }, new() { MaxConcurrent = 1001 }, new() { PollWait = TimeSpan.Zero }, new() { PollWait = TimeSpan.FromSeconds(61) },
            new() { HeartbeatInterval = TimeSpan.Zero }, new() { SleepAfter = TimeSpan.Zero }, new() { ShutdownGrace = TimeSpan.FromTicks(-1) },
        ];

        Assert.All(wrong, options => Assert.Throws<ArgumentException>(() => new DispatchWorker(client, options, Done)));
    }

    private static bool Polls(Received request) => request.Parameter("wait_ms") is not null;
}

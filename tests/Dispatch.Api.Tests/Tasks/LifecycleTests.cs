using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Tasks;

public sealed class LifecycleTests(SharedHastyBroker shared) : IClassFixture<SharedHastyBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task A_task_is_assigned_in_the_commit_that_took_it_in()
    {
        await using var worker = await AliveAsync();

        var task = await alice.SubmitAsync(new { title = "x", scope = capability.ToUpperInvariant() });

        Assert.Equal(("assigned", worker.Agent, 1), (task.Text("status"), task.Text("assignee"), task.Number("attempt")));
    }

    [Fact]
    public async Task A_scheduled_task_is_given_out_when_it_is_due()
    {
        await using var worker = await AliveAsync();
        var due = DateTimeOffset.UtcNow.AddSeconds(1.5);

        var task = await alice.SubmitAsync(new { title = "x", scope = capability, run_at = due });
        Assert.Equal("scheduled", task.Text("status"));
        var assigned = await alice.ReachesAsync(task.Id(), "assigned");

        Assert.True(assigned.Time("assigned_at") >= assigned.Time("run_at"));
    }

    [Fact]
    public async Task A_task_that_nobody_took_before_its_deadline_times_out()
    {
        var task = await alice.SubmitAsync(new { title = "x", scope = capability, deadline = DateTimeOffset.UtcNow.AddSeconds(2) });

        var ended = await alice.EndOfAsync(task.Id());

        Assert.Equal(("timeout", "The deadline passed.", true), (ended.Text("status"), ended.Text("error"), ended.GetProperty("dead_lettered").GetBoolean()));
    }

    [Fact]
    public async Task The_deadline_ends_a_running_attempt_though_retries_are_left()
    {
        await using var worker = await AliveAsync();
        var task = await alice.SubmitAsync(new { title = "x", scope = capability, deadline = DateTimeOffset.UtcNow.AddSeconds(2) });

        var ended = await alice.EndOfAsync(task.Id());

        Assert.Equal(("timeout", 0), (ended.Text("status"), ended.Number("retry_count")));
        Assert.Equal("timeout", Assert.Single(ended.Items("attempts")).Text("outcome"));
    }

    [Fact]
    public async Task An_attempt_that_runs_too_long_is_charged_and_the_last_one_buries_the_task()
    {
        await using var worker = await AliveAsync();
        var task = await alice.SubmitAsync(new { title = "x", scope = capability, timeout_ms = 30, max_retries = 1 });

        var ended = await alice.EndOfAsync(task.Id());

        Assert.Equal(("timeout", 1, 2), (ended.Text("status"), ended.Number("retry_count"), ended.Number("attempt")));
        Assert.Equal(["timeout", "timeout"], ended.Items("attempts").Select(attempt => attempt.Text("outcome")));
        Assert.Contains("timeout_ms = 30", ended.Text("error"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Starting_begins_the_time_to_run_anew()
    {
        await using var worker = await AliveAsync();
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, timeout_ms = 600_000 })).Id();

        var started = (await worker.Worker.Api.PostAsync($"/api/v1/tasks/{id}/start")).Expect(200);

        Assert.True(started.Time("started_at") >= started.Time("assigned_at"));
        Assert.Equal("running", started.Text("status"));
    }

    [Fact]
    public async Task A_failed_attempt_is_followed_by_another_until_none_is_left()
    {
        await using var worker = await AliveAsync();
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, max_retries = 2 })).Id();

        for (var attempt = 1; attempt <= 3; attempt++)
        {
            await Eventually.GetAsync(() => alice.TaskAsync(id), task => task.Number("attempt") == attempt && task.Text("status") == "assigned", $"attempt {attempt} is given out");
            var task = await worker.Worker.FailAsync(id);

            // The wait before another attempt is drawn from zero on: it may be over in the same commit.
            Assert.Contains(task.Text("status"), attempt < 3 ? ["pending", "assigned"] : new[] { "failed" });
            Assert.Equal("it broke", task.Text("error"));
        }

        var ended = await alice.TaskAsync(id);
        Assert.Equal((2, true), (ended.Number("retry_count"), ended.GetProperty("dead_lettered").GetBoolean()));
        Assert.Equal([1, 2, 3], ended.Items("attempts").Select(attempt => attempt.Number("attempt")));
    }

    [Fact]
    public async Task What_can_not_be_retried_is_buried_at_once()
    {
        await using var worker = await AliveAsync();
        var id = await alice.SubmitForAsync(capability);

        var task = await worker.Worker.FailAsync(id, retryable: false);

        Assert.Equal(("failed", 0, true), (task.Text("status"), task.Number("retry_count"), task.GetProperty("dead_lettered").GetBoolean()));
    }

    [Fact]
    public async Task A_worker_may_say_when_to_try_again()
    {
        await using var worker = await AliveAsync();
        var id = await alice.SubmitForAsync(capability);

        var task = (await worker.Worker.Api.PostAsync($"/api/v1/tasks/{id}/fail", new { error = "x", retry_after_ms = 3_600_000 })).Expect(200);

        Assert.InRange((task.Time("next_attempt_at") - DateTimeOffset.UtcNow).TotalMinutes, 59, 61);
    }

    [Fact]
    public async Task The_agent_that_failed_is_avoided_when_another_can_do_it()
    {
        await using var first = await AliveAsync();
        var id = await alice.SubmitForAsync(capability);
        await using var second = await AliveAsync();
        await first.Worker.FailAsync(id);

        Assert.Equal(second.Agent, (await alice.ReachesAsync(id, "assigned")).Text("assignee"));
    }

    [Fact]
    public async Task More_urgent_tasks_go_first_and_equal_ones_in_their_order()
    {
        var ids = (await alice.PostAsync("/api/v1/tasks", new[] { 1, 9, 5, 9, 1 }.Select((priority, n) => new { title = $"t{n}", scope = capability, priority }))).Expect(201).Ids();
        await using var worker = await AliveAsync(maxConcurrent: 1);

        var order = new List<string>();
        for (var n = 0; n < 5; n++)
        {
            var (id, _) = await worker.Worker.TakeAsync();
            order.Add(id);
            await worker.Worker.CompleteAsync(id);
        }

        Assert.Equal([ids[1], ids[3], ids[2], ids[0], ids[4]], order);
    }

    [Theory]
    [InlineData("failed")]
    [InlineData("timeout")]
    [InlineData("cancelled")]
    public async Task Retrying_puts_a_task_back_with_fresh_attempts(string ending)
    {
        await using var worker = await AliveAsync();
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, max_retries = 0, timeout_ms = ending == "timeout" ? 20 : 60_000 })).Id();
        if (ending == "failed")
            await worker.Worker.FailAsync(id);
        else if (ending == "cancelled")
            (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled" })).Expect(200);
        Assert.Equal(ending, (await alice.EndOfAsync(id)).Text("status"));

        var task = (await alice.PostAsync($"/api/v1/tasks/{id}/retry")).Expect(200);

        Assert.Contains(task.Text("status"), (string[])["pending", "assigned"]);
        Assert.Equal(0, task.Number("retry_count"));
        Assert.Null(task.Find("dead_lettered"));
        Assert.Equal(2, (await Eventually.GetAsync(() => alice.TaskAsync(id), seen => seen.Number("attempt") == 2, "the second attempt is given out")).Number("attempt"));
    }

    [Fact]
    public async Task What_has_completed_or_still_lives_can_not_be_retried()
    {
        await using var worker = await AliveAsync();
        var id = await alice.SubmitForAsync(capability);
        (await alice.PostAsync($"/api/v1/tasks/{id}/retry")).ExpectProblem(409, "task_state");
        await worker.Worker.CompleteAsync(id);

        (await alice.PostAsync($"/api/v1/tasks/{id}/retry")).ExpectProblem(409, "task_state");
    }

    [Fact]
    public async Task Only_the_requester_and_an_admin_may_retry()
    {
        await using var worker = await AliveAsync();
        var id = await alice.SubmitForAsync(capability);
        await worker.Worker.FailAsync(id, retryable: false);

        (await broker.As("mallory").PostAsync($"/api/v1/tasks/{id}/retry")).ExpectProblem(403, "forbidden");
        (await broker.Admin.PostAsync($"/api/v1/tasks/{id}/retry")).Expect(200);
    }

    [Fact]
    public async Task Many_retries_at_once_put_a_task_back_once()
    {
        var id = await alice.SubmitForAsync(capability);
        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled" })).Expect(200);

        var replies = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => alice.PostAsync($"/api/v1/tasks/{id}/retry")));

        Assert.Single(replies, reply => reply.Status == 200);
        Assert.All(replies.Where(reply => reply.Status != 200), reply => reply.ExpectProblem(409, "task_state"));
        Assert.Equal(1, (await alice.GetAsync($"/api/v1/tasks/{id}/events")).Expect(200).Items().Count(happened => happened.Text("type") == "task.retried"));
    }

    [Fact]
    public async Task Retry_takes_an_empty_object_and_refuses_anything_else()
    {
        var id = await alice.SubmitForAsync(capability);
        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled" })).Expect(200);

        Assert.Equal(["body"], (await alice.PostAsync($"/api/v1/tasks/{id}/retry", new { now = true })).ExpectFaults());
        (await alice.PostAsync($"/api/v1/tasks/{id}/retry", "{}")).Expect(200);
    }

    private async Task<Living> AliveAsync(int maxConcurrent = 10) => Living.Of(await broker.RegisterAsync(Unique.Name("worker"), capability, maxConcurrent));
}

/// <summary>A worker that shows life often enough for the shortest lease, until it is disposed.</summary>
public sealed class Living : IAsyncDisposable
{
    private readonly CancellationTokenSource stop = new();
    private readonly Task beating;

    private Living(Worker worker)
    {
        Worker = worker;
        beating = BeatAsync();
    }

    public Worker Worker { get; }

    public string Agent => Worker.Agent;

    public static Living Of(Worker worker) => new(worker);

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await beating;
        stop.Dispose();
        await Worker.Api.DeleteAsync($"/api/v1/agents/{Agent}");
    }

    private async Task BeatAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            await Worker.BeatAsync();
            await Task.Delay(100, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}

using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Tasks;

public sealed class ReportTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task A_task_goes_from_assigned_over_running_to_completed()
    {
        var (worker, id) = await AssignedAsync();

        var running = (await worker.Api.PostAsync($"/api/v1/tasks/{id}/start", new { attempt = 1 })).Expect(200);
        var progressed = (await worker.Api.PostAsync($"/api/v1/tasks/{id}/progress", new { attempt = 1, percent = 12.5, message = "going", data = new { step = 3 } })).Expect(200);
        var done = await worker.CompleteAsync(id, new { attempt = 1, result = new { sum = 3 }, usage = new { tokens_in = 900, tokens_out = 200 } });

        Assert.Equal("running", running.Text("status"));
        Assert.Equal((12.5, "going", 3), (
            progressed.GetProperty("progress").GetProperty("percent").GetDouble(), progressed.GetProperty("progress").Text("message"),
            progressed.GetProperty("progress").GetProperty("data").Number("step")));
        Assert.Equal("completed", done.Text("status"));
        Assert.Equal((3, 900), (done.GetProperty("result").Number("sum"), done.GetProperty("usage").Number("tokens_in")));
        Assert.True(done.Time("completed_at") >= done.Time("started_at") && done.Time("started_at") >= done.Time("assigned_at"));
    }

    [Fact]
    public async Task Progress_starts_an_assigned_task()
    {
        var (worker, id) = await AssignedAsync();

        Assert.Equal("running", (await worker.Api.PostAsync($"/api/v1/tasks/{id}/progress")).Expect(200).Text("status"));
    }

    [Fact]
    public async Task An_assigned_task_may_be_completed_without_a_start()
    {
        var (worker, id) = await AssignedAsync();

        Assert.Equal("completed", (await worker.CompleteAsync(id)).Text("status"));
    }

    [Fact]
    public async Task Repeating_a_report_changes_nothing()
    {
        var (worker, id) = await AssignedAsync();
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/start")).Expect(200);
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/start")).Expect(200);
        var done = await worker.CompleteAsync(id, new { attempt = 1, result = new { n = 1 } });

        var again = await worker.CompleteAsync(id, new { attempt = 1, result = new { n = 2 } });

        Assert.Equal(done.GetRawText(), again.GetRawText());
        Assert.Equal(4, (await alice.GetAsync($"/api/v1/tasks/{id}/events")).Expect(200).GetArrayLength());
    }

    [Fact]
    public async Task Another_attempt_than_the_current_one_is_stale()
    {
        var (worker, id) = await AssignedAsync();

        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/complete", new { attempt = 2 })).ExpectProblem(409, "stale_attempt");
        (await worker.Api.SendAsync(HttpMethod.Post, $"/api/v1/tasks/{id}/complete", null, ("X-Task-Attempt", "2"))).ExpectProblem(409, "stale_attempt");
        Assert.Equal("assigned", await alice.StatusAsync(id));
    }

    [Fact]
    public async Task The_attempt_may_stand_in_the_header_and_the_body_goes_before_it()
    {
        var (worker, id) = await AssignedAsync();

        (await worker.Api.SendAsync(HttpMethod.Post, $"/api/v1/tasks/{id}/start", null, ("X-Task-Attempt", "1"))).Expect(200);
        (await worker.Api.SendAsync(HttpMethod.Post, $"/api/v1/tasks/{id}/complete", ApiClient.Content(new { attempt = 1 }), ("X-Task-Attempt", "9"))).Expect(200);
    }

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("one")]
    [InlineData("99999999999")]
    public async Task An_attempt_that_is_no_number_is_refused(string attempt)
    {
        var (worker, id) = await AssignedAsync();

        Assert.Equal(["X-Task-Attempt"], (await worker.Api.SendAsync(HttpMethod.Post, $"/api/v1/tasks/{id}/complete", null, ("X-Task-Attempt", attempt))).ExpectFaults());
    }

    [Fact]
    public async Task Somebody_elses_task_can_not_be_reported_on()
    {
        var (_, id) = await AssignedAsync();
        var mallory = broker.As("mallory");

        foreach (var report in new[] { "start", "progress", "complete", "release" })
            (await mallory.PostAsync($"/api/v1/tasks/{id}/{report}")).ExpectProblem(403, "forbidden");
        (await mallory.PostAsync($"/api/v1/tasks/{id}/fail", new { error = "x", attempt = 1 })).ExpectProblem(403, "forbidden");
        Assert.Equal("assigned", await alice.StatusAsync(id));
    }

    [Fact]
    public async Task An_admin_may_report_in_the_assignees_place_and_repeat_it()
    {
        var (worker, id) = await AssignedAsync();

        (await broker.Admin.PostAsync($"/api/v1/tasks/{id}/complete", new { attempt = 1 })).Expect(200);
        var again = (await broker.Admin.PostAsync($"/api/v1/tasks/{id}/complete", new { attempt = 1 })).Expect(200);

        Assert.Equal(worker.Agent, again.Text("assignee"));
    }

    [Fact]
    public async Task A_task_that_nobody_holds_can_not_be_reported_on()
    {
        var id = await alice.SubmitForAsync(capability);

        (await alice.PostAsync($"/api/v1/tasks/{id}/complete")).ExpectProblem(409, "task_state");
        (await alice.PostAsync($"/api/v1/tasks/{id}/complete", new { attempt = 1 })).ExpectProblem(409, "stale_attempt");
    }

    [Fact]
    public async Task After_its_end_another_report_is_refused()
    {
        var (worker, id) = await AssignedAsync();
        await worker.CompleteAsync(id, new { attempt = 1 });

        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/fail", new { error = "x", attempt = 1 })).ExpectProblem(409, "task_state");
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/start", new { attempt = 1 })).ExpectProblem(409, "task_state");
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/progress")).ExpectProblem(409, "task_state");
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/complete", new { attempt = 2 })).ExpectProblem(409, "stale_attempt");
        Assert.Equal("completed", await alice.StatusAsync(id));
    }

    [Fact]
    public async Task A_report_after_cancellation_is_refused()
    {
        var (worker, id) = await AssignedAsync();
        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled" })).Expect(200);

        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/complete", new { attempt = 1 })).ExpectProblem(409, "task_state");
        Assert.Equal("cancelled", await alice.StatusAsync(id));
    }

    [Fact]
    public async Task The_holder_before_is_told_that_its_attempt_is_stale()
    {
        var (first, id) = await AssignedAsync();
        (await first.Api.PostAsync($"/api/v1/tasks/{id}/release")).Expect(200);
        var second = await broker.RegisterAsync(Unique.Name("worker"), capability);
        await alice.ReachesAsync(id, "assigned");
        Assert.Equal(second.Agent, (await alice.TaskAsync(id)).Text("assignee"));

        (await first.Api.PostAsync($"/api/v1/tasks/{id}/complete", new { attempt = 1, result = new { wrong = true } })).ExpectProblem(409, "stale_attempt");

        Assert.Equal(2, (await second.CompleteAsync(id, new { attempt = 2 })).Number("attempt"));
    }

    [Fact]
    public async Task Releasing_costs_no_attempt()
    {
        var (worker, id) = await AssignedAsync();

        var task = (await worker.Api.PostAsync($"/api/v1/tasks/{id}/release", new { reason = "not mine" })).Expect(200);

        Assert.Equal(("pending", 0), (task.Text("status"), task.Number("retry_count")));
        Assert.Null(task.Find("assignee"));
    }

    [Fact]
    public async Task Usage_is_summed_over_the_attempts()
    {
        var (worker, id) = await AssignedAsync();
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/fail", new { error = "x", retry_after_ms = 0, usage = new { tokens = 5, calls = 1 } })).Expect(200);
        await alice.ReachesAsync(id, "assigned");

        var done = await worker.CompleteAsync(id, new { usage = new { tokens = 7 } });

        Assert.Equal((12, 1), (done.GetProperty("usage").Number("tokens"), done.GetProperty("usage").Number("calls")));
        Assert.Equal(5, (await alice.TaskAsync(id)).Items("attempts")[0].GetProperty("usage").Number("tokens"));
    }

    [Theory]
    [InlineData("start", """{"attempt":0}""", "attempt")]
    [InlineData("start", """{"attempt":1.5,"percent":4}""", "attempt,percent")]
    [InlineData("start", "[]", "body")]
    [InlineData("progress", """{"percent":101,"message":5,"data":[],"x":1}""", "percent,message,data,x")]
    [InlineData("progress", """{"percent":-0.1}""", "percent")]
    [InlineData("progress", """{"percent":1e999}""", "percent")]
    [InlineData("complete", """{"result":[],"usage":{"a":-1,"b":1.5,"c":"x"}}""", "result,usage.a,usage.b,usage.c")]
    [InlineData("complete", """{"usage":5}""", "usage")]
    [InlineData("fail", "{}", "error")]
    [InlineData("fail", "", "error")]
    [InlineData("fail", """{"error":null,"retryable":"yes"}""", "retryable,error")]
    [InlineData("fail", """{"error":"","retryable":1,"retry_after_ms":86400001}""", "error,retryable,retry_after_ms")]
    [InlineData("release", """{"reason":""}""", "reason")]
    public async Task A_report_with_faults_is_refused_and_all_are_named(string report, string body, string fields)
    {
        var (worker, id) = await AssignedAsync();

        Assert.Equal(fields.Split(','), (await worker.Api.PostAsync($"/api/v1/tasks/{id}/{report}", body)).ExpectFaults());
        Assert.Equal("assigned", await alice.StatusAsync(id));
    }

    [Fact]
    public async Task Usage_names_at_most_64_things()
    {
        var (worker, id) = await AssignedAsync();
        object Usage(int count) => new { usage = Enumerable.Range(0, count).ToDictionary(n => $"u{n}", n => n) };

        Assert.Equal(["usage"], (await worker.Api.PostAsync($"/api/v1/tasks/{id}/complete", Usage(65))).ExpectFaults());
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/complete", Usage(64))).Expect(200);
    }

    private async Task<(Worker Worker, string Id)> AssignedAsync()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var task = await alice.SubmitAsync(new { title = "x", scope = capability });
        Assert.Equal(worker.Agent, task.Text("assignee"));
        return (worker, task.Id());
    }
}

using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Exchange;

public sealed class ExchangeTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string id = Unique.Name("agent");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task It_brings_assigned_tasks_whole_and_at_most_so_many()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var ids = (await alice.PostAsync("/api/v1/tasks", Enumerable.Range(0, 5).Select(n => new { title = $"t{n}", scope = capability, context = new { n } }))).Expect(201).Ids();

        var first = await worker.ExchangeAsync(max: 3);
        var second = await worker.ExchangeAsync(new { holding = first.GetProperty("tasks").Ids() }, max: 10);

        Assert.Equal(ids[..3], first.GetProperty("tasks").Ids());
        Assert.Equal(ids[3..], second.GetProperty("tasks").Ids());
        var task = first.Items("tasks")[1];
        Assert.Equal(("assigned", 1, id, 1), (task.Text("status"), task.Number("attempt"), task.Text("assignee"), task.GetProperty("context").Number("n")));
        Assert.InRange((task.Time("lease_expires_at") - DateTimeOffset.UtcNow).TotalSeconds, 20, 31);
    }

    [Fact]
    public async Task A_task_whose_words_are_not_kept_in_memory_is_brought_whole_too()
    {
        var text = new string('c', 50_000);
        await alice.SubmitAsync(new { title = "x", scope = capability, description = "d", context = new { text } });
        var worker = await broker.RegisterAsync(id, capability);

        var task = (await worker.ExchangeAsync()).Items("tasks").Single();

        Assert.Equal(text, task.GetProperty("context").Text("text"));
        Assert.Equal("d", task.Text("description"));
    }

    [Fact]
    public async Task Nothing_is_asked_of_it_but_to_be_there()
    {
        var worker = await broker.RegisterAsync(id, capability);

        foreach (var body in new object?[] { null, "{}", new { reports = Array.Empty<object>() }, """{"reports":null,"holding":null,"status":null}""" })
            Assert.Empty((await worker.ExchangeAsync(body)).Items("tasks"));
    }

    [Fact]
    public async Task Reports_are_judged_one_by_one_in_their_order()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var other = Unique.Name("cap");
        await broker.RegisterAsync(Unique.Name("agent"), other);
        var ids = (await alice.PostAsync("/api/v1/tasks", Enumerable.Range(0, 6).Select(n => new { title = $"t{n}", scope = capability, max_retries = 0 }))).Expect(201).Ids();
        var foreign = await alice.SubmitForAsync(other);
        var missing = Unique.Id();
        await worker.ExchangeAsync();

        var answer = await worker.ExchangeAsync(new
        {
            reports = new object[]
            {
                new { task_id = ids[0], attempt = 1, outcome = "completed", result = new { n = 1 } },
                new { task_id = missing, attempt = 1, outcome = "completed" },
                new { task_id = ids[1], attempt = 1, outcome = "failed", error = "no", retryable = false },
                new { task_id = foreign, attempt = 1, outcome = "completed" },
                new { task_id = ids[2], attempt = 2, outcome = "completed" },
                new { task_id = ids[2], attempt = 1, outcome = "progress", percent = 40, message = "half" },
                new { task_id = ids[3], attempt = 1, outcome = "released", reason = "later" },
                new { task_id = ids[4], outcome = "started" },
                new { task_id = ids[4], attempt = 1, outcome = "started" },
                new { task_id = ids[0], attempt = 1, outcome = "completed", result = new { n = 2 } },
                new { task_id = ids[0], attempt = 1, outcome = "failed", error = "late" },
            },
        });

        Assert.Equal(
            ["accepted", "unknown", "accepted", "stale", "stale", "accepted", "accepted", "accepted", "unchanged", "unchanged", "stale"],
            answer.Items("reports").Select(report => report.Text("status")));
        Assert.Equal(ids[2], answer.Items("reports")[5].Text("task_id"));
        Assert.Equal(1, (await alice.TaskAsync(ids[0])).GetProperty("result").Number("n"));
        Assert.Equal(
            ["completed", "failed", "running", "pending", "running", "assigned"],
            await Task.WhenAll(ids.Select(alice.StatusAsync)));
        Assert.Equal("assigned", await alice.StatusAsync(foreign));
    }

    [Fact]
    public async Task A_report_on_a_task_that_ended_in_an_earlier_exchange_is_a_repeat()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var task = await alice.SubmitForAsync(capability);
        object body = new { reports = new[] { new { task_id = task, attempt = 1, outcome = "completed" } } };
        await worker.ExchangeAsync(body);

        Assert.Equal("unchanged", (await worker.ExchangeAsync(body)).Items("reports").Single().Text("status"));
        Assert.Equal("stale", (await worker.ExchangeAsync(new { reports = new[] { new { task_id = task, attempt = 1, outcome = "released" } } })).Items("reports").Single().Text("status"));
    }

    [Fact]
    public async Task Finished_work_frees_its_place_in_the_same_exchange()
    {
        var worker = await broker.RegisterAsync(id, capability, maxConcurrent: 1);
        var (first, second) = (await alice.SubmitForAsync(capability), await alice.SubmitForAsync(capability));
        await worker.ExchangeAsync();

        var answer = await worker.ExchangeAsync(new { reports = new[] { new { task_id = first, attempt = 1, outcome = "completed" } } });

        Assert.Equal([second], answer.GetProperty("tasks").Ids());
    }

    [Fact]
    public async Task With_a_maximum_of_none_only_reports_are_handed_in()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var (first, second) = (await alice.SubmitForAsync(capability), await alice.SubmitForAsync(capability));

        var answer = await worker.ExchangeAsync(new { reports = new[] { new { task_id = first, attempt = 1, outcome = "completed" } } }, max: 0, waitMs: 60_000);

        Assert.Equal("accepted", answer.Items("reports").Single().Text("status"));
        Assert.Empty(answer.Items("tasks"));
        Assert.Equal([second], (await worker.ExchangeAsync()).GetProperty("tasks").Ids());
    }

    [Fact]
    public async Task What_was_neither_started_nor_named_is_delivered_again()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var ids = (await alice.PostAsync("/api/v1/tasks", Enumerable.Range(0, 4).Select(n => new { title = $"t{n}", scope = capability }))).Expect(201).Ids();
        await worker.ExchangeAsync();
        (await worker.Api.PostAsync($"/api/v1/tasks/{ids[0]}/start")).Expect(200);

        var again = await worker.ExchangeAsync(new { holding = new object[] { ids[1], new { task_id = ids[2], attempt = 1 } } });

        Assert.Equal([ids[3]], again.GetProperty("tasks").Ids());
        Assert.Equal(1, again.Items("tasks").Single().Number("attempt"));
        Assert.Empty((await worker.ExchangeAsync(new { holding = ids })).Items("tasks"));
    }

    [Fact]
    public async Task What_the_worker_believes_to_hold_and_does_not_is_told_each_time()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var task = await alice.SubmitForAsync(capability);
        await worker.ExchangeAsync();
        (await alice.PatchAsync($"/api/v1/tasks/{task}", new { status = "cancelled" })).Expect(200);
        object body = new { holding = new object[] { new { task_id = task, attempt = 1 }, Unique.Id() } };

        Assert.Equal(["cancelled", "not_held"], (await worker.ExchangeAsync(body, waitMs: 60_000)).Items("cancelled").Select(notice => notice.Text("reason")));
        Assert.Equal(["not_held", "not_held"], (await worker.ExchangeAsync(body, waitMs: 60_000)).Items("cancelled").Select(notice => notice.Text("reason")));
    }

    [Fact]
    public async Task A_waiting_exchange_is_woken_by_a_new_task()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var waiting = worker.ExchangeAsync(waitMs: 60_000);
        await Task.WhenAny(waiting, alice.SubmitForAsync(Unique.Name("other")));

        var task = await alice.SubmitForAsync(capability);

        Assert.Equal([task], (await waiting).GetProperty("tasks").Ids());
    }

    [Fact]
    public async Task A_waiting_exchange_is_woken_by_a_cancellation()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var task = await alice.SubmitForAsync(capability);
        (await worker.Api.PostAsync($"/api/v1/tasks/{task}/start")).Expect(200);
        var waiting = worker.ExchangeAsync(new { holding = new[] { task } }, waitMs: 60_000);
        await alice.GetAsync($"/api/v1/tasks/{task}?wait_ms=100");
        Assert.False(waiting.IsCompleted);

        (await alice.PatchAsync($"/api/v1/tasks/{task}", new { status = "cancelled", reason = "never mind" })).Expect(200);

        var notice = (await waiting).Items("cancelled").Single();
        Assert.Equal((task, 1, "cancelled"), (notice.Text("task_id"), notice.Number("attempt"), notice.Text("reason")));
    }

    [Fact]
    public async Task A_waiting_exchange_is_woken_by_a_dependency_that_completes()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var first = await alice.SubmitForAsync(capability);
        var second = (await alice.SubmitAsync(new { title = "x", scope = capability, depends_on = new[] { first } })).Id();
        await worker.ExchangeAsync();
        var waiting = worker.ExchangeAsync(new { holding = new[] { first } }, waitMs: 60_000);

        await worker.CompleteAsync(first);

        Assert.Equal([second], (await waiting).GetProperty("tasks").Ids());
    }

    [Fact]
    public async Task A_wait_that_brings_nothing_ends_with_its_time()
    {
        var worker = await broker.RegisterAsync(id, capability);

        var answer = await worker.ExchangeAsync(waitMs: 200);

        Assert.Empty(answer.Items("tasks"));
    }

    [Fact]
    public async Task A_time_out_is_noticed_by_its_worker()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var task = (await alice.SubmitAsync(new { title = "x", scope = capability, timeout_ms = 50, max_retries = 0 })).Id();
        await worker.ExchangeAsync();

        var notice = (await worker.ExchangeAsync(new { holding = new[] { task } }, waitMs: 60_000)).Items("cancelled").Single();

        Assert.Equal((task, "timeout"), (notice.Text("task_id"), notice.Text("reason")));
    }

    [Fact]
    public async Task Several_exchanges_of_one_agent_share_one_attempt_at_each_task()
    {
        var worker = await broker.RegisterAsync(id, capability, maxConcurrent: 100);
        var waiting = Enumerable.Range(0, 5).Select(_ => TakeAllAsync()).ToArray();

        var ids = (await alice.PostAsync("/api/v1/tasks", Enumerable.Range(0, 50).Select(n => new { title = $"t{n}", scope = capability }))).Expect(201).Ids();

        // What one has not started yet is delivered again to the next; each completes it all the same.
        Assert.Equal(ids.Order(), (await Task.WhenAll(waiting)).SelectMany(taken => taken).Distinct().Order());
        foreach (var task in ids)
            Assert.Equal(1, (await alice.TaskAsync(task)).Number("attempt"));

        async Task<List<string>> TakeAllAsync()
        {
            var taken = new List<string>();
            while (true)
            {
                var answer = await worker.ExchangeAsync(max: 3, waitMs: 2_000);
                var given = answer.GetProperty("tasks").Ids();
                if (given.Length == 0)
                    return taken;
                foreach (var task in given)
                    await worker.CompleteAsync(task, new { attempt = 1 });
                taken.AddRange(given);
            }
        }
    }

    [Fact]
    public async Task The_status_may_come_along()
    {
        var worker = await broker.RegisterAsync(id, capability);

        await worker.ExchangeAsync(new { status = "degraded" });

        Assert.Equal("degraded", (await alice.GetAsync($"/api/v1/agents/{id}")).Expect(200).Text("status"));
    }

    [Theory]
    [InlineData("max=-1", "max")]
    [InlineData("max=1001", "max")]
    [InlineData("max=ten&wait_ms=60001&wait=5", "wait,max,wait_ms")]
    public async Task A_query_that_means_nothing_is_refused(string query, string fields)
    {
        var worker = await broker.RegisterAsync(id, capability);

        Assert.Equal(fields.Split(','), (await worker.Api.PostAsync($"/api/v1/agents/{id}/work?{query}")).ExpectFaults());
    }

    [Theory]
    [InlineData("""{"reports":{},"holding":5,"status":"gone","more":1}""", "reports,holding,status,more")]
    [InlineData("""{"reports":[5,{"task_id":"x","outcome":"done"},{"outcome":"completed","result":[]}]}""", "reports[0],reports[1].task_id,reports[1].outcome,reports[2].task_id,reports[2].result")]
    [InlineData("""{"reports":[{"task_id":"01a1f82f-7cc4-736e-a149-d5fc83b368f9","outcome":"failed","attempt":0}]}""", "reports[0].attempt,reports[0].error")]
    [InlineData("""{"reports":[{"task_id":"01a1f82f-7cc4-736e-a149-d5fc83b368f9","outcome":"started","error":"x","percent":5}]}""", "reports[0].error,reports[0].percent")]
    [InlineData("""{"holding":["x",{},{"task_id":5,"attempt":"1","id":1}]}""", "holding[0],holding[1].task_id,holding[2].task_id,holding[2].attempt,holding[2].id")]
    [InlineData("[]", "body")]
    public async Task An_exchange_with_faults_is_refused_and_nothing_of_it_is_taken(string body, string fields)
    {
        var worker = await broker.RegisterAsync(id, capability);

        Assert.Equal(fields.Split(','), (await worker.Api.PostAsync($"/api/v1/agents/{id}/work", body)).ExpectFaults());
    }

    [Fact]
    public async Task A_good_report_beside_one_with_a_fault_is_not_taken()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var task = await alice.SubmitForAsync(capability);

        (await worker.Api.PostAsync($"/api/v1/agents/{id}/work", new { reports = new object[] { new { task_id = task, outcome = "completed" }, new { task_id = task, outcome = "done" } } }))
            .ExpectProblem(400, "validation");

        Assert.Equal("assigned", await alice.StatusAsync(task));
    }

    [Fact]
    public async Task A_thousand_reports_are_taken_and_one_more_is_refused()
    {
        var worker = await broker.RegisterAsync(id, capability, maxConcurrent: 1000);
        var ids = (await alice.PostAsync("/api/v1/tasks", Enumerable.Range(0, 1000).Select(n => new { title = $"t{n}", scope = capability }))).Expect(201).Ids();
        object Reports(IEnumerable<string> tasks) => new { reports = tasks.Select(task => new { task_id = task, attempt = 1, outcome = "completed" }) };

        Assert.Equal(["reports"], (await worker.Api.PostAsync($"/api/v1/agents/{id}/work", Reports(ids.Append(ids[0])))).ExpectFaults());
        Assert.All((await worker.ExchangeAsync(Reports(ids), max: 0)).Items("reports"), report => Assert.Equal("accepted", report.Text("status")));
    }
}

using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Tasks;

public sealed class ReadTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    [Theory]
    [InlineData("01a1f82f-7cc4-736e-a149-d5fc83b368f9")]
    [InlineData("nobody")]
    [InlineData("00000000-0000-0000-0000-000000000000")]
    [InlineData("%2F")]
    [InlineData("{01a1f82f-7cc4-736e-a149-d5fc83b368f9}")]
    public async Task A_task_that_is_not_there_is_not_found(string id)
    {
        foreach (var path in new[] { "", "/events", "/explain" })
            (await alice.GetAsync($"/api/v1/tasks/{id}{path}")).ExpectProblem(404, "task_not_found");
        foreach (var path in new[] { "start", "progress", "complete", "release", "retry" })
            (await alice.PostAsync($"/api/v1/tasks/{id}/{path}")).ExpectProblem(404, "task_not_found");
        (await alice.PostAsync($"/api/v1/tasks/{id}/fail", new { error = "x" })).ExpectProblem(404, "task_not_found");
        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { priority = 1 })).ExpectProblem(404, "task_not_found");
        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { context = new { } })).ExpectProblem(404, "task_not_found");
        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled" })).ExpectProblem(404, "task_not_found");
    }

    [Fact]
    public async Task A_task_is_read_with_the_attempts_that_have_ended()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var id = await alice.SubmitForAsync(capability);
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/start")).Expect(200);
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/release", new { reason = "not now" })).Expect(200);
        await broker.RegisterAsync(Unique.Name("worker"), capability);
        await alice.ReachesAsync(id, "assigned");

        var attempts = (await alice.TaskAsync(id)).Items("attempts");

        var attempt = Assert.Single(attempts);
        Assert.Equal((1, worker.Agent, "released", "not now"), (attempt.Number("attempt"), attempt.Text("agent"), attempt.Text("outcome"), attempt.Text("error")));
        Assert.True(attempt.Time("started_at") >= attempt.Time("assigned_at") && attempt.Time("ended_at") >= attempt.Time("started_at"));
    }

    [Fact]
    public async Task Waiting_is_answered_when_the_task_ends()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var id = await alice.SubmitForAsync(capability);
        var readers = Enumerable.Range(0, 20).Select(n => broker.As($"reader-{n}").GetAsync($"/api/v1/tasks/{id}?wait_ms=60000")).ToArray();
        (await alice.GetAsync($"/api/v1/tasks/{id}?wait_ms=50")).Expect(200);

        await worker.CompleteAsync(id, new { result = new { answer = 42 } });

        foreach (var task in await Task.WhenAll(readers))
        {
            Assert.Equal("completed", task.Expect(200).Text("status"));
            Assert.Equal(42, task.Json.GetProperty("result").Number("answer"));
            Assert.Single(task.Json.Items("attempts"));
        }
    }

    [Fact]
    public async Task Waiting_ends_with_its_time_and_shows_the_task_as_it_stands()
    {
        var id = await alice.SubmitForAsync(capability);

        Assert.Equal("pending", (await alice.GetAsync($"/api/v1/tasks/{id}?wait_ms=100")).Expect(200).Text("status"));
    }

    [Fact]
    public async Task Waiting_for_a_finished_task_is_answered_at_once()
    {
        var id = await alice.SubmitForAsync(capability);
        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled" })).Expect(200);

        Assert.Equal("cancelled", (await alice.GetAsync($"/api/v1/tasks/{id}?wait_ms=60000")).Expect(200).Text("status"));
    }

    [Fact]
    public async Task Waiting_goes_on_when_the_task_was_put_back_at_once()
    {
        var id = await alice.SubmitForAsync(capability);
        var reader = alice.GetAsync($"/api/v1/tasks/{id}?wait_ms=3000");
        for (var round = 0; round < 5; round++)
        {
            (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled" })).Expect(200);
            (await alice.PostAsync($"/api/v1/tasks/{id}/retry")).Expect(200);
        }

        // Either it was seen in the moment of its end, or it is waited for until the time is up.
        Assert.Contains((await reader).Expect(200).Text("status"), (string[])["cancelled", "pending"]);
    }

    [Theory]
    [InlineData("-1")]
    [InlineData("60001")]
    [InlineData("soon")]
    [InlineData("")]
    [InlineData("1&wait_ms=2")]
    public async Task A_wait_that_is_no_number_in_the_range_is_refused(string wait)
    {
        var id = await alice.SubmitForAsync(capability);

        Assert.Equal(["wait_ms"], (await alice.GetAsync($"/api/v1/tasks/{id}?wait_ms={wait}")).ExpectFaults());
    }

    [Fact]
    public async Task Tasks_are_listed_newest_first_and_every_filter_holds()
    {
        var (label, owner, requester) = (Unique.Name("label"), Unique.Name("owner"), Unique.Name("requester"));
        var by = broker.As(requester);
        var parent = (await by.SubmitAsync(new { title = "parent", scope = capability })).Id();
        var a = (await by.SubmitAsync(new { title = "a", scope = capability, labels = new { label, kind = "x=1" }, owner, parent_id = parent })).Id();
        var b = (await by.SubmitAsync(new { title = "b", scope = capability, labels = new { label, kind = "y" }, run_at = "2099-01-01T00:00:00Z" })).Id();
        var c = (await by.SubmitAsync(new { title = "c", scope = capability, owner, depends_on = new[] { a } })).Id();

        async Task ListsAsync(string query, params string[] expected) => Assert.Equal(expected, (await alice.GetAsync($"/api/v1/tasks?{query}")).Expect(200).Ids());

        await ListsAsync($"requester={requester}", c, b, a, parent);
        await ListsAsync($"scope={capability}", c, b, a, parent);
        await ListsAsync($"owner={owner}", c, a);
        await ListsAsync($"label=label={label}", b, a);
        await ListsAsync($"label=label={label}&label=kind=x%3D1", a);
        await ListsAsync($"parent_id={parent}", a);
        await ListsAsync($"requester={requester}&status=pending", a, parent);
        await ListsAsync($"requester={requester}&status=pending,scheduled", b, a, parent);
        await ListsAsync($"requester={requester}&status=blocked&status=scheduled", c, b);
        await ListsAsync($"requester={requester}&status=completed");
        await ListsAsync($"owner={owner}&status=blocked&scope={capability}&requester={requester}", c);
        await ListsAsync($"assignee={Unique.Name("nobody")}");
    }

    [Fact]
    public async Task Tasks_are_listed_by_assignee()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var (held, done) = (await alice.SubmitForAsync(capability), await alice.SubmitForAsync(capability));
        await worker.CompleteAsync(done);

        Assert.Equal([done, held], (await alice.GetAsync($"/api/v1/tasks?assignee={worker.Agent}")).Expect(200).Ids());
        Assert.Equal([done], (await alice.GetAsync($"/api/v1/tasks?assignee={worker.Agent}&status=completed")).Expect(200).Ids());
    }

    [Theory]
    [InlineData("status=done", "status")]
    [InlineData("limit=0", "limit")]
    [InlineData("limit=1001", "limit")]
    [InlineData("cursor=x", "cursor")]
    [InlineData("cursor=0", "cursor")]
    [InlineData("label=x", "label")]
    [InlineData("label==x", "label")]
    [InlineData("parent_id=x", "parent_id")]
    [InlineData("requester=", "requester")]
    [InlineData("requester=a&requester=b", "requester")]
    [InlineData("state=pending", "state")]
    [InlineData("state=pending&limit=0", "state,limit")]
    public async Task A_filter_that_means_nothing_is_refused(string query, string fields)
    {
        Assert.Equal(fields.Split(','), (await alice.GetAsync($"/api/v1/tasks?{query}")).ExpectFaults());
    }

    [Fact]
    public async Task Pages_follow_the_link_and_show_each_task_once_while_others_are_submitted()
    {
        var label = Unique.Name("page");
        object Some(int count) => Enumerable.Range(0, count).Select(n => new { title = $"t{n}", scope = capability, labels = new { label, umlaut = "ä&=" } });
        var first = (await alice.PostAsync("/api/v1/tasks", Some(95))).Expect(201).Ids();

        var seen = new List<string>();
        var next = $"/api/v1/tasks?label=label={label}&limit=10&label=umlaut={Uri.EscapeDataString("ä&=")}";
        while (next is not null)
        {
            var page = await alice.GetAsync(next);
            Assert.InRange(page.Expect(200).GetArrayLength(), 1, 10);
            seen.AddRange(page.Json.Ids());
            next = page.Header("Link") is { } link ? link.Split('<', '>')[1] : null;
            (await alice.PostAsync("/api/v1/tasks", Some(3))).Expect(201);
        }

        Assert.Equal(first.Reverse(), seen);
    }

    [Fact]
    public async Task The_last_page_has_no_link_even_when_it_is_full()
    {
        var label = Unique.Name("page");
        (await alice.PostAsync("/api/v1/tasks", Enumerable.Range(0, 4).Select(_ => new { title = "x", scope = capability, labels = new { label } }))).Expect(201);

        var first = await alice.GetAsync($"/api/v1/tasks?label=label={label}&limit=2");
        var second = await alice.GetAsync(first.Header("Link")!.Split('<', '>')[1]);

        Assert.Equal(2, second.Expect(200).GetArrayLength());
        Assert.Null(second.Header("Link"));
    }

    [Fact]
    public async Task The_history_tells_what_happened_in_order()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, session = "s-9" })).Id();
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/progress", new { percent = 40, message = "half" })).Expect(200);
        await worker.CompleteAsync(id, new { result = new { ok = true } });

        var events = (await alice.GetAsync($"/api/v1/tasks/{id}/events")).Expect(200).Items();

        Assert.Equal(["task.created", "task.assigned", "task.started", "task.progressed", "task.completed"], events.Select(happened => happened.Text("type")));
        Assert.Equal(["alice", "system", worker.Agent, worker.Agent, worker.Agent], events.Select(happened => happened.Text("actor")));
        Assert.All(events, happened => Assert.Equal((id, "s-9", "tasks"), (happened.Text("subject"), happened.Text("session"), happened.Text("source"))));
        Assert.Equal(events.Select(happened => happened.Number("sequence")).Order(), events.Select(happened => happened.Number("sequence")));
        Assert.Equal(1, events[1].GetProperty("data").Number("attempt"));
        Assert.Equal("half", events[3].GetProperty("data").Text("message"));
    }

    [Fact]
    public async Task A_head_request_is_answered_like_its_get_without_the_body()
    {
        var id = await alice.SubmitForAsync(capability);

        foreach (var path in new[] { $"/api/v1/tasks/{id}", "/api/v1/tasks?limit=1", "/openapi/v1.json" })
        {
            var get = await alice.GetAsync(path);
            var head = await alice.SendAsync(HttpMethod.Head, path, null);

            Assert.Equal((200, 0), (head.Status, head.Body.Length));
            Assert.Equal(get.Header("Content-Type"), head.Header("Content-Type"));
            Assert.Equal(get.Body.Length.ToString(), head.Header("Content-Length"));
        }
    }

    [Fact]
    public async Task A_trailing_slash_changes_nothing()
    {
        var id = await alice.SubmitForAsync(capability);

        Assert.Equal(id, (await alice.GetAsync($"/api/v1/tasks/{id}/")).Expect(200).Id());
        (await alice.GetAsync("/api/v1/tasks/?limit=1")).Expect(200);
    }
}

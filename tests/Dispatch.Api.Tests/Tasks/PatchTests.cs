using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Tasks;

public sealed class PatchTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    // RFC 7396, appendix A, one level down: a task's context is always an object.
    [Theory]
    [InlineData("""{"a":"b"}""", """{"a":"c"}""", """{"a":"c"}""")]
    [InlineData("""{"a":"b"}""", """{"b":"c"}""", """{"a":"b","b":"c"}""")]
    [InlineData("""{"a":"b"}""", """{"a":null}""", """{}""")]
    [InlineData("""{"a":"b","b":"c"}""", """{"a":null}""", """{"b":"c"}""")]
    [InlineData("""{"a":["b"]}""", """{"a":"c"}""", """{"a":"c"}""")]
    [InlineData("""{"a":"c"}""", """{"a":["b"]}""", """{"a":["b"]}""")]
    [InlineData("""{"a":{"b":"c"}}""", """{"a":{"b":"d","c":null}}""", """{"a":{"b":"d"}}""")]
    [InlineData("""{"a":[{"b":"c"}]}""", """{"a":[1]}""", """{"a":[1]}""")]
    [InlineData("""{"a":["a","b"]}""", """{"a":["c","d"]}""", """{"a":["c","d"]}""")]
    [InlineData("""{"v":{"a":"b"}}""", """{"v":["c"]}""", """{"v":["c"]}""")]
    [InlineData("""{"v":{"a":"foo"}}""", """{"v":null}""", """{}""")]
    [InlineData("""{"v":{"a":"foo"}}""", """{"v":"bar"}""", """{"v":"bar"}""")]
    [InlineData("""{"e":null}""", """{"a":1}""", """{"e":null,"a":1}""")]
    [InlineData("""{"v":[1,2]}""", """{"v":{"a":"b","c":null}}""", """{"v":{"a":"b"}}""")]
    [InlineData("""{}""", """{"a":{"bb":{"ccc":null}}}""", """{"a":{"bb":{}}}""")]
    [InlineData("""{"n":1.10}""", """{"big":123456789012345678901234567890,"é":"☕<"}""", """{"n":1.10,"big":123456789012345678901234567890,"é":"☕<"}""")]
    public async Task A_context_is_merged(string before, string patch, string after)
    {
        var id = (await alice.SubmitAsync($$"""{"title":"x","scope":"{{capability}}","context":{{before}}}""")).Id();

        var task = (await alice.PatchAsync($"/api/v1/tasks/{id}", $$"""{"context":{{patch}}}""")).Expect(200);

        Assert.Equal(after, task.GetProperty("context").GetRawText());
        Assert.Equal(after, (await alice.TaskAsync(id)).GetProperty("context").GetRawText());
    }

    [Fact]
    public async Task The_worker_gets_the_merged_context()
    {
        var id = await alice.SubmitForAsync(capability);
        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { context = new { file = "a.txt" } })).Expect(200);
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);

        var task = (await worker.ExchangeAsync()).Items("tasks").Single();

        Assert.Equal("""{"file":"a.txt"}""", task.GetProperty("context").GetRawText());
    }

    [Fact]
    public async Task Patches_at_once_are_all_merged()
    {
        var id = await alice.SubmitForAsync(capability);

        var replies = await Task.WhenAll(Enumerable.Range(0, 6).Select(n => alice.PatchAsync($"/api/v1/tasks/{id}", new { context = new Dictionary<string, int> { [$"m{n}"] = n } })));

        Assert.All(replies, reply => reply.Expect(200));
        Assert.Equal(6, (await alice.TaskAsync(id)).GetProperty("context").GetPropertyCount());
    }

    [Fact]
    public async Task A_large_context_can_be_patched_though_it_is_not_kept_in_memory()
    {
        var text = new string('c', 100_000);
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, context = new { text } })).Id();

        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { context = new { more = 1 } })).Expect(200);

        Assert.Equal(text, (await alice.TaskAsync(id)).GetProperty("context").Text("text"));
    }

    [Fact]
    public async Task A_context_can_not_be_merged_past_the_size_of_a_body()
    {
        var id = (await alice.SubmitAsync(new { title = "x", scope = capability, context = new { a = new string('a', 700_000) } })).Id();

        Assert.Equal(["context"], (await alice.PatchAsync($"/api/v1/tasks/{id}", new { context = new { b = new string('b', 700_000) } })).ExpectFaults());
        Assert.Null((await alice.TaskAsync(id)).GetProperty("context").Find("b"));
    }

    [Fact]
    public async Task Another_priority_queues_the_task_anew()
    {
        var ids = new List<string>();
        for (var n = 0; n < 3; n++)
            ids.Add(await alice.SubmitForAsync(capability));
        (await alice.PatchAsync($"/api/v1/tasks/{ids[2]}", new { priority = "critical" })).Expect(200);
        (await alice.PatchAsync($"/api/v1/tasks/{ids[0]}", new { priority = 0 })).Expect(200);

        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability, maxConcurrent: 1);

        var order = new List<string>();
        for (var n = 0; n < 3; n++)
        {
            var (id, _) = await worker.TakeAsync();
            order.Add(id);
            await worker.CompleteAsync(id);
        }

        Assert.Equal([ids[2], ids[1], ids[0]], order);
    }

    [Fact]
    public async Task The_same_priority_changes_nothing()
    {
        var id = await alice.SubmitForAsync(capability);

        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { priority = 5 })).Expect(200);

        Assert.DoesNotContain((await alice.GetAsync($"/api/v1/tasks/{id}/events")).Expect(200).Items(), happened => happened.Text("type") == "task.updated");
    }

    [Theory]
    [InlineData("{}", "body")]
    [InlineData("[]", "body")]
    [InlineData("", "body")]
    [InlineData("""{"status":"completed"}""", "status")]
    [InlineData("""{"status":1,"priority":11,"context":[],"title":"y"}""", "status,priority,context,title")]
    [InlineData("""{"status":"cancelled","priority":1}""", "status")]
    [InlineData("""{"priority":1,"reason":"x"}""", "reason")]
    [InlineData("""{"priority":-1}""", "priority")]
    public async Task A_patch_that_asks_for_something_else_is_refused(string body, string fields)
    {
        var id = await alice.SubmitForAsync(capability);

        Assert.Equal(fields.Split(','), (await alice.PatchAsync($"/api/v1/tasks/{id}", body)).ExpectFaults());
        Assert.Equal("pending", await alice.StatusAsync(id));
    }

    [Fact]
    public async Task Only_the_requester_the_owner_and_an_admin_may_change_a_task()
    {
        var (id, owner) = (Unique.Id(), Unique.Name("owner"));
        await alice.SubmitAsync(new { id, title = "x", scope = capability, owner });

        foreach (object change in new object[] { new { priority = 1 }, new { context = new { a = 1 } }, new { status = "cancelled" } })
            (await broker.As("mallory").PatchAsync($"/api/v1/tasks/{id}", change)).ExpectProblem(403, "forbidden");
        (await broker.As(owner).PatchAsync($"/api/v1/tasks/{id}", new { priority = 1 })).Expect(200);
        (await broker.Admin.PatchAsync($"/api/v1/tasks/{id}", new { priority = 2 })).Expect(200);
        (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled" })).Expect(200);
    }

    [Theory]
    [InlineData("scheduled")]
    [InlineData("blocked")]
    [InlineData("pending")]
    [InlineData("backoff")]
    [InlineData("waking")]
    [InlineData("assigned")]
    [InlineData("running")]
    public async Task A_task_is_cancelled_in_every_state_that_is_not_final(string state)
    {
        var id = await BringToAsync(state);

        var task = (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled", reason = "changed my mind" })).Expect(200);

        Assert.Equal(("cancelled", "changed my mind"), (task.Text("status"), task.Text("error")));
        Assert.NotNull(task.Find("completed_at"));
        Assert.Equal("cancelled", await alice.StatusAsync(id));
    }

    [Fact]
    public async Task Cancelling_again_changes_nothing()
    {
        var id = await alice.SubmitForAsync(capability);
        var first = (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled" })).Expect(200);

        var again = (await alice.PatchAsync($"/api/v1/tasks/{id}", new { status = "cancelled", reason = "other" })).Expect(200);

        Assert.Equal(first.Text("error"), again.Text("error"));
        Assert.Equal("cancelled by alice", first.Text("error"));
    }

    [Fact]
    public async Task What_is_final_can_not_be_changed()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var id = await alice.SubmitForAsync(capability);
        await worker.CompleteAsync(id);

        foreach (object change in new object[] { new { priority = 1 }, new { context = new { a = 1 } }, new { status = "cancelled" } })
            (await alice.PatchAsync($"/api/v1/tasks/{id}", change)).ExpectProblem(409, "task_state");
    }

    private async Task<string> BringToAsync(string state)
    {
        switch (state)
        {
            case "scheduled":
                return (await alice.SubmitAsync(new { title = "x", scope = capability, run_at = "2099-01-01T00:00:00Z" })).Id();
            case "blocked":
                var first = await alice.SubmitForAsync(capability);
                return (await alice.SubmitAsync(new { title = "x", scope = capability, depends_on = new[] { first } })).Id();
            case "pending":
                return await alice.SubmitForAsync(capability);
            case "waking":
                await broker.RegisterAsync(Unique.Name("worker"), capability, status: "sleeping");
                return await alice.SubmitForAsync(capability);
        }

        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var id = await alice.SubmitForAsync(capability);
        if (state == "running")
            (await worker.Api.PostAsync($"/api/v1/tasks/{id}/start")).Expect(200);
        if (state == "backoff")
            (await worker.Api.PostAsync($"/api/v1/tasks/{id}/fail", new { error = "x", retry_after_ms = 3_600_000 })).Expect(200);
        return id;
    }
}

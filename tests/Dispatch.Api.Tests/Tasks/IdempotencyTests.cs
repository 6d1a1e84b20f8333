using System.Text.Json;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Tasks;

public sealed class IdempotencyTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");

    [Fact]
    public async Task Repeating_a_request_with_its_key_gives_the_same_task()
    {
        var body = new { title = "once", context = new { a = 1 }, idempotency_key = Unique.Name("key") };
        var first = await alice.SubmitAsync(body);

        var again = (await alice.PostAsync("/api/v1/tasks", body)).Expect(200);

        Assert.Equal(first.Id(), again.Id());
        Assert.Single(await HistoryAsync(first.Id(), "task.created"));
    }

    [Fact]
    public async Task The_order_of_members_makes_no_other_request()
    {
        var key = Unique.Name("key");
        var first = await alice.SubmitAsync($$"""{"title":"x","idempotency_key":"{{key}}","priority":3}""");

        var again = (await alice.PostAsync("/api/v1/tasks", $$"""{"priority":3,"title":"x","idempotency_key":"{{key}}"}""")).Expect(200);

        Assert.Equal(first.Id(), again.Id());
    }

    [Theory]
    [InlineData("""{"title":"y"}""")]
    [InlineData("""{"title":"x","priority":6}""")]
    [InlineData("""{"title":"x","context":{"a":2}}""")]
    [InlineData("""{"title":"x","labels":{"a":"b"}}""")]
    [InlineData("""{"title":"x","run_at":"2099-01-01T00:00:00Z"}""")]
    public async Task Another_request_under_the_same_key_is_refused(string other)
    {
        var key = Unique.Name("key");
        var first = await alice.SubmitAsync($$"""{"title":"x","idempotency_key":"{{key}}"}""");

        var problem = (await alice.PostAsync("/api/v1/tasks", other[..^1] + $",\"idempotency_key\":\"{key}\"}}")).ExpectProblem(409, "idempotency_mismatch");

        Assert.Contains(first.Id(), problem.Text("detail"), StringComparison.Ordinal);
        Assert.Equal("x", (await alice.TaskAsync(first.Id())).Text("title"));
    }

    [Fact]
    public async Task The_key_of_another_caller_is_another_key()
    {
        var body = new { title = "mine", idempotency_key = Unique.Name("key") };
        var mine = await alice.SubmitAsync(body);

        var hers = await broker.As("bob").SubmitAsync(body);

        Assert.NotEqual(mine.Id(), hers.Id());
    }

    [Fact]
    public async Task Fifty_equal_requests_at_once_make_one_task()
    {
        var label = Unique.Name("race");
        var body = new { title = "once", labels = new { label }, idempotency_key = label };

        var replies = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => alice.PostAsync("/api/v1/tasks", body)));

        Assert.Equal(1, replies.Count(reply => reply.Status == 201));
        Assert.Equal(49, replies.Count(reply => reply.Status == 200));
        Assert.Single(replies.Select(reply => reply.Json.Id()).Distinct());
        Assert.Single((await alice.GetAsync($"/api/v1/tasks?label=label={label}")).Expect(200).Items());
    }

    [Fact]
    public async Task Fifty_different_requests_under_one_key_at_once_make_one_task()
    {
        var key = Unique.Name("race");

        var replies = await Task.WhenAll(Enumerable.Range(0, 50).Select(n => alice.PostAsync("/api/v1/tasks", new { title = $"t{n}", idempotency_key = key })));

        Assert.Equal(1, replies.Count(reply => reply.Status == 201));
        Assert.All(replies.Where(reply => reply.Status != 201), reply => reply.ExpectProblem(409, "idempotency_mismatch"));
    }

    [Fact]
    public async Task A_repeat_after_the_end_shows_the_task_as_it_ended()
    {
        var capability = Unique.Name("cap");
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability, maxConcurrent: 1000);
        var body = new { title = "once", scope = capability, idempotency_key = Unique.Name("key") };
        var id = (await alice.SubmitAsync(body)).Id();
        await worker.CompleteAsync(id, new { result = new { n = 5 } });

        var again = (await alice.PostAsync("/api/v1/tasks", body)).Expect(200);

        Assert.Equal((id, "completed"), (again.Id(), again.Text("status")));
        Assert.Equal(5, again.GetProperty("result").Number("n"));
    }

    [Fact]
    public async Task In_an_array_what_is_known_is_answered_and_the_rest_is_taken_in()
    {
        var key = Unique.Name("key");
        var known = await alice.SubmitAsync(new { title = "a", idempotency_key = key });

        var tasks = (await alice.PostAsync("/api/v1/tasks", new object[] { new { title = "new" }, new { title = "a", idempotency_key = key } })).Expect(201);

        Assert.Equal(known.Id(), tasks.Ids()[1]);
        Assert.NotEqual(known.Id(), tasks.Ids()[0]);
    }

    [Fact]
    public async Task An_array_of_repeats_only_is_answered_with_200()
    {
        var body = new[] { new { title = "a", idempotency_key = Unique.Name("key") }, new { title = "b", idempotency_key = Unique.Name("key") } };
        var first = (await alice.PostAsync("/api/v1/tasks", body)).Expect(201);

        Assert.Equal(first.Ids(), (await alice.PostAsync("/api/v1/tasks", body)).Expect(200).Ids());
    }

    [Fact]
    public async Task One_mismatch_in_an_array_refuses_all_of_it()
    {
        var (key, label) = (Unique.Name("key"), Unique.Name("label"));
        await alice.SubmitAsync(new { title = "a", idempotency_key = key });

        var reply = await alice.PostAsync("/api/v1/tasks", new object[] { new { title = "new", labels = new { label } }, new { title = "other", idempotency_key = key } });

        var problem = reply.ExpectProblem(409, "idempotency_mismatch");
        Assert.Equal("tasks[1].idempotency_key", problem.Items("errors")[0].Text("field"));
        Assert.Empty((await alice.GetAsync($"/api/v1/tasks?label=label={label}")).Expect(200).Items());
    }

    [Fact]
    public async Task A_key_may_stand_once_in_an_array()
    {
        var key = Unique.Name("key");

        var reply = await alice.PostAsync("/api/v1/tasks", new[] { new { title = "a", idempotency_key = key }, new { title = "a", idempotency_key = key } });

        Assert.Equal(["tasks[1].idempotency_key"], reply.ExpectFaults());
    }

    [Fact]
    public async Task A_task_takes_the_id_its_requester_gives_it()
    {
        var id = Unique.Id();

        Assert.Equal(id, (await alice.SubmitAsync(new { id, title = "mine" })).Id());
        Assert.Equal("mine", (await alice.TaskAsync(id)).Text("title"));
        Assert.Equal("mine", (await alice.TaskAsync(id.ToUpperInvariant())).Text("title"));
    }

    [Fact]
    public async Task The_same_id_with_the_same_request_gives_the_same_task()
    {
        var body = new { id = Unique.Id(), title = "x", labels = new { a = "b" }, description = "d", session = "s", deadline = "2099-01-01T00:00:00Z" };
        await alice.SubmitAsync(body);

        Assert.Equal(body.id, (await alice.PostAsync("/api/v1/tasks", body)).Expect(200).Id());
    }

    [Fact]
    public async Task A_repeat_is_known_though_the_task_was_changed_since()
    {
        var body = new { id = Unique.Id(), title = "x", context = new { a = 1 }, priority = 3 };
        await alice.SubmitAsync(body);
        (await alice.PatchAsync($"/api/v1/tasks/{body.id}", new { context = new { a = 2 }, priority = 9 })).Expect(200);

        var again = (await alice.PostAsync("/api/v1/tasks", body)).Expect(200);

        Assert.Equal((9, 2), (again.Number("priority"), again.GetProperty("context").Number("a")));
    }

    [Theory]
    [InlineData("""{"title":"y"}""")]
    [InlineData("""{"title":"x","priority":6}""")]
    [InlineData("""{"title":"x","labels":{"a":"b"}}""")]
    [InlineData("""{"title":"x","description":"d"}""")]
    [InlineData("""{"title":"x","timeout_ms":7}""")]
    [InlineData("""{"title":"x","session":"s"}""")]
    [InlineData("""{"title":"x","required_capabilities":["r"]}""")]
    public async Task The_same_id_with_another_request_is_refused(string other)
    {
        var id = Unique.Id();
        await alice.SubmitAsync(new { id, title = "x" });

        (await alice.PostAsync("/api/v1/tasks", other[..^1] + $",\"id\":\"{id}\"}}")).ExpectProblem(409, "task_exists");
    }

    [Fact]
    public async Task The_id_of_another_callers_task_is_taken()
    {
        var body = new { id = Unique.Id(), title = "x" };
        await alice.SubmitAsync(body);

        (await broker.As("bob").PostAsync("/api/v1/tasks", body)).ExpectProblem(409, "task_exists");
    }

    [Fact]
    public async Task The_id_of_a_finished_task_is_known_too()
    {
        var capability = Unique.Name("cap");
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability, maxConcurrent: 1000);
        var body = new { id = Unique.Id(), title = "x", scope = capability };
        await alice.SubmitAsync(body);
        await worker.CompleteAsync(body.id);

        Assert.Equal("completed", (await alice.PostAsync("/api/v1/tasks", body)).Expect(200).Text("status"));
        (await alice.PostAsync("/api/v1/tasks", body with { title = "y" })).ExpectProblem(409, "task_exists");
    }

    private async Task<JsonElement[]> HistoryAsync(string id, string type) =>
        [.. (await alice.GetAsync($"/api/v1/tasks/{id}/events")).Expect(200).Items().Where(happened => happened.Text("type") == type)];
}

/// <summary>Across a restart, which shared brokers are spared.</summary>
public sealed class IdempotencyAcrossRestartTests
{
    [Fact]
    public async Task Keys_and_ids_outlive_the_process()
    {
        await using var broker = await TestBroker.StartAsync();
        var alice = broker.As("alice");
        var worker = await broker.RegisterAsync("worker", "do");
        var waiting = new { id = Unique.Id(), title = "waits", idempotency_key = "k1" };
        var done = new { title = "done", scope = "do", idempotency_key = "k2" };
        await alice.SubmitAsync(waiting);
        var doneId = (await alice.SubmitAsync(done)).Id();
        await worker.CompleteAsync(doneId);

        await broker.RestartAsync();

        Assert.Equal(waiting.id, (await alice.PostAsync("/api/v1/tasks", waiting)).Expect(200).Id());
        Assert.Equal(doneId, (await alice.PostAsync("/api/v1/tasks", done)).Expect(200).Id());
        (await alice.PostAsync("/api/v1/tasks", done with { title = "other" })).ExpectProblem(409, "idempotency_mismatch");
        (await alice.PostAsync("/api/v1/tasks", waiting with { title = "other" })).ExpectProblem(409, "idempotency_mismatch");
        (await alice.PostAsync("/api/v1/tasks", new { waiting.id, title = "other" })).ExpectProblem(409, "task_exists");
    }

    [Fact]
    public async Task Equal_requests_on_both_sides_of_a_restart_make_one_task()
    {
        await using var broker = await TestBroker.StartAsync();
        var body = new { title = "once", idempotency_key = "k" };
        var before = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => broker.As("alice").PostAsync("/api/v1/tasks", body)));
        await broker.RestartAsync();
        var after = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => broker.As("alice").PostAsync("/api/v1/tasks", body)));

        Assert.All(after, reply => reply.Expect(200));
        Assert.Single(before.Concat(after).Select(reply => reply.Json.Id()).Distinct());
    }
}

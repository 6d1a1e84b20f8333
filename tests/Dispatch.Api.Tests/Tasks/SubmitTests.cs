using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Tasks;

public sealed class SubmitTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");

    [Fact]
    public async Task A_submitted_task_is_answered_whole_with_its_location()
    {
        var reply = await alice.PostAsync("/api/v1/tasks", new { title = "count" });

        var task = reply.Expect(201);
        Assert.Equal("/api/v1/tasks/" + task.Id(), reply.Header("Location"));
        Assert.Equal("pending", task.Text("status"));
        Assert.Equal("alice", task.Text("requester"));
        Assert.Equal("alice", task.Text("submitter"));
        Assert.Equal((5, 0, 0, 3, 300_000), (task.Number("priority"), task.Number("attempt"), task.Number("retry_count"), task.Number("max_retries"), task.Number("timeout_ms")));
        Assert.Equal("7", task.Id()[14..15]);
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", task.Text("created_at"));
    }

    [Fact]
    public async Task Every_member_comes_back_as_it_was_given()
    {
        var parent = (await alice.SubmitAsync(new { title = "parent" })).Id();
        const string Context = """{"n":1.10,"big":123456789012345678901234567890,"text":"é\u0000<&>\"","list":[1,null,true],"e":1E+400}""";
        var body = $$"""
            {"title":"Täglich ☕","description":"line\nline\u0000 two","scope":"sums","required_capabilities":["Add","sub"],"preferred_capabilities":["fast"],
            "labels":{"run":"4=2","empty":""},"owner":"acme","submitter":"carol","session":"s-1","priority":"high","context":{{Context}},
            "estimate":{"tokens":5},"timeout_ms":1000,"max_retries":0,"run_at":"2099-01-31T09:30:00.5+01:00","deadline":"2099-02-01T00:00:00Z",
            "parent_id":"{{parent}}","idempotency_key":"key-1"}
            """;

        var task = await alice.SubmitAsync(body);
        var stored = await alice.TaskAsync(task.Id());

        foreach (var seen in new[] { task, stored })
        {
            Assert.Equal("Täglich ☕", seen.Text("title"));
            Assert.Equal("line\nline\0 two", seen.Text("description"));
            Assert.Equal("sums", seen.Text("scope"));
            Assert.Equal(["Add", "sub", "sums"], seen.Items("required_capabilities").Select(name => name.GetString()));
            Assert.Equal(["fast"], seen.Items("preferred_capabilities").Select(name => name.GetString()));
            Assert.Equal("""{"run":"4=2","empty":""}""", seen.GetProperty("labels").GetRawText());
            Assert.Equal(("acme", "carol", "s-1", "key-1", parent), (seen.Text("owner"), seen.Text("submitter"), seen.Text("session"), seen.Text("idempotency_key"), seen.Text("parent_id")));
            Assert.Equal(Context, seen.GetProperty("context").GetRawText());
            Assert.Equal("""{"tokens":5}""", seen.GetProperty("estimate").GetRawText());
            Assert.Equal((8, 1000, 0), (seen.Number("priority"), seen.Number("timeout_ms"), seen.Number("max_retries")));
            Assert.Equal("2099-01-31T08:30:00.500Z", seen.Text("run_at"));
            Assert.Equal("2099-02-01T00:00:00.000Z", seen.Text("deadline"));
        }
    }

    [Theory]
    [InlineData("\"critical\"", 10)]
    [InlineData("\"high\"", 8)]
    [InlineData("\"normal\"", 5)]
    [InlineData("\"medium\"", 5)]
    [InlineData("\"low\"", 2)]
    [InlineData("0", 0)]
    [InlineData("10", 10)]
    public async Task A_priority_is_a_number_or_a_name(string given, int priority)
    {
        var task = await alice.SubmitAsync($$"""{"title":"x","priority":{{given}}}""");

        Assert.Equal(priority, task.Number("priority"));
    }

    [Fact]
    public async Task A_member_that_is_null_was_not_given()
    {
        var task = await alice.SubmitAsync("""{"title":"x","scope":null,"labels":null,"context":null,"run_at":null,"depends_on":null,"priority":null}""");

        Assert.Equal(5, task.Number("priority"));
        Assert.Null(task.Find("scope"));
    }

    [Theory]
    [InlineData("""{"title":null}""")]
    [InlineData("{}")]
    public async Task A_title_is_required(string body)
    {
        Assert.Equal(["title"], (await alice.PostAsync("/api/v1/tasks", body)).ExpectFaults());
    }

    [Theory]
    [InlineData("2026-01-31T09:30:00")]
    [InlineData("2026-01-31")]
    [InlineData("31 Jan 2026 09:30:00 GMT")]
    [InlineData("01/31/2026T09:30:00Z")]
    [InlineData("2026-02-30T09:30:00Z")]
    [InlineData("2026-01-31T24:30:00Z")]
    [InlineData("2026-01-31T09:30:00.Z")]
    [InlineData("2026-01-31T09:30:00+1:00")]
    [InlineData("2026-01-31T09:30:00 Z")]
    [InlineData("0001-01-01T00:00:00+14:00")]
    [InlineData("")]
    public async Task A_time_without_a_zone_or_of_another_form_is_refused(string time)
    {
        Assert.Equal(["run_at"], (await alice.PostAsync("/api/v1/tasks", new { title = "x", run_at = time })).ExpectFaults());
    }

    [Theory]
    [InlineData("2099-01-31t09:30:00z", "2099-01-31T09:30:00.000Z")]
    [InlineData("2099-01-31T09:30:00.123456789Z", "2099-01-31T09:30:00.123Z")]
    [InlineData("2099-01-31T09:30:00-05:30", "2099-01-31T15:00:00.000Z")]
    public async Task A_time_of_rfc_3339_is_taken_in_any_zone(string given, string kept)
    {
        var task = await alice.SubmitAsync(new { title = "x", run_at = given });

        Assert.Equal(kept, task.Text("run_at"));
        Assert.Equal("scheduled", task.Text("status"));
    }

    [Fact]
    public async Task A_time_that_is_past_long_ago_is_due()
    {
        var task = await alice.SubmitAsync(new { title = "x", run_at = "1970-01-01T00:00:00Z" });

        Assert.Equal("pending", task.Text("status"));
    }

    [Fact]
    public async Task Every_fault_is_named_at_once()
    {
        var body = $$"""
            {"title":"","description":7,"scope":"a\u0007b","required_capabilities":["ok",3,""],"labels":{"a=b":"x","c":4},"priority":11,"context":[],
            "timeout_ms":0,"max_retries":101,"run_at":"soon","deadline":"2001-01-01T00:00:00Z","depends_on":["nobody"],"parent_id":5,
            "idempotency_key":"{{new string('k', 257)}}","status":"completed","titel":"x","requester":"bob","id":"00000000-0000-0000-0000-000000000000"}
            """;

        var faults = (await alice.PostAsync("/api/v1/tasks", body)).ExpectFaults();

        Assert.Equal(
            ["context", "deadline", "depends_on[0]", "description", "id", "idempotency_key", "labels.a=b", "labels.c", "max_retries", "parent_id", "priority", "requester",
            "required_capabilities[1]", "required_capabilities[2]", "run_at", "scope", "status", "timeout_ms", "titel", "title"],
            faults.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_fault_tells_what_is_allowed_and_what_was_given()
    {
        var problem = (await alice.PostAsync("/api/v1/tasks", """{"title":"x","priority":11,"maxRetries":1}""")).ExpectProblem(400, "validation");

        var faults = problem.Items("errors");
        Assert.Equal(11, faults[0].Number("value"));
        Assert.Contains("0 to 10", faults[0].Text("message"), StringComparison.Ordinal);
        Assert.Contains("max_retries", faults[1].Text("message"), StringComparison.Ordinal);
        Assert.Contains("1 more fault", problem.Text("detail"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_deadline_comes_after_the_time_to_run()
    {
        var reply = await alice.PostAsync("/api/v1/tasks", new { title = "x", run_at = "2099-01-02T00:00:00Z", deadline = "2099-01-01T00:00:00Z" });

        Assert.Equal(["deadline"], reply.ExpectFaults());
    }

    [Fact]
    public async Task Texts_may_have_their_full_length_and_not_one_more()
    {
        (await alice.PostAsync("/api/v1/tasks", new { title = new string('t', 256), description = new string('d', 65_536) })).Expect(201);

        Assert.Equal(["title", "description"], (await alice.PostAsync("/api/v1/tasks", new { title = new string('t', 257), description = new string('d', 65_537) })).ExpectFaults());
    }

    [Fact]
    public async Task Capabilities_given_twice_are_taken_once()
    {
        var task = await alice.SubmitAsync(new { title = "x", required_capabilities = new[] { "a", " A ", "b" }, scope = "B" });

        Assert.Equal(["a", "b"], task.Items("required_capabilities").Select(name => name.GetString()));
    }

    [Fact]
    public async Task An_array_is_answered_in_its_order()
    {
        var tasks = (await alice.PostAsync("/api/v1/tasks", Enumerable.Range(0, 50).Select(n => new { title = $"t{n}" }))).Expect(201);

        Assert.Equal(Enumerable.Range(0, 50).Select(n => $"t{n}"), tasks.Items().Select(task => task.Text("title")));
    }

    [Fact]
    public async Task An_array_with_one_fault_is_refused_whole_and_the_fault_is_named()
    {
        var label = Unique.Name("all-or-none");
        var tasks = Enumerable.Range(0, 10).Select(n => new { title = n == 7 ? "" : "t", labels = new { label }, priority = n == 3 ? 12 : 1 });

        var faults = (await alice.PostAsync("/api/v1/tasks", tasks)).ExpectFaults();

        Assert.Equal(["tasks[3].priority", "tasks[7].title"], faults);
        Assert.Empty((await alice.GetAsync($"/api/v1/tasks?label=label={label}")).Expect(200).Items());
    }

    [Fact]
    public async Task An_entry_that_is_no_object_is_named_by_its_place()
    {
        Assert.Equal(["tasks[1]", "tasks[2]"], (await alice.PostAsync("/api/v1/tasks", """[{"title":"x"},5,null]""")).ExpectFaults());
    }

    [Fact]
    public async Task A_thousand_tasks_are_taken_and_one_more_is_refused()
    {
        var label = Unique.Name("bulk");
        object Many(int count) => Enumerable.Range(0, count).Select(n => new { title = $"t{n}", labels = new { label } });

        Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks", Many(1001))).ExpectFaults());
        Assert.Equal(["body"], (await alice.PostAsync("/api/v1/tasks", "[]")).ExpectFaults());
        Assert.Empty((await alice.GetAsync($"/api/v1/tasks?label=label={label}")).Expect(200).Items());
        Assert.Equal(1000, (await alice.PostAsync("/api/v1/tasks", Many(1000))).Expect(201).GetArrayLength());
        Assert.Equal(1000, (await alice.GetAsync($"/api/v1/tasks?label=label={label}&limit=1000")).Expect(200).GetArrayLength());
    }

    [Fact]
    public async Task A_long_list_of_faults_is_cut_and_counted()
    {
        var problem = (await alice.PostAsync("/api/v1/tasks", Enumerable.Range(0, 500).Select(_ => new { title = "" }))).ExpectProblem(400, "validation");

        Assert.Equal(100, problem.Items("errors").Length);
        Assert.Contains("and 499 more faults", problem.Text("detail"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_very_long_unknown_name_is_not_repeated_whole()
    {
        var reply = await alice.PostAsync("/api/v1/tasks", $$"""{"title":"x","{{new string('n', 500_000)}}":1}""");

        reply.ExpectProblem(400, "validation");
        Assert.InRange(reply.Body.Length, 1, 2_000);
    }

    [Fact]
    public async Task What_many_submit_at_once_is_all_there()
    {
        var label = Unique.Name("crowd");
        var replies = await Task.WhenAll(Enumerable.Range(0, 200).Select(n => broker.As($"crowd-{n % 20}").PostAsync("/api/v1/tasks", new { title = $"t{n}", labels = new { label } })));

        Assert.All(replies, reply => reply.Expect(201));
        Assert.Equal(
            replies.Select(reply => reply.Json.Id()).Order(),
            (await alice.GetAsync($"/api/v1/tasks?label=label={label}&limit=1000")).Expect(200).Ids().Order());
    }
}

using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Allowances;

public sealed class AllowanceApiTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient admin = shared.Broker.Admin;
    private readonly ApiClient requester = shared.Broker.As("requester");
    private readonly string limit = Unique.Name("limit");
    private readonly string agent = Unique.Name("spender");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task What_an_agent_is_given_is_reserved_and_what_it_reports_is_spent()
    {
        await SetAsync(new { level = "agent", target = agent, unit = "tokens", amount = 1_000 });
        var worker = await broker.RegisterAsync(agent, capability);
        var id = await SubmitAsync(new { tokens_in = 300, tokens_out = 100, model = "small" });
        var held = await requester.ReachesAsync(id, "assigned");
        Assert.Equal($$"""{"{{limit}}":400}""", held.GetProperty("reserved").GetRawText());
        Assert.Equal((0, 400, 600), await StandingAsync());

        var (_, attempt) = await worker.TakeAsync();
        (await worker.Api.PostAsync($"/api/v1/tasks/{id}/complete", new { attempt, model = "large", usage = new { tokens_in = 450, tokens_out = 50 } })).Expect(200);

        Assert.Equal((500, 0, 500), await StandingAsync());
        var done = await requester.TaskAsync(id);
        Assert.False(done.TryGetProperty("reserved", out _));
        var ended = Assert.Single(done.Items("attempts"));
        Assert.Equal(
            ("large", $$"""{"{{limit}}":400}""", $$"""{"{{limit}}":500}"""),
            (ended.Text("model"), ended.GetProperty("reserved").GetRawText(), ended.GetProperty("spent").GetRawText()));
    }

    [Fact]
    public async Task Work_for_which_nothing_is_left_waits_and_the_broker_says_why()
    {
        await SetAsync(new { level = "agent", target = agent, unit = "tokens_in", amount = 100 });
        await broker.RegisterAsync(agent, capability);
        var id = await SubmitAsync(new { tokens_in = 101 });

        var explained = (await requester.GetAsync($"/api/v1/tasks/{id}/explain")).Expect(200);
        Assert.Equal("allowance", explained.Text("reason"));
        Assert.Contains(limit, explained.Text("message"), StringComparison.Ordinal);
        var candidate = explained.Items("candidates").Single(one => one.Text("agent") == agent);
        Assert.Equal("allowance", candidate.Text("reason"));
        Assert.Contains("101 is needed", candidate.Text("limit"), StringComparison.Ordinal);

        (await admin.PutAsync($"/api/v1/limits/{limit}", new { level = "agent", target = agent, unit = "tokens_in", amount = 101 })).Expect(200);
        Assert.Equal(agent, (await requester.ReachesAsync(id, "assigned")).Text("assignee"));
    }

    [Fact]
    public async Task A_check_answers_as_an_assignment_would_and_reserves_nothing()
    {
        await SetAsync(new { level = "agent", target = agent, unit = "tokens", amount = 100, window = new { kind = "day" } });
        var api = broker.As(agent);

        var may = (await CheckAsync(api, new { estimate = new { tokens = 100 } })).Expect(200);
        Assert.True(may.GetProperty("allowed").GetBoolean());
        Assert.False(may.TryGetProperty("refusal", out _));
        Assert.Equal(limit, Assert.Single(may.Items("limits")).Text("key"));
        var not = (await CheckAsync(api, new { model = "x", repo = "y", estimate = new { tokens_in = 60, tokens_out = 41 } })).Expect(200);
        Assert.False(not.GetProperty("allowed").GetBoolean());
        var refusal = not.GetProperty("refusal");
        Assert.Equal((limit, limit, 101, 100), (refusal.Text("limit"), refusal.Text("key"), refusal.Number("needed"), refusal.Number("remaining")));

        Assert.False((await CheckAsync(api, null)).Expect(200).GetProperty("allowed").GetBoolean());
        Assert.True((await CheckAsync(admin, new { estimate = new { tokens = 1 } })).Expect(200).GetProperty("allowed").GetBoolean());
        Assert.Equal((0, 0, 100), await StandingAsync());
        (await CheckAsync(broker.As("somebody"), null)).ExpectProblem(403, "forbidden");
        Assert.Equal(["model", "repo", "estimate.tokens", "estimate.model"], (await CheckAsync(api, new { model = "", repo = 7, estimate = new { tokens = -1, model = 7 } })).ExpectFaults());
        Assert.Equal(["estimate"], (await CheckAsync(api, """{"estimate":[]}""")).ExpectFaults());
        Assert.Equal(["body"], (await CheckAsync(api, "[]")).ExpectFaults());
    }

    [Fact]
    public async Task An_agent_that_is_not_registered_has_what_everybody_has()
    {
        var owner = Unique.Name("owner");
        (await admin.PutAsync($"/api/v1/limits/{limit}.own", new { level = "owner", target = owner, unit = "jobs", amount = 3 })).Expect(201);
        await SetAsync(new { level = "agent", target = "*", unit = "requests", repo = limit, amount = 5 });

        var stranger = (await broker.As(agent).GetAsync($"/api/v1/agents/{agent}/allowance")).Expect(200);
        Assert.False(stranger.GetProperty("registered").GetBoolean());
        Assert.Equal($"{limit}/{agent}", Assert.Single(stranger.Items("limits"), one => one.GetProperty("limit").Id() == limit).Text("key"));
        await broker.RegisterAsync(agent, capability, owner: owner);

        var known = (await admin.GetAsync($"/api/v1/agents/{agent}/allowance")).Expect(200);
        Assert.Equal((agent, owner, true), (known.Text("agent"), known.Text("owner"), known.GetProperty("registered").GetBoolean()));
        Assert.Equal([$"{limit}/{agent}", $"{limit}.own"], known.Items("limits").Select(one => one.Text("key")).Where(key => key.StartsWith(limit, StringComparison.Ordinal)));
        (await broker.As("somebody").GetAsync($"/api/v1/agents/{agent}/allowance")).ExpectProblem(403, "forbidden");
        (await admin.DeleteAsync($"/api/v1/limits/{limit}")).Expect(200);
    }

    [Fact]
    public async Task Usage_is_booked_once_however_often_it_is_reported()
    {
        await SetAsync(new { level = "agent", target = agent, unit = "tokens", amount = 1_000 });
        var api = broker.As(agent);
        var report = new { id = "call-1", model = "small", usage = new { tokens_in = 30, tokens_out = 12, images = 2 } };

        var first = (await api.PostAsync("/api/v1/usage", report)).Expect(201);
        Assert.Equal(("call-1", $$"""{"{{limit}}":42}"""), (first.Id(), first.GetProperty("spent").GetRawText()));
        var again = (await api.PostAsync("/api/v1/usage", report)).Expect(200);
        Assert.Equal((first.Number("sequence"), false), (again.Number("sequence"), again.TryGetProperty("spent", out _)));
        Assert.Equal(["id"], (await api.PostAsync("/api/v1/usage", new { id = "call-1", usage = new { tokens_in = 31 } })).ExpectProblem(409, "idempotency_mismatch").Items("errors").Select(fault => fault.Text("field")));

        // The admin's ids are its own.
        (await admin.PostAsync("/api/v1/usage", new { id = $"call-1-{agent}", agent, usage = new { tokens = 8 } })).Expect(201);
        Assert.Equal((50, 0, 950), await StandingAsync());
        (await api.PostAsync("/api/v1/usage", new { id = "call-2", agent = "another", usage = new { tokens = 8 } })).ExpectProblem(403, "forbidden");
        Assert.Equal(["agent"], (await admin.PostAsync("/api/v1/usage", new { id = "call-2", usage = new { tokens = 8 } })).ExpectFaults());
    }

    [Fact]
    public async Task Usage_whose_price_is_missing_is_refused_where_money_is_counted()
    {
        await SetAsync(new { level = "agent", target = agent, unit = "money", amount = 1_000 });
        var api = broker.As(agent);

        var refused = (await api.PostAsync("/api/v1/usage", new { id = "p-1", model = "unheard-of", usage = new { tokens_in = 30 } })).ExpectProblem(400, "validation");
        var fault = Assert.Single(refused.Items("errors"));
        Assert.Equal("model", fault.Text("field"));
        Assert.Contains("'unheard-of' under allowances.prices", fault.Text("message"), StringComparison.Ordinal);
        Assert.Equal((0, 0, 1_000), await StandingAsync());

        (await api.PostAsync("/api/v1/usage", new { id = "p-1", model = "unheard-of", usage = new { tokens_in = 30, money = 70 } })).Expect(201);
        Assert.Equal((70, 0, 930), await StandingAsync());
    }

    [Fact]
    public async Task Usage_for_a_task_is_only_its_agents_to_report()
    {
        await SetAsync(new { level = "agent", target = agent, unit = "tokens", amount = 1_000 });
        var worker = await broker.RegisterAsync(agent, capability);
        var id = await SubmitAsync(new { tokens = 100 });
        var (_, attempt) = await worker.TakeAsync();
        var other = broker.As(Unique.Name("other"));

        (await other.PostAsync("/api/v1/usage", new { id = "a", task_id = id, usage = new { tokens = 8 } })).ExpectProblem(403, "forbidden");
        (await admin.PostAsync("/api/v1/usage", new { id = $"a-{id}", agent = other.Agent, task_id = id, usage = new { tokens = 8 } })).ExpectProblem(403, "forbidden");
        (await worker.Api.PostAsync("/api/v1/usage", new { id = "a", task_id = id, attempt = attempt + 1, usage = new { tokens = 8 } })).ExpectProblem(403, "forbidden");
        (await worker.Api.PostAsync("/api/v1/usage", new { id = "a", task_id = Unique.Id(), usage = new { tokens = 8 } })).ExpectProblem(404, "task_not_found");

        (await worker.Api.PostAsync("/api/v1/usage", new { id = "a", task_id = id, attempt, usage = new { tokens = 30 } })).Expect(201);
        Assert.Equal((30, 70, 900), await StandingAsync());
        await worker.CompleteAsync(id, new { usage = new { tokens = 90 } });
        Assert.Equal((90, 0, 910), await StandingAsync());
    }

    [Theory]
    [InlineData("{}", "id", "usage")]
    [InlineData("[]", "body")]
    [InlineData("""{"id":"","usage":{"tokens":-1}}""", "id", "usage.tokens")]
    [InlineData("""{"id":"a","usage":{"tokens":9223372036854775808}}""", "usage.tokens")]
    [InlineData("""{"id":"a","usage":{"tokens":1.5}}""", "usage.tokens")]
    [InlineData("""{"id":"a","usage":[1]}""", "usage")]
    [InlineData("""{"id":"a\nb","usage":{},"attempt":1,"model":"","repo":3,"color":1}""", "color", "id", "attempt", "model", "repo")]
    [InlineData("""{"id":"a","usage":{},"task_id":"7","attempt":0}""", "task_id", "attempt")]
    public async Task A_wrong_report_is_told(string body, params string[] fields) =>
        Assert.Equal(fields, (await broker.As(agent).PostAsync("/api/v1/usage", body)).ExpectFaults());

    [Fact]
    public async Task A_budget_is_for_a_task_and_those_below_it()
    {
        await broker.RegisterAsync(agent, capability);
        var root = await requester.SubmitAsync(new { title = "root", required_capabilities = new[] { capability }, budget = new { tokens = 150, jobs = 5 }, estimate = new { tokens = 100 } });
        Assert.Equal("""{"tokens":150,"jobs":5}""", root.GetProperty("budget").GetRawText());
        var child = await requester.SubmitAsync(new { title = "child", required_capabilities = new[] { capability }, parent_id = root.Id(), estimate = new { tokens = 100 } });

        var explained = (await requester.GetAsync($"/api/v1/tasks/{child.Id()}/explain")).Expect(200);
        Assert.Equal("allowance", explained.Text("reason"));
        Assert.Contains(root.Id(), explained.Text("message"), StringComparison.Ordinal);
        Assert.Equal(["budget"], (await requester.PostAsync("/api/v1/tasks", new { title = "x", parent_id = root.Id(), budget = new { tokens = 1 } })).ExpectFaults());
        Assert.Equal("""{"tokens":150,"jobs":5}""", (await requester.TaskAsync(root.Id())).GetProperty("budget").GetRawText());
    }

    [Theory]
    [InlineData("""{"title":"x","budget":{"bytes":1,"tokens":-1,"jobs":9007199254740992,"concurrent_jobs":1}}""", "budget.bytes", "budget.tokens", "budget.jobs", "budget.concurrent_jobs")]
    [InlineData("""{"title":"x","budget":[],"reserved":{},"max_run_ms":1}""", "budget", "reserved", "max_run_ms")]
    [InlineData("""{"title":"x","estimate":{"tokens_in":-1,"money":1.5,"requests":"3","model":"","issues":9007199254740992,"free":"text"}}""", "estimate.tokens_in", "estimate.money", "estimate.requests", "estimate.model", "estimate.issues")]
    public async Task A_wrong_budget_or_estimate_is_told(string body, params string[] fields) =>
        Assert.Equal(fields, (await requester.PostAsync("/api/v1/tasks", body)).ExpectFaults());

    [Fact]
    public async Task A_task_with_a_budget_is_repeated_by_its_key_and_another_budget_is_another_request()
    {
        var key = Unique.Name("key");
        var first = (await requester.PostAsync("/api/v1/tasks", new { title = "x", idempotency_key = key, budget = new { tokens = 1 } })).Expect(201);

        Assert.Equal(first.Id(), (await requester.PostAsync("/api/v1/tasks", new { title = "x", idempotency_key = key, budget = new { tokens = 1 } })).Expect(200).Id());
        (await requester.PostAsync("/api/v1/tasks", new { title = "x", idempotency_key = key, budget = new { tokens = 2 } })).ExpectProblem(409, "idempotency_mismatch");
        (await requester.PostAsync("/api/v1/tasks", new { title = "x", idempotency_key = key })).ExpectProblem(409, "idempotency_mismatch");
    }

    [Fact]
    public async Task A_limit_on_the_run_time_is_shown_while_the_task_is_held()
    {
        await SetAsync(new { level = "agent", target = agent, unit = "job_ms", amount = 60_000 });
        var worker = await broker.RegisterAsync(agent, capability);
        var id = await requester.SubmitForAsync(capability);

        Assert.Equal(60_000, (await requester.ReachesAsync(id, "assigned")).Number("max_run_ms"));
        await worker.TakeAsync();
        var done = await worker.CompleteAsync(id);
        Assert.False(done.TryGetProperty("max_run_ms", out _));
    }

    [Fact]
    public async Task A_report_in_an_exchange_names_its_model()
    {
        var worker = await broker.RegisterAsync(agent, capability);
        var id = await requester.SubmitForAsync(capability);
        var (_, attempt) = await worker.TakeAsync();

        await worker.ExchangeAsync(new { reports = new[] { new { task_id = id, attempt, outcome = "failed", error = "no", retryable = false, model = "small" } } });

        Assert.Equal("small", Assert.Single((await requester.TaskAsync(id)).Items("attempts")).Text("model"));
        Assert.Equal(["model"], (await worker.Api.PostAsync($"/api/v1/tasks/{id}/fail", new { error = "x", model = new string('m', 129) })).ExpectFaults());
    }

    [Fact]
    public async Task The_ledger_holds_what_is_in_hand_what_has_ended_and_what_was_reported_apart()
    {
        await SetAsync(new { level = "agent", target = "*", unit = "tokens", repo = limit, amount = 1_000 });
        var labels = new { repo = limit };
        var worker = await broker.RegisterAsync(agent, capability);
        var ids = new List<string>();
        for (var n = 0; n < 3; n++)
            ids.Add((await requester.SubmitAsync(new { title = "work", required_capabilities = new[] { capability }, labels, estimate = new { tokens = 100 } })).Id());
        (await worker.ExchangeAsync(max: 3)).Items("tasks");
        (await worker.Api.PostAsync("/api/v1/usage", new { id = "on-the-way", task_id = ids[0], usage = new { tokens = 60 } })).Expect(201);
        (await worker.Api.PostAsync("/api/v1/usage", new { id = "in-hand", task_id = ids[2], usage = new { tokens = 10 } })).Expect(201);
        await worker.CompleteAsync(ids[0], new { usage = new { tokens = 90 } });
        await worker.FailAsync(ids[1], retryable: false);
        (await worker.Api.PostAsync("/api/v1/usage", new { id = "apart", repo = limit, usage = new { tokens = 7 } })).Expect(201);
        (await worker.Api.PostAsync("/api/v1/usage", new { id = "late", task_id = ids[1], usage = new { tokens = 5 } })).Expect(201);

        var key = $"{limit}/{agent}";
        (string? Task, string? Outcome, int Reserved, int Spent)[] expected =
        [
            (ids[1], null, 0, 5), (null, null, 0, 7), (ids[2], null, 90, 10), (ids[1], "failed", 100, 100), (ids[0], "completed", 40, 90),
        ];
        var all = (await admin.GetAsync($"/api/v1/limits/{limit}/ledger")).Expect(200).Items();
        Assert.Equal(expected, all.Select(entry => (entry.Find("task_id"), entry.Find("outcome"), entry.Number("reserved"), entry.Number("spent"))));
        Assert.All(all, entry => Assert.Equal((key, agent), (entry.Text("key"), entry.Text("agent"))));
        var standing = Assert.Single((await admin.GetAsync($"/api/v1/limits/{limit}")).Expect(200).Items("standings"));
        Assert.Equal((all.Sum(entry => entry.Number("spent")), 90), (standing.Number("used"), standing.Number("reserved")));

        var paged = new List<string>();
        for (var path = $"/api/v1/limits/{limit}/ledger?target={agent}&limit=2"; path is not null;)
        {
            var page = await admin.GetAsync(path);
            paged.AddRange(page.Expect(200).Items().Select(entry => entry.GetRawText()));
            path = page.Header("Link")?.Split('<', '>')[1];
        }

        Assert.Equal(all.Select(entry => entry.GetRawText()), paged);
        Assert.Empty((await admin.GetAsync($"/api/v1/limits/{limit}/ledger?target=another")).Expect(200).Items());
        Assert.Equal(["cursor"], (await admin.GetAsync($"/api/v1/limits/{limit}/ledger?cursor=7")).ExpectFaults());
        (await admin.GetAsync($"/api/v1/limits/{limit}.no/ledger")).ExpectProblem(404, "limit_not_found");
        (await worker.Api.GetAsync($"/api/v1/limits/{limit}/ledger")).ExpectProblem(401, "unauthorized");
    }

    [Fact]
    public async Task Who_has_used_the_largest_share_comes_first()
    {
        for (var n = 1; n <= 3; n++)
        {
            (await admin.PutAsync($"/api/v1/limits/{limit}.{n}", new { level = "agent", target = $"{agent}.{n}", unit = "issues", repo = "r", amount = 10 })).Expect(201);
            (await admin.PostAsync("/api/v1/usage", new { id = $"{agent}.{n}", agent = $"{agent}.{n}", repo = "r", usage = new { issues = 4 * n } })).Expect(201);
        }

        var top = (await admin.GetAsync("/api/v1/spending?unit=issues&limit=2")).Expect(200).Items();
        Assert.Equal([$"{limit}.3", $"{limit}.2"], top.Select(standing => standing.Text("key")));
        Assert.Equal(("exceeded", 12, 0, 2), (top[0].Text("state"), top[0].Number("used"), top[0].Number("remaining"), top[0].Number("overshoot")));
        Assert.Equal("warning", top[1].Text("state"));
        Assert.Equal(["limit", "unit"], (await admin.GetAsync("/api/v1/spending?unit=models&limit=0")).ExpectFaults());
    }

    [Fact]
    public async Task Budgets_of_tasks_are_not_among_the_spenders()
    {
        var worker = await broker.RegisterAsync(agent, capability);
        var id = (await requester.SubmitAsync(new { title = "work", required_capabilities = new[] { capability }, budget = new { money = 5 }, estimate = new { money = 5 } })).Id();
        await worker.TakeAsync();
        var done = await worker.CompleteAsync(id, new { usage = new { money = 9 } });

        Assert.Equal("completed", done.Text("status"));
        Assert.DoesNotContain((await admin.GetAsync("/api/v1/spending?unit=money&limit=1000")).Expect(200).Items(), standing => standing.Text("key").StartsWith("task:", StringComparison.Ordinal));
    }

    private Task<Reply> CheckAsync(ApiClient who, object? body) => who.PostAsync($"/api/v1/agents/{agent}/allowance/check", body);

    private async Task SetAsync(object wanted) => (await admin.PutAsync($"/api/v1/limits/{limit}", wanted)).Expect(201);

    private async Task<string> SubmitAsync(object estimate) =>
        (await requester.SubmitAsync(new { title = "work", required_capabilities = new[] { capability }, estimate })).Id();

    private async Task<(int Used, int Reserved, int Remaining)> StandingAsync()
    {
        var standing = Assert.Single((await admin.GetAsync($"/api/v1/limits/{limit}")).Expect(200).Items("standings"));
        return (standing.Number("used"), standing.Number("reserved"), standing.Number("remaining"));
    }
}

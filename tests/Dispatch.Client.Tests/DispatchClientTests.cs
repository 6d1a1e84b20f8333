using System.Text.Json;

namespace Dispatch.Client.Tests;

/// <summary>Each method against the wire: the request it makes, and what it reads from the answer.</summary>
public sealed class DispatchClientTests
{
    private static readonly JsonElement Some = JsonElement.Parse("""{"words":3}""");

    public static TheoryData<string, string, string, Func<DispatchClient, Task<object?>>> Calls => new()
    {
        { "GET /api/v1/tasks/t1", "", Wire.Task(), async c => await c.GetTaskAsync("t1") },
        { "GET /api/v1/tasks/t1?wait_ms=1500", "", Wire.Task(), async c => await c.GetTaskAsync("t1", TimeSpan.FromSeconds(1.5)) },
        { "PATCH /api/v1/tasks/t1", """{"status":"cancelled"}""", Wire.Task(status: "cancelled"), async c => await c.CancelTaskAsync("t1") },
        { "PATCH /api/v1/tasks/t1", """{"context":{"words":3},"priority":8}""", Wire.Task(), async c => await c.PatchTaskAsync("t1", new TaskPatch { Context = Some, Priority = 8 }) },
        { "POST /api/v1/tasks/t1/start", """{"attempt":2}""", Wire.Task(), async c => await c.StartTaskAsync("t1", 2) },
        { "POST /api/v1/tasks/t1/start", "{}", Wire.Task(), async c => await c.StartTaskAsync("t1") },
        { "POST /api/v1/tasks/t1/progress", """{"percent":40,"message":"m","data":{"words":3},"attempt":2}""", Wire.Task(), async c => await c.ReportProgressAsync("t1", new TaskProgress { Percent = 40, Message = "m", Data = Some }, 2) },
        { "POST /api/v1/tasks/t1/complete", """{"result":{"words":3},"usage":{"words":3},"attempt":2}""", Wire.Task(), async c => await c.CompleteTaskAsync("t1", Some, Some, 2) },
        { "POST /api/v1/tasks/t1/fail", """{"error":"E","retryable":false,"retry_after_ms":250,"attempt":2}""", Wire.Task(), async c => await c.FailTaskAsync("t1", "E", retryable: false, TimeSpan.FromMilliseconds(250), attempt: 2) },
        { "POST /api/v1/tasks/t1/release", """{"attempt":2}""", Wire.Task(), async c => await c.ReleaseTaskAsync("t1", 2) },
        { "POST /api/v1/tasks/t1/retry", "", Wire.Task(), async c => await c.RetryTaskAsync("t1") },
        { "GET /api/v1/tasks/t1/explain", "", """{"task_id":"t1","status":"pending","message":"m"}""", async c => await c.ExplainTaskAsync("t1") },
        { "GET /api/v1/tasks/t1/events", "", "[]", async c => await c.GetTaskHistoryAsync("t1") },
        { "PUT /api/v1/agents/a1", """{"capabilities":["words"],"max_concurrent":2,"wake":{"url":"http://x/"}}""", Wire.Agent, async c => await c.RegisterAgentAsync("a1", new AgentRegistration { Capabilities = ["words"], MaxConcurrent = 2, Wake = new WakeTarget("http://x/") }) },
        { "GET /api/v1/agents/a1", "", Wire.Agent, async c => await c.GetAgentAsync("a1") },
        { "DELETE /api/v1/agents/a1", "", """{"id":"a1","returned":2}""", async c => await c.LeaveAsync("a1") },
        { "POST /api/v1/agents/a1/heartbeat", """{"status":"busy"}""", $$"""{"agent":{{Wire.Agent}}}""", async c => await c.HeartbeatAsync("a1", AgentStatus.Busy) },
        { "POST /api/v1/agents/a1/work?max=4&wait_ms=30000", """{"holding":[{"task_id":"t1","attempt":1}],"status":"ready"}""", "{}", async c => await c.ExchangeAsync("a1", new ExchangeRequest { Holding = [new HeldTask("t1", 1)], Status = "ready" }, 4, TimeSpan.FromSeconds(30)) },
        { "GET /api/v1/agents/a1/tasks", "", "[]", async c => await c.GetHeldTasksAsync("a1") },
        { "GET /api/v1/agents?capability=words&status=ready&owner=o", "", "[]", async c => await c.ListAgentsAsync(new AgentFilter { Capability = "words", Status = "ready", Owner = "o" }) },
        { "POST /api/v1/agents/a1/drain", "", Wire.Agent, async c => await c.DrainAgentAsync("a1") },
        { "POST /api/v1/agents/a1/resume", "", Wire.Agent, async c => await c.ResumeAgentAsync("a1") },
        { "GET /api/v1/stats", "", "{}", async c => await c.GetStatisticsAsync() },
        { "GET /api/v1/dead-letters?status=failed&scope=s&requester=r&limit=5&cursor=c", "", "[]", async c => await c.ListDeadLettersAsync(new DeadLetterFilter { Status = "failed", Scope = "s", Requester = "r", Limit = 5 }, "c") },
        { "POST /api/v1/dead-letters/redrive", """{"ids":["t1","t2"]}""", """{"redriven":1,"skipped":[{"id":"t2","reason":"running"}],"more":false}""", async c => await c.RedriveAsync(new RedriveRequest { Ids = ["t1", "t2"] }) },
        { "POST /api/v1/tokens", """{"agent_id":"a1","name":"n","expires_in_ms":1000}""", """{"id":"i","agent_id":"a1","token":"dsp_x","created_at":"2026-11-20T08:00:00.000Z"}""", async c => await c.CreateTokenAsync(new NewToken { AgentId = "a1", Name = "n", ExpiresIn = TimeSpan.FromSeconds(1) }) },
        { "GET /api/v1/tokens", "", "[]", async c => await c.ListTokensAsync() },
        { "DELETE /api/v1/tokens/i", "", "", async c => { await c.RevokeTokenAsync("i"); return c; } },
    };

    [Theory]
    [MemberData(nameof(Calls))]
    public async Task A_method_makes_the_request_of_its_route(string route, string body, string answer, Func<DispatchClient, Task<object?>> call)
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Ok(answer));
        using var client = server.Client(options => options with { Token = "dsp_secret" });

        Assert.NotNull(await call(client));

        var request = Assert.Single(server.Received);
        Assert.Equal(route, request.Route);
        Assert.Equal(body, request.Body);
        Assert.Equal("agent-1", request.Headers["X-Agent-ID"]);
        Assert.Equal("Bearer dsp_secret", request.Headers["Authorization"]);
        if (body.Length > 0)
            Assert.Equal("application/json", request.Headers["Content-Type"]);
    }

    [Fact]
    public async Task A_task_is_read_with_every_member_and_unknown_ones_are_ignored()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Ok(Wire.FullTask));
        using var client = server.Client();

        var task = await client.GetTaskAsync("t1");

        Assert.Equal(Wire.TaskId, task.Id);
        Assert.Equal(("T", "D", "S", "failed", 8), (task.Title, task.Description, task.Scope, task.Status, task.Priority));
        Assert.Equal(["a", "b"], task.RequiredCapabilities);
        Assert.Equal(["c"], task.PreferredCapabilities);
        Assert.Equal("x", task.Labels["team"]);
        Assert.Equal(("o", "r", "s", "se"), (task.Owner, task.Requester, task.Submitter, task.Session));
        Assert.Equal("""{"path":"a.txt","n":[1,2]}""", task.Context.GetRawText());
        Assert.Equal(TimeSpan.FromMilliseconds(1500), task.Timeout);
        Assert.Equal(At("08:00:00"), task.RunAt);
        Assert.Equal(At("09:00:00.500"), task.Deadline);
        Assert.Equal(["d1"], task.DependsOn);
        Assert.Equal(("p", "k", "w", "E"), (task.ParentId, task.IdempotencyKey, task.Assignee, task.Error));
        Assert.Equal((3, 2, 2), (task.Attempt, task.RetryCount, task.MaxRetries));
        Assert.Equal(40, task.Progress!.Percent);
        Assert.Equal("""{"x":1}""", task.Progress.Data!.Value.GetRawText());
        Assert.Equal("""{"r":1}""", task.Result!.Value.GetRawText());
        Assert.Equal("""{"tokens":5}""", task.Estimate!.Value.GetRawText());
        Assert.Equal("""{"tokens_in":900}""", task.Usage!.Value.GetRawText());
        Assert.Equal(At("07:00:00"), task.CreatedAt);
        Assert.Equal((At("07:01:00"), At("07:02:00"), At("07:03:00"), At("07:04:00"), At("07:05:00")),
            (task.AssignedAt!.Value, task.StartedAt!.Value, task.CompletedAt!.Value, task.NextAttemptAt!.Value, task.LeaseExpiresAt!.Value));
        Assert.True(task.DeadLettered);
        Assert.True(task.IsFinal);
        var attempt = Assert.Single(task.Attempts);
        Assert.Equal((1, "w", "lost", "gone"), (attempt.Attempt, attempt.Agent, attempt.Outcome, attempt.Error));
    }

    [Fact]
    public async Task A_sparse_answer_reads_as_empty_collections()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Ok("""{"id":"t1","title":"T","status":"paused_of_tomorrow"}"""));
        using var client = server.Client();

        var task = await client.GetTaskAsync("t1");

        Assert.Empty(task.RequiredCapabilities);
        Assert.Empty(task.Labels);
        Assert.Empty(task.DependsOn);
        Assert.Empty(task.Attempts);
        Assert.Equal("{}", task.Context.GetRawText());
        Assert.Null(task.Result);
        Assert.Equal("paused_of_tomorrow", task.Status);
        Assert.False(task.IsFinal);
    }

    [Fact]
    public async Task A_submit_sends_every_member_it_was_given()
    {
        await using var server = await LoopbackServer.StartAsync(new Reply(201, Wire.Task()));
        using var client = server.Client();

        var submission = await client.SubmitAsync(new NewTask
        {
            Title = "T",
            Id = "i",
            Description = "D",
            Scope = "S",
            RequiredCapabilities = ["a"],
            PreferredCapabilities = ["b"],
            Labels = new Dictionary<string, string> { ["K"] = "v" },
            Owner = "o",
            Submitter = "su",
            Session = "se",
            Priority = TaskPriority.High,
            Context = Some,
            Timeout = TimeSpan.FromSeconds(2),
            MaxRetries = 0,
            RunAt = new DateTimeOffset(2026, 11, 20, 9, 0, 0, 5, TimeSpan.FromHours(1)),
            Deadline = At("10:00:00"),
            DependsOn = ["d"],
            ParentId = "p",
            IdempotencyKey = "k",
            Estimate = Some,
        });

        Assert.True(submission.IsNew);
        Assert.Equal(Wire.TaskId, submission.Task.Id);
        Assert.Equal(
            """{"title":"T","id":"i","description":"D","scope":"S","required_capabilities":["a"],"preferred_capabilities":["b"],"labels":{"K":"v"},"owner":"o","submitter":"su","session":"se","priority":8,"context":{"words":3},"timeout_ms":2000,"max_retries":0,"run_at":"2026-11-20T08:00:00.005Z","deadline":"2026-11-20T10:00:00.000Z","depends_on":["d"],"parent_id":"p","idempotency_key":"k","estimate":{"words":3}}""",
            server.Received[0].Body);
    }

    [Fact]
    public async Task A_submit_seen_before_says_so()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Ok(Wire.Task()), Reply.Ok($"[{Wire.Task()}]"), new Reply(201, $"[{Wire.Task()}]"));
        using var client = server.Client();

        Assert.False((await client.SubmitAsync(new NewTask { Title = "T", IdempotencyKey = "k" })).IsNew);
        Assert.False((await client.SubmitAsync([new NewTask { Title = "T", Id = "i" }])).IsNew);
        Assert.True((await client.SubmitAsync([new NewTask { Title = "T", Id = "i" }])).IsNew);
    }

    [Fact]
    public async Task Every_submit_gets_a_key_of_its_own_unless_told_otherwise()
    {
        await using var server = await LoopbackServer.StartAsync(request => Task.FromResult(new Reply(201, request.Body[0] == '[' ? "[]" : Wire.Task())));
        using var client = server.Client();
        using var plain = server.Client(options => options with { GenerateIdempotencyKeys = false });

        await client.SubmitAsync(new NewTask { Title = "T" });
        await client.SubmitAsync([new NewTask { Title = "T" }, new NewTask { Title = "T" }, new NewTask { Title = "T", IdempotencyKey = "mine" }, new NewTask { Title = "T", Id = "i" }]);
        await plain.SubmitAsync(new NewTask { Title = "T" });

        var one = server.Received[0].Json.GetProperty("idempotency_key").GetString()!;
        var many = server.Received[1].Json.EnumerateArray().Select(task => task.TryGetProperty("idempotency_key", out var key) ? key.GetString() : null).ToList();
        Assert.NotEqual("", one);
        Assert.Equal(3, new HashSet<string?> { one, many[0], many[1] }.Count);
        Assert.Equal("mine", many[2]);
        Assert.Null(many[3]);
        Assert.Equal("""{"title":"T"}""", server.Received[2].Body);
    }

    [Fact]
    public void A_task_from_a_file_keeps_what_this_library_does_not_know()
    {
        var task = NewTask.Parse("""{"title":"T","priority":"critical","prioritty":3,"timeout_ms":1000}""");

        Assert.Equal(TaskPriority.Critical, task.Priority);
        Assert.Equal(TimeSpan.FromSeconds(1), task.Timeout);
        Assert.Equal("""{"title":"T","priority":10,"timeout_ms":1000,"prioritty":3}""", DispatchJson.Write(task));
    }

    [Theory]
    [InlineData("""{"title":5}""")]
    [InlineData("""{"title":"T","priority":"urgent"}""")]
    [InlineData("""{"title":"T","timeout_ms":"soon"}""")]
    [InlineData("""{"title":"T","timeout_ms":1.5}""")]
    [InlineData("""[]""")]
    [InlineData("null")]
    [InlineData("{")]
    public void A_task_with_a_wrong_type_is_not_read(string json) => Assert.Throws<JsonException>(() => NewTask.Parse(json));

    [Fact]
    public async Task A_list_follows_the_cursor_to_the_end()
    {
        await using var server = await LoopbackServer.StartAsync(
            Reply.Ok($"[{Wire.Task("1")},{Wire.Task("2")}]") with { Headers = new() { ["Link"] = "</api/v1/tasks?cursor=first>; rel=\"prev\", </api/v1/tasks?status=pending,running&limit=2&cursor=a%2Fb%3D>; rel=\"next\"" } },
            Reply.Ok($"[{Wire.Task("3")}]"));
        using var client = server.Client();

        var ids = new List<string>();
        var filter = new TaskFilter { Status = ["pending", "running"], Requester = "r", Labels = new Dictionary<string, string> { ["team"] = "a&b", ["k"] = "v" }, Limit = 2 };
        await foreach (var task in client.ListAllTasksAsync(filter))
            ids.Add(task.Id);

        Assert.Equal(["1", "2", "3"], ids);
        Assert.Equal("?status=pending%2Crunning&requester=r&label=team%3Da%26b&label=k%3Dv&limit=2", server.Received[0].Query);
        Assert.Equal("?status=pending%2Crunning&requester=r&label=team%3Da%26b&label=k%3Dv&limit=2&cursor=a%2Fb%3D", server.Received[1].Query);
    }

    [Fact]
    public async Task Waiting_longer_than_one_wait_asks_again_until_the_task_is_final()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Ok(Wire.Task(status: "running")), Reply.Ok(Wire.Task(status: "running")), Reply.Ok(Wire.Task(status: "completed")));
        using var client = server.Client();

        var task = await client.WaitForTaskAsync("t1", TimeSpan.FromMinutes(5));

        Assert.Equal("completed", task.Status);
        Assert.Equal(3, server.Received.Count);
        Assert.Equal("60000", server.Received[0].Parameter("wait_ms"));
    }

    [Fact]
    public async Task Waiting_ends_with_the_task_as_it_stands_when_the_time_is_up()
    {
        await using var server = await LoopbackServer.StartAsync(async request =>
        {
            if (request.Parameter("wait_ms") is { } wait)
                await Task.Delay(int.Parse(wait));
            return Reply.Ok(Wire.Task(status: "running"));
        });
        using var client = server.Client();

        var task = await client.WaitForTaskAsync("t1", TimeSpan.FromMilliseconds(50));

        Assert.Equal("running", task.Status);
    }

    [Fact]
    public async Task Ids_are_escaped_and_cannot_lead_to_another_route()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Ok(Wire.Agent));
        using var client = server.Client();

        await client.GetAgentAsync("a/b?c=d&e f");

        Assert.Equal("GET /api/v1/agents/a%2Fb%3Fc=d&e%20f", server.Received[0].Route);
        await Assert.ThrowsAsync<ArgumentException>(() => client.GetAgentAsync(".."));
        await Assert.ThrowsAsync<ArgumentException>(() => client.GetAgentAsync(""));
        Assert.Single(server.Received);
    }

    [Fact]
    public async Task The_servers_path_is_kept()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Ok(Wire.Task()));
        using var client = server.Client(options => options with { Server = new Uri(server.Address, "/swarm-1") });

        await client.GetTaskAsync("t1");

        Assert.Equal("/swarm-1/api/v1/tasks/t1", server.Received[0].Path);
    }

    [Fact]
    public async Task A_callers_HttpClient_is_used_and_left_open()
    {
        await using var server = await LoopbackServer.StartAsync(Reply.Ok(Wire.Task()));
        using var http = new HttpClient { BaseAddress = server.Address };
        http.DefaultRequestHeaders.Add("X-Mine", "yes");
        using (var client = new DispatchClient(http, new DispatchClientOptions { AgentId = "agent-1" }))
            await client.GetTaskAsync("t1");

        Assert.Equal("yes", server.Received[0].Headers["X-Mine"]);
        Assert.Equal(200, (int)(await http.GetAsync("/again")).StatusCode);
    }

    [Fact]
    public async Task Readiness_and_metrics_are_read_without_the_callers_identity()
    {
        await using var server = await LoopbackServer.StartAsync(
            Reply.Ok("""{"status":"ready","sequence":7}"""), new Reply(503, """{"status":"unready","reason":"The store is read-only."}"""), new Reply(200, "dispatch_tasks 1\n", "text/plain"));
        using var client = server.Client(options => options with { Server = new Uri("http://127.0.0.1:1"), Token = "dsp_secret" });

        var ready = await client.GetReadinessAsync(server.Address);
        var unready = await client.GetReadinessAsync(server.Address);
        var metrics = await client.GetMetricsAsync(server.Address);

        Assert.Equal((true, 7L), (ready.IsReady, ready.Sequence!.Value));
        Assert.Equal((false, "The store is read-only."), (unready.IsReady, unready.Reason));
        Assert.Equal("dispatch_tasks 1\n", metrics);
        Assert.All(server.Received, request => Assert.False(request.Headers.ContainsKey("Authorization") || request.Headers.ContainsKey("X-Agent-ID")));
        Assert.Equal(["/ready", "/ready", "/metrics"], server.Received.Select(request => request.Path));
    }

    [Fact]
    public async Task Answers_of_the_operations_routes_are_read()
    {
        await using var server = await LoopbackServer.StartAsync(
            Reply.Ok("""{"tasks":{"pending":3,"running":1},"oldest_pending_ms":1200,"queue_ms":{"count":5,"avg":1.5,"p50":1,"p95":2,"p99":3.25},"run_ms":{"count":0,"avg":0,"p50":0,"p95":0,"p99":0},"dead_letters":2,"agents":[{"id":"a","status":"ready","drained":true,"active":1,"max_concurrent":3,"completed":9,"failed":1,"timeout":2,"lost":3,"avg_run_ms":12.5}],"sequence":99,"uptime_ms":5000,"queue_depth":4,"version":"0.1.0"}"""),
            Reply.Ok("""{"task_id":"t1","status":"assigned","reason":"assigned","message":"a has it.","assignment":{"agent":"a","attempt":1,"score":1.25,"capability_match":1,"availability":1,"priority_weight":1.25,"active":0,"max_concurrent":3,"candidates":2},"candidates":[{"agent":"b","eligible":false,"capability_match":0,"availability":1,"priority_weight":1.25,"active":0,"max_concurrent":1,"reason":"no_capability"}],"waiting_on":["d"]}"""),
            Reply.Ok("""[{"sequence":4,"timestamp":"2026-11-20T08:00:00.000Z","type":"task.submitted","caused_by":3,"source":"dispatch","subject":"t1","actor":"agent-1","data":{"title":"T"}}]"""),
            Reply.Ok("""[{"id":"i","agent_id":"a","created_at":"2026-11-20T08:00:00.000Z","revoked_at":"2026-11-20T09:00:00.000Z"}]"""),
            Reply.Ok($$"""{"agent":{{Wire.Agent}},"lease_expires_at":"2026-11-20T08:00:40.000Z","wake":true,"cancelled":[{"task_id":"t1","attempt":2,"reason":"no need"}]}"""));
        using var client = server.Client();

        var statistics = await client.GetStatisticsAsync();
        var explanation = await client.ExplainTaskAsync("t1");
        var happened = Assert.Single(await client.GetTaskHistoryAsync("t1"));
        var token = Assert.Single(await client.ListTokensAsync());
        var beat = await client.HeartbeatAsync("agent-1");

        Assert.Equal((3L, 2L, 99L, 4L, 1200d), (statistics.Tasks["pending"], statistics.DeadLetters, statistics.Sequence, statistics.QueueDepth, statistics.OldestPendingMs!.Value));
        Assert.Equal((5L, 1.5, 3.25), (statistics.QueueMs.Count, statistics.QueueMs.Avg, statistics.QueueMs.P99));
        Assert.Equal(("a", true, 9L, 3L, 12.5), (statistics.Agents[0].Id, statistics.Agents[0].Drained, statistics.Agents[0].Completed, statistics.Agents[0].Lost, statistics.Agents[0].AvgRunMs!.Value));
        Assert.Equal(("assigned", 1.25, 2), (explanation.Reason, explanation.Assignment!.Score, explanation.Assignment.Candidates));
        Assert.Equal(("b", false, "no_capability"), (explanation.Candidates[0].Agent, explanation.Candidates[0].Eligible, explanation.Candidates[0].Reason));
        Assert.Equal(["d"], explanation.WaitingOn);
        Assert.Equal((4L, "task.submitted", "agent-1", 3L, """{"title":"T"}"""), (happened.Sequence, happened.Type, happened.Actor, happened.CausedBy, happened.Data.GetRawText()));
        Assert.Equal(At("09:00:00"), token.RevokedAt);
        Assert.True(beat.Wake);
        Assert.Equal(At("08:00:40"), beat.LeaseExpiresAt);
        Assert.Equal(("t1", 2, "no need"), (beat.Cancelled[0].TaskId, beat.Cancelled[0].Attempt, beat.Cancelled[0].Reason));
        Assert.Equal(At("08:00:10"), beat.Agent.LastSeenAt);
    }

    [Fact]
    public void A_secret_does_not_show_in_text()
    {
        var token = new IssuedToken { Id = "i", AgentId = "a", Token = "dsp_secret" };
        var options = new DispatchClientOptions { AgentId = "a", Token = "dsp_secret" };

        Assert.DoesNotContain("dsp_secret", token.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("dsp_secret", options.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", null)]
    [InlineData("a\r\nX-Evil: 1", null)]
    [InlineData("ä", null)]
    [InlineData("a", "x\ny")]
    public void An_identity_that_no_header_can_carry_is_refused(string agentId, string? token) =>
        Assert.Throws<ArgumentException>(() => new DispatchClient(new DispatchClientOptions { AgentId = agentId, Token = token }));

    private static DateTimeOffset At(string time) => DateTimeOffset.Parse($"2026-11-20T{time}Z", System.Globalization.CultureInfo.InvariantCulture);
}

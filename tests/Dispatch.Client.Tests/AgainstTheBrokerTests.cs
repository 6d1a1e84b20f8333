using System.Text.Json;
using Dispatch.Host.Configuration;

namespace Dispatch.Client.Tests;

/// <summary>Every method against the broker itself: that both sides mean the same by the wire.</summary>
public sealed class AgainstTheBrokerTests
{
    private static readonly JsonElement Some = JsonElement.Parse("""{"words":3}""");

    [Fact]
    public async Task The_log_is_followed_over_a_restart_and_nothing_is_missed_or_told_twice()
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        using var admin = broker.Client("admin", admin: true);
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var ids = new List<string> { (await requester.SubmitAsync(new NewTask { Title = "0" })).Task.Id };
        var told = new List<(long Sequence, string? Subject)>();

        await foreach (var happened in admin.FollowEventsAsync(new EventQuery { Types = ["task.created"] }, after: 0, deadline.Token))
        {
            told.Add((happened.Sequence, happened.Subject));
            if (told.Count == 6)
                break;
            if (told.Count == ids.Count)
            {
                // Some while it reads, some while nobody does.
                if (told.Count % 2 == 0)
                {
                    await broker.StopAsync();
                    await broker.StartAgainAsync();
                }

                ids.Add((await requester.SubmitAsync(new NewTask { Title = "next" })).Task.Id);
            }
        }

        Assert.Equal(ids, told.Select(one => one.Subject));
        Assert.Equal(told.Select(one => one.Sequence).Distinct().Order(), told.Select(one => one.Sequence));
    }

    [Fact]
    public async Task Limits_are_set_allowances_read_and_usage_is_reported()
    {
        await using var broker = await RealBroker.StartAsync(config => config with
        {
            Allowances = config.Allowances with { Teams = new Dictionary<string, IReadOnlyList<string>> { ["core"] = ["ana"] } },
        });
        using var coder = broker.Client("coder");
        using var admin = broker.Client("admin", admin: true);
        await coder.RegisterAgentAsync("coder", new AgentRegistration { Capabilities = ["code"], Owner = "ana" });
        var wanted = new LimitRequest { Level = LimitLevel.Team, Target = "core", Unit = LimitUnit.Tokens, Amount = 1_000, Window = new() { Kind = "rolling", Rolling = TimeSpan.FromHours(1) } };

        var limit = await admin.SetLimitAsync("core-hour", wanted);
        Assert.Equal(("core-hour", "team", "core", "tokens", 1_000, 1), (limit.Id, limit.Level, limit.Target, limit.Unit, limit.Amount, limit.Version));
        Assert.Equal(("rolling", TimeSpan.FromHours(1), 80, "finish"), (limit.Window!.Kind, limit.Window.Rolling, limit.SoftPercent, limit.OnExceed));
        await admin.SetLimitAsync("models", new LimitRequest { Level = LimitLevel.Agent, Target = "*", Unit = LimitUnit.Models, Allow = ["small*"], Deny = ["small-old"] });
        var outdated = await Assert.ThrowsAsync<DispatchException>(() => admin.SetLimitAsync("core-hour", wanted with { Amount = 2_000, IfVersion = 7 }));
        Assert.Equal((409, "version_mismatch"), (outdated.Status, outdated.Code));

        var page = await admin.ListLimitsAsync(new LimitFilter { Limit = 1 });
        Assert.Equal("core-hour", Assert.Single(page.Limits).Id);
        Assert.Equal(["small*"], Assert.Single((await admin.ListLimitsAsync(cursor: page.NextCursor)).Limits).Allow);
        Assert.Equal("core-hour", Assert.Single((await admin.ListLimitsAsync(new LimitFilter { Level = "team", Target = "core", Unit = "tokens" })).Limits).Id);

        var task = (await coder.SubmitAsync(new NewTask
        {
            Title = "T",
            RequiredCapabilities = ["code"],
            Budget = new Dictionary<string, long> { ["tokens"] = 700 },
            Estimate = JsonElement.Parse("""{"tokens":300,"model":"small"}"""),
        })).Task;
        Assert.Equal(700, task.Budget!["tokens"]);
        var held = (await coder.ExchangeAsync("coder", new ExchangeRequest())).Tasks.Single();
        Assert.Equal(300, held.Reserved!["core-hour"]);
        var receipt = await coder.ReportUsageAsync(new UsageReport { Id = "call", TaskId = held.Id, Attempt = 1, Usage = new Dictionary<string, long> { ["tokens_in"] = 40 } });
        Assert.Equal(40, receipt.Spent!["core-hour"]);
        Assert.Equal(260, Assert.Single((await admin.GetLimitAsync("core-hour")).Standings).Reserved);
        await coder.CompleteTaskAsync(held.Id, usage: JsonElement.Parse("""{"tokens":250}"""), attempt: 1, model: "small-2");

        var ended = Assert.Single((await coder.GetTaskAsync(held.Id)).Attempts);
        Assert.Equal(("small-2", 250), (ended.Model, ended.Spent!["core-hour"]));
        var allowance = await coder.GetAllowanceAsync("coder");
        Assert.Equal(("coder", "ana", "core", true), (allowance.Agent, allowance.Owner, allowance.Team, allowance.Registered));
        var standing = allowance.Limits.Single(one => one.Key == "core-hour");
        Assert.Equal(("core", "ok", 250L, 0L, 750L), (standing.Target, standing.State, standing.Used, standing.Reserved, standing.Remaining));
        Assert.NotNull(standing.ResetsAt);
        var answer = await coder.CheckAllowanceAsync("coder", new AllowanceCheck { Model = "small", Estimate = JsonElement.Parse("""{"tokens":751}""") });
        Assert.Equal((false, "core-hour", 751L, 750L), (answer.Allowed, answer.Refusal!.Limit, answer.Refusal.Needed, answer.Refusal.Remaining));
        Assert.Equal("models/coder", (await coder.CheckAllowanceAsync("coder", new AllowanceCheck { Model = "large" })).Refusal!.Key);
        Assert.True((await admin.CheckAllowanceAsync("coder", new AllowanceCheck { Model = "small", Repo = "r", Estimate = JsonElement.Parse("""{"tokens":1}""") })).Allowed);

        var entry = Assert.Single((await admin.ListLedgerAsync("core-hour", limit: 5)).Entries);
        Assert.Equal((held.Id, 1, "coder", "completed", 260L, 250L), (entry.TaskId, entry.Attempt, entry.Agent, entry.Outcome, entry.Reserved, entry.Spent));
        Assert.Equal("core-hour", (await admin.ListSpendingAsync("tokens", 1)).Single().Key);
        await admin.DeleteLimitAsync("models");
        Assert.Equal("limit_not_found", (await Assert.ThrowsAsync<DispatchException>(() => admin.GetLimitAsync("models"))).Code);
    }

    [Fact]
    public async Task A_question_is_asked_answered_and_waited_for()
    {
        await using var broker = await RealBroker.StartAsync();
        using var asker = broker.Client("coder");
        using var judge = broker.Client("judge");
        using var admin = broker.Client("admin", admin: true);
        Assert.Equal(["tool.*"], (await admin.RegisterResponderAsync("judge", ["tool.*"])).Types);
        Assert.Equal("judge", Assert.Single(await admin.ListRespondersAsync()).Id);

        var asked = await asker.AskAsync(new NewQuestion { Type = "tool.run", About = "call", Session = "s", Proposal = Some, Timeout = TimeSpan.FromMinutes(1) });
        Assert.Equal((true, "coder", "s", "deny"), (asked.IsOpen, asked.Asker, asked.Session, asked.Default));
        Assert.Equal(asked.Id, Assert.Single((await judge.ListQuestionsAsync(new QuestionFilter { Types = ["tool.*"], Session = "s" })).Questions).Id);
        var waiting = asker.WaitForOutcomeAsync(asked.Id);
        await judge.AnswerQuestionAsync(asked.Id, Verdict.Modify, "Less.", JsonElement.Parse("""{"words":1}"""));

        var known = await waiting;
        Assert.Equal((Verdict.Modify, "Less.", 1), (known.Outcome, known.Reason, known.Replacement!.Value.GetProperty("words").GetInt32()));
        Assert.Equal("judge", Assert.Single(known.Answers).Responder);
        var second = await Assert.ThrowsAsync<DispatchException>(() => judge.AnswerQuestionAsync(asked.Id, Verdict.Deny));
        Assert.Equal((409, "already_answered"), (second.Status, second.Code));
        var off = await asker.AskAsync(new NewQuestion { Type = "tool.run", About = "call", Proposal = Some, Default = Verdict.Allow });
        Assert.Equal("withdrawn", (await asker.WithdrawQuestionAsync(off.Id)).Status);
        await admin.RemoveResponderAsync("judge");
        Assert.Empty(await admin.ListRespondersAsync());

        var task = (await asker.SubmitAsync(new NewTask { Title = "T", Confirm = true })).Task;
        Assert.True(task.Confirm);
        Assert.Equal("task.confirmation", Assert.Single((await admin.ListQuestionsAsync(new QuestionFilter { About = task.Id })).Questions).Type);
    }

    [Fact]
    public async Task A_task_lives_its_life()
    {
        await using var broker = await RealBroker.StartAsync();
        using var requester = broker.Client("requester");
        using var agent = broker.Client("a1");
        await agent.RegisterAgentAsync("a1", new AgentRegistration { Capabilities = ["words"], Owner = "o", Labels = new Dictionary<string, string> { ["z"] = "1" }, MaxConcurrent = 2 });

        var asked = new NewTask
        {
            Title = "Count",
            Description = "D",
            RequiredCapabilities = ["Words"],
            PreferredCapabilities = ["fast"],
            Labels = new Dictionary<string, string> { ["team"] = "x" },
            Priority = TaskPriority.High,
            Context = Some,
            Timeout = TimeSpan.FromMinutes(1),
            MaxRetries = 1,
            Deadline = DateTimeOffset.UtcNow.AddHours(1),
            Session = "s",
            Estimate = JsonElement.Parse("""{"tokens":5}"""),
        };
        var made = await requester.SubmitAsync(asked);
        Assert.True(made.IsNew);
        Assert.Equal(("Count", "requester", 8, TimeSpan.FromMinutes(1), 1, "s"), (made.Task.Title, made.Task.Requester, made.Task.Priority, made.Task.Timeout, made.Task.MaxRetries, made.Task.Session));
        Assert.Equal("""{"words":3}""", made.Task.Context.GetRawText());
        Assert.NotNull(made.Task.Deadline);
        var id = made.Task.Id;

        var exchange = await agent.ExchangeAsync("a1", new ExchangeRequest { Holding = [] }, 5, TimeSpan.FromSeconds(10));
        var given = Assert.Single(exchange.Tasks);
        Assert.Equal((id, 1, "assigned", "a1"), (given.Id, given.Attempt, given.Status, given.Assignee));
        Assert.NotNull(given.LeaseExpiresAt);
        Assert.Equal(id, Assert.Single(await agent.GetHeldTasksAsync("a1")).Id);

        Assert.Equal("running", (await agent.StartTaskAsync(id, 1)).Status);
        var under = await agent.ReportProgressAsync(id, new TaskProgress { Percent = 40, Message = "m", Data = Some }, 1);
        Assert.Equal((40d, "m", 3), (under.Progress!.Percent!.Value, under.Progress.Message, under.Progress.Data!.Value.GetProperty("words").GetInt32()));
        var failed = await agent.FailTaskAsync(id, "No luck.", usage: JsonElement.Parse("""{"tokens_in":4}"""), attempt: 1);
        Assert.Contains(failed.Status, (string[])["pending", "assigned"]); // the pause before the next attempt is short here

        var again = Assert.Single((await agent.ExchangeAsync("a1", new ExchangeRequest(), 1, TimeSpan.FromSeconds(10))).Tasks);
        Assert.Equal(2, again.Attempt);
        var stale = await Assert.ThrowsAsync<DispatchException>(() => agent.CompleteTaskAsync(id, attempt: 1));
        Assert.Equal((409, "stale_attempt"), (stale.Status, stale.Code));
        var waiting = requester.WaitForTaskAsync(id, TimeSpan.FromSeconds(20));
        await agent.CompleteTaskAsync(id, Some, attempt: 2);
        var repeated = await agent.CompleteTaskAsync(id, Some, attempt: 2);

        var done = await waiting;
        Assert.Equal(("completed", "completed"), (done.Status, repeated.Status));
        Assert.Equal(3, done.Result!.Value.GetProperty("words").GetInt32());
        Assert.Equal(["failed", "completed"], done.Attempts.Select(attempt => attempt.Outcome));
        Assert.Equal("No luck.", done.Attempts[0].Error);
        Assert.Equal(4, done.Attempts[0].Usage!.Value.GetProperty("tokens_in").GetInt32());
        Assert.True(done.CompletedAt >= done.CreatedAt);
        var history = await requester.GetTaskHistoryAsync(id);
        Assert.True(history.Count >= 6);
        Assert.Equal(history.Select(happened => happened.Sequence).Order(), history.Select(happened => happened.Sequence));
        Assert.Equal("final", (await requester.ExplainTaskAsync(id)).Reason);
    }

    [Fact]
    public async Task Submits_are_recognised_by_key_and_by_id()
    {
        await using var broker = await RealBroker.StartAsync();
        using var client = broker.Client("requester");
        var id = Guid.NewGuid().ToString();
        var other = Guid.NewGuid().ToString();

        var first = await client.SubmitAsync(new NewTask { Title = "T", IdempotencyKey = "k" });
        var second = await client.SubmitAsync(new NewTask { Title = "T", IdempotencyKey = "k" });
        var mismatch = await Assert.ThrowsAsync<DispatchException>(() => client.SubmitAsync(new NewTask { Title = "U", IdempotencyKey = "k" }));
        var many = await client.SubmitAsync([new NewTask { Title = "First", Id = id }, new NewTask { Title = "Then", Id = other, DependsOn = [id] }]);
        var manyAgain = await client.SubmitAsync([new NewTask { Title = "First", Id = id }, new NewTask { Title = "Then", Id = other, DependsOn = [id] }]);

        Assert.Equal((true, false), (first.IsNew, second.IsNew));
        Assert.Equal(first.Task.Id, second.Task.Id);
        Assert.Equal("idempotency_mismatch", mismatch.Code);
        Assert.Equal((true, false), (many.IsNew, manyAgain.IsNew));
        Assert.Equal(["pending", "blocked"], many.Tasks.Select(task => task.Status));
        Assert.Equal([id], (await client.ExplainTaskAsync(other)).WaitingOn);
    }

    [Fact]
    public async Task Every_fault_of_a_submit_is_told()
    {
        await using var broker = await RealBroker.StartAsync();
        using var client = broker.Client("requester");

        var refused = await Assert.ThrowsAsync<DispatchException>(() => client.SubmitAsync([
            new NewTask { Title = "T" },
            new NewTask { Priority = 11 },
            NewTask.Parse("""{"title":"T","prioritty":"high"}"""),
        ]));

        Assert.Equal((400, "validation"), (refused.Status, refused.Code));
        Assert.Equal(3, refused.Faults.Count);
        Assert.Contains(refused.Faults, fault => fault.Field.EndsWith("prioritty", StringComparison.Ordinal));
        Assert.NotNull(refused.RequestId);
    }

    [Fact]
    public async Task Lists_are_read_page_by_page_and_filtered()
    {
        await using var broker = await RealBroker.StartAsync();
        using var client = broker.Client("requester");
        await client.SubmitAsync([.. Enumerable.Range(0, 25).Select(i => new NewTask { Title = $"T{i}", Labels = new Dictionary<string, string> { ["parity"] = i % 2 == 0 ? "even" : "odd & more" } })]);

        var all = await ReadAsync(client.ListAllTasksAsync(new TaskFilter { Limit = 10, Status = ["pending", "running"], Requester = "requester" }));
        var odd = await ReadAsync(client.ListAllTasksAsync(new TaskFilter { Limit = 5, Labels = new Dictionary<string, string> { ["parity"] = "odd & more" } }));

        Assert.Equal(Enumerable.Range(0, 25).Reverse().Select(i => $"T{i}"), all.Select(task => task.Title));
        Assert.Equal(12, odd.Count);
        Assert.Empty((await client.ListTasksAsync(new TaskFilter { Requester = "nobody" })).Tasks);
    }

    [Fact]
    public async Task Tasks_are_changed_cancelled_and_put_back()
    {
        await using var broker = await RealBroker.StartAsync();
        using var client = broker.Client("requester");
        var id = (await client.SubmitAsync(new NewTask { Title = "T", Context = Some })).Task.Id;

        var patched = await client.PatchTaskAsync(id, new TaskPatch { Context = JsonElement.Parse("""{"words":null,"lines":1}"""), Priority = 9 });
        var cancelled = await client.CancelTaskAsync(id);
        var cancelledAgain = await client.CancelTaskAsync(id);
        var back = await client.RetryTaskAsync(id);
        var missing = await Assert.ThrowsAsync<DispatchException>(() => client.GetTaskAsync(Guid.NewGuid().ToString()));

        Assert.Equal(("""{"lines":1}""", 9), (patched.Context.GetRawText(), patched.Priority));
        Assert.Equal(("cancelled", "cancelled", "pending"), (cancelled.Status, cancelledAgain.Status, back.Status));
        Assert.Equal((404, "task_not_found"), (missing.Status, missing.Code));
    }

    [Fact]
    public async Task Operators_see_and_steer()
    {
        await using var broker = await RealBroker.StartAsync();
        using var admin = broker.Client("admin", admin: true);
        using var agent = broker.Client("a1");
        await agent.RegisterAgentAsync("a1", new AgentRegistration { Capabilities = ["words"], Owner = "o", Wake = new WakeTarget("http://127.0.0.1:9/wake") });
        var id = (await agent.SubmitAsync(new NewTask { Title = "T", MaxRetries = 0 })).Task.Id;
        await agent.ExchangeAsync("a1", new ExchangeRequest(), 1, TimeSpan.FromSeconds(10));
        await agent.FailTaskAsync(id, "E");

        var listed = Assert.Single(await admin.ListAgentsAsync(new AgentFilter { Capability = "WORDS", Status = "ready", Owner = "o" }));
        Assert.Equal(("a1", "http://127.0.0.1:9/wake"), (listed.Id, listed.Wake!.Url));
        Assert.Empty(await admin.ListAgentsAsync(new AgentFilter { Capability = "none" }));
        Assert.True((await admin.DrainAgentAsync("a1")).Drained);
        Assert.True((await agent.GetAgentAsync("a1")).Drained);
        Assert.False((await admin.ResumeAgentAsync("a1")).Drained);
        var beat = await agent.HeartbeatAsync("a1", AgentStatus.Degraded);
        Assert.Equal("degraded", beat.Agent.Status);
        Assert.InRange((beat.LeaseExpiresAt!.Value - beat.Agent.LastSeenAt!.Value).TotalSeconds, 25, 35);

        var dead = Assert.Single(await ReadAsync(admin.ListAllDeadLettersAsync(new DeadLetterFilter { Status = "failed", Requester = "a1" })));
        Assert.True(dead.DeadLettered);
        var redriven = await admin.RedriveAsync(new RedriveRequest { Ids = [id, Guid.NewGuid().ToString()] });
        Assert.Equal((1, 1, false), (redriven.Redriven, redriven.Skipped.Count, redriven.More));
        Assert.Equal(0, (await admin.RedriveAsync(new RedriveRequest { Status = "timeout", Limit = 5 })).Redriven);

        var statistics = await admin.GetStatisticsAsync();
        Assert.Equal(1, statistics.Tasks["pending"]);
        Assert.True(statistics.Sequence > 0 && statistics.QueueMs.Count >= 1);
        Assert.Equal("a1", Assert.Single(statistics.Agents).Id);
        var forbidden = await Assert.ThrowsAsync<DispatchException>(() => agent.GetStatisticsAsync());
        Assert.Equal(401, forbidden.Status);

        Assert.True((await admin.GetReadinessAsync(broker.OperationsUrl)).IsReady);
        Assert.Contains("dispatch_tasks", await admin.GetMetricsAsync(broker.OperationsUrl), StringComparison.Ordinal);

        Assert.Equal("a1", (await agent.LeaveAsync("a1")).Id);
        Assert.Equal("agent_not_found", (await Assert.ThrowsAsync<DispatchException>(() => agent.LeaveAsync("a1"))).Code);
    }

    [Fact]
    public async Task Tokens_are_made_used_and_revoked()
    {
        await using var broker = await RealBroker.StartAsync(config => config with { Auth = new AuthSettings { Mode = AuthMode.Token } });
        using var admin = broker.Client("admin", admin: true);

        var issued = await admin.CreateTokenAsync(new NewToken { AgentId = "a1", Name = "n", ExpiresIn = TimeSpan.FromHours(1) });
        using var agent = broker.Client("a1", token: issued.Token);
        using var impostor = broker.Client("a2", token: issued.Token);
        await agent.RegisterAgentAsync("a1", new AgentRegistration());
        await Assert.ThrowsAsync<DispatchException>(() => impostor.RegisterAgentAsync("a2", new AgentRegistration()));
        var listed = Assert.Single(await admin.ListTokensAsync());
        await admin.RevokeTokenAsync(issued.Id);
        var refused = await Assert.ThrowsAsync<DispatchException>(() => agent.HeartbeatAsync("a1"));

        Assert.StartsWith("dsp_", issued.Token, StringComparison.Ordinal);
        Assert.Equal((issued.Id, "a1", "n"), (listed.Id, listed.AgentId, listed.Name));
        Assert.NotNull(issued.ExpiresAt);
        Assert.Equal((401, "unauthorized"), (refused.Status, refused.Code));
        Assert.NotNull(Assert.Single(await admin.ListTokensAsync()).RevokedAt);
    }

    private static async Task<List<DispatchTask>> ReadAsync(IAsyncEnumerable<DispatchTask> tasks)
    {
        var list = new List<DispatchTask>();
        await foreach (var task in tasks)
            list.Add(task);
        return list;
    }
}

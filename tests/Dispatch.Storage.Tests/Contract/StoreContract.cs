using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Settings;
using Dispatch.Tasks;
using Dispatch.Webhooks;
using static Dispatch.Storage.Tests.Contract.BatchBuilder;

namespace Dispatch.Storage.Tests.Contract;

/// <summary>What every store has to do. Each store runs these tests by deriving from this class.</summary>
public abstract partial class StoreContract : IAsyncLifetime
{
    private static readonly CancellationToken None = CancellationToken.None;

    protected IStore Store { get; private set; } = null!;

    protected BatchBuilder Log { get; } = new();

    /// <summary>Opens this test's store: empty the first time, afterwards with what was committed.</summary>
    protected abstract Task<IStore> OpenAsync();

    public virtual async Task InitializeAsync() => Store = await OpenAsync();

    public virtual async Task DisposeAsync() => await Store.DisposeAsync();

    [StoreFact]
    public async Task A_new_store_is_empty()
    {
        var loaded = await Store.LoadAsync(None);

        Assert.Equal((0, 0), (loaded.Sequence, loaded.Timestamp));
        Assert.Empty(loaded.Tasks);
        Assert.Empty(loaded.Agents);
        Assert.Empty(loaded.Tokens);
        Assert.Empty(loaded.Sessions);
        Assert.Empty(loaded.Publishers);
        Assert.Equal(new long[9], loaded.Totals);
        Assert.Empty(await Store.ListEventsAsync(0, 10, None));
        Assert.Empty(await Store.ListTasksAsync(new TaskQuery(), None));
        Assert.Null(await Store.FindTaskAsync(new TaskId(Guid.CreateVersion7()), None));
        Assert.Equal(0, (await Store.FindFactsAsync([], [], None)).AsOf);
        await Store.ProbeAsync(None);
    }

    [StoreFact]
    public async Task Every_member_of_a_task_comes_back()
    {
        var parent = Log.Submit();
        var spec = new TaskSpec
        {
            Title = "Übersetze \"das\" \\ ☃ 👋\nzweite Zeile",
            Description = "A long\tstory </script>",
            Scope = "translate",
            Labels = Json("{\"team\":\"blue\",\"größe\":\"x=y\"}"),
            Context = Json("{\"n\": 1e400, \"big\":123456789012345678901234567890, \"text\":\"\\u0000\"}"),
            Estimate = Json("{\"tokens\":5}"),
            Submitter = "portal",
            IdempotencyKey = "key-1",
            Budget = new Amounts([new("tokens", 9_007_199_254_740_991), new("jobs", 0)]),
        };
        var task = Log.Submit(spec, "bob", Log.Needs(["Translate", "German"], ["fast"], "acme"), task => task with
        {
            Cost = new TaskCost("größer ☃", "site", parent.Id, new Estimate(1, 2, 3, 4, 5, 6, 7)),
            Status = TaskState.Blocked,
            Session = "s-1",
            Parent = parent.Id,
            DependsOn = [parent.Id, new TaskId(Guid.CreateVersion7())],
            Priority = 10,
            MaxRetries = 100,
            TimeoutMs = 86_400_000,
            RunAt = 1_800_000_000_000,
            Deadline = 1_900_000_000_000,
        });
        await CommitAsync();

        await ReopenAsync();

        var loaded = await Store.LoadAsync(None);
        Assert.Equal((Log.Sequence, Log.Now - 1), (loaded.Sequence, loaded.Timestamp));
        Same.Each([parent, task], loaded.Tasks, Same.Task);
        Same.Stored(Log.Tasks[task.Id], await Store.FindTaskAsync(task.Id, None));
    }

    [StoreFact]
    public async Task Every_member_of_a_tasks_life_comes_back()
    {
        var held = Log.Assign(Log.Submit());
        held = Log.Raise(held, new TaskStarted("worker-1", 1));
        held = Log.Raise(held, new TaskProgressed("worker-1", 1, 12.5, "reading ☃", Json("{\"page\":3}")));
        var charged = Log.Assign(Log.Submit(), "worker-3", new Amounts([new("day/ä ☃", 700), new("swarm", 0)]), maxRunMs: 5_000);
        var waiting = Log.Assign(Log.Submit(), "worker-2");
        waiting = Log.Raise(waiting, new TaskFailed("worker-2", 1, "no network", true, Json("{\"tokens_in\":7}")));
        waiting = Log.Raise(waiting, new TaskRetried(1, Log.Now + 5_000, false));
        var buried = Log.Bury(Log.Submit(), "It broke.");
        await CommitAsync();

        var loaded = await Store.LoadAsync(None);

        Same.Each([held, charged, waiting], loaded.Tasks, Same.Task);
        Same.Stored(Log.Tasks[buried.Id], await Store.FindTaskAsync(buried.Id, None));
        Assert.Equal(Log.Totals, loaded.Totals);
    }

    [StoreFact]
    public async Task A_row_is_changed_batch_after_batch()
    {
        var task = Log.Submit();
        await CommitAsync();
        task = Log.Assign(task);
        await CommitAsync();
        Same.Each([task], (await Store.LoadAsync(None)).Tasks, Same.Task);

        task = Log.Raise(task, new TaskReleased("worker-1", 1, "handed back", null));
        await CommitAsync();
        Same.Each([task], (await Store.LoadAsync(None)).Tasks, Same.Task);

        task = Log.Finish(task, "{\"lines\":3}");
        await CommitAsync();
        var loaded = await Store.LoadAsync(None);
        Assert.Empty(loaded.Tasks);
        Assert.Equal(1, loaded.Totals[(int)TaskState.Completed]);
        Assert.Equal(1, loaded.Totals.Sum());
        Same.Stored(Log.Tasks[task.Id], await Store.FindTaskAsync(task.Id, None));
    }

    [StoreFact]
    public async Task Live_tasks_are_loaded_in_order_of_number_however_few_of_all_they_are()
    {
        var live = new List<WorkTask>();
        for (var n = 0; n < 100; n++)
        {
            var task = Log.Submit();
            live.Add(n % 3 == 0 ? Log.Assign(task) : n % 3 == 1 ? task : Log.Raise(task, new TaskUpdated("patched", null, 9, null)));
        }

        await CommitAsync();
        Same.Each(live, (await Store.LoadAsync(None)).Tasks, Same.Task);

        for (var n = 0; n < 2_000; n++)
            Log.Finish(Log.Submit());
        await CommitAsync();
        Same.Each(live, (await Store.LoadAsync(None)).Tasks, Same.Task);
    }

    [StoreFact]
    public async Task Webhooks_come_back_as_they_last_were()
    {
        var filter = new EventFilter { Types = ["task.*", "agent.offline"], Sources = ["tasks"], Subjects = ["ä"], Sessions = ["s-1", "s-2"] };
        var one = Log.Keep(new WebhookEndpoint("whk_1", "https://example.org/a?b=1", "The portal", filter, "whsec_new", "whsec_old", 99, WebhookStatus.Disabled, 20, "It was gone.", 10, 5, 0));
        var two = Log.Keep(new WebhookEndpoint("whk_2", "http://example.org/", null, EventFilter.All, "whsec_b", null, null, WebhookStatus.Enabled, 11, null, 11, 6, 0));
        var gone = Log.Keep(two with { Id = "whk_3", LastSequence = 0 });
        await CommitAsync();
        two = Log.Keep(two with { Description = "Later" });
        Log.Remove(gone);
        await CommitAsync();

        await ReopenAsync();

        var loaded = (await Store.LoadAsync(None)).Webhooks;
        Assert.Equal(["whk_1", "whk_2"], loaded.Select(webhook => webhook.Id));
        Assert.Equal(filter.Types, loaded[0].Filter.Types);
        Assert.Equal(filter.Sources, loaded[0].Filter.Sources);
        Assert.Equal(filter.Subjects, loaded[0].Filter.Subjects);
        Assert.Equal(filter.Sessions, loaded[0].Filter.Sessions);
        Assert.Equal(one with { Filter = loaded[0].Filter }, loaded[0]);
        Assert.Equal(two with { Filter = loaded[1].Filter }, loaded[1]);
    }

    [StoreFact]
    public async Task Questions_come_back_as_they_last_were()
    {
        var change = new QuestionAnswer("judge", Verdict.Modify, "Not all of it ☃", Json("{\"command\":\"ls\"}"), 7);
        var open = Log.Ask(Question("q-1", "tool.run", "w"), Json("{\"command\":\"rm -r\"}"));
        var settled = Log.Ask(Question("q-2", "tool.run", "v") with { Session = "s-1", Awaited = ["judge", "other"], Default = Verdict.Allow }, Json("{}"));
        var other = Log.Ask(Question("q-3", "task.confirmation", "w"), Json("{\"title\":\"T\"}"));
        await CommitAsync();
        open = Log.Answer(open, new QuestionAnswer("other", Verdict.Allow, null, null, 6));
        settled = Log.Answer(settled with { Status = QuestionStatus.Answered, Outcome = Verdict.Modify, Reason = "Not all of it ☃", Replacement = change.Replacement, ClosedAt = 7 }, change);
        await CommitAsync();

        await ReopenAsync();

        Same.Each([open, other], (await Store.LoadAsync(None)).Questions, Same.Question);
        var found = await Store.FindQuestionAsync("q-2", None);
        Same.Question(settled, found!.Question);
        Assert.Equal("{}", found.Proposal.ToString());
        Assert.Equal("{\"command\":\"rm -r\"}", (await Store.FindQuestionAsync("q-1", None))!.Proposal.ToString());
        Assert.Null(await Store.FindQuestionAsync("q-4", None));
        await ListsAsync(new(), "q-3", "q-2", "q-1");
        await ListsAsync(new() { Limit = 1, Before = other.Number }, "q-2");
        await ListsAsync(new() { Status = QuestionStatus.Open }, "q-3", "q-1");
        await ListsAsync(new() { Types = ["tool.*"], Status = QuestionStatus.Open }, "q-1");
        await ListsAsync(new() { Session = "s-1" }, "q-2");
        await ListsAsync(new() { About = "about q-3" }, "q-3");
        await ListsAsync(new() { VisibleTo = "v" }, "q-2");
        await ListsAsync(new() { VisibleTo = "v", VisibleTypes = ["task.confirmation"] }, "q-3", "q-2");

        Question Question(string id, string type, string asker) => new() { Id = id, Number = 0, Type = type, About = "about " + id, Asker = asker, AskedAt = 5, ExpiresAt = 50 };

        async Task ListsAsync(QuestionQuery query, params string[] ids) =>
            Assert.Equal(ids, (await Store.ListQuestionsAsync(query, None)).Select(stored => stored.Question.Id));
    }

    [StoreFact]
    public async Task Responders_come_back_as_they_last_were()
    {
        var one = Log.Keep(new Responder("judge", ["tool.*"], 5, 0));
        var gone = Log.Keep(new Responder("other", ["*"], 6, 0));
        await CommitAsync();
        one = Log.Keep(one with { Types = ["task.confirmation", "tool.run"] });
        Log.Remove(gone);
        await CommitAsync();

        await ReopenAsync();

        var loaded = Assert.Single((await Store.LoadAsync(None)).Responders);
        Assert.Equal(one.Types, loaded.Types);
        Assert.Equal(one with { Types = loaded.Types }, loaded);
    }

    [StoreFact]
    public async Task Limits_and_their_balances_come_back_as_they_last_were()
    {
        var rolling = new LimitWindow(WindowKind.Rolling, RollingMs: 60_000);
        var month = new LimitWindow(WindowKind.Month, "Europe/Berlin", 6, 31);
        var one = Log.Set(
            Limit("day") with { Model = "größer ☃", Repo = "site", Window = month, SoftPercent = 1, OnExceed = OnExceed.Pause },
            Balance("day/ä", "day", "ä") with { Used = 7, Reserved = 3, WindowStart = 10, WindowEnd = 20, Warned = true, Exceeded = true });
        var two = Log.Set(
            Limit("models") with { Level = LimitLevel.Swarm, Target = "", Unit = LimitUnit.Models, Allow = ["small", "l*"], Deny = ["ä ☃"] },
            Balance("models", "models", "") with { CooldownUntil = 99 });
        var gone = Log.Set(Limit("gone"), Balance("gone", "gone", "w"));
        await CommitAsync();
        one = Log.Set(
            one with { Amount = 9_007_199_254_740_991, Window = rolling, Version = 2, UpdatedAt = 6 },
            Balance("day/ä", "day", "ä") with { Used = 9, Steps = [new RollingStep(4, 8), new RollingStep(5, 1)] });
        Log.Remove(gone, "gone");
        await CommitAsync();

        await ReopenAsync();

        var loaded = await Store.LoadAsync(None);
        Same.Each([one, two], loaded.Limits, Same.Limit);
        Same.Each(
            [Balance("day/ä", "day", "ä") with { Used = 9, Steps = [new RollingStep(4, 8), new RollingStep(5, 1)] }, Balance("models", "models", "") with { CooldownUntil = 99 }],
            loaded.Balances, Same.Balance);
        await using var audit = await Store.OpenAuditAsync(None);
        var seen = await audit.LoadAsync(None);
        Same.Each(loaded.Limits, seen.Limits, Same.Limit);
        Same.Each(loaded.Balances, seen.Balances, Same.Balance);
    }

    [StoreFact]
    public async Task Every_level_unit_and_window_comes_back()
    {
        var set = new List<Limit>();
        foreach (var level in Enum.GetValues<LimitLevel>())
            set.Add(Log.Set(Limit($"level {(int)level:00}") with { Level = level, Target = level == LimitLevel.Task ? new TaskId(Guid.CreateVersion7()).ToString() : "*" }));
        foreach (var unit in Enum.GetValues<LimitUnit>())
            set.Add(Log.Set(Limit($"unit {(int)unit:00}") with { Unit = unit }));
        foreach (var kind in Enum.GetValues<WindowKind>())
            set.Add(Log.Set(Limit($"window {(int)kind:00}") with { Window = new LimitWindow(kind) }));
        await CommitAsync();

        Same.Each(set, (await Store.LoadAsync(None)).Limits, Same.Limit);
    }

    [StoreFact]
    public async Task Usage_reports_are_found_by_reporter_and_id()
    {
        var task = Log.Submit();
        var first = Log.Report("worker-1", "ä ☃");
        var other = Log.Report("admin", "ä ☃");
        await CommitAsync();
        var second = Log.Report("worker-1", "u-2");
        await CommitAsync();
        await ReopenAsync();

        var facts = await Store.FindUsageAsync("worker-1", "ä ☃", task.Id, None);
        Assert.Equal((Log.Sequence, first), (facts.AsOf, facts.Known));
        Same.Stored(Log.Tasks[task.Id], facts.Task);
        Assert.Equal(other, (await Store.FindUsageAsync("admin", "ä ☃", null, None)).Known);
        facts = await Store.FindUsageAsync("worker-2", "u-2", new TaskId(Guid.CreateVersion7()), None);
        Assert.Null(facts.Known);
        Assert.Null(facts.Task);
        await using var audit = await Store.OpenAuditAsync(None);
        Assert.Equal([first, other, second], await audit.UsageAsync(None).ToListAsync());
    }

    [StoreFact]
    public async Task A_usage_report_that_is_there_already_refuses_the_batch()
    {
        var first = Log.Report("worker-1", "u-1");
        await CommitAsync();

        Log.Report("worker-1", "u-1");
        await Assert.ThrowsAnyAsync<Exception>(CommitAsync);

        Assert.Equal(first, (await Store.FindUsageAsync("worker-1", "u-1", null, None)).Known);
    }

    [StoreFact]
    public async Task What_an_attempt_reserved_and_spent_comes_back()
    {
        var reserved = new Amounts([new("day/ä ☃", 700), new("swarm", 0)]);
        var task = Log.Assign(Log.Submit(), reserved: reserved);
        task = Log.Raise(task, new TaskFailed("worker-1", 1, "e", true, Json("{\"tokens\":1}"), "small", new Amounts([new("swarm", 5)])));
        task = Log.Raise(task, new TaskRetried(1, Log.Now, false));
        task = Log.Assign(task, reserved: reserved);
        Log.Raise(task, new TaskCompleted("worker-1", 2, null, null));
        await CommitAsync();

        var attempts = await Store.ListAttemptsAsync(task.Number, None);

        Assert.Equal(
            [("small", reserved, new Amounts([new("swarm", 5)])), (null, reserved, Amounts.None)],
            attempts.Select(attempt => (attempt.Model, attempt.Reserved, attempt.Spent)));
    }

    [StoreFact]
    public async Task Balances_whose_rows_are_behind_follow_from_the_log_and_the_tasks_in_hand()
    {
        Log.Set(Limit("day"), Balance("day/ä", "day", "ä") with { Used = 7 }, Balance("day/w", "day", "w") with { Used = 1 });
        Log.Set(Limit("swarm") with { Level = LimitLevel.Swarm, Target = "" });
        await CommitAsync();
        Log.BalancesWritten = Log.Sequence;
        var reserved = new Amounts([new("day/ä", 700), new("swarm", 30)]);
        var task = Log.Assign(Log.Submit(), reserved: reserved);
        Log.Raise(task, new TaskFailed("worker-1", 1, "e", true, null, "small", new Amounts([new("day/ä", 5), new("swarm", 2)])));
        Log.Assign(Log.Submit(), reserved: reserved);
        await CommitAsync();

        // Written since: what came before is in the row.
        Log.Write(Balance("day/w", "day", "w") with { Used = 4 });
        Log.Assign(Log.Submit(), reserved: new Amounts([new("day/w", 11)]));
        await CommitAsync();
        await ReopenAsync();

        var loaded = await Store.LoadAsync(None);
        Same.Each(
            [
                Balance("day/w", "day", "w") with { Used = 4, Reserved = 11 },
                Balance("day/ä", "day", "ä") with { Used = 12, Reserved = 700 },
                Balance("swarm", "swarm", "") with { Used = 2, Reserved = 30 },
            ],
            loaded.Balances, Same.Balance);
        Assert.Equal(["day/ä", "swarm"], loaded.UnwrittenBalances.Order(StringComparer.Ordinal));
        Assert.Equal(Log.BalancesWritten, loaded.BalancesWritten);

        // All of them are written now.
        Log.Write([.. loaded.Balances]);
        Log.BalancesWritten = null;
        Log.Raise(Log.Submit(), new TaskCancelled("admin"));
        await CommitAsync();
        loaded = await Store.LoadAsync(None);
        Assert.Equal([4, 12, 2], loaded.Balances.Select(balance => balance.Used));
        Assert.Empty(loaded.UnwrittenBalances);
        Assert.Equal(Log.Sequence, loaded.BalancesWritten);
    }

    internal static Limit Limit(string id) => new()
    {
        Id = id,
        Level = LimitLevel.Owner,
        Target = "*",
        Unit = LimitUnit.Money,
        Amount = 5,
        Window = LimitWindow.Lifetime,
        Version = 1,
        CreatedAt = 4,
        UpdatedAt = 5,
        LastSequence = 0,
    };

    internal static LimitBalance Balance(string key, string limit, string target) => new() { Key = key, Limit = limit, Target = target };

    [StoreFact]
    public async Task Cursors_come_back_as_they_were_last_saved()
    {
        Assert.Empty(await Store.LoadCursorsAsync(None));
        await Store.SaveCursorsAsync([("webhook/whk_1", 3), ("nats", 7)], [], None);
        await Store.SaveCursorsAsync([("webhook/whk_1", 5)], [], None);

        await ReopenAsync();

        Assert.Equal([("nats", 7L), ("webhook/whk_1", 5L)], (await Store.LoadCursorsAsync(None)).Select(pair => (pair.Key, pair.Value)).Order());
    }

    [StoreFact]
    public async Task The_newest_thousand_deliveries_of_each_webhook_are_kept()
    {
        var one = Log.Keep(new WebhookEndpoint("whk_1", "http://example.org/", null, EventFilter.All, "whsec_a", null, null, WebhookStatus.Enabled, 1, null, 1, 0, 0));
        var two = Log.Keep(one with { Id = "whk_2", LastSequence = 0 });
        await CommitAsync();
        var other = new WebhookDelivery(two.Id, 1, 2, 30, 4, 500, "HTTP 500", "ä");
        var quiet = new WebhookDelivery(two.Id, 2, 1, 31, 0, null, "no answer", null);
        await Store.SaveCursorsAsync([], [other, quiet], None);
        for (var part = 0; part < 3; part++)
            await Store.SaveCursorsAsync([], [.. Enumerable.Range(part * 400, 400).Select(n => new WebhookDelivery(one.Id, n, 1, n, 1, 204, null, null))], None);
        await Store.SaveCursorsAsync([], [other with { Webhook = "whk_unknown" }], None);

        await ReopenAsync();

        var kept = await Store.ListDeliveriesAsync(one.Id, 2_000, None);
        Assert.Equal(Enumerable.Range(200, 1_000).Reverse().Select(n => (long)n), kept.Select(delivery => delivery.Sequence));
        Assert.Equal([quiet, other], await Store.ListDeliveriesAsync(two.Id, 10, None));
        Assert.Equal([quiet], await Store.ListDeliveriesAsync(two.Id, 1, None));
        Assert.Empty(await Store.ListDeliveriesAsync("whk_unknown", 10, None));
    }

    [StoreFact]
    public async Task A_deleted_webhook_takes_its_cursor_and_deliveries_along()
    {
        var webhook = Log.Keep(new WebhookEndpoint("whk_1", "http://example.org/", null, EventFilter.All, "whsec_a", null, null, WebhookStatus.Enabled, 1, null, 1, 0, 0));
        await CommitAsync();
        await Store.SaveCursorsAsync([("webhook/whk_1", 1)], [new WebhookDelivery("whk_1", 1, 1, 1, 1, 200, null, null)], None);

        Log.Remove(webhook);
        await CommitAsync();

        Assert.Empty(await Store.LoadCursorsAsync(None));
        Assert.Empty(await Store.ListDeliveriesAsync("whk_1", 10, None));
    }

    [StoreFact]
    public async Task Agents_and_tokens_come_back_as_they_last_were()
    {
        var plain = Log.Register(new Agent { Id = "a-1", Capabilities = [], MaxConcurrent = 3, Status = AgentStatus.Ready, RegisteredAt = 5, StatusAt = 5 });
        var rich = Log.Register(new Agent
        {
            Id = "ä ☃",
            Capabilities = ["Python", "c#"],
            Owner = "acme",
            Labels = Json("{\"zone\":\"eu\"}"),
            MaxConcurrent = 10_000,
            Status = AgentStatus.Sleeping,
            Drained = true,
            WakeUrl = "https://example.org/wake?a=1",
            RegisteredAt = 6,
            StatusAt = 7,
        });
        var gone = Log.Register(plain with { Id = "gone" });
        var token = Log.Keep(new AgentToken("t-1", new string('a', 64), "a-1", "laptop", 10, 99, null, 0));
        var other = Log.Keep(new AgentToken("t-2", new string('b', 64), "a-1", null, 11, null, null, 0));
        await CommitAsync();
        plain = Log.Register(plain with { Status = AgentStatus.Offline, StatusAt = 9 });
        Log.Remove(gone);
        token = Log.Keep(token with { RevokedAt = 50 });
        await CommitAsync();

        await ReopenAsync();

        var loaded = await Store.LoadAsync(None);
        Same.Each([plain, rich], loaded.Agents, Same.Agent);
        Assert.Equal([token, other], loaded.Tokens);
    }

    [StoreFact]
    public async Task Open_sessions_come_back_and_closed_ones_do_not()
    {
        var plain = Log.Open(new Session("ses-1", null, new string('a', 64), 10, 99, 0));
        var named = Log.Open(new Session("ä ☃", "Review", new string('b', 64), 11, 100, 0));
        await CommitAsync();
        Log.Close(plain);
        await CommitAsync();
        await ReopenAsync();
        Assert.Equal([named], (await Store.LoadAsync(None)).Sessions);

        plain = Log.Open(plain with { Hash = new string('c', 64) });
        await CommitAsync();

        Assert.Equal([plain, named], (await Store.LoadAsync(None)).Sessions);
    }

    [StoreFact]
    public async Task Publishers_come_back_and_what_they_published_is_found_by_their_ids()
    {
        var plain = Log.Register(new Publisher("crawler", ["memory.updated", "tool.executed"], null, 10, 0));
        var bound = Log.Register(new Publisher("ä ☃", ["tool.executed"], "s-1", 11, 0));
        var first = Log.Publish("crawler", "e-1");
        var other = Log.Publish("ä ☃", "e-1");
        await CommitAsync();
        Log.Remove(plain);
        var second = Log.Publish("crawler", "e-2");
        await CommitAsync();
        await ReopenAsync();

        Assert.Equal(bound, Assert.Single((await Store.LoadAsync(None)).Publishers) with { Types = bound.Types });
        var facts = await Store.FindPublishedAsync("crawler", ["e-2", "e-1", "e-3"], None);
        Assert.Equal(Log.Sequence, facts.AsOf);
        Assert.Equal([first, second], facts.Rows.Values.OrderBy(row => row.Sequence));
        await using var audit = await Store.OpenAuditAsync(None);
        var all = new List<PublishedRow>();
        await foreach (var row in audit.PublishedAsync(None))
            all.Add(row);
        Assert.Equal([first, other, second], all);
        Assert.Equal(["crawler", "ä ☃", "crawler"], (await Store.ListEventsAsync(0, 100, None)).Where(entry => entry.Type == "message.received").Select(entry => entry.Source));
    }

    [StoreFact]
    public async Task An_agent_that_left_can_come_back()
    {
        var agent = Log.Register(new Agent { Id = "a-1", Capabilities = ["x"], MaxConcurrent = 3, Status = AgentStatus.Ready, RegisteredAt = 5, StatusAt = 5 });
        await CommitAsync();
        Log.Remove(agent);
        await CommitAsync();
        Assert.Empty((await Store.LoadAsync(None)).Agents);

        agent = Log.Register(agent with { Capabilities = ["y"] });
        await CommitAsync();

        Same.Each([agent], (await Store.LoadAsync(None)).Agents, Same.Agent);
    }

    [StoreFact]
    public async Task Every_kind_of_event_comes_back()
    {
        var id = new TaskId(Guid.CreateVersion7());
        EventData[] all =
        [
            new TaskCreated(TaskState.Scheduled, "bob", "T", "d", "s", ["a"], ["b"], "o", "p", "k", "hash", 5, Json("{\"l\":\"1\"}"), Json("{\"c\":1}"), Json("{\"e\":1}"), 300, 3, 7, 8, [id], id),
            new TaskCreated(TaskState.Pending, "bob", "T", null, null, [], [], null, null, null, null, 0, null, null, null, 300, 3, null, null, null, null, true),
            new TaskCreated(TaskState.Pending, "bob", "T", null, null, [], [], null, null, null, null, 0, null, null, null, 300, 3, null, null, null, null, null, new Amounts([new("jobs", 2)]), id),
            new TaskAssigned("w", 1, 5, new MatchScore(1.2, 1, 0.8, 1.5, 0, 3, 1)),
            new TaskAssigned("w", 1, 5, new MatchScore(1.2, 1, 0.8, 1.5, 0, 3, 1), new Amounts([new("day/w", 9), new("ä ☃", 0)]), 50),
            new TaskStarted("w", 1),
            new TaskProgressed("w", 1, 0.1, "m ☃", Json("[1,2]")),
            new TaskCompleted("w", 1, Json("\"ok\""), Json("{\"t\":1}")),
            new TaskCompleted("w", 1, null, Json("{\"t\":1}"), "small", new Amounts([new("day/w", 9)])),
            new TaskFailed("w", 1, "e", true, null),
            new TaskFailed("w", 1, "e", true, null, "small", new Amounts([new("day/w", 9)])),
            new TaskTimedOut(null, 0, "late"),
            new TaskTimedOut("w", 1, "late", new Amounts([new("day/w", 1)])),
            new TaskRetried(2, 99, true),
            new TaskCancelled("r"),
            new TaskCancelled("r", new Amounts([new("day/w", 1)])),
            new TaskReleased("w", 1, "r", 5),
            new TaskReassigned("w", 1, "lost", 1, true),
            new TaskUpdated("patched", TaskState.Pending, 3, Json("{}"), "T", "D"),
            new TaskDeadLettered(TaskState.Timeout, "e"),
            new TaskUnmatched(WaitReason.NoCapability, "m"),
            new TaskPruned([1, 2], 1, 1, 0, 0),
            new AgentRegistered(["a"], "o", Json("{}"), 3, AgentStatus.Busy, "http://w"),
            new AgentStatusChanged(AgentStatus.Ready, AgentStatus.Degraded),
            new AgentOffline(30_000),
            new AgentDeregistered("left"),
            new AgentDrained(),
            new AgentResumed(),
            new AgentWakeRequested(id),
            new AgentWoken(),
            new AgentWakeFailed(5),
            new TokenCreated("hash", "a", "n", 9),
            new TokenRevoked(),
            new SessionCreated("Review ☃", 9),
            new SessionTokenMade("hash"),
            new SessionClosed(SessionEnd.Expired),
            new PublisherRegistered(["tool.executed"], "s"),
            new PublisherRemoved(),
            new MessageReceived("m", Json("{\"from\":\"ä ☃\"}")),
            new ToolExecutionRequested("r", Json("{}")),
            new ToolExecuted("e", Json("{\"n\":[1, 2.50]}")),
            new MemoryUpdated("u", Json("{}")),
            new WebhookCreated("example.org", "d", ["task.*"], ["tasks"], ["s"], ["s-1"]),
            new WebhookUpdated("example.org:8080", null, null, null, null, null),
            new WebhookDeleted(),
            new WebhookDisabled("It fails."),
            new LogTrimmed(5, TrimReason.Age, "c0ffee"),
            new WebhookEnabled(),
            new WebhookSecretRotated(99),
            new WebhookUrlSet("https://example.org/in"),
            new WebhookSecretSet("whsec_a"),
            new QuestionAsked("tool.execution_requested", "call-1", "w", Json("{\"command\":\"ls ☃\"}"), Verdict.Allow, ["judge"], 99),
            new QuestionAnswered("judge", Verdict.Modify, "r", Json("{\"command\":\"ls -l\"}"), Verdict.Modify, "r"),
            new QuestionExpired(Verdict.Deny, "Nobody."),
            new QuestionWithdrawn("r"),
            new ResponderRegistered(["tool.*"]),
            new ResponderRemoved(),
            new ConfigReloaded(["agents.lease_ms"], []),
            new AllowanceSet(LimitLevel.Team, "*", LimitUnit.PullRequests, 9_007_199_254_740_991, new LimitWindow(WindowKind.Week, "Europe/Berlin", 6, 7), "small", "site", 75, OnExceed.Pause, ["s*"], ["ä ☃"]),
            new AllowanceSet(LimitLevel.Swarm, null, LimitUnit.Money, 0, new LimitWindow(WindowKind.Rolling, RollingMs: 60_000), null, null, 80, OnExceed.Finish, null, null),
            new AllowanceDeleted(),
            new AllowanceReset(5, 9, 7),
            new AllowanceWarning(LimitUnit.TokensIn, 10, 8, 1, 80, 9, 8),
            new AllowanceExceeded(LimitUnit.Jobs, 10, 12, 1, 2, null),
            new AllowanceCommitted("u ☃", "w", "hash", id, 1, "small", Json("{\"tokens\":1.50}"), new Amounts([new("day/w", 1)])),
        ];
        Assert.Equal(State.EventKinds.Select(kind => kind.Name).Order(), all.Select(data => data.Kind.Name).Distinct().Order());
        var raised = all.Select((data, n) => Log.Add($"subject {n}", n % 2 == 0 ? "s-1" : null, "admin", n == 3 ? 2 : 0, data, n == 4 ? 1 : 0)).ToList();
        await CommitAsync();

        var read = await Store.ListEventsAsync(0, 1_000, None);

        Same.Each(raised, [.. read.Select(State.Read)], Same.Event);
    }

    [StoreFact]
    public async Task The_log_is_read_page_by_page()
    {
        for (var n = 0; n < 25; n++)
            Log.Submit();
        await CommitAsync();

        Assert.Equal(Enumerable.Range(1, 10).Select(n => (long)n), (await Store.ListEventsAsync(0, 10, None)).Select(e => e.Sequence));
        Assert.Equal([21L, 22, 23, 24, 25], (await Store.ListEventsAsync(20, 10, None)).Select(e => e.Sequence));
        Assert.Empty(await Store.ListEventsAsync(25, 10, None));
    }

    [StoreFact]
    public async Task A_history_is_the_chain_about_one_subject_oldest_first()
    {
        var task = Log.Submit();
        var other = Log.Submit();
        await CommitAsync();
        task = Log.Assign(task);
        Log.Assign(other);
        task = Log.Raise(task, new TaskStarted("worker-1", 1));
        await CommitAsync();

        var history = await Store.ListHistoryAsync(task.LastSequence, 100, None);

        Assert.Equal(["task.created", "task.assigned", "task.started"], history.Select(e => e.Type));
        Assert.All(history, e => Assert.Equal(task.Id.ToString(), e.Subject));
        Assert.Equal(["task.assigned", "task.started"], (await Store.ListHistoryAsync(task.LastSequence, 2, None)).Select(e => e.Type));
        Assert.Empty(await Store.ListHistoryAsync(0, 100, None));
    }

    [StoreFact]
    public async Task Specs_are_found_by_number_in_the_order_asked_for()
    {
        var first = Log.Submit(Spec("first", "{\"a\":1}"));
        var second = Log.Submit(Spec("second", labels: "{\"x\":\"1\"}"));
        await CommitAsync();
        Log.Raise(first, new TaskUpdated("patched", null, null, Json("{\"a\":2}")));
        await CommitAsync();

        var specs = await Store.FindSpecsAsync([second.Number, 999, first.Number, second.Number], None);

        Assert.Equal([Log.Tasks[second.Id].Spec, null, Log.Tasks[first.Id].Spec, Log.Tasks[second.Id].Spec], specs);
        Assert.Equal("{\"a\":2}", specs[2]!.Context!.ToString());
    }

    [StoreFact]
    public async Task A_task_patched_in_the_batch_that_made_it_has_the_patched_context()
    {
        var task = Log.Submit(Spec("first", "{\"a\":1}", "{\"team\":\"blue\"}"));
        task = Log.Raise(task, new TaskUpdated("patched", null, 7, Json("{\"a\":2}")));
        await CommitAsync();

        Same.Stored(Log.Tasks[task.Id], await Store.FindTaskAsync(task.Id, None));
        Assert.Single(await Store.ListTasksAsync(new TaskQuery { Labels = ["team=blue"] }, None));
    }

    [StoreFact]
    public async Task A_large_payload_comes_back_whole()
    {
        var text = string.Concat(Enumerable.Repeat("0123456789 ☃ \\\"", 80_000));
        var task = Log.Submit(Spec(context: $"{{\"text\":\"{text.Replace("\\\"", "x")}\"}}"));
        Log.Finish(task, $"[\"{text.Replace("\\\"", "y")}\"]");
        await CommitAsync();

        await ReopenAsync();

        Same.Stored(Log.Tasks[task.Id], await Store.FindTaskAsync(task.Id, None));
    }

    [StoreFact]
    public async Task Ended_attempts_are_listed_oldest_first_with_the_result()
    {
        var task = Log.Assign(Log.Submit(), "w-1");
        task = Log.Raise(task, new TaskReassigned("w-1", 1, "vanished", 1, true));
        await CommitAsync();
        task = Log.Assign(task, "w-2");
        task = Log.Raise(task, new TaskStarted("w-2", 2));
        task = Log.Raise(task, new TaskCompleted("w-2", 2, Json("{\"ok\":true}"), Json("{\"tokens\":9}")));
        await CommitAsync();

        var attempts = await Store.ListAttemptsAsync(task.Number, None);

        Assert.Equal([(1, "w-1", AttemptOutcome.Lost, "vanished"), (2, "w-2", AttemptOutcome.Completed, null)], attempts.Select(a => (a.Attempt, a.Agent, a.Outcome, a.Error)));
        Assert.Equal((0, task.StartedAt, task.CompletedAt), (attempts[0].StartedAt, attempts[1].StartedAt, attempts[1].EndedAt));
        Assert.Equal("{\"ok\":true}", attempts[1].Result!.ToString());
        Assert.Equal("{\"tokens\":9}", attempts[1].Usage!.ToString());
        Assert.Null(attempts[0].Result);
        Assert.Equal("{\"ok\":true}", (await Store.FindTaskAsync(task.Id, None))!.Result!.ToString());
        Assert.Empty(await Store.ListAttemptsAsync(999, None));
    }

    [StoreFact]
    public async Task Facts_tell_tasks_and_keys_as_of_one_sequence()
    {
        var keyed = Log.Submit(Spec() with { IdempotencyKey = "k" }, "alice", bodyHash: "abc");
        var finished = Log.Finish(Log.Submit(Spec("done"), "bob"), "1");
        await CommitAsync();
        var unknown = new TaskId(Guid.CreateVersion7());

        var facts = await Store.FindFactsAsync([finished.Id, unknown, finished.Id], [new("alice", "k"), new("bob", "k"), new("alice", "K")], None);

        Assert.Equal(Log.Sequence, facts.AsOf);
        Same.Stored(Log.Tasks[finished.Id], Assert.Single(facts.Tasks).Value);
        Assert.Equal(new IdempotencyRow("alice", "k", "abc", keyed.Id, keyed.Number), Assert.Single(facts.Keys).Value);
    }

    [StoreFact]
    public async Task Expired_tasks_are_found_step_by_step()
    {
        var old = Enumerable.Range(0, 5).Select(_ => Log.Finish(Log.Submit(), "1")).ToList();
        var waiting = Log.Submit();
        var buried = Log.Bury(Log.Submit());
        var limit = Log.Now;
        var lateEnd = Log.Submit();
        Log.Now = limit + 1_000;
        Log.Finish(waiting);
        var young = Log.Finish(Log.Submit());
        await CommitAsync();

        var found = new List<StoredTask>();
        long next = 0;
        var steps = 0;
        do
        {
            (var expired, next) = await Store.FindExpiredAsync(next, limit, 3, None);
            found.AddRange(expired);
            steps++;
        }
        while (next != 0);

        Same.Each([.. old.Append(buried).Select(task => Log.Tasks[task.Id])], found, Same.Stored);
        Assert.Equal(3, steps);
        Assert.DoesNotContain(found, task => task.Task.Id == young.Id || task.Task.Id == lateEnd.Id);
        Assert.Equal((0, 0L), await CountExpiredAsync(0, 0, 100));
    }

    [StoreFact]
    public async Task A_pruned_task_leaves_nothing_but_its_events()
    {
        var spec = Spec(labels: "{\"team\":\"blue\"}") with { IdempotencyKey = "k" };
        var task = Log.Finish(Log.Submit(spec), "1");
        var patched = Log.Submit(Spec(context: "{}", labels: "{\"team\":\"blue\"}"));
        patched = Log.Raise(patched, new TaskUpdated("patched", null, null, Json("{\"a\":1}")));
        patched = Log.Bury(patched);
        var kept = Log.Finish(Log.Submit(Spec(labels: "{\"team\":\"blue\"}")));
        await CommitAsync();
        var history = task.LastSequence;

        Log.Prune(task, patched);
        await CommitAsync();

        Assert.Null(await Store.FindTaskAsync(task.Id, None));
        Assert.Null(await Store.FindTaskAsync(patched.Id, None));
        Assert.Empty(await Store.ListAttemptsAsync(task.Number, None));
        Assert.Empty((await Store.FindFactsAsync([], [new("alice", "k")], None)).Keys);
        Assert.Equal(kept.Id, Assert.Single(await Store.ListTasksAsync(new TaskQuery { Labels = ["team=blue"] }, None)).Task.Id);
        Assert.Equal(Log.Totals, (await Store.LoadAsync(None)).Totals);
        Assert.Equal(3, (await Store.ListHistoryAsync(history, 100, None)).Count);
        Assert.Equal(Log.Sequence, (await Store.ListEventsAsync(0, 1_000, None)).Count);

        // The key is free again.
        Log.Submit(spec);
        await CommitAsync();
    }

    [StoreFact]
    public async Task Lists_give_what_a_look_at_every_task_would_give()
    {
        var random = new Random(20261120);
        T Pick<T>(params T[] from) => from[random.Next(from.Length)];
        var parents = Enumerable.Range(0, 3).Select(_ => Log.Submit().Id).ToArray();
        for (var n = 0; n < 400; n++)
        {
            var labels = Pick(null, "{\"team\":\"blue\"}", "{\"team\":\"red\",\"size\":\"x\"}", "{\"team\":\"blue\",\"size\":\"x\"}");
            var spec = Spec($"task {n}", labels: labels) with { Scope = Pick(null, "python", "text") };
            var task = Log.Submit(spec, Pick("alice", "bob"), Log.Needs([], owner: Pick(null, "acme", "alice")), task => task with { Parent = Pick(default, parents[0], parents[1]) });
            switch (random.Next(7))
            {
                case 0: Log.Assign(task, Pick("w-1", "w-2")); break;
                case 1: Log.Finish(task, Pick(null, "{\"n\":1}"), Pick("w-1", "alice")); break;
                case 2: Log.Bury(task); break;
                case 3: Log.Raise(task, new TaskCancelled("no")); break;
                case 4: Log.Raise(Log.Assign(task, "w-2"), new TaskStarted("w-2", 1)); break;
                case 5: Log.Raise(Log.Raise(task, new TaskTimedOut(null, 0, "late")), new TaskDeadLettered(TaskState.Timeout, "late")); break;
                default: break;
            }

            if (random.Next(50) == 0)
                await CommitAsync();
        }

        await CommitAsync();
        var newestFirst = Log.Tasks.Values.OrderByDescending(stored => stored.Task.Number).ToList();
        for (var n = 0; n < 500; n++)
        {
            var query = new TaskQuery
            {
                Statuses = Enumerable.Range(0, random.Next(4)).Select(_ => (TaskState)random.Next(9)).ToList(),
                Requester = Pick(null, null, "alice", "nobody"),
                Assignee = Pick(null, null, null, "w-1", "w-2"),
                Scope = Pick(null, null, "python"),
                Owner = Pick(null, null, "acme"),
                Parent = Pick(null, null, (TaskId?)parents[0], parents[2]),
                Labels = Pick<string[]>([], [], [], ["team=blue"], ["team=red", "size=x"], ["team=green"]),
                VisibleTo = Pick(null, null, "alice", "w-2"),
                DeadLettered = Pick(null, null, (bool?)true, false),
                Before = Pick(null, (long?)random.Next((int)Log.Sequence)),
                Limit = Pick(1, 7, 1_000),
            };
            var expected = newestFirst.Where(stored => Matches(query, stored)).Take(query.Limit).ToList();

            var found = await Store.ListTasksAsync(query, None);

            Same.Each(expected, found, Same.Stored);
        }
    }

    [StoreFact]
    public async Task An_audit_sees_everything_as_of_one_moment()
    {
        var finished = Log.Finish(Log.Submit(Spec("done", "{\"a\":1}") with { IdempotencyKey = "k" }, bodyHash: "abc"), "{\"ok\":true}");
        var held = Log.Assign(Log.Raise(Log.Assign(Log.Submit(Spec("held"))), new TaskReleased("worker-1", 1, "no", null)));
        var agent = Log.Register(new Agent { Id = "a-1", Capabilities = ["x"], MaxConcurrent = 3, Status = AgentStatus.Ready, RegisteredAt = 5, StatusAt = 5 });
        await CommitAsync();
        var (sequence, finishedThen, heldThen, totals) = (Log.Sequence, Log.Tasks[finished.Id], Log.Tasks[held.Id], Log.Totals.ToArray());

        await using var audit = await Store.OpenAuditAsync(None);
        Log.Raise(held, new TaskCompleted("worker-1", 2, null, null));
        Log.Prune(finished);
        Log.Submit(Spec() with { IdempotencyKey = "later" });
        await CommitAsync();

        var loaded = await audit.LoadAsync(None);
        Assert.Equal((sequence, totals.Sum()), (loaded.Sequence, loaded.Totals.Sum()));
        Assert.Equal(totals, loaded.Totals);
        Same.Each([heldThen.Task], loaded.Tasks, Same.Task);
        Same.Each([agent], loaded.Agents, Same.Agent);
        Assert.Equal(Enumerable.Range(1, (int)sequence).Select(n => (long)n), await audit.EventsAsync(None).Select(happened => happened.Sequence).ToListAsync());
        Same.Each([finishedThen, heldThen], await audit.TasksAsync(None).ToListAsync(), Same.Stored);
        Assert.Equal(
            [(finished.Number, 1, "{\"ok\":true}"), (held.Number, 1, null)],
            (await audit.AttemptsAsync(None).ToListAsync()).Select(attempt => (attempt.TaskNumber, attempt.Attempt, attempt.Result?.ToString())));
        Assert.Equal([new IdempotencyRow("alice", "k", "abc", finished.Id, finished.Number)], await audit.KeysAsync(None).ToListAsync());
    }

    [StoreFact]
    public async Task A_batch_that_does_not_continue_the_log_is_refused()
    {
        Log.Submit();
        await CommitAsync();
        var gap = new BatchBuilder(Log.Sequence + 1);
        gap.Submit();
        var again = new BatchBuilder(Log.Sequence - 1);
        again.Submit();

        foreach (var stranger in new[] { gap.Close(), again.Close() })
        {
            var refusal = await Assert.ThrowsAsync<StoreException>(() => Store.CommitAsync(stranger, 0, None));
            Assert.Equal(StoreFault.Unavailable, refusal.Fault);
        }

        Assert.Single(await Store.ListEventsAsync(0, 10, None));
        Assert.Single((await Store.LoadAsync(None)).Tasks);
        Log.Submit();
        await CommitAsync();
    }

    [StoreFact]
    public async Task An_empty_batch_changes_nothing()
    {
        await Store.CommitAsync(Log.Close(), 0, None);

        Assert.Equal(0, (await Store.LoadAsync(None)).Sequence);
    }

    [StoreFact]
    public async Task A_commit_given_up_before_it_began_does_not_happen()
    {
        Log.Submit();
        var batch = Log.Close();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Store.CommitAsync(batch, 0, new CancellationToken(canceled: true)));

        Assert.Equal(0, (await Store.LoadAsync(None)).Sequence);
        await Store.CommitAsync(batch, 0, None);
        Assert.Equal(1, (await Store.LoadAsync(None)).Sequence);
    }

    [StoreFact]
    public async Task Readers_see_whole_commits_while_they_happen()
    {
        const int batches = 60;
        const int tasksPerBatch = 20;
        using var writing = new CancellationTokenSource();
        var firstLooks = Enumerable.Range(0, 3).Select(_ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).ToList();
        var readers = firstLooks.Select(firstLook => Task.Run(async () =>
        {
            var seen = 0;
            while (!writing.IsCancellationRequested)
            {
                var facts = await Store.FindFactsAsync([], [], None);
                Assert.Equal(0, facts.AsOf % tasksPerBatch);
                var tasks = await Store.ListTasksAsync(new TaskQuery { Limit = 10_000 }, None);
                Assert.Equal(0, tasks.Count % tasksPerBatch);
                Assert.True(tasks.Count >= facts.AsOf, "A commit that was seen must not vanish.");
                seen++;
                firstLook.TrySetResult();
            }

            Assert.NotEqual(0, seen);
        })).ToList();

        await Task.WhenAny(Task.WhenAll(firstLooks.Select(look => look.Task)), Task.WhenAny(readers));
        for (var n = 0; n < batches; n++)
        {
            for (var i = 0; i < tasksPerBatch; i++)
                Log.Submit();
            await CommitAsync();
            Assert.Equal(Log.Sequence, (await Store.FindFactsAsync([], [], None)).AsOf);
        }

        await writing.CancelAsync();
        await Task.WhenAll(readers);
    }

    protected async Task CommitAsync() => await Store.CommitAsync(Log.Close(), 0, None);

    protected async Task ReopenAsync()
    {
        await Store.DisposeAsync();
        Store = await OpenAsync();
    }

    private async Task<(int Expired, long Next)> CountExpiredAsync(long after, long finishedBefore, int examine)
    {
        var (expired, next) = await Store.FindExpiredAsync(after, finishedBefore, examine, None);
        return (expired.Count, next);
    }

    private static bool Matches(TaskQuery query, StoredTask stored)
    {
        var (task, spec) = (stored.Task, stored.Spec);
        return (query.Statuses.Count == 0 || query.Statuses.Contains(task.Status))
            && (query.Requester is null || query.Requester == task.Requester)
            && (query.Assignee is null || query.Assignee == task.Assignee)
            && (query.Scope is null || query.Scope == spec.Scope)
            && (query.Owner is null || query.Owner == task.Needs.Owner)
            && (query.Parent is null || query.Parent == task.Parent)
            && query.Labels.All(label => spec.Labels is not null && spec.Labels.ToString().Contains($"\"{label.Replace("=", "\":\"")}\"", StringComparison.Ordinal))
            && (query.VisibleTo is null || query.VisibleTo == task.Requester || query.VisibleTo == task.Needs.Owner || query.VisibleTo == task.Assignee)
            && (query.DeadLettered is null || query.DeadLettered == task.DeadLettered)
            && (query.Before is null || task.Number < query.Before);
    }
}

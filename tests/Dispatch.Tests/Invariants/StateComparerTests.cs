using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Invariants;
using Dispatch.Matching;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Tasks;
using Dispatch.Tests.Support;
using Dispatch.Webhooks;

namespace Dispatch.Tests.Invariants;

/// <summary>Whatever is changed, left out or added in a table must be found. The columns are taken from the records, so that a new one is not forgotten.</summary>
public sealed class StateComparerTests
{
    public static TheoryData<string> TaskMembers => Members(typeof(WorkTask));

    /// <summary>Of any kind of row; one name stands for all that have it.</summary>
    public static TheoryData<string> BaseMembers => [.. new[]
        {
            typeof(WorkTask), typeof(TaskSpec), typeof(EndedAttempt), typeof(IdempotencyRow), typeof(Agent), typeof(AgentToken), typeof(Session), typeof(Publisher),
            typeof(WebhookEndpoint), typeof(Question), typeof(Responder), typeof(Limit), typeof(LimitBalance),
        }.SelectMany(Names).Distinct()];

    public static TheoryData<string> SpecMembers => Members(typeof(TaskSpec));

    public static TheoryData<string> AttemptMembers => Members(typeof(EndedAttempt));

    public static TheoryData<string> KeyMembers => Members(typeof(IdempotencyRow));

    public static TheoryData<string> AgentMembers => Members(typeof(Agent));

    public static TheoryData<string> WebhookMembers => Members(typeof(WebhookEndpoint));

    public static TheoryData<string> QuestionMembers => Members(typeof(Question));

    public static TheoryData<string> ResponderMembers => Members(typeof(Responder));

    public static TheoryData<string> TokenMembers => Members(typeof(AgentToken));

    public static TheoryData<string> SessionMembers => Members(typeof(Session));

    public static TheoryData<string> PublisherMembers => Members(typeof(Publisher));

    public static TheoryData<string> PublishedMembers => Members(typeof(PublishedRow));

    public static TheoryData<string> LimitMembers => Members(typeof(Limit));

    public static TheoryData<string> BalanceMembers => Members(typeof(LimitBalance));

    public static TheoryData<string> UsageMembers => Members(typeof(UsageRow));

    [Fact]
    public async Task A_store_that_was_written_by_the_broker_is_sound()
    {
        var report = await CheckAsync(new Mangled(Filled()));

        Assert.Empty(report.Findings);
        Assert.True(report.IsSound);
        Assert.Equal(report.Events, report.LastSequence);
        Assert.Equal(new RowCounts(Tasks: 4, Attempts: 3, Keys: 1, Agents: 2, Tokens: 1, Sessions: 1, Publishers: 1, Published: 1, Webhooks: 1, Questions: 1, Limits: 4, Balances: 3, Usage: 1), report.Rows);
    }

    [Fact]
    public async Task A_store_whose_log_begins_behind_a_base_is_sound()
    {
        var (run, first) = await ShortenedAsync();
        run.Exchange("w", 5);
        run.Pass(CoreRun.Minute);

        var report = await CheckAsync(run.Store);

        Assert.Empty(report.Findings);
        Assert.Equal((first, run.Store.Sequence - first + 1), (report.Horizon, report.Events));
        Assert.Equal(new RowCounts(Tasks: 4, Attempts: 3, Keys: 1, Agents: 2, Tokens: 1, Sessions: 1, Publishers: 1, Published: 0, Webhooks: 1, Questions: 0, Limits: 4, Balances: 3, Usage: 0) with { Attempts = report.Rows.Attempts }, report.Rows);
    }

    [Theory]
    [InlineData("tasks")]
    [InlineData("attempts")]
    [InlineData("idempotency")]
    [InlineData("agents")]
    [InlineData("tokens")]
    [InlineData("sessions")]
    [InlineData("publishers")]
    [InlineData("webhooks")]
    [InlineData("limits")]
    [InlineData("balances")]
    [InlineData("live tasks")]
    public async Task A_missing_row_is_found_behind_a_base_too(string table)
    {
        var (run, _) = await ShortenedAsync();

        var report = await CheckAsync(new Mangled(run.Store) { Missing = table });

        Assert.Contains(report.Findings, finding => finding is Finding.InTable { Column: "*", Found: "none" } row && row.Table == table);
    }

    [Theory]
    [MemberData(nameof(TaskMembers))]
    public async Task A_changed_task_is_found_behind_a_base_too(string member)
    {
        var (run, _) = await ShortenedAsync();

        await FindsAsync("tasks", new Mangled(run.Store) { Task = stored => stored with { Task = Change(stored.Task, member) } });
    }

    [Fact]
    public async Task A_horizon_that_the_log_does_not_tell_is_found()
    {
        var (run, _) = await ShortenedAsync();

        await FindsAsync("meta", new Mangled(run.Store) { Loaded = loaded => loaded with { Horizon = 1 } });
    }

    [Fact]
    public async Task A_base_that_was_changed_is_found()
    {
        var (run, _) = await ShortenedAsync();
        run.Store.BaseParts[0] = BaseFormat.Pack(System.Text.Encoding.UTF8.GetBytes(string.Join('\n', BaseFormat.Unpack(run.Store.BaseParts[0]).Select(
            row => System.Text.Json.JsonSerializer.Serialize(row.Agent is { } agent ? row with { Agent = agent with { MaxConcurrent = 99 } } : row, BaseJson.Default.BaseRow)))));

        var report = await CheckAsync(run.Store);

        Assert.Contains(report.Findings, finding => finding is Finding.InLog { Invariant: "I-15", Subject: "base" });
        Assert.Contains(report.Findings, finding => finding is Finding.InTable { Table: "agents", Column: "max_concurrent" });
    }

    [Fact]
    public async Task A_base_that_can_not_be_read_is_found()
    {
        var (run, _) = await ShortenedAsync();
        run.Store.BaseParts[0] = [1, 2, 3];

        Assert.Contains((await CheckAsync(run.Store)).Findings, finding => finding is Finding.Unreadable);
    }

    [Theory]
    [MemberData(nameof(BaseMembers))]
    public async Task A_base_keeps_every_member(string member)
    {
        var rows = await BaseFormat.ReadAsync((await ShortenedAsync()).Run.Store.BasePartsAsync(default), default).ToListAsync();
        foreach (var row in rows.Select(row => Altered(row, member)))
        {
            var again = Assert.Single(BaseFormat.Unpack(BaseFormat.Pack(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(row, BaseJson.Default.BaseRow))));
            Assert.Empty(Differences(Columns.Task, row.Task?.Task, again.Task?.Task));
            Assert.Empty(Differences(Columns.Spec, row.Task?.Spec, again.Task?.Spec));
            Assert.Empty(Differences(Columns.Attempt, row.Attempt, again.Attempt));
            Assert.Empty(Differences(Columns.Key, row.Key, again.Key));
            Assert.Empty(Differences(Columns.Agent, row.Agent, again.Agent));
            Assert.Empty(Differences(Columns.Token, row.Token, again.Token));
            Assert.Empty(Differences(Columns.Session, row.Session, again.Session));
            Assert.Empty(Differences(Columns.Publisher, row.Publisher, again.Publisher));
            Assert.Empty(Differences(Columns.Webhook, row.Webhook, again.Webhook));
            Assert.Empty(Differences(Columns.Question, row.Question, again.Question));
            Assert.Empty(Differences(Columns.Responder, row.Responder, again.Responder));
            Assert.Empty(Differences(Columns.Limit, row.Limit, again.Limit));
            Assert.Empty(Differences(Columns.Balance, row.Balance, again.Balance));
        }
    }

    [Theory]
    [MemberData(nameof(TaskMembers))]
    public Task A_changed_task_is_found(string member) => FindsAsync("tasks", new Mangled(Filled()) { Task = stored => stored with { Task = Change(stored.Task, member) } });

    [Theory]
    [MemberData(nameof(TaskMembers))]
    public Task A_changed_task_among_those_a_broker_would_start_from_is_found(string member) =>
        FindsAsync("live tasks", new Mangled(Filled()) { Loaded = loaded => loaded with { Tasks = [.. loaded.Tasks.Select(task => Change(task, member))] } });

    [Theory]
    [MemberData(nameof(SpecMembers))]
    public Task A_changed_payload_is_found(string member) => FindsAsync("tasks", new Mangled(Filled()) { Task = stored => stored with { Spec = Change(stored.Spec, member) } });

    [Theory]
    [MemberData(nameof(AttemptMembers))]
    public Task A_changed_attempt_is_found(string member) => FindsAsync("attempts", new Mangled(Filled()) { Attempt = attempt => Change(attempt, member) });

    [Theory]
    [MemberData(nameof(KeyMembers))]
    public Task A_changed_key_is_found(string member) => FindsAsync("idempotency", new Mangled(Filled()) { Key = row => Change(row, member) });

    [Theory]
    [MemberData(nameof(AgentMembers))]
    public Task A_changed_agent_is_found(string member) =>
        FindsAsync("agents", new Mangled(Filled()) { Loaded = loaded => loaded with { Agents = [.. loaded.Agents.Select(agent => Change(agent, member))] } });

    [Theory]
    [MemberData(nameof(TokenMembers))]
    public Task A_changed_token_is_found(string member) =>
        FindsAsync("tokens", new Mangled(Filled()) { Loaded = loaded => loaded with { Tokens = [.. loaded.Tokens.Select(token => Change(token, member))] } });

    [Theory]
    [MemberData(nameof(SessionMembers))]
    public Task A_changed_session_is_found(string member) =>
        FindsAsync("sessions", new Mangled(Filled()) { Loaded = loaded => loaded with { Sessions = [.. loaded.Sessions.Select(session => Change(session, member))] } });

    [Theory]
    [MemberData(nameof(PublisherMembers))]
    public Task A_changed_publisher_is_found(string member) =>
        FindsAsync("publishers", new Mangled(Filled()) { Loaded = loaded => loaded with { Publishers = [.. loaded.Publishers.Select(publisher => Change(publisher, member))] } });

    [Theory]
    [MemberData(nameof(PublishedMembers))]
    public Task A_changed_row_of_what_was_published_is_found(string member) => FindsAsync("published", new Mangled(Filled()) { Published = row => Change(row, member) });

    [Theory]
    [MemberData(nameof(WebhookMembers))]
    public Task A_changed_webhook_is_found(string member) =>
        FindsAsync("webhooks", new Mangled(Filled()) { Loaded = loaded => loaded with { Webhooks = [.. loaded.Webhooks.Select(webhook => Change(webhook, member))] } });

    [Theory]
    [MemberData(nameof(QuestionMembers))]
    public Task A_changed_question_is_found(string member) =>
        FindsAsync("questions", new Mangled(Filled()) { Loaded = loaded => loaded with { Questions = [.. loaded.Questions.Select(question => Change(question, member))] } });

    [Theory]
    [MemberData(nameof(ResponderMembers))]
    public Task A_changed_responder_is_found(string member) =>
        FindsAsync("responders", new Mangled(Filled()) { Loaded = loaded => loaded with { Responders = [.. loaded.Responders.Select(responder => Change(responder, member))] } });

    [Theory]
    [MemberData(nameof(LimitMembers))]
    public Task A_changed_limit_is_found(string member) =>
        FindsAsync("limits", new Mangled(Filled()) { Loaded = loaded => loaded with { Limits = [.. loaded.Limits.Select(limit => Change(limit, member))] } });

    [Theory]
    [MemberData(nameof(BalanceMembers))]
    public Task A_changed_balance_is_found(string member) =>
        FindsAsync("balances", new Mangled(Filled()) { Loaded = loaded => loaded with { Balances = [.. loaded.Balances.Select(balance => Change(balance, member))] } });

    [Theory]
    [MemberData(nameof(UsageMembers))]
    public Task A_changed_row_of_a_usage_report_is_found(string member) => FindsAsync("usage_reports", new Mangled(Filled()) { Usage = row => Change(row, member) });

    [Fact]
    public Task A_changed_result_is_found() => FindsAsync("tasks", new Mangled(Filled()) { Task = stored => stored with { Result = JsonBytes.Parse("{\"other\":1}") } });

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    public Task A_changed_total_is_found(int state) =>
        FindsAsync("totals", new Mangled(Filled()) { Loaded = loaded => loaded with { Totals = [.. loaded.Totals.Select((total, i) => i == state ? total + 1 : total)] } });

    [Fact]
    public Task Another_end_of_the_log_is_found() => FindsAsync("meta", new Mangled(Filled()) { Loaded = loaded => loaded with { Sequence = loaded.Sequence - 1 } });

    [Theory]
    [InlineData("tasks")]
    [InlineData("attempts")]
    [InlineData("idempotency")]
    [InlineData("agents")]
    [InlineData("tokens")]
    [InlineData("sessions")]
    [InlineData("publishers")]
    [InlineData("published")]
    [InlineData("webhooks")]
    [InlineData("questions")]
    [InlineData("responders")]
    [InlineData("limits")]
    [InlineData("balances")]
    [InlineData("usage_reports")]
    [InlineData("live tasks")]
    public async Task A_missing_row_is_found(string table)
    {
        var store = new Mangled(Filled()) { Missing = table };

        var report = await CheckAsync(store);

        Assert.Contains(report.Findings, finding => finding is Finding.InTable { Column: "*", Found: "none" } row && row.Table == table);
    }

    [Theory]
    [InlineData("tasks")]
    [InlineData("attempts")]
    [InlineData("idempotency")]
    [InlineData("agents")]
    [InlineData("tokens")]
    [InlineData("sessions")]
    [InlineData("publishers")]
    [InlineData("published")]
    [InlineData("webhooks")]
    [InlineData("questions")]
    [InlineData("responders")]
    [InlineData("limits")]
    [InlineData("balances")]
    [InlineData("usage_reports")]
    [InlineData("live tasks")]
    public async Task A_row_that_is_there_twice_is_found(string table)
    {
        var store = new Mangled(Filled()) { Doubled = table };

        var report = await CheckAsync(store);

        Assert.Contains(report.Findings, finding => finding is Finding.InTable { Column: "*", Found: "one" } row && row.Table == table);
    }

    [Fact]
    public async Task What_is_wrong_is_counted_and_only_the_first_of_it_kept()
    {
        var findings = new FindingList(limit: 3);
        for (var i = 0; i < 10; i++)
            findings.Add(new Finding.Unreadable("here", "torn"));

        Assert.Equal(3, findings.Kept.Count);
        Assert.Equal(10, findings.Count);
        await Task.CompletedTask;
    }

    [Fact]
    public async Task A_log_that_can_not_be_folded_is_a_finding_and_ends_the_comparison()
    {
        var report = await CheckAsync(new Mangled(Filled()) { Event = happened => happened.Data is TaskAssigned ? happened with { Subject = Guid.Empty.ToString() } : happened });

        Assert.Contains(report.Findings, finding => finding is Finding.Unreadable { Where: "log" });
        Assert.Equal(new RowCounts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), report.Rows);
    }

    [Fact]
    public async Task A_row_that_can_not_be_read_is_a_finding()
    {
        var report = await CheckAsync(new Mangled(Filled()) { Attempt = _ => throw new StoreException(StoreFault.Corrupt, "Row 7 is torn.") });

        Assert.Contains(report.Findings, finding => finding is Finding.Unreadable { Where: "store" } torn && torn.Problem.Contains("Row 7", StringComparison.Ordinal));
    }

    private static async Task FindsAsync(string table, Mangled store)
    {
        var report = await CheckAsync(store);

        Assert.Contains(report.Findings, finding => finding is Finding.InTable row && row.Table == table);
    }

    private static Task<StoreReport> CheckAsync(IStore store) => StoreCheck.RunAsync(store, new StateOptions(), true, null, CancellationToken.None);

    /// <summary>A store in which every table has rows: a task in progress, one that waits, one completed with a result, one cancelled.</summary>
    private static MemoryStore Filled()
    {
        var run = new CoreRun();
        Fill(run);
        return run.Store;
    }

    private static void Fill(CoreRun run)
    {
        run.Register("w", "code", max: 3);
        run.Register("v", "other");
        run.Run(new CreateToken("t", "hash", "w", "a name", 1_000) { ByAdmin = true });
        run.Run(new OpenSession("s", "a name", "hash", 86_400_000) { ByAdmin = true });
        run.Run(new RegisterPublisher("p", ["tool.executed"], "s") { ByAdmin = true });
        run.Run(new PublishEvents([new NewOutsideEvent(new ToolExecuted("e", JsonBytes.Parse("{}")), "tool", "s")], run.Store.Published("p", ["e"])) { Caller = "p" });
        run.Run(new CreateWebhook("whk_1", new Uri("https://example.org/in"), "The portal", new EventFilter { Types = ["task.*"] }, "whsec_a") { ByAdmin = true });
        run.Run(new RotateWebhookSecret("whk_1", "whsec_b", 1_000) { ByAdmin = true });
        run.Run(new RegisterResponder("judge", ["tool.*"]) { ByAdmin = true });
        run.Run(new AskQuestion("tool.run", "call", "s", JsonBytes.EmptyObject, Verdict.Deny, 60_000) { Caller = "w" });
        run.Run(new SetLimit(Limited("tokens", LimitUnit.Tokens, new LimitWindow(WindowKind.Rolling, RollingMs: CoreRun.Hour))) { ByAdmin = true });
        run.Run(new SetLimit(Limited("models", LimitUnit.Models, LimitWindow.Lifetime) with { Amount = 0, Deny = ["large"] }) { ByAdmin = true });
        run.Run(new ReportUsage("u", "v", null, null, "small", null, JsonBytes.Parse("{\"tokens\":9}"), run.Store.Usage("v", "u")) { Caller = "v" });
        var done = run.Submit(CoreRun.Task("code", key: "k", hash: "h"));
        run.Report("w", new TaskReport.Failed(done, null, "once", true, 0, null));
        run.Settle();
        run.Report("w", new TaskReport.Completed(done, null, JsonBytes.Parse("{\"lines\":3}"), JsonBytes.Parse("{\"tokens\":1}")));
        var running = run.Submit(CoreRun.Task("code", title: "Running"));
        run.Report("w", new TaskReport.Progressed(running, null, 40, "on the way", null));
        var task = CoreRun.Task("nothing like it");
        run.Submit(task with
        {
            Spec = task.Spec with { Budget = new Amounts([new("tokens", 500), new("jobs", 2)]), Estimate = JsonBytes.Parse("{\"tokens\":50,\"model\":\"small\"}") },
        });
        run.Cancel(run.Submit(CoreRun.Task("code")));
    }

    private static Limit Limited(string id, LimitUnit unit, LimitWindow window) => new()
    {
        Id = id,
        Level = LimitLevel.Swarm,
        Target = "",
        Unit = unit,
        Amount = 100_000,
        Window = window,
        Version = 0,
        CreatedAt = 0,
        UpdatedAt = 0,
        LastSequence = 0,
    };

    /// <summary>The same, with a horizon behind all of it.</summary>
    private static async Task<(CoreRun Run, long Horizon)> ShortenedAsync()
    {
        var run = new CoreRun(new StateOptions { LeaseMs = CoreRun.Day });
        Fill(run);
        var known = await run.Store.TakeBaseAsync(default);
        run.Exchange("w", 5);
        Assert.True(run.Run(new TrimLog(known, TrimReason.Age)));
        Assert.False(run.Run(new TrimLog(known, TrimReason.Age)));
        return (run, known.Sequence + 1);
    }

    /// <summary>The row with another value in the member, if what it holds has one of that name.</summary>
    private static BaseRow Altered(BaseRow row, string member)
    {
        return row with
        {
            Task = row.Task is { } stored ? stored with { Task = In(stored.Task)!, Spec = In(stored.Spec)! } : null,
            Attempt = In(row.Attempt),
            Key = In(row.Key),
            Agent = In(row.Agent),
            Token = In(row.Token),
            Session = In(row.Session),
            Publisher = In(row.Publisher),
            Webhook = In(row.Webhook),
            Question = In(row.Question),
            Responder = In(row.Responder),
            Limit = In(row.Limit),
            Balance = In(row.Balance),
        };

        T? In<T>(T? record)
            where T : class => record is null || typeof(T).GetProperty(member) is not { CanWrite: true } ? record : Change(record, member);
    }

    private static IEnumerable<string> Differences<T>(Column<T>[] columns, T? one, T? other)
        where T : class =>
        one is null && other is null ? [] : columns.Where(column => !Equals(column.Read(one!), column.Read(other!))).Select(column => column.Name);

    private static TheoryData<string> Members(Type record) => [.. Names(record)];

    private static IEnumerable<string> Names(Type record) => record.GetProperties().Where(property => property.CanWrite).Select(property => property.Name);

    /// <summary>A copy of the record in which one member has another value.</summary>
    private static T Change<T>(T record, string member)
        where T : notnull
    {
        var copy = (T)typeof(T).GetMethod("<Clone>$")!.Invoke(record, null)!;
        var property = typeof(T).GetProperty(member)!;
        property.SetValue(copy, Other(property.PropertyType, property.GetValue(record)));
        return copy;
    }

    private static object Other(Type type, object? value) => (Nullable.GetUnderlyingType(type) ?? type) switch
    {
        var t when t == typeof(string) => value + "!",
        var t when t == typeof(long) => (long)(value ?? 0L) + 1,
        var t when t == typeof(int) => (int)value! + 1,
        var t when t == typeof(byte) => (byte)((byte)value! + 1),
        var t when t == typeof(bool) => !(bool)value!,
        var t when t == typeof(TaskId) => new TaskId(new Guid(1, 2, 3, new byte[8])),
        var t when t == typeof(TaskId[]) => new[] { new TaskId(new Guid(1, 2, 3, new byte[8])) },
        var t when t == typeof(string[]) => new[] { "other" },
        var t when t == typeof(JsonBytes) => JsonBytes.Parse("{\"changed\":true}"),
        var t when t == typeof(QuestionAnswer[]) => new[] { new QuestionAnswer("other", Verdict.Allow, null, null, 1) },
        var t when t == typeof(EventFilter) => new EventFilter { Types = ["other"] },
        var t when t == typeof(Requirement) => new RequirementPool().Get(["other"], [], null),
        var t when t == typeof(TaskProgress) => new TaskProgress(99, "changed", null, 1),
        var t when t == typeof(Amounts) => new Amounts([new("other", 1)]),
        var t when t == typeof(TaskCost) => new TaskCost("other", null, default, Estimate.None),
        var t when t == typeof(TaskCharge) => new TaskCharge(new Amounts([new("other", 1)])),
        var t when t == typeof(LimitWindow) => new LimitWindow(WindowKind.Week, "Europe/Berlin", 3, 2),
        var t when t == typeof(IReadOnlyList<RollingStep>) => new[] { new RollingStep(1, 2) },
        var t when t == typeof(MatchScore) => new MatchScore(9, 9, 9, 9, 9, 9, 9),
        { IsEnum: true } t => Enum.GetValues(t).Cast<object>().First(other => !other.Equals(value)),
        var t => throw new NotSupportedException($"What is another value of {t}?"),
    };

    /// <summary>A store whose rows come out otherwise than they went in.</summary>
    private sealed class Mangled(MemoryStore store) : IStore, IStoreAudit
    {
        public Func<DispatchEvent, DispatchEvent> Event { get; init; } = happened => happened;

        public Func<StoredTask, StoredTask> Task { get; init; } = stored => stored;

        public Func<EndedAttempt, EndedAttempt> Attempt { get; init; } = attempt => attempt;

        public Func<IdempotencyRow, IdempotencyRow> Key { get; init; } = row => row;

        public Func<PublishedRow, PublishedRow> Published { get; init; } = row => row;

        public Func<UsageRow, UsageRow> Usage { get; init; } = row => row;

        public Func<LoadedState, LoadedState> Loaded { get; init; } = loaded => loaded;

        public string? Missing { get; init; }

        public string? Doubled { get; init; }

        public Task<IStoreAudit> OpenAuditAsync(CancellationToken cancel) => System.Threading.Tasks.Task.FromResult<IStoreAudit>(this);

        public Task<LogBase?> FindBaseAsync(CancellationToken cancel) => store.FindBaseAsync(cancel);

        public IAsyncEnumerable<byte[]> BasePartsAsync(CancellationToken cancel) => store.BasePartsAsync(cancel);

        public Task<LogExtent> FindExtentAsync(CancellationToken cancel) => throw new NotSupportedException();

        public Task<LogBase> TakeBaseAsync(CancellationToken cancel) => throw new NotSupportedException();

        public Task PrepareTrimAsync(long upTo, CancellationToken cancel) => throw new NotSupportedException();

        public Task<bool> TrimAsync(int most, CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<FollowerPlace>> ListCursorsAsync(CancellationToken cancel) => throw new NotSupportedException();

        public IAsyncEnumerable<LogEntry> EventsAsync(CancellationToken cancel)
        {
            var chain = new HashChain(HashChain.Start);
            return store.EventsAsync(cancel).Select(entry => Event(State.Read(entry))).Select(happened => EventTexts.Of([happened], chain).Entry(happened, 0));
        }

        public IAsyncEnumerable<StoredTask> TasksAsync(CancellationToken cancel) => Rows("tasks", store.TasksAsync(cancel).Select(Task));

        public IAsyncEnumerable<EndedAttempt> AttemptsAsync(CancellationToken cancel) => Rows("attempts", store.AttemptsAsync(cancel).Select(Attempt));

        public IAsyncEnumerable<IdempotencyRow> KeysAsync(CancellationToken cancel) => Rows("idempotency", store.KeysAsync(cancel).Select(Key));

        public IAsyncEnumerable<UsageRow> UsageAsync(CancellationToken cancel) => Rows("usage_reports", store.UsageAsync(cancel).Select(Usage));

        public IAsyncEnumerable<PublishedRow> PublishedAsync(CancellationToken cancel) => Rows("published", store.PublishedAsync(cancel).Select(Published));

        public Task<LoadedState> LoadAsync(CancellationToken cancel)
        {
            var loaded = Loaded(store.Loaded());
            return System.Threading.Tasks.Task.FromResult(loaded with
            {
                Agents = Rows("agents", loaded.Agents),
                Tokens = Rows("tokens", loaded.Tokens),
                Sessions = Rows("sessions", loaded.Sessions),
                Publishers = Rows("publishers", loaded.Publishers),
                Webhooks = Rows("webhooks", loaded.Webhooks),
                Questions = Rows("questions", loaded.Questions),
                Responders = Rows("responders", loaded.Responders),
                Limits = Rows("limits", loaded.Limits),
                Balances = Rows("balances", loaded.Balances),
                Tasks = Rows("live tasks", loaded.Tasks),
            });
        }

        public Task CommitAsync(Batch batch, long epoch, CancellationToken cancel) => throw new NotSupportedException();

        public Task SaveCursorsAsync(IReadOnlyList<(string Name, long Sequence)> cursors, IReadOnlyList<WebhookDelivery> deliveries, CancellationToken cancel) =>
            throw new NotSupportedException();

        public Task<IReadOnlyDictionary<string, long>> LoadCursorsAsync(CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<WebhookDelivery>> ListDeliveriesAsync(string webhook, int limit, CancellationToken cancel) => throw new NotSupportedException();

        public Task<StoredQuestion?> FindQuestionAsync(string id, CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<StoredQuestion>> ListQuestionsAsync(QuestionQuery query, CancellationToken cancel) => throw new NotSupportedException();

        public Task ProbeAsync(CancellationToken cancel) => throw new NotSupportedException();

        public Task<StoredTask?> FindTaskAsync(TaskId id, CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<TaskSpec?>> FindSpecsAsync(IReadOnlyList<long> numbers, CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<StoredTask>> ListTasksAsync(TaskQuery query, CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<EndedAttempt>> ListAttemptsAsync(long taskNumber, CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<DispatchEvent>> ListHistoryAsync(long lastSequence, int limit, CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<LogEntry>> ListEventsAsync(long after, int limit, CancellationToken cancel) => throw new NotSupportedException();

        public Task<StoreFacts> FindFactsAsync(IReadOnlyList<TaskId> tasks, IReadOnlyList<IdempotencyKey> keys, CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<LedgerEntry>> ListLedgerAsync(LedgerQuery query, CancellationToken cancel) => throw new NotSupportedException();

        public Task<UsageFacts> FindUsageAsync(string reporter, string id, TaskId? task, CancellationToken cancel) => throw new NotSupportedException();

        public Task<PublishedFacts> FindPublishedAsync(string publisher, IReadOnlyList<string> ids, CancellationToken cancel) => throw new NotSupportedException();

        public Task<(IReadOnlyList<StoredTask> Expired, long Next)> FindExpiredAsync(long after, long finishedBefore, int examine, CancellationToken cancel) =>
            throw new NotSupportedException();

        public ValueTask DisposeAsync() => default;

        private IAsyncEnumerable<T> Rows<T>(string table, IAsyncEnumerable<T> rows) =>
            table == Missing ? rows.Skip(1) : table == Doubled ? rows.SelectMany(row => AsyncEnumerable.Repeat(row, 2)) : rows;

        private IReadOnlyList<T> Rows<T>(string table, IReadOnlyList<T> rows) =>
            table == Missing ? [.. rows.Skip(1)] : table == Doubled ? [.. rows, rows[0]] : rows;
    }
}

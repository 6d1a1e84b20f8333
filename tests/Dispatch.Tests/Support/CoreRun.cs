using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Invariants;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Tests.Support;

/// <summary>
/// The pure core with clocks that are set by hand, one seed, and a store in memory. What a batch leaves behind is checked as it closes:
/// everything derived against the records it is derived from.
/// </summary>
internal sealed class CoreRun
{
    public const long Second = 1_000;
    public const long Minute = 60_000;
    public const long Hour = 3_600_000;
    public const long Day = 86_400_000;

    private readonly StateOptions options;
    private readonly bool check;
    private readonly Random random;
    private readonly IdSource ids;

    /// <param name="check">False where a run is too large to be counted again after every batch.</param>
    public CoreRun(StateOptions? options = null, int seed = 1, bool check = true)
    {
        this.options = options ?? new StateOptions();
        this.check = check;
        random = new Random(seed);
        ids = new IdSource(random);
        Core = Load();
    }

    public MemoryStore Store { get; } = new();

    public Core Core { get; private set; }

    public State State => Core.State;

    /// <summary>What a clock on the wall shows, Unix milliseconds.</summary>
    public long Wall { get; private set; } = 1_790_000_000_000;

    /// <summary>Milliseconds since the process started.</summary>
    public long Elapsed { get; private set; }

    /// <summary>One command in a batch of its own.</summary>
    public T Run<T>(Command<T> command)
    {
        var answer = Take(command);
        Close();
        return answer.Outcome;
    }

    /// <summary>One command into the open batch.</summary>
    public Answer<T> Take<T>(Command<T> command)
    {
        var answer = new Answer<T>(command);
        Core.Take(command, answer);
        return answer;
    }

    public ClosedBatch Close()
    {
        var closed = Core.Close();
        Store.Write(closed.Batch);
        if (check)
            Assert.Empty(StateConsistency.Check(State));
        return closed;
    }

    /// <summary>Batches until nothing is left to do now.</summary>
    public void Settle()
    {
        for (var batches = 0; Core.HasWork; batches++)
        {
            Assert.True(batches < 10_000, "the core never comes to rest");
            Close();
        }
    }

    /// <summary>Time passes, on both clocks; what falls due on the way does so at its time.</summary>
    public void Pass(long ms)
    {
        Settle();
        var end = Elapsed + ms;
        while (true)
        {
            var untilDue = Math.Min(Core.NextDue - Elapsed, Core.NextWallDue - State.Now);
            Move(Math.Clamp(untilDue, 0, end - Elapsed));
            Settle();
            if (Elapsed == end)
                return;
        }
    }

    /// <summary>Time passes on both clocks and nobody looks.</summary>
    public void Move(long ms)
    {
        Wall += ms;
        Elapsed += ms;
        Core.MoveClocks(Wall, Elapsed);
    }

    /// <summary>Somebody sets the clock on the wall.</summary>
    public void SetWall(long byMs)
    {
        Wall += byMs;
        Core.MoveClocks(Wall, Elapsed);
    }

    /// <summary>The process ends and another one loads what is stored.</summary>
    public void Restart()
    {
        Elapsed = 0;
        Core = Load();
        Settle();
    }

    /// <summary>The whole store against its own log, by the rules of the log.</summary>
    public async Task CheckStoreAsync()
    {
        var report = await StoreCheck.RunAsync(Store, options, options.OwnerFilter, null, CancellationToken.None);
        Assert.True(report.IsSound, string.Join('\n', report.Findings));
    }

    // ---- short forms of common commands ----------------------------------------------------------------------------------

    public AgentView Register(string id, string capabilities = "", int max = 3, AgentStatus status = AgentStatus.Ready, string? owner = null) =>
        Run(Registration(id, capabilities, max, status, owner));

    public static RegisterAgent Registration(string id, string capabilities = "", int max = 3, AgentStatus status = AgentStatus.Ready, string? owner = null) =>
        new(id, Words(capabilities), owner, null, max, status, null) { Caller = id };

    public static NewTask Task(
        string required = "", string preferred = "", byte priority = 5, string? owner = null, int retries = 3, long timeoutMs = 300_000, long? runAt = null,
        long? deadline = null, TaskId[]? after = null, TaskId? id = null, string? key = null, string? hash = null, string title = "Count lines") => new()
        {
            Id = id,
            Spec = new TaskSpec { Title = title, IdempotencyKey = key },
            Required = Words(required),
            Preferred = Words(preferred),
            Priority = priority,
            Owner = owner,
            MaxRetries = retries,
            TimeoutMs = timeoutMs,
            RunAt = runAt,
            Deadline = deadline,
            DependsOn = after ?? [],
            BodyHash = hash,
        };

    /// <summary>Submits with what the store knows now.</summary>
    public SubmitOutcome Try(string requester, params NewTask[] tasks) => Run(Submission(requester, tasks));

    public SubmitTasks Submission(string requester, params NewTask[] tasks)
    {
        var about = tasks.SelectMany(task => task.DependsOn.Append(task.Id ?? default).Append(task.Parent ?? default)).Where(id => !id.IsNone).Distinct();
        var keys = tasks.Where(task => task.Spec.IdempotencyKey is not null).Select(task => new IdempotencyKey(requester, task.Spec.IdempotencyKey!)).Distinct();
        return new SubmitTasks(tasks, Store.Facts(about, keys)) { Caller = requester };
    }

    public TaskId[] Submit(params NewTask[] tasks) =>
        [.. Assert.IsType<SubmitOutcome.Accepted>(Try("alice", tasks)).Tasks.Select(task => task.Id)];

    public TaskId Submit(NewTask task) => Submit([task])[0];

    public ExchangeOutcome Exchange(string agent, int max = 0, TaskReport[]? reports = null, HeldAttempt[]? holding = null, AgentStatus? status = null) =>
        Run(new ExchangeWork(agent, reports ?? [], holding ?? [], status, max) { Caller = agent })!;

    public ReportVerdict Report(string agent, TaskReport report) => Run(new ReportTask(report) { Caller = agent }).Verdict;

    public ReportVerdict Start(string agent, TaskId task) => Report(agent, new TaskReport.Started(task, null));

    public ReportVerdict Complete(string agent, TaskId task) => Report(agent, new TaskReport.Completed(task, null, null, null));

    public ReportVerdict Fail(string agent, TaskId task, bool retryable = true, long? afterMs = 0) =>
        Report(agent, new TaskReport.Failed(task, null, "broken", retryable, afterMs, null));

    public ChangeOutcome Cancel(TaskId task) => Run(new CancelTask(task, "not wanted") { Caller = "alice" });

    public void Beat(string agent, AgentStatus? status = null) => Run(new Heartbeat(agent, status) { Caller = agent });

    /// <summary>The task as it stands, in memory or stored.</summary>
    public WorkTask this[TaskId id] => State.Tasks.Find(id)?.Task ?? Store.Find(id)!.Task;

    public IReadOnlyList<EventData> HistoryOf(TaskId id) => [.. Store.Events.Where(happened => happened.Subject == id.ToString()).Select(happened => happened.Data)];

    public IReadOnlyList<EventData> HistoryOf(string agent) => [.. Store.Events.Where(happened => happened.Subject == agent).Select(happened => happened.Data)];

    private static string[] Words(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    private Core Load() => new(State.Load(Store.Loaded(), options, Wall, Elapsed), ids, random);
}

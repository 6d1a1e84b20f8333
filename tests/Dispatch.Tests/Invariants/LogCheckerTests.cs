using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Invariants;
using Dispatch.Matching;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sessions;
using Dispatch.Settings;
using Dispatch.Tasks;
using Dispatch.Tests.Support;
using Dispatch.Webhooks;

namespace Dispatch.Tests.Invariants;

/// <summary>Each rule is broken once on purpose: a rule that is never seen to fail checks nothing.</summary>
public sealed class LogCheckerTests
{
    private static readonly MatchScore Why = new(1, 1, 1, 1, 0, 1, 1);

    /// <summary>What is done to a legal log, and the rule that must catch it.</summary>
    private static readonly Dictionary<string, (string Rule, Action<Script> Write)> Faults = new(StringComparer.Ordinal)
    {
        ["an event is missing"] = ("I-11", log => log.Skip().Create("a")),
        ["a number comes twice"] = ("I-11", log => log.Create("a").Repeat()),
        ["time goes back"] = ("I-24", log => log.Create("a").Wait(-1).Create("b")),
        ["the cause comes later"] = ("I-13", log => log.Create("a", causedBy: 99)),
        ["the chain of a subject is torn"] = ("I-13", log => log.Create("a").Assign("a", "w", 1, previous: 1)),
        ["an id is used twice"] = ("I-3", log => log.Create("a").Create("a")),
        ["a key is used twice"] = ("I-3", log => log.Create("a", key: "k").Create("b", key: "k")),
        ["somebody else submits"] = ("I-2", log => log.Create("a", actor: "mallory")),
        ["it is given while held"] = ("I-4", log => log.Create("a").Assign("a", "w", 1).Assign("a", "w", 2)),
        ["an attempt number comes again"] = ("I-5", log => log.Create("a").Assign("a", "w", 1).Release("a", "w", 1).Assign("a", "w", 1)),
        ["an attempt number falls"] = ("I-5", log => log.Create("a").Assign("a", "w", 2).Release("a", "w", 2).Assign("a", "w", 1)),
        ["another agent completes"] = ("I-6", log => log.Agent("x").Create("a").Assign("a", "w", 1).Complete("a", "x", 1)),
        ["an old attempt completes"] = ("I-6", log => log.Create("a").Assign("a", "w", 1).Release("a", "w", 1).Assign("a", "w", 2).Complete("a", "w", 1)),
        ["another agent reports in the holder's name"] = ("I-6", log => log.Create("a").Assign("a", "w", 1).Complete("a", "w", 1, actor: "x")),
        ["an agent that is offline completes"] = ("I-6", log => log.Create("a").Assign("a", "w", 1).Add("w", new AgentOffline(1)).Complete("a", "w", 1)),
        ["nobody holds it"] = ("I-6", log => log.Create("a").Complete("a", "w", 1)),
        ["a completed task is completed again"] = ("I-7", log => log.Create("a").Assign("a", "w", 1).Complete("a", "w", 1).Complete("a", "w", 1)),
        ["a completed task is put back"] = ("I-7", log => log.Create("a").Assign("a", "w", 1).Complete("a", "w", 1).Add("a", new TaskRetried(0, 0, true))),
        ["a cancelled task is given out"] = ("I-7", log => log.Create("a").Cancel("a").Assign("a", "w", 1)),
        ["a dead letter retries by itself"] = ("I-7", log => log.Create("a", retries: 3).Assign("a", "w", 1).Fail("a", "w", 1).Bury("a").Add("a", new TaskRetried(1, 0, false))),
        ["a failed attempt is followed by a cancel"] = ("I-7", log => log.Create("a").Assign("a", "w", 1).Fail("a", "w", 1).Cancel("a")),
        ["one retry too many"] = ("I-8", log => log.Create("a", retries: 0).Assign("a", "w", 1).Fail("a", "w", 1).Add("a", new TaskRetried(1, 0, false))),
        ["a retry is not counted"] = ("I-8", log => log.Create("a", retries: 3).Assign("a", "w", 1).Fail("a", "w", 1).Add("a", new TaskRetried(0, 0, false))),
        ["a vanished agent is not charged"] = ("I-8", log => log.Create("a", retries: 3).Assign("a", "w", 1).Add("w", new AgentOffline(1)).Add("a", new TaskReassigned("w", 1, "gone", 0, true))),
        ["it is given up too early"] = ("I-8", log => log.Create("a", retries: 3).Assign("a", "w", 1).Add("w", new AgentOffline(1)).Add("a", new TaskReassigned("w", 1, "gone", 0, false)).Bury("a")),
        ["an unknown agent gets it"] = ("I-9", log => log.Create("a").Assign("a", "nobody", 1)),
        ["an agent that is offline gets it"] = ("I-9", log => log.Add("w", new AgentOffline(1)).Create("a").Assign("a", "w", 1)),
        ["a sleeping agent gets it"] = ("I-9", log => log.Add("w", new AgentStatusChanged(AgentStatus.Ready, AgentStatus.Sleeping)).Create("a").Assign("a", "w", 1)),
        ["a degraded agent gets it"] = ("I-9", log => log.Add("w", new AgentStatusChanged(AgentStatus.Ready, AgentStatus.Degraded)).Create("a").Assign("a", "w", 1)),
        ["a drained agent gets it"] = ("I-9", log => log.Add("w", new AgentDrained()).Create("a").Assign("a", "w", 1)),
        ["an agent that left gets it"] = ("I-9", log => log.Add("w", new AgentDeregistered("left")).Create("a").Assign("a", "w", 1)),
        ["an agent without the capability gets it"] = ("I-9", log => log.Create("a", required: ["gpu"]).Assign("a", "w", 1)),
        ["an agent of another owner gets it"] = ("I-9", log => log.Create("a", owner: "ann").Assign("a", "w", 1)),
        ["an agent gets more than it may hold"] = ("I-23", log => log.Agent("one", max: 1).Create("a").Create("b").Assign("a", "one", 1).Assign("b", "one", 1)),
        ["it is given before its time"] = ("I-10", log => log.Create("a", status: TaskState.Scheduled, runAt: Script.Start + 100).Add("a", new TaskUpdated("due", TaskState.Pending, null, null))),
        ["it is born pending before its time"] = ("I-10", log => log.Create("a", runAt: Script.Start + 100)),
        ["it is freed before its dependency completed"] = ("I-10", log => log.Create("a").Create("b", status: TaskState.Blocked, after: "a").Add("b", new TaskUpdated("dependencies_met", TaskState.Pending, null, null))),
        ["it is born pending before its dependency completed"] = ("I-10", log => log.Create("a").Create("b", after: "a")),
        ["it is put back before its dependency completed"] = ("I-10", log => log.Create("a").Create("b", status: TaskState.Blocked, after: "a").Cancel("b").Add("b", new TaskRetried(0, 0, true))),
        ["it depends on itself"] = ("I-10", log => log.Create("a", status: TaskState.Blocked, after: "a")),
        ["it depends on what is not there"] = ("I-10", log => log.Create("a", status: TaskState.Blocked, after: "b")),
        ["a failed attempt leads nowhere"] = ("I-13", log => log.Create("a").Assign("a", "w", 1).Fail("a", "w", 1)),
        ["it starts twice"] = ("I-13", log => log.Create("a").Assign("a", "w", 1).Add("a", new TaskStarted("w", 1), "w").Add("a", new TaskStarted("w", 1), "w")),
        ["it makes progress unstarted"] = ("I-13", log => log.Create("a").Assign("a", "w", 1).Add("a", new TaskProgressed("w", 1, null, null, null), "w")),
        ["it is updated into a state it can't reach"] = ("I-13", log => log.Create("a").Add("a", new TaskUpdated("due", TaskState.Scheduled, null, null))),
        ["it was never created"] = ("I-13", log => log.Cancel("a")),
        ["a live task is removed"] = ("I-1", log => log.Create("a").Prune(cancelled: 0, "a")),
        ["an unknown task is removed"] = ("I-1", log => log.Create("a").Cancel("a").Prune(cancelled: 1, "a").Prune(cancelled: 1, "a")),
        ["a removal counts wrongly"] = ("I-13", log => log.Create("a").Cancel("a").Prune(cancelled: 2, "a")),
        ["an agent leaves with work"] = ("I-13", log => log.Create("a").Assign("a", "w", 1).Add("w", new AgentDeregistered("left"))),
        ["an agent changes from what it was not"] = ("I-13", log => log.Add("w", new AgentStatusChanged(AgentStatus.Busy, AgentStatus.Ready))),
        ["an agent goes offline twice"] = ("I-13", log => log.Add("w", new AgentOffline(1)).Add("w", new AgentOffline(1))),
        ["an agent is taken from that did not vanish"] = ("I-13", log => log.Create("a", retries: 1).Assign("a", "w", 1).Add("a", new TaskReassigned("w", 1, "gone", 1, true))),
        ["an agent is drained twice"] = ("I-13", log => log.Add("w", new AgentDrained()).Add("w", new AgentDrained())),
        ["an agent wakes unasked"] = ("I-13", log => log.Add("w", new AgentWoken())),
        ["an agent that is awake is woken"] = ("I-13", log => log.Add("w", new AgentWakeRequested(Script.Id("a")))),
        ["an unknown agent goes"] = ("I-13", log => log.Add("x", new AgentOffline(1))),
        ["a token is revoked twice"] = ("I-13", log => log.Add("t", new TokenCreated("h", "w", null, null)).Add("t", new TokenRevoked()).Add("t", new TokenRevoked())),
        ["a session is opened twice"] = ("I-13", log => log.Add("s", new SessionCreated(null, Script.Start + 100)).Add("s", new SessionCreated(null, Script.Start + 100))),
        ["a session is closed twice"] = ("I-13", log => log.Add("s", new SessionCreated(null, Script.Start + 100)).Add("s", new SessionClosed(SessionEnd.Closed)).Add("s", new SessionClosed(SessionEnd.Closed))),
        ["a session expires before its time"] = ("I-13", log => log.Add("s", new SessionCreated(null, Script.Start + 100)).Add("s", new SessionClosed(SessionEnd.Expired))),
        ["a session is given two tokens"] = ("I-13", log => log.Add("s", new SessionCreated(null, Script.Start + 100)).Add("s", new SessionTokenMade("h")).Add("s", new SessionTokenMade("h"))),
        ["a publisher is removed twice"] = ("I-13", log => log.Add("p", new PublisherRegistered(["tool.executed"], null)).Add("p", new PublisherRemoved()).Add("p", new PublisherRemoved())),
        ["an event comes from nobody"] = ("I-13", log => log.Add("x", new ToolExecuted("e", JsonBytes.EmptyObject), "p", previous: 0)),
        ["an event of another type is published"] = ("I-13", log => log.Add("p", new PublisherRegistered(["tool.executed"], null)).Add("x", new MemoryUpdated("e", JsonBytes.EmptyObject), "p", previous: 0)),
        ["an event of another session is published"] = ("I-13", log => log.Add("p", new PublisherRegistered(["tool.executed"], "s")).Add("x", new ToolExecuted("e", JsonBytes.EmptyObject), "p", previous: 0, session: "t")),
        ["an id is published twice"] = ("I-3", log => log.Add("p", new PublisherRegistered(["tool.executed"], null)).Add("x", new ToolExecuted("e", JsonBytes.EmptyObject), "p", previous: 0).Add("y", new ToolExecuted("e", JsonBytes.EmptyObject), "p", previous: 0)),
        ["a session's event belongs to another"] = ("I-13", log => log.Add("s", new SessionCreated(null, Script.Start + 100), session: "other")),
        ["the horizon moves beyond the log"] = ("I-13", log => log.Add("log", new LogTrimmed(99, TrimReason.Age, "x"), previous: 0)),
        ["the horizon moves back"] = ("I-13", log => log.Create("a").Create("b").Add("log", new LogTrimmed(3, TrimReason.Age, "x"), previous: 0).Add("log", new LogTrimmed(2, TrimReason.Age, "x"), previous: 0)),
        ["a webhook is made twice"] = ("I-13", log => log.Webhook("h").Webhook("h")),
        ["a webhook comes back"] = ("I-13", log => log.Webhook("h").Add("h", new WebhookDeleted()).Webhook("h", previous: 0)),
        ["an unknown webhook changes"] = ("I-13", log => log.Add("h", new WebhookUrlSet("https://example.org/"))),
        ["a webhook is disabled twice"] = ("I-13", log => log.Webhook("h").Add("h", new WebhookDisabled("It fails.")).Add("h", new WebhookDisabled("It fails."))),
        ["an unknown question is answered"] = ("I-13", log => log.Answer("q", "admin", Verdict.Allow, Verdict.Allow)),
        ["a question is asked twice"] = ("I-13", log => log.Ask("q").Ask("q")),
        ["a responder answers twice"] = ("I-13", log => log.Responder("r").Responder("s").Ask("q", awaited: ["r", "s"]).Answer("q", "r", Verdict.Allow, null).Answer("q", "r", Verdict.Allow, Verdict.Allow)),
        ["somebody answers who may not"] = ("I-2", log => log.Ask("q").Answer("q", "r", Verdict.Allow, Verdict.Allow)),
        ["somebody else answers for a responder"] = ("I-2", log => log.Responder("r").Ask("q").Answer("q", "r", Verdict.Allow, Verdict.Allow, actor: "s")),
        ["a denied question is allowed"] = ("I-13", log => log.Ask("q").Answer("q", "admin", Verdict.Deny, Verdict.Allow)),
        ["a denied question stays open"] = ("I-13", log => log.Ask("q").Answer("q", "admin", Verdict.Deny, null)),
        ["an answer without a change modifies"] = ("I-13", log => log.Ask("q").Answer("q", "admin", Verdict.Modify, Verdict.Modify)),
        ["a question expires before its time"] = ("I-13", log => log.Ask("q").Add("q", new QuestionExpired(Verdict.Deny, null))),
        ["an expired question is not what its default says"] = ("I-13", log => log.Ask("q").Wait(200).Add("q", new QuestionExpired(Verdict.Allow, null))),
        ["an unknown responder is waited for"] = ("I-13", log => log.Ask("q", awaited: ["r"])),
        ["an unknown responder is removed"] = ("I-13", log => log.Add("r", new ResponderRemoved())),
        ["a responder is registered for nothing"] = ("I-13", log => log.Add("r", new ResponderRegistered([]))),
        ["a task is given out before it is confirmed"] = ("I-10", log => log.Create("a", confirm: true)),
        ["a task that asked for no confirmation is asked about"] = ("I-13", log => log.Create("a").AskAbout("q", "a")),
        ["a task is confirmed and was denied"] = ("I-10", log => log.Create("a", TaskState.Blocked, confirm: true).AskAbout("q", "a").Answer("q", "admin", Verdict.Deny, Verdict.Deny)),
        ["a task's question is withdrawn and it goes on"] = ("I-10", log => log.Create("a", TaskState.Blocked, confirm: true).AskAbout("q", "a").Add("q", new QuestionWithdrawn("no"))),
        ["somebody reloads the configuration"] = ("I-13", log => log.Add("config", new ConfigReloaded(["agents.lease_ms"], []), actor: "mallory", previous: 0)),
        ["a key of the configuration is named twice"] = ("I-13", log => log.Add("config", new ConfigReloaded(["agents.lease_ms"], ["agents.lease_ms"]), previous: 0)),
        ["a reload has a history"] = ("I-13", log => log.Add("config", new ConfigReloaded([], ["server.port"]), previous: 1)),
        ["more is reserved than a limit has"] = ("I-16", log => log.Limit("l", amount: 100).Create("a").Assign("a", "w", 1, ("l", 101))),
        ["more is reserved than others left"] = ("I-16", log => log.Limit("l", amount: 100).Create("a").Create("b").Assign("a", "w", 1, ("l", 60)).Assign("b", "w", 1, ("l", 60))),
        ["more is reserved than is not spent"] = ("I-16", log => log.Limit("l", amount: 100).Create("a").Create("b").Assign("a", "w", 1, ("l", 10)).Complete("a", "w", 1, ("l", 80)).Assign("b", "w", 1, ("l", 30))),
        ["more is reserved than was not reported as spent"] = ("I-16", log => log.Limit("l", amount: 100).Usage("u", ("l", 80)).Create("a").Assign("a", "w", 1, ("l", 30))),
        ["more is reserved than a rolling window has left"] = ("I-16", log => log.Limit("l", amount: 100, window: new LimitWindow(WindowKind.Rolling, RollingMs: 60_000)).Usage("u", ("l", 80)).Wait(59_000).Create("a").Assign("a", "w", 1, ("l", 30))),
        ["more is reserved than a lowered limit has"] = ("I-16", log => log.Limit("l", amount: 100).Limit("l", amount: 10).Create("a").Assign("a", "w", 1, ("l", 50))),
        ["more is reserved than the budget of a task has"] = ("I-16", log => log.Create("a", budget: ("jobs", 1)).Assign("a", "w", 1, (Script.Budget("a", "jobs"), 2))),
        ["one more is held at once than may be"] = ("I-16", log => log.Limit("l", LimitUnit.ConcurrentJobs, 1).Create("a").Create("b").Assign("a", "w", 1, ("l", 1)).Assign("b", "w", 1, ("l", 1))),
        ["it is reserved on no limit"] = ("I-16", log => log.Create("a").Assign("a", "w", 1, ("l", 1))),
        ["it is reserved on a limit that was deleted"] = ("I-16", log => log.Limit("l").Add("l", new AllowanceDeleted()).Create("a").Assign("a", "w", 1, ("l", 1))),
        ["less than nothing is reserved"] = ("I-16", log => log.Limit("l").Create("a").Assign("a", "w", 1, ("l", -1))),
        ["it is reserved in a window that is over"] = ("I-16", log => log.Limit("l", window: new LimitWindow(WindowKind.Hour)).Book("l", new AllowanceReset(Script.Start, Script.Start + 100, null)).Create("a").Wait(100).Assign("a", "w", 1, ("l", 1))),
        ["it is spent and nothing was reserved"] = ("I-16", log => log.Limit("l").Create("a").Assign("a", "w", 1).Complete("a", "w", 1, ("l", 1))),
        ["it is spent on another limit than was reserved"] = ("I-16", log => log.Limit("l").Limit("m").Create("a").Assign("a", "w", 1, ("l", 1)).Complete("a", "w", 1, ("m", 1))),
        ["it is spent after it was given back"] = ("I-16", log => log.Limit("l").Create("a").Assign("a", "w", 1, ("l", 1)).Release("a", "w", 1).Add("a", new TaskCancelled("not wanted", Script.Of(("l", 1))))),
        ["less than nothing is spent"] = ("I-16", log => log.Limit("l").Create("a").Assign("a", "w", 1, ("l", 1)).Complete("a", "w", 1, ("l", -1))),
        ["usage is reported twice"] = ("I-3", log => log.Limit("l").Usage("u", ("l", 1)).Usage("u", ("l", 1))),
        ["a limit has less than nothing"] = ("I-13", log => log.Limit("l", amount: -1)),
        ["a limit warns at nothing"] = ("I-13", log => log.Add("l", new AllowanceSet(LimitLevel.Swarm, null, LimitUnit.Tokens, 1, LimitWindow.Lifetime, null, null, 0, OnExceed.Finish, null, null))),
        ["a limit becomes one of something else"] = ("I-13", log => log.Limit("l").Limit("l", LimitUnit.Jobs)),
        ["the chain of a limit is torn"] = ("I-13", log => log.Limit("l").Limit("l", amount: 5, previous: 0)),
        ["an unknown limit is deleted"] = ("I-13", log => log.Add("l", new AllowanceDeleted())),
        ["a limit is deleted twice"] = ("I-13", log => log.Limit("l").Add("l", new AllowanceDeleted()).Add("l", new AllowanceDeleted())),
        ["a window begins that is over"] = ("I-13", log => log.Limit("l").Book("l", new AllowanceReset(Script.Start - 10, Script.Start, null))),
        ["a window begins that is yet to come"] = ("I-13", log => log.Limit("l").Book("l", new AllowanceReset(Script.Start + 1, Script.Start + 10, null))),
        ["a window begins before the last one ends"] = ("I-13", log => log.Limit("l").Book("l", new AllowanceReset(Script.Start, Script.Start + 10, null)).Wait(5).Book("l", new AllowanceReset(Script.Start + 5, Script.Start + 20, 0))),
        ["an unknown limit warns"] = ("I-13", log => log.Book("l", new AllowanceWarning(LimitUnit.Tokens, 1, 1, 0, 80, null, null))),
        ["an unknown limit is exceeded"] = ("I-13", log => log.Book("l", new AllowanceExceeded(LimitUnit.Tokens, 1, 1, 0, 0, null))),
        ["a webhook is enabled twice"] = ("I-13", log => log.Webhook("h").Add("h", new WebhookEnabled())),
    };

    public static TheoryData<string> FaultNames => [.. Faults.Keys];

    [Theory]
    [MemberData(nameof(FaultNames))]
    public void It_finds_that(string fault)
    {
        var (rule, write) = Faults[fault];
        var log = new Script().Agent("w");
        write(log);

        var found = Check(log.Events);

        Assert.Contains(found, finding => ((Finding.InLog)finding).Invariant == rule);
    }

    [Fact]
    public void It_finds_nothing_in_the_same_stories_told_rightly()
    {
        var log = new Script().Agent("w").Agent("one", max: 1)
            .Create("a", key: "k", retries: 1).Assign("a", "w", 1).Fail("a", "w", 1).Add("a", new TaskRetried(1, 0, false))
            .Assign("a", "w", 2).Fail("a", "w", 2).Bury("a").Add("a", new TaskRetried(0, 0, true))
            .Assign("a", "one", 3).Release("a", "one", 3).Assign("a", "one", 4).Complete("a", "one", 4)
            .Create("b", after: "a").Cancel("b").Add("b", new TaskRetried(0, 0, true))
            .Create("d", status: TaskState.Scheduled, runAt: Script.Start + 100).Wait(100).Add("d", new TaskUpdated("due", TaskState.Pending, null, null))
            .Assign("d", "w", 1).Add("w", new AgentOffline(1)).Add("d", new TaskReassigned("w", 1, "gone", 0, false)).Bury("d")
            .Prune(cancelled: 0, completed: 1, "a").Create("e", key: "k")
            .Add("s", new SessionCreated(null, Script.Start + 150)).Add("s", new SessionTokenMade("h")).Add("s", new SessionClosed(SessionEnd.Closed))
            .Add("s", new SessionCreated(null, Script.Start + 150)).Add("s", new SessionTokenMade("i")).Wait(100).Add("s", new SessionClosed(SessionEnd.Expired))
            .Responder("r").Ask("q", awaited: ["r"]).Answer("q", "r", Verdict.Allow, Verdict.Allow).Ask("p").Wait(100).Add("p", new QuestionExpired(Verdict.Deny, null))
            .Create("f", TaskState.Blocked, confirm: true).AskAbout("u", "f").Answer("u", "admin", Verdict.Allow, Verdict.Allow).Add("f", new TaskUpdated("confirmed", TaskState.Pending, null, null))
            .Create("g", TaskState.Blocked, confirm: true).AskAbout("v", "g").Answer("v", "admin", Verdict.Deny, Verdict.Deny).Cancel("g")
            .Create("h", TaskState.Blocked, confirm: true).AskAbout("x", "h").Cancel("h").Add("x", new QuestionWithdrawn("over"))
            .Limit("l", amount: 100).Limit("n", window: new LimitWindow(WindowKind.Hour)).Book("n", new AllowanceReset(Script.Start, Script.Start + 1_000, null))
            .Create("i", budget: ("jobs", 1)).Assign("i", "one", 1, ("l", 60), ("n", 1), (Script.Budget("i", "jobs"), 1))
            .Book("l", new AllowanceExceeded(LimitUnit.Tokens, 100, 0, 60, 0, null)).Usage("u", ("l", 40)).Complete("i", "one", 1, ("l", 70), (Script.Budget("i", "jobs"), 1))
            .Book("l", new AllowanceWarning(LimitUnit.Tokens, 100, 110, 0, 80, null, null))
            .Wait(1_000).Book("n", new AllowanceReset(Script.Start + 1_000, Script.Start + 2_000, 0)).Limit("l", amount: 200)
            .Create("j").Assign("j", "one", 1, ("l", 90), ("n", 100)).Add("l", new AllowanceDeleted()).Release("j", "one", 1).Limit("l", LimitUnit.Jobs, 1).Add("l", new AllowanceDeleted());

        Assert.Empty(Check(log.Events));
    }

    [Fact]
    public void It_finds_that_more_is_given_back_than_the_base_says_was_reserved()
    {
        var run = new CoreRun();
        run.Register("w");
        var limit = new Limit
        {
            Id = "l",
            Level = LimitLevel.Swarm,
            Target = "",
            Unit = LimitUnit.Jobs,
            Amount = 5,
            Window = LimitWindow.Lifetime,
            Version = 1,
            CreatedAt = 0,
            UpdatedAt = 0,
            LastSequence = 0,
        };
        run.Run(new SetLimit(limit) { ByAdmin = true });
        var task = run.Submit(CoreRun.Task());
        var findings = new FindingList();
        var checker = new LogChecker(findings);
        checker.Begin(new BaseRow { Start = new BaseStart(run.Store.Sequence, run.Wall, [], 1, new long[9]) });
        checker.Begin(new BaseRow { Agent = run.State.Agents.Find("w")!.Agent });
        checker.Begin(new BaseRow { Limit = run.State.Allowances.Find("l") });
        checker.Begin(new BaseRow { Balance = run.State.Allowances.FindBalance("l")! with { Reserved = 0 } });
        checker.Begin(new BaseRow { Task = run.Store.Find(task) });

        run.Report("w", new TaskReport.Released(task, null, null));
        foreach (var happened in run.Store.Events.Where(happened => happened.Data is TaskReleased))
            checker.Check(happened);

        Assert.Contains(findings.Kept, finding => finding is Finding.InLog { Invariant: "I-16" });
    }

    [Fact]
    public async Task It_finds_nothing_in_a_log_of_the_broker()
    {
        var run = new CoreRun();
        run.Register("w", "code", max: 2);
        var first = run.Submit(CoreRun.Task("code", retries: 1));
        run.Submit(CoreRun.Task("code", after: [first], runAt: run.Wall + 500));
        run.Exchange("w", 5);
        run.Fail("w", first);
        run.Exchange("w", 5);
        run.Complete("w", first);
        run.Pass(CoreRun.Minute);

        await run.CheckStoreAsync();

        Assert.NotEmpty(run.Store.Events);
    }

    [Fact]
    public void Whose_agents_may_take_a_task_is_only_checked_where_that_is_known()
    {
        var log = new Script().Agent("w").Create("a", owner: "ann").Assign("a", "w", 1);

        Assert.Empty(Check(log.Events, ownerFilter: null));
    }

    private static IReadOnlyList<Finding> Check(IEnumerable<DispatchEvent> log, bool? ownerFilter = true)
    {
        var findings = new FindingList();
        var checker = new LogChecker(findings, ownerFilter);
        foreach (var happened in log)
            checker.Check(happened);
        checker.Finish();
        return findings.Kept;
    }

    /// <summary>Writes a log event by event, numbered and chained rightly unless told otherwise.</summary>
    private sealed class Script
    {
        public const long Start = 1_000_000;

        private readonly Dictionary<string, long> last = new(StringComparer.Ordinal);
        private readonly Dictionary<string, long> numbers = new(StringComparer.Ordinal);
        private long now = Start;
        private long next = 1;

        public List<DispatchEvent> Events { get; } = [];

        /// <summary>Tasks are named by a letter.</summary>
        public static TaskId Id(string name) => new(new Guid(name[0], 0, 0, new byte[8]));

        public Script Agent(string id, int max = 10) => Add(id, new AgentRegistered([], null, null, max, AgentStatus.Ready, null));

        public Script Webhook(string id, long? previous = null) => Add(id, new WebhookCreated("example.org", null, null, null, null, null), previous: previous);

        public Script Create(
            string name, TaskState status = TaskState.Pending, string? key = null, int retries = 0, string? owner = null, string[]? required = null,
            long? runAt = null, string? after = null, string actor = "alice", long causedBy = 0, bool? confirm = null, (string Name, long Amount)? budget = null) => Add(
            name,
            new TaskCreated(
                status, "alice", "Count", null, null, required ?? [], [], owner, null, key, null, 5, null, null, null, 1_000, retries, runAt, null,
                after is null ? null : [Id(after)], null, confirm, budget is { } own ? Of(own) : null),
            actor, causedBy: causedBy);

        public Script Responder(string id) => Add(id, new ResponderRegistered(["tool.*"]));

        public Script Ask(string id, string[]? awaited = null) => Add(id, new QuestionAsked("tool.run", "call", "w", JsonBytes.EmptyObject, Verdict.Deny, awaited, now + 100), "w");

        public Script AskAbout(string id, string task) =>
            Add(id, new QuestionAsked("task.confirmation", Id(task).ToString(), "alice", JsonBytes.EmptyObject, Verdict.Deny, null, now + 100), "alice");

        public Script Answer(string id, string responder, Verdict answer, Verdict? outcome, string? actor = null) =>
            Add(id, new QuestionAnswered(responder, answer, null, null, outcome, null), actor ?? responder);

        public static string Budget(string task, string unit) => $"task:{Id(task)}/{unit}";

        public static Amounts Of(params (string Key, long Amount)[] amounts) => new([.. amounts.Select(pair => new KeyValuePair<string, long>(pair.Key, pair.Amount))]);

        /// <summary>Of the swarm.</summary>
        public Script Limit(string id, LimitUnit unit = LimitUnit.Tokens, long amount = 1_000, LimitWindow? window = null, long? previous = null) => Add(
            id, new AllowanceSet(LimitLevel.Swarm, null, unit, amount, window ?? LimitWindow.Lifetime, null, null, 80, OnExceed.Finish, null, null), "admin", previous);

        public Script Usage(string id, params (string Key, long Amount)[] spent) =>
            Book("w", new AllowanceCommitted(id, "w", "hash", null, null, null, JsonBytes.EmptyObject, Of(spent)));

        /// <summary>What happens to a balance stands in no chain.</summary>
        public Script Book(string subject, AllowanceEvent data) => Append(subject, data, "system", 0, 0);

        public Script Assign(string name, string agent, int attempt, long? previous = null) => Add(name, new TaskAssigned(agent, attempt, 0, Why), previous: previous);

        public Script Assign(string name, string agent, int attempt, params (string Key, long Amount)[] reserved) =>
            Add(name, new TaskAssigned(agent, attempt, 0, Why, Of(reserved)));

        public Script Complete(string name, string agent, int attempt, string? actor = null) => Add(name, new TaskCompleted(agent, attempt, null, null), actor ?? agent);

        public Script Complete(string name, string agent, int attempt, params (string Key, long Amount)[] spent) =>
            Add(name, new TaskCompleted(agent, attempt, null, null, null, Of(spent)), agent);

        public Script Fail(string name, string agent, int attempt) => Add(name, new TaskFailed(agent, attempt, "broken", true, null), agent);

        public Script Release(string name, string agent, int attempt) => Add(name, new TaskReleased(agent, attempt, "handed back", null), agent);

        public Script Bury(string name) => Add(name, new TaskDeadLettered(TaskState.Failed, "broken"));

        public Script Cancel(string name) => Add(name, new TaskCancelled("not wanted"));

        public Script Prune(int cancelled, params string[] names) => Prune(cancelled, 0, names);

        public Script Prune(int cancelled, int completed, params string[] names)
        {
            var gone = names.Select(name => numbers[Id(name).ToString()]).ToArray();
            foreach (var name in names)
                last.Remove(Id(name).ToString());
            return Append("retention", new TaskPruned(gone, completed, 0, 0, cancelled), "system", 0, 0);
        }

        public Script Wait(long ms)
        {
            now += ms;
            return this;
        }

        public Script Skip()
        {
            next++;
            return this;
        }

        public Script Repeat()
        {
            Events.Add(Events[^1]);
            return this;
        }

        public Script Add(string name, EventData data, string actor = "system", long? previous = null, long causedBy = 0, string? session = null)
        {
            var subject = data is TaskEvent ? Id(name).ToString() : name;
            if (data is TaskCreated)
                numbers[subject] = next;
            var before = previous ?? last.GetValueOrDefault(subject);
            if (data is AgentDeregistered or SessionClosed or AllowanceDeleted)
                last.Remove(subject);
            else
                last[subject] = next;
            return Append(subject, data, actor, causedBy, before, session ?? (data is SessionEvent ? name : null));
        }

        private Script Append(string subject, EventData data, string actor, long causedBy, long previous, string? session = null)
        {
            Events.Add(new DispatchEvent(next++, now, subject, session, actor, causedBy, previous, data));
            return this;
        }
    }
}

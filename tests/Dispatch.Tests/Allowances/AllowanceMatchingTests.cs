using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Settings;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

/// <summary>Who gets what when allowances are short, and who is woken when they are not any more.</summary>
public sealed class AllowanceMatchingTests
{
    private static readonly StateOptions Patient = new() { LeaseMs = 1_000 * CoreRun.Day, ReapAfterMs = 1_000 * CoreRun.Day };

    public static TheoryData<LimitLevel, string> Causes
    {
        get
        {
            var data = new TheoryData<LimitLevel, string>();
            foreach (var level in (LimitLevel[])[LimitLevel.Agent, LimitLevel.Owner, LimitLevel.Team, LimitLevel.Swarm])
            {
                foreach (var cause in (string[])["settled below", "handed back", "window", "rolling", "raised", "deleted", "cool-down", "price", "model", "own limit", "job_ms"])
                    data.Add(level, cause);
            }

            return data;
        }
    }

    [Fact]
    public void An_agent_out_of_allowance_is_no_candidate_and_the_next_best_is_taken()
    {
        var run = new CoreRun(Patient);
        run.Register("best", "a p");
        run.Register("next", "a");
        run.Set(ALimit.Agent("best", LimitUnit.Tokens, 100));
        NewTask Wanted() => ALimit.Task("\"tokens\":60", "a") with { Preferred = ["p"] };

        Assert.Equal("best", run[run.Submit(Wanted())].Assignee);
        Assert.Equal("next", run[run.Submit(Wanted())].Assignee);
        Assert.Equal("best", run[run.Submit(ALimit.Task("\"tokens\":40", "a") with { Preferred = ["p"] })].Assignee);
    }

    [Theory]
    [MemberData(nameof(Causes))]
    public async Task A_task_that_waits_for_a_limit_is_given_out_when_that_frees_and_costs_nothing_until_then(LimitLevel level, string cause)
    {
        var options = Patient with { Allowances = new AllowanceOptions { TeamOf = new Dictionary<string, string> { ["o1"] = "t1" } } };
        var run = new CoreRun(options);
        run.Register("w", "a", owner: "o1");
        var target = cause == "own limit" && level != LimitLevel.Swarm ? "*" : level switch { LimitLevel.Agent => "w", LimitLevel.Owner => "o1", LimitLevel.Team => "t1", _ => "" };
        var limit = ALimit.Of(level, target, LimitUnit.Tokens, 100);
        var (first, second) = (ALimit.Task("\"tokens\":80", "a"), ALimit.Task("\"tokens\":50", "a"));
        var needsFirst = true;
        switch (cause)
        {
            case "window":
                limit = limit with { Window = new LimitWindow(WindowKind.Day, "Europe/Berlin", 5) };
                break;
            case "rolling":
                limit = limit with { Window = new LimitWindow(WindowKind.Rolling, RollingMs: CoreRun.Hour) };
                break;
            case "cool-down":
                limit = ALimit.Of(level, target, LimitUnit.CooldownMs, 90_000) with { Repo = "r" };
                (first, second) = (ALimit.Task("", "a", repo: "r"), ALimit.Task("", "a", repo: "r"));
                break;
            case "price":
                limit = limit with { Unit = LimitUnit.Money };
                second = ALimit.Task("\"model\":\"large\",\"tokens_in\":9,\"tokens_out\":9", "a");
                needsFirst = false;
                break;
            case "model":
                limit = limit with { Unit = LimitUnit.Models, Amount = 0, Allow = ["small*"] };
                second = ALimit.Task("\"model\":\"large\"", "a");
                needsFirst = false;
                break;
            case "job_ms":
                limit = limit with { Unit = LimitUnit.JobMs, Amount = 0 };
                needsFirst = false;
                break;
        }

        run.Set(limit);
        var held = needsFirst ? run.Submit(first) : default;
        if (needsFirst)
            Assert.Equal("w", run[held].Assignee);
        if (cause is "window" or "rolling" or "raised" or "deleted" or "own limit")
            run.Complete(held, "\"tokens\":80");
        else if (cause == "cool-down")
            run.Fail("w", held, retryable: false);
        var waits = run.Submit(second);

        var explained = run.Run(new ExplainTask(waits))!;
        Assert.Equal((TaskState.Pending, WaitReason.Allowance), (run[waits].Status, explained.Reason));
        Assert.Contains("'l'", explained.Message, StringComparison.Ordinal);
        Assert.Equal(explained.Message, explained.Candidates.Single().Limit);
        var frees = cause == "own limit" ? null : run.Standing();
        if (cause is "window" or "rolling")
            Assert.Contains($"it frees at {AllowanceWords.Time(frees!.ResetsAt!.Value)}", explained.Message, StringComparison.Ordinal);

        var (events, looks) = (run.Store.Events.Count, run.State.Matcher.Looks);
        run.Pass(60_000);
        Assert.Equal((events, looks), (run.Store.Events.Count, run.State.Matcher.Looks));
        Assert.Equal(TaskState.Pending, run[waits].Status);

        switch (cause)
        {
            case "settled below":
                run.Complete(held, "\"tokens\":30");
                break;
            case "handed back":
                run.Report("w", new TaskReport.Released(held, null, null));
                break;
            case "window" or "rolling" or "cool-down":
                run.Pass((frees!.ResetsAt ?? frees.CooldownUntil)!.Value - run.State.Now - 1);
                Assert.Equal(TaskState.Pending, run[waits].Status);
                run.Pass(1);
                break;
            case "raised":
                run.Set(limit with { Amount = 130 });
                break;
            case "deleted":
                run.Run(new DeleteLimit("l"));
                break;
            case "price":
                Change(options.Allowances with { Prices = new Dictionary<string, ModelPrice> { ["large"] = new(1, 1) } });
                break;
            case "model":
                run.Set(limit with { Allow = ["small*", "lar*"] });
                break;
            case "job_ms":
                run.Set(limit with { Amount = 1_000 });
                break;
            case "own limit" when level == LimitLevel.Swarm:
                run.Set(limit with { Window = new LimitWindow(WindowKind.Hour) });
                break;
            case "own limit":
                run.Set(limit with { Id = "own", Target = level switch { LimitLevel.Agent => "w", LimitLevel.Owner => "o1", _ => "t1" } });
                break;
        }

        Assert.Equal("w", run[waits].Assignee);
        await run.CheckStoreAsync();

        void Change(AllowanceOptions allowances) => run.Run(new ChangeSettings(options with { Allowances = allowances }, ["allowances"], []));
    }

    [Fact]
    public void Agents_of_an_owner_that_moves_to_another_team_spend_from_that_one()
    {
        var options = Patient with { Allowances = new AllowanceOptions { TeamOf = new Dictionary<string, string> { ["o1"] = "poor", ["o2"] = "rich" } } };
        var run = new CoreRun(options);
        run.Register("w", owner: "o1");
        run.Set(ALimit.Of(LimitLevel.Team, "poor", LimitUnit.Jobs, 0));
        run.Set(ALimit.Of(LimitLevel.Team, "rich", LimitUnit.Jobs, 1, id: "r"));
        var task = run.Submit(CoreRun.Task());
        Assert.Equal(TaskState.Pending, run[task].Status);

        run.Run(new ChangeSettings(options with { Allowances = new AllowanceOptions { TeamOf = new Dictionary<string, string> { ["o1"] = "rich", ["o3"] = "poor" } } }, ["allowances.teams"], []));
        Assert.Equal("w", run[task].Assignee);
        Assert.Equal(1, run.Standing("r").Reserved);
    }

    [Theory]
    [InlineData(LimitLevel.Agent)]
    [InlineData(LimitLevel.Swarm)]
    public void An_agent_that_was_out_takes_what_fits_when_there_is_less_room_than_was_refused(LimitLevel level)
    {
        var run = new CoreRun(Patient);
        run.Register("w", "a b");
        run.Set(ALimit.Of(level, level == LimitLevel.Agent ? "w" : "", LimitUnit.Tokens, 100));
        var held = run.Submit(ALimit.Task("\"tokens\":100", "a"));
        var large = run.Submit(ALimit.Task("\"tokens\":90", "a", priority: 9));
        var small = run.Submit(ALimit.Task("\"tokens\":40", "b"));

        run.Complete(held, "\"tokens\":60");
        Assert.Equal((TaskState.Pending, "w"), (run[large].Status, run[small].Assignee));
    }

    [Fact]
    public void A_task_too_dear_for_one_agent_goes_to_another_that_is_known_to_need_less()
    {
        var run = new CoreRun(Patient with { Allowances = new AllowanceOptions { DefaultTokensIn = 800, DefaultTokensOut = 200 } });
        run.Register("thrifty");
        var limit = ALimit.Swarm(LimitUnit.Tokens, 100_000);
        run.Set(limit);
        for (var i = 0; i < 5; i++)
            run.Complete(run.Submit(CoreRun.Task()), "\"tokens_in\":50,\"tokens_out\":10");
        run.Register("a-new-one", max: 10);
        run.Register("b-new-one", max: 10);
        run.Set(limit with { Amount = 300 + 100 });

        Assert.Equal(["thrifty"], run.Submit(CoreRun.Task()) is var task ? [run[task].Assignee!] : []);
        Assert.Equal(60, run[task].Charge!.Reserved["l"]);
    }

    [Fact]
    public void A_job_longer_than_its_limit_is_timed_out()
    {
        var run = new CoreRun(Patient);
        run.Register("w");
        run.Set(ALimit.Agent("*", LimitUnit.JobMs, 60_000));
        run.Set(ALimit.Swarm(LimitUnit.JobMs, 90_000, id: "m"));
        var task = run.Submit(CoreRun.Task(timeoutMs: 300_000, retries: 0));
        run.Start("w", task);
        run.Pass(59_999);
        Assert.Equal((TaskState.Running, 60_000), (run[task].Status, run[task].MaxRunMs));
        run.Pass(1);
        Assert.Equal(TaskState.Timeout, run[task].Status);
        Assert.Contains("job_ms = 60000", run[task].Error!, StringComparison.Ordinal);
    }

    [Fact]
    public void No_more_are_held_at_once_than_a_limit_of_concurrent_jobs_says()
    {
        var run = new CoreRun(Patient);
        run.Register("w1", max: 3, owner: "o");
        run.Register("w2", max: 3, owner: "o");
        run.Set(ALimit.Of(LimitLevel.Owner, "*", LimitUnit.ConcurrentJobs, 4));
        var tasks = run.Submit([.. Enumerable.Range(0, 6).Select(_ => CoreRun.Task())]);
        Assert.Equal(4, tasks.Count(task => run[task].IsHeld));
        Assert.All(run.State.Agents.All, agent => Assert.InRange(agent.Held.Count, 1, 3));

        run.Complete(tasks.First(task => run[task].IsHeld));
        Assert.Equal((4, 1), (tasks.Count(task => run[task].IsHeld), tasks.Count(task => run[task].Status == TaskState.Pending)));
    }

    [Theory]
    [InlineData("reported")]
    [InlineData("lowered")]
    [InlineData("completed")]
    public async Task Running_work_is_paused_at_no_cost_and_goes_on_when_there_is_room(string cause)
    {
        var run = new CoreRun(Patient);
        run.Register("w");
        var limit = ALimit.Swarm(LimitUnit.Tokens, 1_000) with { OnExceed = OnExceed.Pause };
        run.Set(limit);
        var (task, other) = (run.Submit(ALimit.Task("\"tokens\":100")), run.Submit(ALimit.Task("\"tokens\":100")));
        run.Start("w", task);
        run.Use("w", "\"tokens\":50", task, "u1");
        switch (cause)
        {
            case "reported":
                run.Use("w", "\"tokens\":950", task, "u2");
                break;
            case "lowered":
                run.Set(limit with { Amount = 50 });
                break;
            case "completed":
                run.Complete(other, "\"tokens\":950");
                break;
        }

        Assert.Equal((TaskState.Pending, 0, AttemptOutcome.Released), (run[task].Status, run[task].RetryCount, run[task].LastOutcome));
        Assert.Contains(run.Exchange("w").Revoked, revoked => revoked.Task == task);
        Assert.Equal(0, run.Standing().Reserved);

        run.Set(limit with { Amount = 5_000 });
        Assert.Equal(("w", 2), (run[task].Assignee, run[task].Attempt));
        await run.CheckStoreAsync();
    }

    [Fact]
    public void What_is_reported_done_together_counts_as_done_also_when_the_first_of_it_uses_up_the_limit()
    {
        var run = new CoreRun(Patient);
        run.Register("w");
        run.Set(ALimit.Swarm(LimitUnit.Tokens, 300) with { OnExceed = OnExceed.Pause });
        var tasks = run.Submit(ALimit.Task("\"tokens\":100"), ALimit.Task("\"tokens\":100"), ALimit.Task("\"tokens\":100"));
        var used = ALimit.Json("\"tokens\":300");
        var answer = run.Exchange("w", reports: [new TaskReport.Completed(tasks[0], 1, null, used), new TaskReport.Completed(tasks[1], 1, null, used)]);

        Assert.Equal([ReportVerdict.Accepted, ReportVerdict.Accepted], answer.Reports);
        Assert.Equal((TaskState.Pending, tasks[2]), (run[tasks[2]].Status, Assert.Single(answer.Revoked).Task));
        Assert.Equal((600, 300), (run.Standing().Used, run.Standing().Overshoot));
    }

    [Fact]
    public void A_sleeping_agent_that_wakes_when_its_allowance_is_gone_gets_nothing()
    {
        var run = new CoreRun(Patient);
        run.Register("w", status: AgentStatus.Sleeping);
        var limit = ALimit.Agent("w", LimitUnit.Tokens, 100);
        run.Set(limit);
        var task = run.Submit(ALimit.Task("\"tokens\":60"));
        Assert.True(run.State.Agents.Find("w")!.IsWaking);
        run.Run(new ReportUsage("u", "w", null, null, null, null, ALimit.Json("\"tokens\":70"), run.Store.Usage("admin", "u")));
        run.Beat("w", AgentStatus.Ready);

        Assert.Equal((TaskState.Pending, WaitReason.Allowance), (run[task].Status, run.Run(new ExplainTask(task))!.Reason));
        run.Set(limit with { Amount = 200 });
        Assert.Equal("w", run[task].Assignee);
    }

    [Fact]
    public void The_most_urgent_of_those_that_wait_for_a_limit_comes_first()
    {
        var run = new CoreRun(Patient);
        run.Register("w", "a b c", max: 10);
        run.Set(ALimit.Swarm(LimitUnit.Jobs, 3, new LimitWindow(WindowKind.Hour)));
        foreach (var first in run.Submit(CoreRun.Task(), CoreRun.Task(), CoreRun.Task()))
            run.Complete(first);
        var tasks = run.Submit(CoreRun.Task("a", priority: 2), CoreRun.Task("b", priority: 8), CoreRun.Task("c", priority: 5), CoreRun.Task("a b", priority: 10), CoreRun.Task(priority: 1));
        Assert.All(tasks, task => Assert.Equal(TaskState.Pending, run[task].Status));

        run.Pass(run.Standing().ResetsAt!.Value - run.State.Now);
        Assert.Equal([false, true, true, true, false], tasks.Select(task => run[task].IsHeld));
        Assert.Equal([3, 1, 2], run.State.Agents.All[0].Held.OrderBy(held => held.Task.LastSequence).Select(held => Array.IndexOf(tasks, held.Task.Id)));
    }

    [Fact]
    public void A_lone_worker_that_hands_everything_back_is_not_given_it_again_at_once_because_another_is_out_of_allowance()
    {
        var run = new CoreRun(Patient);
        run.Register("w");
        run.Register("other");
        run.Set(ALimit.Agent("other", LimitUnit.Tokens, 10));
        var task = run.Submit(ALimit.Task("\"tokens\":50"));
        run.Report("w", new TaskReport.Released(task, null, null));
        Assert.Equal(TaskState.Pending, run[task].Status);
        run.Pass(CoreRun.Second);
        Assert.Equal("w", run[task].Assignee);
    }

    [Fact]
    public async Task A_limit_deleted_and_set_anew_in_one_batch_begins_at_nothing_also_after_a_restart()
    {
        var run = new CoreRun(Patient);
        run.Register("w");
        run.Set(ALimit.Swarm(LimitUnit.Tokens, 100));
        run.Complete(run.Submit(ALimit.Task("\"tokens\":50")));
        Assert.Equal(50, run.Standing().Used);

        run.Take(new DeleteLimit("l"));
        run.Take(new SetLimit(ALimit.Swarm(LimitUnit.Tokens, 100)));
        run.Take(new CheckAllowance("w", null));
        run.Close();
        await run.CheckStoreAsync();
        run.Restart();
        Assert.Equal(0, run.Standing().Used);
    }

    [Fact]
    public async Task A_limit_set_under_the_id_of_a_deleted_one_takes_over_what_is_its_own_only()
    {
        var run = new CoreRun(Patient);
        run.Register("w");
        run.Set(ALimit.Agent("*", LimitUnit.Tokens, 100));
        var first = run.Submit(ALimit.Task("\"tokens\":50"));
        run.Run(new DeleteLimit("l"));
        run.Set(ALimit.Agent("w", LimitUnit.Tokens, 100));
        var second = run.Submit(ALimit.Task("\"tokens\":60"));
        run.Run(new DeleteLimit("l"));
        run.Set(ALimit.Agent("other", LimitUnit.Tokens, 100));
        Assert.Equal(("other", 60), (run.Standing().Target, run.Standing().Reserved));

        run.Complete(first, "\"tokens\":50");
        run.Complete(second, "\"tokens\":60");
        Assert.Equal(["l"], run.State.Allowances.Balances.Select(balance => balance.Key));
        await run.CheckStoreAsync();
    }

    [Fact]
    public void A_task_costs_the_same_looks_under_a_hundred_thousand_limits_and_ten_thousand_agents_as_under_a_hundred()
    {
        var few = LooksPerTask(agents: 100, limits: 100);
        var many = LooksPerTask(agents: 10_000, limits: 100_000);
        Assert.InRange(few, 0.5, 20);
        Assert.InRange(many, 0, few * 1.05);
    }

    private static double LooksPerTask(int agents, int limits)
    {
        var run = new CoreRun(Patient, check: false);
        for (var i = 0; i < agents; i++)
            run.Take(CoreRun.Registration($"w{i}", "a", 4, owner: $"o{i % 97}"));
        for (var i = 0; i < limits; i++)
        {
            var (level, target) = (i % 3) switch { 0 => (LimitLevel.Agent, $"w{i / 3 % agents}"), 1 => (LimitLevel.Owner, $"o{i % 97}"), _ => (LimitLevel.Agent, $"nobody{i}") };
            run.Take(new SetLimit(ALimit.Of(level, target, i % 2 == 0 ? LimitUnit.Tokens : LimitUnit.Money, 1_000_000_000, id: $"l{i}") with { Model = i % 97 < 90 && level == LimitLevel.Owner && i > 300 ? $"m{i}" : null }));
        }

        run.Close();

        // The first one finds out who can do it at all.
        run.Complete(run.Submit(ALimit.Task("\"tokens\":50,\"money\":7", "a")));
        var before = run.State.Matcher.Looks;
        const int Tasks = 300;
        for (var i = 0; i < Tasks; i++)
            run.Complete(run.Submit(ALimit.Task("\"tokens\":50,\"money\":7", "a")), "\"tokens\":40");
        return (run.State.Matcher.Looks - before) / (double)Tasks;
    }
}

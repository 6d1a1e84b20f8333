using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Agents;

public sealed class WakingTests
{
    private static readonly StateOptions Options = new() { WakeTimeoutMs = 10_000 };

    [Fact]
    public void A_sleeping_agent_is_asked_to_wake_and_then_holds_what_was_kept_for_it()
    {
        var run = Asleep(out var tasks, 2);
        Assert.Equal(tasks[0], Assert.Single(run.HistoryOf("w").OfType<AgentWakeRequested>()).TaskId);
        Assert.All(tasks, task => Assert.Equal(TaskState.Pending, run[task].Status));
        Assert.True(run.Exchange("w", 9).Wake);

        var answer = run.Exchange("w", 9, status: AgentStatus.Ready);
        Assert.False(answer.Wake);
        Assert.Equal(tasks, answer.Tasks.Select(granted => granted.Task.Id));
        Assert.Single(run.HistoryOf("w").OfType<AgentWoken>());
        run.Pass(10_000);
        Assert.Empty(run.HistoryOf("w").OfType<AgentWakeFailed>());
    }

    [Fact]
    public void Its_waiting_exchange_is_called_to_tell_it()
    {
        var run = new CoreRun(Options);
        run.Register("w", "a", status: AgentStatus.Sleeping);
        run.Take(run.Submission("alice", CoreRun.Task("a")));
        Assert.Equal(["w"], run.Close().Called);
    }

    [Fact]
    public void No_more_is_kept_for_it_than_it_may_hold()
    {
        var run = Asleep(out var tasks, 5);
        Assert.Equal(3, run.Run(new FindAgent("w"))!.Active);
        run.Beat("w", AgentStatus.Ready);
        Assert.Equal(tasks[..3], tasks.Where(task => run[task].IsHeld));
    }

    [Fact]
    public void Who_does_not_wake_in_time_loses_the_task_to_the_next()
    {
        var run = Asleep(out var tasks, 1);
        run.Register("busy", "a", status: AgentStatus.Busy);
        run.Pass(9_999);
        Assert.Equal(TaskState.Pending, run[tasks[0]].Status);
        run.Pass(1);
        Assert.Equal(("busy", 1, 0), (run[tasks[0]].Assignee, run[tasks[0]].Attempt, run[tasks[0]].RetryCount));
        Assert.Equal(10_000, Assert.Single(run.HistoryOf("w").OfType<AgentWakeFailed>()).WaitedMs);
        Assert.False(run.Exchange("w").Wake);
    }

    [Fact]
    public void Who_did_not_wake_is_not_asked_again_until_it_shows_another_status()
    {
        var run = Asleep(out var tasks, 1);
        run.Pass(10_000);
        run.Beat("w", AgentStatus.Sleeping);
        Assert.Single(run.HistoryOf("w").OfType<AgentWakeRequested>());
        run.Beat("w", AgentStatus.Ready);
        Assert.Equal("w", run[tasks[0]].Assignee);
        run.Beat("w", AgentStatus.Sleeping);
        run.Submit(CoreRun.Task("a"));
        Assert.Equal(2, run.HistoryOf("w").OfType<AgentWakeRequested>().Count());
    }

    [Theory]
    [InlineData("leaves")]
    [InlineData("is drained")]
    [InlineData("drops its connection")]
    [InlineData("goes offline")]
    [InlineData("registers without the ability")]
    public void What_is_kept_for_an_agent_is_free_when_it_can_not_come(string how)
    {
        var run = new CoreRun(new StateOptions { WakeTimeoutMs = CoreRun.Hour });
        run.Register("w", "a", status: AgentStatus.Sleeping);
        var task = run.Submit(CoreRun.Task("a"));
        run.Register("other", "a", status: AgentStatus.Busy);
        Assert.Equal(TaskState.Pending, run[task].Status);
        switch (how)
        {
            case "leaves":
                run.Run(new DeregisterAgent("w") { Caller = "w" });
                break;
            case "is drained":
                run.Run(new DrainAgent("w", true));
                break;
            case "drops its connection":
                run.Run(new ReturnUnstarted("w"));
                break;
            case "goes offline":
                run.Pass(20_000);
                run.Beat("other");
                run.Pass(10_000);
                break;
            default:
                run.Register("w", "b", status: AgentStatus.Sleeping);
                break;
        }

        Assert.Equal("other", run[task].Assignee);
    }

    [Fact]
    public void A_task_cancelled_while_it_is_kept_makes_room()
    {
        var run = Asleep(out var tasks, 4);
        run.Cancel(tasks[0]);
        run.Beat("w", AgentStatus.Busy);
        Assert.Equal(tasks[1..], tasks.Where(task => run[task].IsHeld));
    }

    [Fact]
    public void After_a_restart_it_is_asked_again()
    {
        var run = Asleep(out var tasks, 1);
        run.Restart();
        Assert.True(run.Exchange("w").Wake);
        run.Beat("w", AgentStatus.Ready);
        Assert.Equal("w", run[tasks[0]].Assignee);
    }

    private static CoreRun Asleep(out TaskId[] tasks, int count)
    {
        var run = new CoreRun(Options);
        run.Register("w", "a", status: AgentStatus.Sleeping);
        tasks = run.Submit([.. Enumerable.Range(0, count).Select(_ => CoreRun.Task("a"))]);
        return run;
    }
}

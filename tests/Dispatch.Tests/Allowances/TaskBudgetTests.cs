using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Allowances;

/// <summary>The budget a task came with, and all who draw on it.</summary>
public sealed class TaskBudgetTests
{
    private readonly CoreRun run = new(new StateOptions { LeaseMs = 1_000 * CoreRun.Day });

    public TaskBudgetTests() => run.Register("w", max: 20);

    [Fact]
    public async Task Children_grandchildren_retries_and_late_children_draw_on_the_budget_of_the_root()
    {
        var root = run.Submit(ALimit.Task("\"tokens\":100", budget: 1_000));
        var child = run.Submit(ALimit.Task("\"tokens\":100", parent: root));
        var grandchild = run.Submit(ALimit.Task("\"tokens\":100", parent: child));
        Assert.Equal((0, 300), Budget(root));

        // A retry reserves anew, and what the failed attempt used stays used.
        run.Report("w", new TaskReport.Failed(grandchild, null, "broken", true, 0, ALimit.Json("\"tokens\":40")));
        Assert.Equal((40, 300), Budget(root));
        run.Complete(grandchild, "\"tokens\":60");
        run.Complete(child, "\"tokens\":100");
        run.Complete(root, "\"tokens\":300");
        Assert.Equal((500, 0), Budget(root));

        run.Restart();
        run.Beat("w");
        var late = run.Submit(ALimit.Task("\"tokens\":400", parent: root));
        var later = run.Submit(ALimit.Task("\"tokens\":200", parent: grandchild));
        Assert.Equal(("w", TaskState.Pending), (run[late].Assignee, run[later].Status));
        Assert.Contains($"task {root} and those below it", run.Run(new ExplainTask(later))!.Message, StringComparison.Ordinal);
        run.Complete(late, "\"tokens\":250");
        Assert.Equal("w", run[later].Assignee);
        Assert.Equal((750, 200), Budget(root));
        await run.CheckStoreAsync();
    }

    [Fact]
    public void Work_without_that_root_is_not_held_up_by_its_budget()
    {
        var root = run.Submit(ALimit.Task("\"tokens\":10", budget: 5));
        var other = run.Submit(ALimit.Task("\"tokens\":10"));
        var own = run.Submit(ALimit.Task("\"tokens\":10", budget: 10));
        Assert.Equal((TaskState.Pending, "w", "w"), (run[root].Status, run[other].Assignee, run[own].Assignee));
    }

    [Fact]
    public void A_budget_below_a_budget_is_refused()
    {
        var root = run.Submit(ALimit.Task(budget: 1_000_000));
        var child = run.Submit(ALimit.Task(parent: root));
        Assert.Equal("budget", Assert.IsType<SubmitOutcome.BadReference>(run.Try("alice", ALimit.Task(parent: root, budget: 5))).Member);
        Assert.Equal("budget", Assert.IsType<SubmitOutcome.BadReference>(run.Try("alice", ALimit.Task(parent: child, budget: 5))).Member);

        // In one request, whatever the order.
        var id = new TaskId(new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
        var refused = Assert.IsType<SubmitOutcome.BadReference>(run.Try(
            "alice", ALimit.Task(parent: id, budget: 5), ALimit.Task(budget: 10) with { Id = id, BodyHash = "h" }));
        Assert.Equal((0, "budget"), (refused.Index, refused.Member));
        Assert.Null(run.Store.Find(id));
    }

    [Fact]
    public void Tasks_of_one_request_draw_on_the_budget_of_the_one_above()
    {
        var (top, middle) = (new TaskId(new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)), new TaskId(new Guid(2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)));
        var tasks = run.Submit(
            ALimit.Task("\"tokens\":5", parent: middle),
            ALimit.Task("\"tokens\":5", parent: top) with { Id = middle, BodyHash = "h" },
            ALimit.Task("\"tokens\":5", budget: 100) with { Id = top, BodyHash = "h" });
        Assert.Equal((0, 15), Budget(top));
        Assert.All(tasks, task => Assert.Equal(top, run[task].Cost!.BudgetOf));
    }

    [Fact]
    public async Task A_budget_goes_with_its_task_and_gives_back_what_runs_below()
    {
        var root = run.Submit(ALimit.Task("\"tokens\":10", budget: 100));
        var child = run.Submit(ALimit.Task("\"tokens\":80", parent: root));
        var waits = run.Submit(ALimit.Task("\"tokens\":80", parent: root));
        run.Complete(root, "\"tokens\":10");
        Assert.Equal((TaskState.Assigned, TaskState.Pending), (run[child].Status, run[waits].Status));

        run.Run(new PruneTasks([run.Store.Find(root)!], run.Store.Sequence));
        Assert.Empty(run.State.Allowances.Budgets);
        Assert.Equal([80], run.State.Allowances.Balances.Select(balance => balance.Reserved));
        Assert.Equal("w", run[waits].Assignee);
        run.Complete(child, "\"tokens\":70");
        Assert.Empty(run.State.Allowances.Balances);
        run.Complete(waits, "\"tokens\":70");
        run.Restart();
        Assert.True(run.State.Allowances.IsEmpty);
        await run.CheckStoreAsync();
    }

    private (long Used, long Reserved) Budget(TaskId root)
    {
        var balance = run.State.Allowances.FindBalance($"task:{root}/tokens")!;
        return (balance.Used, balance.Reserved);
    }
}

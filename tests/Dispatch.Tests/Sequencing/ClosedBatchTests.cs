using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Sequencing;

/// <summary>A closed batch is written and watched while the next one is being decided: nothing that happens then may reach it.</summary>
public sealed class ClosedBatchTests
{
    [Fact]
    public void Whom_it_calls_does_not_change_when_the_next_batch_is_decided()
    {
        var run = new CoreRun();
        run.Register("first", "code");
        run.Register("second", "review");
        var review = run.Submit(CoreRun.Task("review"));
        run.Take(run.Submission("alice", CoreRun.Task("code")));
        var closed = run.Close();

        run.Take(new CancelTask(review, "not wanted") { Caller = "alice" });

        Assert.Equal(["first"], closed.Called);
        Assert.Equal(["second"], run.Close().Called);
    }

    [Fact]
    public void Its_rows_are_those_of_the_moment_it_was_closed()
    {
        var run = new CoreRun();
        run.Register("worker", "code");
        run.Take(run.Submission("alice", CoreRun.Task("code")));
        var closed = run.Close();
        var events = closed.Batch.Events.Count;
        var task = closed.Batch.Tasks[0].Task;

        run.Start("worker", task.Id);
        run.Cancel(task.Id);

        Assert.Equal(TaskState.Assigned, closed.Batch.Tasks[0].Task.Status);
        Assert.Equal(events, closed.Batch.Events.Count);
        Assert.Empty(closed.Batch.Attempts);
        Assert.Equal(1, closed.Batch.Totals[(int)TaskState.Assigned]);
    }

    [Fact]
    public void A_row_is_in_it_once_as_it_stands_at_the_end()
    {
        var run = new CoreRun();
        run.Register("worker", "code");
        run.Take(run.Submission("alice", CoreRun.Task("code")));
        var first = run.Close();
        var id = first.Batch.Tasks[0].Task.Id;

        run.Take(new ReportTask(new TaskReport.Started(id, 1)) { Caller = "worker" });
        run.Take(new ReportTask(new TaskReport.Progressed(id, 1, 50, null, null)) { Caller = "worker" });
        run.Take(new ReportTask(new TaskReport.Completed(id, 1, null, null)) { Caller = "worker" });
        var closed = run.Close();

        var row = Assert.Single(closed.Batch.Tasks);
        Assert.Equal(TaskState.Completed, row.Task.Status);
        Assert.Equal(closed.Batch.LastSequence, row.Task.LastSequence);
        Assert.Single(closed.Batch.Attempts);
        Assert.Null(run.State.Tasks.Find(id));
    }
}

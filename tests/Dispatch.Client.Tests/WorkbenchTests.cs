namespace Dispatch.Client.Tests;

/// <summary>What a worker holds and still has to say, without any I/O.</summary>
public sealed class WorkbenchTests
{
    private readonly WorkerRecord record = new();
    private readonly List<(HoldKey Key, StopCause Cause)> stopped = [];
    private readonly List<WorkerNotice> notices = [];
    private readonly Workbench bench;

    public WorkbenchTests() => bench = new Workbench(2, record, () => { }, (hold, cause, reason) => stopped.Add((hold.Key, cause)), notices.Add);

    [Fact]
    public void A_delivery_read_after_its_report_was_taken_is_late_and_ignored()
    {
        // The poll (1) and the report (2) are under way together; both bring or settle the same attempt.
        var poll = bench.NextExchange();
        var report = bench.NextExchange();
        Deliver(report, Task("t", 1));
        Finish();
        Answer("accepted");

        Deliver(poll, Task("t", 1));

        Assert.True(bench.IsEmpty);
        Assert.Equal(1, record.Statistics.Duplicates);
    }

    [Fact]
    public void A_delivery_asked_for_after_the_report_was_taken_is_a_new_one()
    {
        Deliver(bench.NextExchange(), Task("t", 1));
        Finish(WorkResult.Release());
        Answer("accepted");

        Deliver(bench.NextExchange(), Task("t", 1));

        Assert.True(bench.HasWaiting);
    }

    [Fact]
    public void A_newer_attempt_ends_the_older_one_and_an_older_one_is_ignored()
    {
        Deliver(bench.NextExchange(), Task("t", 2));
        bench.Begin();

        Deliver(bench.NextExchange(), Task("t", 1));
        Deliver(bench.NextExchange(), Task("t", 3));

        Assert.Equal([(new HoldKey("t", 2), StopCause.LeaseLost)], stopped);
        Assert.Equal(3, bench.Begin()!.Key.Attempt);
        Assert.Equal([new HeldTask("t", 3)], bench.Holding([]));
    }

    [Fact]
    public void The_next_attempt_may_be_delivered_before_the_failure_that_led_to_it_is_answered()
    {
        Deliver(bench.NextExchange(), Task("t", 1));
        Finish(WorkResult.Fail("E"));
        var batch = bench.Batch();

        Deliver(bench.NextExchange(), Task("t", 2));
        bench.Answered(batch, [Said("t", "accepted"), Said("t", "accepted")]);

        Assert.Equal((1, 0), (record.Statistics.Failed, record.Statistics.Lost));
        Assert.Equal(2, bench.Begin()!.Key.Attempt);
    }

    [Fact]
    public void A_start_said_again_after_the_end_is_stale_and_the_last_word_decides()
    {
        Deliver(bench.NextExchange(), Task("t", 1));
        Finish();

        bench.Answered(bench.Batch(), [Said("t", "stale"), Said("t", "unchanged")]);

        Assert.Equal((1, 0), (record.Statistics.Completed, record.Statistics.Lost));
    }

    [Fact]
    public void A_batch_keeps_the_order_in_which_things_came_about()
    {
        Deliver(bench.NextExchange(), Task("t", 1));
        var hold = bench.Begin()!;
        hold.Item.ReportProgress(50);
        bench.Finish(hold, WorkResult.Complete());

        Assert.Equal(["started", "progress", "completed"], bench.Batch().Select(sent => sent.Report.Outcome));
        Assert.Empty(bench.Holding(bench.Batch()));
        Assert.Single(bench.Holding([]));
    }

    [Fact]
    public void What_was_not_answered_is_said_again()
    {
        Deliver(bench.NextExchange(), Task("t", 1), Task("u", 1));
        Finish();
        Finish();
        var batch = bench.Batch();

        var complete = bench.Answered(batch, [Said("t", "accepted"), Said("t", "accepted")]);

        Assert.False(complete);
        Assert.Equal(["started", "completed"], bench.Batch().Select(sent => sent.Report.Outcome));
        Assert.Equal(1, record.Statistics.Completed);
    }

    [Fact]
    public void Newer_progress_survives_the_answer_to_an_older_one()
    {
        Deliver(bench.NextExchange(), Task("t", 1));
        var hold = bench.Begin()!;
        hold.Item.ReportProgress(1);
        var batch = bench.Batch();
        hold.Item.ReportProgress(2);

        bench.Answered(batch, [Said("t", "accepted"), Said("t", "accepted")]);

        Assert.Equal([2], bench.Batch().Select(sent => sent.Report.Percent));
    }

    [Theory]
    [InlineData("stale")]
    [InlineData("unknown")]
    public void A_lost_attempt_is_neither_reported_nor_claimed_but_keeps_its_hand_busy(string answer)
    {
        Deliver(bench.NextExchange(), Task("t", 1));
        var hold = bench.Begin()!;
        bench.Answered(bench.Batch(), [Said("t", answer)]);

        Assert.Equal([(new HoldKey("t", 1), StopCause.LeaseLost)], stopped);
        Assert.Empty(bench.Batch());
        Assert.Empty(bench.Holding([]));
        Assert.Equal(1, bench.Free);
        bench.Finish(hold, WorkResult.Complete());
        Assert.Equal(2, bench.Free);
        Assert.True(bench.IsEmpty);
        Assert.Equal((1, 0), (record.Statistics.Lost, record.Statistics.Completed));
    }

    [Fact]
    public void A_word_that_is_stale_and_the_last_word_in_one_batch_count_as_one_loss()
    {
        Deliver(bench.NextExchange(), Task("t", 1));
        Finish();

        bench.Answered(bench.Batch(), [Said("t", "stale"), Said("t", "stale")]);

        Assert.True(bench.IsEmpty);
        Assert.Equal(1, record.Statistics.Lost);
    }

    [Fact]
    public void A_faulty_report_is_found_by_halving_and_becomes_a_failure()
    {
        Deliver(bench.NextExchange(), Task("t", 1), Task("u", 1));
        Finish();
        Finish();
        var sizes = new List<int>();
        while (!bench.IsEmpty && sizes.Count < 30)
        {
            var batch = bench.Batch();
            sizes.Add(batch.Count);
            if (batch.Any(sent => sent.Report is { TaskId: "t", Outcome: "completed" }))
                bench.Refused(batch, "result: too deep");
            else
                bench.Answered(batch, [.. batch.Select(sent => Said(sent.Report.TaskId, "accepted"))]);
        }

        Assert.Equal(4, sizes[0]);
        Assert.Equal((1, 1), (record.Statistics.Completed, record.Statistics.Failed));
        Assert.Contains(notices, notice => notice is { Kind: WorkerNoticeKind.ReportRefused, TaskId: "t" });
    }

    [Fact]
    public void A_task_of_which_nothing_can_be_said_is_let_go()
    {
        Deliver(bench.NextExchange(), Task("t", 1));
        Finish();
        for (var i = 0; i < 10 && !bench.IsEmpty; i++)
            bench.Refused(bench.Batch(), "no");

        Assert.True(bench.IsEmpty);
        Assert.Equal(1, record.Statistics.Lost);
    }

    [Fact]
    public void A_cancelled_task_that_has_not_begun_frees_its_place()
    {
        Deliver(bench.NextExchange(), Task("t", 1), Task("u", 1));
        Assert.Equal(0, bench.Free);

        bench.Cancelled(new CancelledWork { TaskId = "t", Attempt = 1 });
        bench.Cancelled(new CancelledWork { TaskId = "u", Attempt = 9 });

        Assert.Equal(1, bench.Free);
        Assert.Equal("u", bench.Begin()!.Key.TaskId);
        Assert.Null(bench.Begin());
    }

    [Fact]
    public void A_cancellation_that_crosses_the_last_word_leaves_it_to_the_answer()
    {
        Deliver(bench.NextExchange(), Task("t", 1));
        Finish();

        bench.Cancelled(new CancelledWork { TaskId = "t", Attempt = 1 });
        Answer("accepted");

        Assert.Equal((1, 0), (record.Statistics.Completed, record.Statistics.Cancelled));
    }

    [Fact]
    public void Memory_of_settled_work_is_bounded()
    {
        for (var i = 0; i < 5_000; i++)
        {
            Deliver(bench.NextExchange(), Task($"t{i}", 1));
            Finish();
            Answer("accepted");
        }
        var duplicates = record.Statistics.Duplicates;
        for (var i = 0; i < 5_000; i++)
            Deliver(0, Task($"t{i}", 1));

        Assert.Equal(4096, record.Statistics.Duplicates - duplicates);
    }

    private static DispatchTask Task(string id, int attempt) => new() { Id = id, Title = "T", Status = "assigned", Attempt = attempt };

    private static ReportAnswer Said(string id, string status) => new() { TaskId = id, Attempt = 1, Status = status };

    private void Deliver(long exchange, params DispatchTask[] tasks) => bench.Accept(tasks, exchange);

    private void Finish(WorkResult? result = null) => bench.Finish(bench.Begin()!, result ?? WorkResult.Complete());

    private void Answer(string status)
    {
        var batch = bench.Batch();
        Assert.True(bench.Answered(batch, [.. batch.Select(sent => Said(sent.Report.TaskId, status))]));
    }
}

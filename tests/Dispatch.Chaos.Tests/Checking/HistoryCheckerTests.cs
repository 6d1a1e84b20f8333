using Dispatch.Chaos.Checking;
using Dispatch.Chaos.Histories;

namespace Dispatch.Chaos.Tests.Checking;

/// <summary>Each test breaks one promise in an otherwise honest story and expects the checker to name it.</summary>
public sealed class HistoryCheckerTests
{
    [Fact]
    public void An_honest_story_has_no_findings() => Assert.Empty(Honest().Judge());

    [Fact]
    public void An_acknowledged_task_that_is_gone_is_lost()
    {
        var story = Honest();
        story.Forget("plain");
        Assert.Contains(story.Judge(), finding => finding is { Kind: FindingKind.Lost, Subject: "plain" });
    }

    [Fact]
    public void An_acknowledged_task_that_was_not_found_once_is_lost_though_it_is_there_in_the_end()
    {
        var story = Honest();
        story.LookInVain("plain");
        AssertOnly(story, FindingKind.Lost, "plain");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_submission_without_an_answer_may_have_happened_or_not(bool happened)
    {
        var story = Honest();
        story.Submit(Phase.Unknown, Story.New("silence"));
        if (happened)
            story.Hold("silence", "cancelled");
        Assert.Empty(story.Judge());
    }

    [Fact]
    public void One_submission_that_became_two_tasks_is_a_duplicate()
    {
        var story = Honest();
        var twin = story.Hold("twin", "cancelled");
        story.Change("twin", _ => twin with { Token = "plain" });
        AssertOnly(story, FindingKind.Duplicated, "plain");
    }

    [Fact]
    public void A_task_that_is_listed_twice_is_a_duplicate()
    {
        var story = Honest();
        story.HoldAlso(story.Hold("again", "cancelled"));
        story.Submit("again");
        Assert.Contains(story.Judge(), finding => finding is { Kind: FindingKind.Duplicated, Subject: "again" });
    }

    [Fact]
    public void One_idempotency_key_acknowledged_as_two_ids_is_a_duplicate()
    {
        var story = Honest();
        var repeat = new Invocation.Submit([Story.New("plain")]);
        story.Tell("client", repeat, Phase.Ok, new Answer.Submitted(["retried"], Existed: true));
        AssertOnly(story, FindingKind.Duplicated, "plain");
    }

    [Fact]
    public void A_used_key_with_another_body_must_be_refused()
    {
        var story = Honest();
        story.Tell("client", new Invocation.Submit([Story.New("forged")], MustBeRefused: true), Phase.Ok, new Answer.Submitted(["forged"], Existed: false));
        story.Hold("forged", "cancelled");
        Assert.Equal(FindingKind.Duplicated, Assert.Single(story.Judge()).Kind);
    }

    [Fact]
    public void A_task_that_nobody_submitted_is_invented()
    {
        var story = Honest();
        story.Hold("from-nowhere", "cancelled");
        AssertOnly(story, FindingKind.Invented, "from-nowhere");
    }

    [Fact]
    public void A_task_whose_submission_was_refused_is_invented()
    {
        var story = Honest();
        story.Submit(Phase.Refused, Story.New("refused"));
        story.Hold("refused", "cancelled");
        AssertOnly(story, FindingKind.Invented, "refused");
    }

    [Fact]
    public void A_bulk_submission_without_an_answer_happened_as_a_whole_or_not_at_all()
    {
        var story = Honest();
        story.Submit(Phase.Unknown, Story.New("first"), Story.New("second"), Story.New("third"));
        story.Hold("first", "cancelled");
        Assert.Equal(FindingKind.HalfDone, Assert.Single(story.Judge()).Kind);
    }

    [Fact]
    public void A_late_report_that_was_accepted_is_stale()
    {
        var story = Honest();
        story.Report("worker-1", "retried", 1, "completed", "accepted", "late");
        Assert.Contains(story.Judge(), finding => finding is { Kind: FindingKind.StaleAccepted, Subject: "retried" });
    }

    [Fact]
    public void A_report_under_another_agents_attempt_that_was_accepted_is_stale()
    {
        var story = Honest();
        story.Report("worker-2", "plain", 1, "progress", "accepted");
        AssertOnly(story, FindingKind.StaleAccepted, "plain");
    }

    [Theory]
    [InlineData("accepted")]
    [InlineData("unchanged")]
    public void A_lie_must_be_refused(string status)
    {
        var story = Honest();
        story.Report("worker-2", "plain", 1, "completed", status, "lie", isLie: true);
        AssertOnly(story, FindingKind.StaleAccepted, "plain");
    }

    [Fact]
    public void An_accepted_completion_whose_task_goes_on_is_undone()
    {
        var story = Honest();
        story.Forget("plain");
        story.Hold("plain", "failed", attempts: ["worker-1:lost", "worker-2:failed"]);
        var kinds = story.Judge().Select(finding => finding.Kind).ToHashSet();
        Assert.Contains(FindingKind.StaleAccepted, kinds);
        Assert.Contains(FindingKind.Undone, kinds);
    }

    [Fact]
    public void An_accepted_failure_that_left_no_attempt_is_undone()
    {
        var story = Honest();
        story.Report("worker-1", "cancelled", 1, "failed", "accepted");
        AssertOnly(story, FindingKind.Undone, "cancelled");
    }

    [Fact]
    public void An_accepted_start_of_an_attempt_that_never_began_is_undone()
    {
        var story = Honest();
        story.Change("plain", task => task with { Attempts = [task.Attempts[0] with { IsStarted = false }] });
        AssertOnly(story, FindingKind.Undone, "plain");
    }

    [Fact]
    public void Two_accepted_results_are_one_too_many()
    {
        var story = Honest();
        story.Report("worker-1", "plain", 1, "completed", "accepted", "other");
        AssertOnly(story, FindingKind.WrongResult, "plain");
    }

    [Fact]
    public void A_result_that_nobody_reported_is_wrong()
    {
        var story = Honest();
        story.Submit("mystery");
        story.Hold("mystery", "completed", "invented", attempts: "worker-1:completed");
        AssertOnly(story, FindingKind.WrongResult, "mystery");
    }

    [Fact]
    public void A_result_whose_report_was_refused_is_wrong()
    {
        var story = Honest();
        story.Submit("denied");
        story.Report("worker-1", "denied", 1, "completed", "stale", "denied-result");
        story.Hold("denied", "completed", "denied-result", attempts: "worker-1:completed");
        AssertOnly(story, FindingKind.WrongResult, "denied");
    }

    [Fact]
    public void A_result_whose_report_was_never_answered_may_stand()
    {
        var story = Honest();
        story.Submit("quiet");
        story.Report("worker-1", "quiet", 1, "completed", null, "quiet-result");
        story.Hold("quiet", "completed", "quiet-result", attempts: "worker-1:completed");
        Assert.Empty(story.Judge());
    }

    [Fact]
    public void A_cancelled_task_that_lives_again_is_resurrected()
    {
        var story = Honest();
        story.Forget("cancelled");
        story.Report("worker-1", "cancelled", 1, "completed", "accepted", "too-late");
        story.Hold("cancelled", "completed", "too-late", attempts: "worker-1:completed");
        AssertOnly(story, FindingKind.Resurrected, "cancelled");
    }

    [Fact]
    public void A_cancelled_task_that_was_retried_may_live_again()
    {
        var story = Honest();
        story.Forget("cancelled");
        story.Retry("cancelled", Phase.Unknown);
        story.Report("worker-1", "cancelled", 1, "completed", "accepted", "again");
        story.Hold("cancelled", "completed", "again", attempts: "worker-1:completed");
        Assert.Empty(story.Judge());
    }

    [Fact]
    public void A_completed_task_that_was_seen_with_another_result_is_resurrected()
    {
        var story = Honest();
        story.Look("plain", "completed", 1, "another");
        AssertOnly(story, FindingKind.Resurrected, "plain");
    }

    [Fact]
    public void An_attempt_that_was_seen_and_is_no_more_is_undone()
    {
        var story = Honest();
        story.Look("plain", "running", attempt: 2);
        AssertOnly(story, FindingKind.Undone, "plain");
    }

    [Fact]
    public void An_acknowledged_retry_that_left_no_trace_is_undone()
    {
        var story = Honest();
        story.Retry("cancelled");
        AssertOnly(story, FindingKind.Undone, "cancelled");
    }

    [Fact]
    public void A_cancellation_that_came_after_the_retry_explains_the_end()
    {
        var story = Honest();
        story.Retry("cancelled");
        story.Cancel("cancelled", Phase.Unknown);
        Assert.Empty(story.Judge());
    }

    [Fact]
    public void One_attempt_given_to_two_agents_breaks_the_fence()
    {
        var story = Honest();
        story.Grant("worker-2", "plain");
        Assert.Contains(story.Judge(), finding => finding is { Kind: FindingKind.Fence, Subject: "plain" });
    }

    [Fact]
    public void A_grant_that_the_broker_forgot_is_undone()
    {
        var story = Honest();
        story.Grant("worker-1", "cancelled");
        AssertOnly(story, FindingKind.Undone, "cancelled");
    }

    [Fact]
    public void Attempt_numbers_that_do_not_rise_break_the_fence()
    {
        var story = Honest();
        story.Change("retried", task => task with { Attempts = [task.Attempts[0], task.Attempts[1] with { Attempt = 1 }] });
        Assert.Contains(story.Judge(), finding => finding is { Kind: FindingKind.Fence, Subject: "retried" });
    }

    [Fact]
    public void More_charged_attempts_than_retries_allow_are_an_overrun()
    {
        var story = Honest();
        story.Change("retried", task => task with { MaxRetries = 0 });
        AssertOnly(story, FindingKind.Overrun, "retried");
    }

    [Fact]
    public void A_task_given_out_before_its_dependency_was_completed_breaks_the_order()
    {
        var story = Honest();
        story.Change("dependant", task => task with
        {
            Events = [task.Events[0], .. task.Events.Skip(1).Select((happened, index) => happened with { Sequence = -10 + index })],
        });
        Assert.Contains(story.Judge(), finding => finding is { Kind: FindingKind.Dependency, Subject: "dependant" });
    }

    [Fact]
    public void A_task_that_outlives_the_end_of_its_dependency_breaks_the_order()
    {
        var story = Honest();
        story.Submit(Phase.Ok, Story.New("orphan", dependsOn: "cancelled"));
        story.Hold("orphan", "blocked", dependsOn: ["cancelled"]);
        Assert.Contains(story.Judge(), finding => finding is { Kind: FindingKind.Dependency, Subject: "orphan" });
    }

    [Fact]
    public void A_dependency_that_was_forgotten_is_found()
    {
        var story = Honest();
        story.Change("dependant", task => task with { DependsOn = [] });
        AssertOnly(story, FindingKind.Dependency, "dependant");
    }

    [Fact]
    public void One_sequence_number_in_two_histories_is_a_fault_of_the_log()
    {
        var story = Honest();
        story.Change("cancelled", task => task with { Events = [task.Events[0] with { Sequence = 1 }, .. task.Events.Skip(1)] });
        Assert.All(story.Judge(), finding => Assert.Equal(FindingKind.Log, finding.Kind));
        Assert.NotEmpty(story.Judge());
    }

    [Fact]
    public void A_history_that_does_not_fit_its_task_is_a_fault_of_the_log()
    {
        var story = Honest();
        story.Change("plain", task => task with { Events = [.. task.Events.SkipLast(1)] });
        Assert.Contains(story.Judge(), finding => finding is { Kind: FindingKind.Log, Subject: "plain" });
    }

    [Fact]
    public void A_history_without_a_beginning_is_a_fault_of_the_log()
    {
        var story = Honest();
        story.Change("cancelled", task => task with { Events = [.. task.Events.Skip(1)] });
        AssertOnly(story, FindingKind.Log, "cancelled");
    }

    [Fact]
    public void An_event_after_the_end_resurrects()
    {
        var story = Honest();
        story.Change("cancelled", task => task with { Attempt = 1, Assignee = "worker-1", Events = [.. task.Events, story.Event("task.assigned", 1, "worker-1")] });
        AssertOnly(story, FindingKind.Resurrected, "cancelled");
    }

    [Fact]
    public void A_task_that_never_ends_is_stuck()
    {
        var story = Honest();
        story.Submit("waiting");
        story.Hold("waiting", "pending");
        AssertOnly(story, FindingKind.Stuck, "waiting");
    }

    [Fact]
    public void A_task_may_be_open_when_nobody_waited_for_its_end()
    {
        var story = Honest();
        story.IsDrained = false;
        story.Submit("waiting");
        story.Hold("waiting", "pending");
        Assert.Empty(story.Judge());
    }

    private static void AssertOnly(Story story, FindingKind kind, string subject)
    {
        var findings = story.Judge();
        Assert.NotEmpty(findings);
        Assert.All(findings, finding => Assert.Equal((kind, subject), (finding.Kind, finding.Subject)));
    }

    /// <summary>Tasks: plain, retried (its second attempt succeeds), cancelled, dependant (of plain), dead, and a bulk of two nobody heard of.</summary>
    private static Story Honest()
    {
        var story = new Story();
        story.Submit("plain", "retried", "cancelled", "dead");
        story.Submit(Phase.Ok, Story.New("dependant", dependsOn: "plain"));
        story.Submit(Phase.Unknown, Story.New("bulk-1", "key-1"), Story.New("bulk-2", "key-2"));

        story.Grant("worker-1", "plain");
        story.Report("worker-1", "plain", 1, "started", "accepted");
        story.Report("worker-2", "plain", 1, "completed", "stale", "lie", isLie: true);
        story.Report("worker-1", "plain", 1, "completed", null, "plain-result");
        story.Report("worker-1", "plain", 1, "completed", "unchanged", "plain-result");
        story.Look("plain", "completed", 1, "plain-result");
        story.Hold("plain", "completed", "plain-result", attempts: "worker-1:completed");

        story.Grant("worker-1", "retried");
        story.Report("worker-1", "retried", 1, "failed", "accepted");
        story.Grant("worker-2", "retried", attempt: 2);
        story.Report("worker-1", "retried", 1, "completed", "stale", "zombie");
        story.Report("worker-2", "retried", 2, "completed", "accepted", "retried-result");
        story.Hold("retried", "completed", "retried-result", attempts: ["worker-1:failed", "worker-2:completed"]);

        story.Cancel("cancelled");
        story.Hold("cancelled", "cancelled");

        story.Report("worker-1", "dead", 1, "failed", "accepted");
        story.Look("dead", "failed", 1);
        story.Hold("dead", "failed", attempts: "worker-1:failed");

        story.Report("worker-1", "dependant", 1, "completed", "accepted", "dependant-result");
        story.Hold("dependant", "completed", "dependant-result", dependsOn: ["plain"], attempts: "worker-1:completed");

        story.Hold("bulk-1", "cancelled");
        story.Hold("bulk-2", "cancelled");
        return story;
    }
}

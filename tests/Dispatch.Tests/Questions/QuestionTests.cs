using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Questions;

public sealed class QuestionTests
{
    private readonly CoreRun run = new();

    [Fact]
    public async Task Without_responders_the_first_answer_settles_it()
    {
        var id = Ask();

        var settled = Counted(Answer(id, null, Verdict.Allow, "Fine."));

        Assert.Equal((QuestionStatus.Answered, Verdict.Allow, "Fine."), (settled.Status, settled.Outcome, settled.Reason));
        Assert.Null(run.State.Questions.Find(id));
        await run.CheckStoreAsync();
    }

    [Fact]
    public void All_responders_of_the_type_are_waited_for()
    {
        Register("a", "tool.*");
        Register("b", "tool.run");
        Register("c", "task.confirmation");
        var id = Ask();
        Assert.Equal(["a", "b"], run.State.Questions.Find(id)!.Awaited);

        Assert.True(Counted(Answer(id, "a", Verdict.Allow)).IsOpen);
        Assert.IsType<AnswerOutcome.Forbidden>(Answer(id, "c", Verdict.Deny));
        Assert.IsType<AnswerOutcome.Forbidden>(Answer(id, "asker", Verdict.Allow));
        Assert.Equal(Verdict.Allow, Counted(Answer(id, "b", Verdict.Allow)).Outcome);
        Assert.IsType<AnswerOutcome.NotOpen>(Answer(id, "a", Verdict.Deny));
    }

    [Theory]
    [InlineData(Verdict.Allow, Verdict.Allow, Verdict.Allow)]
    [InlineData(Verdict.Allow, Verdict.Modify, Verdict.Modify)]
    [InlineData(Verdict.Modify, Verdict.Allow, Verdict.Modify)]
    [InlineData(Verdict.Modify, Verdict.Modify, Verdict.Deny)]
    [InlineData(Verdict.Modify, Verdict.Deny, Verdict.Deny)]
    [InlineData(Verdict.Allow, Verdict.Deny, Verdict.Deny)]
    public void Deny_wins_over_modify_and_modify_over_allow(Verdict first, Verdict second, Verdict outcome)
    {
        Register("a", "*");
        Register("b", "*");
        var id = Ask();
        Answer(id, "a", first);

        var settled = Counted(Answer(id, "b", second));

        Assert.Equal(outcome, settled.Outcome);
        Assert.Equal(outcome == Verdict.Modify ? "{\"command\":\"ls\"}" : null, settled.Replacement?.ToString());
        if (first == Verdict.Modify && second == Verdict.Modify)
            Assert.Equal("a and b want different changes.", settled.Reason);
    }

    [Fact]
    public void A_deny_settles_it_at_once_and_so_does_an_admin()
    {
        Register("a", "*");
        Register("b", "*");

        Assert.Equal(Verdict.Deny, Counted(Answer(Ask(), "a", Verdict.Deny)).Outcome);
        Assert.Equal(Verdict.Allow, Counted(Answer(Ask(), null, Verdict.Allow)).Outcome);
        var changed = Ask();
        Answer(changed, "a", Verdict.Modify);
        Assert.Equal(Verdict.Modify, Counted(Answer(changed, null, Verdict.Allow)).Outcome);
    }

    [Fact]
    public void The_first_answer_of_a_responder_stands()
    {
        Register("a", "*");
        Register("b", "*");
        var id = Ask();
        Answer(id, "a", Verdict.Allow);

        var repeated = Assert.IsType<AnswerOutcome.Repeated>(Answer(id, "a", Verdict.Deny));

        Assert.Equal(Verdict.Allow, repeated.First.Answer);
        Assert.True(run.State.Questions.Find(id)!.IsOpen);
    }

    [Fact]
    public void Nobody_waits_for_a_responder_that_was_removed()
    {
        Register("a", "*");
        Register("b", "*");
        var id = Ask();
        run.Run(new RemoveResponder("b") { ByAdmin = true });

        Assert.Equal(Verdict.Allow, Counted(Answer(id, "a", Verdict.Allow)).Outcome);
    }

    [Theory]
    [InlineData(Verdict.Deny, Verdict.Allow, QuestionStatus.Expired, Verdict.Deny)]
    [InlineData(Verdict.Allow, Verdict.Allow, QuestionStatus.Expired, Verdict.Allow)]
    [InlineData(Verdict.Allow, Verdict.Modify, QuestionStatus.Expired, Verdict.Modify)]
    public async Task At_the_deadline_the_default_stands_for_the_answers_that_are_missing(Verdict missing, Verdict given, QuestionStatus status, Verdict outcome)
    {
        Register("a", "*");
        Register("b", "*");
        var id = Ask(missing: missing);
        Answer(id, "a", given);

        run.Pass(CoreRun.Minute);

        var stored = (await run.Store.FindQuestionAsync(id, default))!.Question;
        Assert.Equal((status, (Verdict?)outcome, 0), (stored.Status, stored.Outcome, run.State.Questions.OpenCount));
        Assert.Equal(given == Verdict.Modify ? "{\"command\":\"ls\"}" : null, stored.Replacement?.ToString());
        await run.CheckStoreAsync();
    }

    [Fact]
    public void An_open_question_is_open_after_a_restart_and_keeps_its_deadline()
    {
        Register("a", "*");
        Register("b", "*");
        var id = Ask();
        Answer(id, "a", Verdict.Allow);

        run.Restart();

        Assert.Equal(["a"], run.State.Questions.Find(id)!.Answers.Select(answer => answer.Responder));
        Assert.IsType<AnswerOutcome.Repeated>(Answer(id, "a", Verdict.Allow));
        run.Pass(CoreRun.Minute);
        Assert.Equal(0, run.State.Questions.OpenCount);
    }

    [Fact]
    public void Who_asked_may_take_it_back_and_others_may_not()
    {
        var id = Ask();

        Assert.IsType<AnswerOutcome.Forbidden>(run.Run(new WithdrawQuestion(id, "no") { Caller = "other" }));
        var off = Counted(run.Run(new WithdrawQuestion(id, "no") { Caller = "asker" }));
        Assert.Equal((QuestionStatus.Withdrawn, null), (off.Status, off.Outcome));
        Assert.IsType<AnswerOutcome.NotOpen>(run.Run(new WithdrawQuestion(id, "no") { Caller = "asker" }));
    }

    [Fact]
    public void Nobody_has_more_than_a_thousand_open_questions()
    {
        for (var n = 0; n < AskQuestion.MaxOpen; n++)
            run.Take(Asking());
        run.Close();

        Assert.Equal(1_000, Assert.IsType<AskOutcome.TooMany>(run.Run(Asking())).Open);
        Assert.IsType<AskOutcome.Asked>(run.Run(Asking() with { Caller = "other" }));
        run.Run(new WithdrawQuestion(run.State.Questions.Open.First().Id, "no") { Caller = "asker" });
        Assert.IsType<AskOutcome.Asked>(run.Run(Asking()));
    }

    [Fact]
    public async Task A_task_to_be_confirmed_waits_and_goes_when_it_is()
    {
        run.Register("w", "code");
        var task = run.Submit(ToBeConfirmed());

        Assert.Equal(TaskState.Blocked, run.State.Tasks.Find(task)!.Task.Status);
        var explained = Explanation.Of(run.State, run.State.Tasks.Find(task)!);
        var question = run.State.Questions.ConfirmationOf(task.ToString())!;
        Assert.Equal(WaitReason.Confirmation, explained.Reason);
        Assert.Contains(question.Id, explained.Message, StringComparison.Ordinal);
        Assert.Equal("""{"title":"Count","priority":5,"requester":"alice","required_capabilities":["code"]}""", (await run.Store.FindQuestionAsync(question.Id, default))!.Proposal.ToString());

        Confirm(question.Id, Verdict.Allow);

        Assert.Equal(TaskState.Assigned, run.State.Tasks.Find(task)!.Task.Status);
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task A_task_that_is_denied_is_cancelled_and_so_is_what_depends_on_it()
    {
        var task = run.Submit(ToBeConfirmed());
        var after = run.Submit(CoreRun.Task("code", after: [task]));

        Confirm(run.State.Questions.ConfirmationOf(task.ToString())!.Id, Verdict.Deny, "Too dear.");

        Assert.Equal("Not confirmed: Too dear.", (await run.Store.FindTaskAsync(task, default))!.Task.Error);
        Assert.Equal(TaskState.Cancelled, (await run.Store.FindTaskAsync(after, default))!.Task.Status);
        await run.CheckStoreAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_confirmation_may_change_the_task(bool restarted)
    {
        run.Register("w", "code");
        var task = run.Submit(ToBeConfirmed());
        var id = run.State.Questions.ConfirmationOf(task.ToString())!.Id;
        if (restarted)
            run.Restart();

        Confirm(id, Verdict.Modify, replacement: """{"title":"Count less","description":"Only the first hundred","context":{"max":100},"priority":9}""");

        var stored = (await run.Store.FindTaskAsync(task, default))!;
        Assert.Equal((TaskState.Assigned, (byte)9), (stored.Task.Status, stored.Task.Priority));
        Assert.Equal(("Count less", "Only the first hundred", "{\"max\":100}"), (stored.Spec.Title, stored.Spec.Description, stored.Spec.Context?.ToString()));
        Assert.True(stored.Spec.Confirm);
        await run.CheckStoreAsync();
    }

    [Fact]
    public void A_change_of_a_task_that_is_not_in_memory_needs_it_from_the_store()
    {
        var task = run.Submit(ToBeConfirmed());
        run.Restart();
        var id = run.State.Questions.ConfirmationOf(task.ToString())!.Id;

        var outcome = run.Run(new ConfirmTask(new AnswerQuestion(id, Verdict.Modify, null, JsonBytes.Parse("{\"title\":\"T\"}")) { ByAdmin = true }, null) { ByAdmin = true });

        Assert.IsType<AnswerOutcome.NeedsFacts>(outcome);
        Assert.True(run.State.Questions.Find(id)!.IsOpen);
    }

    [Fact]
    public async Task It_waits_for_its_time_and_its_dependencies_too()
    {
        run.Register("w", "code", max: 5);
        var first = run.Submit(CoreRun.Task("nobody"));
        var task = run.Submit(ToBeConfirmed() with { DependsOn = [first], RunAt = run.Wall + 10_000 });
        Confirm(run.State.Questions.ConfirmationOf(task.ToString())!.Id, Verdict.Allow);
        Assert.Equal(TaskState.Scheduled, run.State.Tasks.Find(task)!.Task.Status);
        run.Pass(11_000);
        Assert.Equal(TaskState.Blocked, run.State.Tasks.Find(task)!.Task.Status);
        run.Register("n", "nobody");
        run.Complete("n", first);
        run.Settle();
        Assert.Equal(TaskState.Assigned, run.State.Tasks.Find(task)!.Task.Status);
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task A_task_that_ends_before_takes_its_question_along()
    {
        var cancelled = run.Submit(ToBeConfirmed());
        var late = run.Submit(ToBeConfirmed() with { Deadline = run.Wall + 5_000 });
        run.Cancel(cancelled);
        Assert.Equal(1, run.State.Questions.OpenCount);
        run.Pass(6_000);
        Assert.Equal(0, run.State.Questions.OpenCount);

        Assert.Equal(TaskState.Timeout, (await run.Store.FindTaskAsync(late, default))!.Task.Status);
        Assert.All(await run.Store.ListQuestionsAsync(new QuestionQuery(), default), stored => Assert.Equal(QuestionStatus.Withdrawn, stored.Question.Status));
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task One_that_nobody_confirms_in_time_is_cancelled()
    {
        var task = run.Submit(ToBeConfirmed());

        run.Pass(CoreRun.Day);

        Assert.Equal("Not confirmed: Nobody allowed it in time.", (await run.Store.FindTaskAsync(task, default))!.Task.Error);
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task Put_back_before_its_first_attempt_it_is_asked_about_again()
    {
        run.Register("w", "code");
        var task = run.Submit(ToBeConfirmed());
        Confirm(run.State.Questions.ConfirmationOf(task.ToString())!.Id, Verdict.Deny);
        var stored = (await run.Store.FindTaskAsync(task, default))!;

        run.Run(new RetryTask(stored, run.Store.Sequence) { ByAdmin = true });

        Assert.Equal(TaskState.Blocked, run.State.Tasks.Find(task)!.Task.Status);
        Confirm(run.State.Questions.ConfirmationOf(task.ToString())!.Id, Verdict.Allow);
        Assert.Equal(TaskState.Assigned, run.State.Tasks.Find(task)!.Task.Status);
        run.Fail("w", task);
        run.Settle();
        Assert.Null(run.State.Questions.ConfirmationOf(task.ToString()));
        await run.CheckStoreAsync();
    }

    private static Question Counted(AnswerOutcome outcome) => Assert.IsType<AnswerOutcome.Counted>(outcome).Question;

    private static NewTask ToBeConfirmed()
    {
        var task = CoreRun.Task("code", title: "Count");
        return task with { Spec = task.Spec with { Confirm = true } };
    }

    private static AskQuestion Asking(Verdict missing = Verdict.Deny) => new("tool.run", "call", null, JsonBytes.EmptyObject, missing, CoreRun.Minute) { Caller = "asker" };

    private string Ask(Verdict missing = Verdict.Deny) => Assert.IsType<AskOutcome.Asked>(run.Run(Asking(missing))).Question.Id;

    private void Register(string id, params string[] types) => run.Run(new RegisterResponder(id, types) { ByAdmin = true });

    /// <param name="responder">Null: an admin.</param>
    private AnswerOutcome Answer(string id, string? responder, Verdict verdict, string? reason = null) => run.Run(
        new AnswerQuestion(id, verdict, reason, verdict == Verdict.Modify ? JsonBytes.Parse("{\"command\":\"ls\"}") : null) { Caller = responder, ByAdmin = responder is null });

    private void Confirm(string id, Verdict verdict, string? reason = null, string? replacement = null)
    {
        var answer = new AnswerQuestion(id, verdict, reason, replacement is null ? null : JsonBytes.Parse(replacement)) { ByAdmin = true };
        var task = TaskId.TryParse(run.State.Questions.Find(id)!.About, out var about) ? run.Store.FindTaskAsync(about, default).Result : null;
        Counted(run.Run(new ConfirmTask(answer, task) { ByAdmin = true }));
        run.Settle();
    }
}

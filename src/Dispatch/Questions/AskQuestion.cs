using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Questions;

/// <summary>What became of the wish to ask.</summary>
public abstract record AskOutcome
{
    /// <summary>It is in the log, and waits.</summary>
    public sealed record Asked(Question Question) : AskOutcome;

    /// <summary>The caller has as many open questions as anybody may have.</summary>
    public sealed record TooMany(int Open) : AskOutcome;
}

/// <summary>Asks before a step is taken. Shape and sizes are checked at the edge.</summary>
/// <param name="Missing">Stands for answers that are missing at the deadline.</param>
/// <param name="TimeoutMs">From now on.</param>
public sealed record AskQuestion(string Type, string About, string? Session, JsonBytes Proposal, Verdict Missing, long TimeoutMs) : Command<AskOutcome>
{
    /// <summary>Open questions of one asker; those of the broker's own about tasks are not counted here.</summary>
    public const int MaxOpen = 1_000;

    public override AskOutcome Decide(State state, Decision decision) =>
        state.Questions.OpenOf(Actor) is var open && open >= MaxOpen ? new AskOutcome.TooMany(open)
        : new AskOutcome.Asked(Raise(state, decision, Type, About, Session, Actor, Proposal, Missing, decision.Now + TimeoutMs));

    /// <summary>All responders that are registered for the type now are waited for.</summary>
    internal static Question Raise(State state, Decision decision, string type, string about, string? session, string asker, JsonBytes proposal, Verdict missing, long expiresAt)
    {
        var id = decision.Ids.NewId(decision.Now);
        var awaited = state.Questions.Responders.Where(responder => responder.Takes(type)).Select(responder => responder.Id).ToArray();
        decision.Raise(id, session, 0, new QuestionAsked(type, about, asker, proposal, missing, awaited.Length == 0 ? null : awaited, expiresAt));
        return state.Questions.Find(id)!;
    }
}

/// <summary>What became of an answer, or of the wish to withdraw.</summary>
public abstract record AnswerOutcome
{
    /// <summary>It counts; the question as it stands now.</summary>
    public sealed record Counted(Question Question) : AnswerOutcome;

    /// <summary>The same responder has answered before; that answer stands.</summary>
    public sealed record Repeated(Question Question, QuestionAnswer First) : AnswerOutcome;

    /// <summary>Not open: settled, or never there. The store tells.</summary>
    public sealed record NotOpen : AnswerOutcome;

    /// <summary>Not the caller's to answer or to withdraw.</summary>
    public sealed record Forbidden : AnswerOutcome;

    /// <summary>What the command brought along from the store is out of date: read again.</summary>
    public sealed record NeedsFacts : AnswerOutcome;
}

/// <summary>
/// Answers a question. It is settled by a deny, by an admin's answer, by the last one that is waited for, or by the first when nobody is;
/// what then counts is <see cref="Settlement.Of"/> all answers. One about a task is answered with <c>ConfirmTask</c>.
/// </summary>
/// <param name="Replacement">With <see cref="Verdict.Modify"/> what is to be done instead.</param>
public sealed record AnswerQuestion(string Question, Verdict Answer, string? Reason, JsonBytes? Replacement) : Command<AnswerOutcome>
{
    public override AnswerOutcome Decide(State state, Decision decision)
    {
        if (state.Questions.Find(Question) is not { } question)
            return new AnswerOutcome.NotOpen();
        if (!MayAnswer(state, question))
            return new AnswerOutcome.Forbidden();
        if (question.AnswerOf(Actor) is { } first)
            return new AnswerOutcome.Repeated(question, first);

        var settled = Settles(state, question, decision.Now);
        return new AnswerOutcome.Counted(state.Questions.Raise(
            decision, question, new QuestionAnswered(Actor, Answer, Reason, Replacement, settled?.Outcome, settled?.Reason)));
    }

    /// <summary>What all answers come to with this one; null while others are waited for.</summary>
    internal Settlement? Settles(State state, Question question, long now)
    {
        var answers = question.Answers.Append(new QuestionAnswer(Actor, Answer, Reason, Replacement, now)).ToList();
        var isSettled = ByAdmin || Answer == Verdict.Deny
            || question.Awaited.All(id => answers.Exists(answer => answer.Responder == id) || !(state.Questions.FindResponder(id)?.Takes(question.Type) ?? false));
        return isSettled ? Settlement.Of(answers) : null;
    }

    private bool MayAnswer(State state, Question question) => ByAdmin || (state.Questions.FindResponder(Caller!)?.Takes(question.Type) ?? false);
}

/// <summary>Takes a question back: the step is not taken after all. For who asked it, and an admin.</summary>
public sealed record WithdrawQuestion(string Question, string Reason) : Command<AnswerOutcome>
{
    public override AnswerOutcome Decide(State state, Decision decision)
    {
        if (state.Questions.Find(Question) is not { } question)
            return new AnswerOutcome.NotOpen();

        // A task's own is settled by answering it, or by cancelling the task.
        if (question.IsOfTask || !(ByAdmin || question.Asker == Actor))
            return new AnswerOutcome.Forbidden();
        return new AnswerOutcome.Counted(state.Questions.Raise(decision, question, new QuestionWithdrawn(Reason)));
    }
}

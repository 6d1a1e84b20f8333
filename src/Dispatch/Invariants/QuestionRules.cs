using Dispatch.Events;
using Dispatch.Questions;
using Dispatch.Tasks;

namespace Dispatch.Invariants;

/// <summary>What the log may say about questions: asked, answered once by each, settled once, and what is then done with a task.</summary>
internal sealed class QuestionRules(LogChecker log, TaskRules tasks)
{
    private readonly Dictionary<string, Known> open = new(StringComparer.Ordinal);
    private readonly Dictionary<TaskId, string> confirmations = [];
    private readonly Dictionary<string, (string[] Types, long Last)> responders = new(StringComparer.Ordinal);

    // Tasks that were denied since the last commit was checked: they must be cancelled in it.
    private readonly HashSet<TaskId> denied = [];

    public bool IsAskedAbout(TaskId task) => confirmations.ContainsKey(task);

    public void Begin(Question question)
    {
        var asked = new QuestionAsked(question.Type, question.About, question.Asker, JsonBytes.EmptyObject, question.Default, question.Awaited, question.ExpiresAt);
        var known = new Known(asked, question.Session, question.Id) { Last = question.LastSequence };
        known.Answers.AddRange(question.Answers);
        open[question.Id] = known;
        if (TaskOf(asked) is { } task)
            confirmations[task] = question.Id;
    }

    public void Begin(Responder responder) => responders[responder.Id] = (responder.Types, responder.LastSequence);

    public void Check(QuestionEvent data)
    {
        var happened = log.Current;
        var known = open.GetValueOrDefault(happened.Subject);
        log.CheckChain(known?.Last ?? 0);
        if (data is QuestionAsked asked)
        {
            Ask(asked, known);
            return;
        }

        if (known is null)
        {
            log.Find("I-13", "there is no such open question");
            return;
        }

        if (happened.Session != known.Session)
            log.Find("I-13", $"it belongs to session {happened.Session ?? "none"}, its question to {known.Session ?? "none"}");
        known.Last = happened.Sequence;
        switch (data)
        {
            case QuestionAnswered e:
                Answer(known, e);
                break;
            case QuestionExpired e:
                if (happened.Timestamp < known.Asked.ExpiresAt)
                    log.Find("I-13", $"its time is up at {known.Asked.ExpiresAt}");
                Settle(known, e.Outcome, Settlement.Of(known.Answers, known.Asked.Default));
                break;
            case QuestionWithdrawn:
                if (TaskOf(known.Asked) is { } task && tasks.Find(task) is { IsFinal: false })
                    log.Find("I-10", $"task {task} is not over and nobody has confirmed it");
                Close(known);
                break;
        }
    }

    public void Check(ResponderEvent data)
    {
        var id = log.Current.Subject;
        log.CheckChain(responders.TryGetValue(id, out var known) ? known.Last : 0);
        if (data is ResponderRegistered registered)
        {
            if (registered.Types.Length == 0)
                log.Find("I-13", "it is registered for nothing");
            responders[id] = (registered.Types, log.Current.Sequence);
        }
        else if (!responders.Remove(id))
        {
            log.Find("I-13", "there is no such responder");
        }
    }

    public void Finish()
    {
        foreach (var task in denied.Order())
        {
            if (tasks.Find(task) is { Denied: true })
                log.FindAtEnd("I-10", task.ToString(), "it was not confirmed and goes on");
        }

        denied.Clear();
    }

    private void Ask(QuestionAsked asked, Known? known)
    {
        var happened = log.Current;
        if (known is not null)
            log.Find("I-13", "the question is open already");
        if (asked.Default == Verdict.Modify)
            log.Find("I-13", "its default is to modify");
        foreach (var id in asked.Awaited ?? [])
        {
            if (!responders.ContainsKey(id))
                log.Find("I-13", $"it waits for {id}, which is no responder");
        }

        open[happened.Subject] = new Known(asked, happened.Session, happened.Subject) { Last = happened.Sequence };
        if (TaskOf(asked) is not { } task)
            return;
        if (tasks.Find(task) is not { IsFinal: false, Born.Confirm: true } track)
            log.Find("I-13", $"task {task} is not to be confirmed");
        else
            track.Confirmed = false;
        if (!confirmations.TryAdd(task, happened.Subject))
            log.Find("I-13", $"task {task} is asked about already");
    }

    private void Answer(Known known, QuestionAnswered answer)
    {
        if (known.Answers.Exists(other => other.Responder == answer.Responder))
            log.Find("I-13", $"{answer.Responder} has answered before");
        if (answer.Responder != log.Current.Actor)
            log.Find("I-2", $"the answer is {answer.Responder}'s, and it was caused by {log.Current.Actor}");
        if (answer.Responder != "admin" && !responders.ContainsKey(answer.Responder))
            log.Find("I-2", $"{answer.Responder} is no responder");
        if (answer.Answer == Verdict.Modify != answer.Replacement is not null)
            log.Find("I-13", "a replacement belongs to modify, and to it alone");
        known.Answers.Add(new QuestionAnswer(answer.Responder, answer.Answer, answer.Reason, answer.Replacement, log.Current.Timestamp));
        if (answer.Outcome is { } outcome)
            Settle(known, outcome, Settlement.Of(known.Answers));
        else if (answer.Answer == Verdict.Deny || answer.Responder == "admin")
            log.Find("I-13", "it should have settled the question");
    }

    private void Settle(Known known, Verdict outcome, Settlement expected)
    {
        if (outcome != expected.Outcome)
            log.Find("I-13", $"its outcome is {outcome}, and the answers come to {expected.Outcome}");
        Close(known);
        if (TaskOf(known.Asked) is not { } task || tasks.Find(task) is not { } track)
            return;
        if (outcome != Verdict.Deny)
        {
            track.Confirmed = true;
            return;
        }

        track.Denied = true;
        denied.Add(task);
    }

    private void Close(Known known)
    {
        open.Remove(known.Id);
        if (TaskOf(known.Asked) is { } task)
            confirmations.Remove(task);
    }

    private static TaskId? TaskOf(QuestionAsked asked) => asked.Type == Question.TaskConfirmation && TaskId.TryParse(asked.About, out var task) ? task : null;

    private sealed record Known(QuestionAsked Asked, string? Session, string Id)
    {
        public List<QuestionAnswer> Answers { get; } = [];

        public long Last { get; set; }
    }
}

using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Questions;

/// <summary>The open questions, and who may answer. A question that is settled leaves memory; the store keeps it.</summary>
public sealed class QuestionTable
{
    private readonly State state;
    private readonly Dictionary<string, Entry> open = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> confirmations = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> byAsker = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Responder> responders = new(StringComparer.Ordinal);
    private readonly SortedSet<string> touchedResponders = new(StringComparer.Ordinal);
    private readonly SortedDictionary<long, QuestionRow> touched = [];

    internal QuestionTable(State state) => this.state = state;

    /// <summary>In the order in which they were asked.</summary>
    public IEnumerable<Question> Open => open.Values.Select(entry => entry.Question).OrderBy(question => question.Number);

    public int OpenCount => open.Count;

    public IReadOnlyCollection<Responder> Responders => responders.Values;

    /// <summary>The question if it is open.</summary>
    public Question? Find(string id) => open.GetValueOrDefault(id)?.Question;

    public Responder? FindResponder(string id) => responders.GetValueOrDefault(id);

    /// <summary>The open question of type <see cref="Question.TaskConfirmation"/> about this task.</summary>
    public Question? ConfirmationOf(string task) => confirmations.TryGetValue(task, out var id) ? Find(id) : null;

    /// <summary>How many open questions somebody has asked, those about tasks to be confirmed left out.</summary>
    public int OpenOf(string asker) => byAsker.GetValueOrDefault(asker);

    internal void Load(IReadOnlyList<Question> stored, IReadOnlyList<Responder> storedResponders)
    {
        foreach (var question in stored)
            Add(question);
        foreach (var responder in storedResponders)
            responders.Add(responder.Id, responder);
    }

    /// <returns>The question after the event.</returns>
    internal Question Apply(DispatchEvent happened, QuestionEvent data)
    {
        if (data is QuestionAsked asked)
        {
            var question = new Question
            {
                Id = happened.Subject,
                Number = happened.Sequence,
                Type = asked.Type,
                About = asked.About,
                Session = happened.Session,
                Asker = asked.Asker,
                Default = asked.Default,
                Awaited = asked.Awaited ?? [],
                AskedAt = happened.Timestamp,
                ExpiresAt = asked.ExpiresAt,
                LastSequence = happened.Sequence,
            };
            Add(question);
            touched[question.Number] = new QuestionRow(question, asked.Proposal);
            return question;
        }

        var entry = open.GetValueOrDefault(happened.Subject)
            ?? throw new InvalidOperationException($"Event {happened.Sequence} ({happened.Type}) is about question {happened.Subject}, which is not open.");
        var after = Next(entry.Question, data, happened.Timestamp) with { LastSequence = happened.Sequence };
        entry.Question = after;
        touched[after.Number] = new QuestionRow(after, touched.TryGetValue(after.Number, out var row) ? row.Proposal : null);
        if (!after.IsOpen)
            Remove(entry);
        return after;
    }

    /// <summary>Raises the event, and leaves a question that it settled to those who follow it.</summary>
    /// <returns>The question after the event.</returns>
    internal Question Raise(Decision decision, Question question, QuestionEvent data)
    {
        var happened = decision.Raise(question.Id, question.Session, question.LastSequence, data);
        var after = Next(question, data, happened.Timestamp) with { LastSequence = happened.Sequence };
        if (after.Outcome is not null)
            decision.Settled.Enqueue(after);
        return after;
    }

    internal void Apply(DispatchEvent happened, ResponderEvent data)
    {
        var id = happened.Subject;
        if (data is ResponderRegistered registered)
            responders[id] = new Responder(id, registered.Types, FindResponder(id)?.RegisteredAt ?? happened.Timestamp, happened.Sequence);
        else
            responders.Remove(id);
        touchedResponders.Add(id);
    }

    internal (List<QuestionRow> Questions, List<Responder> Responders, List<string> RemovedResponders) TakeChanges()
    {
        var taken = (touched.Values.ToList(), touchedResponders.Where(responders.ContainsKey).Select(id => responders[id]).ToList(), touchedResponders.Where(id => !responders.ContainsKey(id)).ToList());
        touched.Clear();
        touchedResponders.Clear();
        return taken;
    }

    /// <summary>The question after the event. Pure.</summary>
    private static Question Next(Question question, QuestionEvent data, long at)
    {
        switch (data)
        {
            case QuestionAnswered e:
                var answered = question with { Answers = [.. question.Answers, new QuestionAnswer(e.Responder, e.Answer, e.Reason, e.Replacement, at)] };
                return e.Outcome is not { } outcome ? answered : answered with
                {
                    Status = QuestionStatus.Answered,
                    Outcome = outcome,
                    Reason = e.OutcomeReason,
                    Replacement = outcome == Verdict.Modify ? ChangeOf(answered) : null,
                    ClosedAt = at,
                };
            case QuestionExpired e:
                return question with
                {
                    Status = QuestionStatus.Expired,
                    Outcome = e.Outcome,
                    Reason = e.Reason,
                    Replacement = e.Outcome == Verdict.Modify ? ChangeOf(question) : null,
                    ClosedAt = at,
                };
            case QuestionWithdrawn e:
                return question with { Status = QuestionStatus.Withdrawn, Reason = e.Reason, ClosedAt = at };
            default:
                throw new InvalidOperationException($"{data.Kind.Name} does not change a question.");
        }
    }

    private static JsonBytes? ChangeOf(Question question) => Array.Find(question.Answers, answer => answer.Answer == Verdict.Modify)?.Replacement;

    private void Add(Question question)
    {
        var entry = new Entry(question);
        open.Add(question.Id, entry);
        if (question.IsOfTask)
            confirmations[question.About] = question.Id;
        else
            byAsker[question.Asker] = OpenOf(question.Asker) + 1;
        if (state.IsLive)
            state.WallDue.Arm(entry.Deadline, question.ExpiresAt);
    }

    private void Remove(Entry entry)
    {
        var question = entry.Question;
        open.Remove(question.Id);
        state.WallDue.Disarm(entry.Deadline);
        if (question.IsOfTask)
        {
            confirmations.Remove(question.About);
        }
        else if (--byAsker[question.Asker] == 0)
        {
            byAsker.Remove(question.Asker);
        }
    }

    private sealed class Entry
    {
        public Entry(Question question) => (Question, Deadline) = (question, new DeadlineTimer(question.Id));

        public Question Question { get; set; }

        public DeadlineTimer Deadline { get; }
    }

    private sealed class DeadlineTimer(string id) : DueTimer
    {
        public override void Fire(State state, Decision decision)
        {
            var question = state.Questions.Find(id)!;
            var settled = Settlement.Of(question.Answers, question.Default);
            state.Questions.Raise(decision, question, new QuestionExpired(settled.Outcome, settled.Reason));
        }
    }
}

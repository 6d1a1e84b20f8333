using Dispatch.Events;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Host.Questions;

/// <summary>Asks, waits and answers: for the API, and for the program that embeds the broker. From any thread.</summary>
public sealed class QuestionDesk
{
    // Each read of a task is out of date only when the task changed meanwhile.
    private const int FactReads = 10;

    // Each commit wakes who waits for a question: between two looks there is a pause that nobody notices.
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(20);

    private readonly Sequencer sequencer;
    private readonly IStore store;
    private readonly LiveConfig config;
    private readonly TimeProvider clock;

    internal QuestionDesk(Sequencer sequencer, IStore store, EventFeed feed, LiveConfig config, TimeProvider clock)
    {
        this.sequencer = sequencer;
        this.store = store;
        this.config = config;
        this.clock = clock;
        Feed = feed;
    }

    internal EventFeed Feed { get; }

    /// <summary>Asks before a step is taken, and returns once the question is durable; nothing is to be done before <see cref="WaitAsync"/> tells the outcome.</summary>
    /// <param name="asker">The name of who asks, 1 to 256 printable characters.</param>
    /// <param name="type">What kind of step: a dotted name in lower case, such as <c>tool.execution_requested</c>.</param>
    /// <param name="about">Id of what it is about, 1 to 256 printable characters.</param>
    /// <param name="proposal">What is to be done: a JSON object of up to 64 KiB.</param>
    /// <param name="session">The session it belongs to, or null.</param>
    /// <param name="missing">Stands for answers that are missing at the deadline: deny, or allow.</param>
    /// <param name="timeout">1 s to 30 days; null: <c>questions.timeout_ms</c>.</param>
    /// <exception cref="ArgumentException">An argument can't be taken.</exception>
    /// <exception cref="InvalidOperationException">The asker has 1,000 open questions.</exception>
    /// <exception cref="RefusedException">It was not taken, or its commit failed.</exception>
    public async Task<StoredQuestion> AskAsync(
        string asker, string type, string about, JsonBytes proposal, string? session = null, Verdict missing = Verdict.Deny, TimeSpan? timeout = null)
    {
        foreach (var (name, value) in (ReadOnlySpan<(string, string?)>)[(nameof(asker), asker), (nameof(about), about), (nameof(session), session)])
        {
            if (value is not null && !AgentIds.IsValid(value))
                throw new ArgumentException($"{name}: '{value}' {AgentIds.Fault}.", name);
        }

        if (QuestionRequest.FaultOfType(type) is { } fault)
            throw new ArgumentException($"type: '{type}' {fault}.", nameof(type));
        if (proposal.Length > QuestionRequest.MaxJson || proposal.Span[0] != (byte)'{')
            throw new ArgumentException($"proposal: must be a JSON object of at most {QuestionRequest.MaxJson} bytes.", nameof(proposal));
        if (missing == Verdict.Modify)
            throw new ArgumentException("missing: must be deny or allow.", nameof(missing));
        var ms = (long)(timeout ?? config.Current.Questions.Timeout).TotalMilliseconds;
        if (ms is < 1_000 or > QuestionRequest.MaxTimeoutMs)
            throw new ArgumentException($"timeout: {timeout} must be from 1 second to 30 days.", nameof(timeout));

        return await AskAsync(new AskQuestion(type, about, session, proposal, missing, ms) { Caller = asker })
            ?? throw new InvalidOperationException($"{AskQuestion.MaxOpen} questions of '{asker}' are open. Wait until some are settled.");
    }

    /// <summary>The question, settled or not; null when there is none.</summary>
    public Task<StoredQuestion?> FindAsync(string id, CancellationToken cancel) => store.FindQuestionAsync(id, cancel);

    /// <summary>Waits until the question is settled, at its deadline at the latest. Holds no thread.</summary>
    /// <exception cref="ArgumentException">There is no such question.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; the question stays as it is.</exception>
    public async Task<StoredQuestion> WaitAsync(string id, CancellationToken cancel)
    {
        var found = await FindAsync(id, cancel) ?? throw new ArgumentException($"id: there is no question '{id}'.", nameof(id));
        using var cursor = Feed.Follow(EventSight.Owner, new EventFilter { Types = ["question.*"], Subjects = [id] }, found.Question.LastSequence);
        while (found.Question.IsOpen)
        {
            if ((await cursor.ReadAsync(1, cancel)).Count > 0)
            {
                found = await FindAsync(id, cancel) ?? found;
            }
            else if (cursor.Lag == 0)
            {
                await cursor.WaitAsync(cancel);
                await Task.Delay(BetweenLooks, clock, cancel);
            }
        }

        return found;
    }

    /// <summary>Null: the asker has too many open questions.</summary>
    internal async Task<StoredQuestion?> AskAsync(AskQuestion command) =>
        await sequencer.ExecuteAsync(command) is AskOutcome.Asked asked ? new StoredQuestion(asked.Question, command.Proposal) : null;

    /// <summary>Answers, with the task that the question is about when it is about one.</summary>
    internal async Task<AnswerOutcome> AnswerAsync(AnswerQuestion answer, Question question, CancellationToken cancel)
    {
        if (!question.IsOfTask)
            return await sequencer.ExecuteAsync(answer);
        AnswerOutcome outcome = new AnswerOutcome.NeedsFacts();
        for (var read = 0; read < FactReads && outcome is AnswerOutcome.NeedsFacts; read++)
        {
            var about = TaskId.TryParse(question.About, out var id) ? await store.FindTaskAsync(id, cancel) : null;
            outcome = await sequencer.ExecuteAsync(new ConfirmTask(answer, about) { Caller = answer.Caller, ByAdmin = answer.ByAdmin });
        }

        return outcome;
    }
}

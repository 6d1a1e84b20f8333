using System.Text.Json;

namespace Dispatch.Client;

public sealed partial class DispatchClient
{
    private static PathAndQuery Questions => new("api/v1/questions");
    private static PathAndQuery Responders => new("api/v1/responders");

    /// <summary>Asks before a step is taken. Nothing is to be done before the outcome is known: see <see cref="WaitForOutcomeAsync"/>.</summary>
    public Task<Question> AskAsync(NewQuestion question, CancellationToken cancel = default) =>
        ReadAsync(Post(Questions, Repeating.OnlyIfUntouched) with { Body = Bytes(question, WireJson.Default.NewQuestion) }, WireJson.Default.Question, cancel);

    /// <summary>Reads a question; with <paramref name="wait"/> (at most 60 s) answers when it is settled, or as it stands when the time is up.</summary>
    public Task<Question> GetQuestionAsync(string id, TimeSpan wait = default, CancellationToken cancel = default) =>
        ReadAsync(Get(Questions.Segment(id).With("wait_ms", Milliseconds(wait))) with { Wait = wait }, WireJson.Default.Question, cancel);

    /// <summary>Waits until a question is settled; it is at its deadline at the latest.</summary>
    public async Task<Question> WaitForOutcomeAsync(string id, CancellationToken cancel = default)
    {
        while (true)
        {
            var question = await GetQuestionAsync(id, LongestWait, cancel);
            if (!question.IsOpen)
                return question;
        }
    }

    /// <summary>One page of questions, newest first: those that the caller asked or may answer, or all for an admin.</summary>
    /// <param name="cursor"><see cref="QuestionPage.NextCursor"/> of the page before; null: the first page.</param>
    public async Task<QuestionPage> ListQuestionsAsync(QuestionFilter? filter = null, string? cursor = null, CancellationToken cancel = default)
    {
        filter ??= new QuestionFilter();
        var path = Questions.With("status", filter.Status).With("about", filter.About).With("session", filter.Session);
        foreach (var type in filter.Types)
            path.With("type", type);
        var answer = await connection.SendAsync(Get(path.With("limit", filter.Limit).With("cursor", cursor)), WireJson.Default.IReadOnlyListQuestion, cancel);
        return new QuestionPage(answer.Value, answer.NextCursor);
    }

    /// <summary>Answers a question. For an admin, and for responders registered for its type. The same answer again is answered like the first.</summary>
    /// <param name="answer">One of <see cref="Verdict"/>.</param>
    /// <param name="replacement">With <see cref="Verdict.Modify"/>: what is to be done instead.</param>
    public Task<Question> AnswerQuestionAsync(string id, string answer, string? reason = null, JsonElement? replacement = null, CancellationToken cancel = default) =>
        ReadAsync(
            Post(Questions.Segment(id).Then("answer"), Repeating.Safe) with { Body = Bytes(new AnswerBody(answer, reason, replacement), WireJson.Default.AnswerBody) },
            WireJson.Default.Question, cancel);

    /// <summary>Takes a question back: the step is not taken after all.</summary>
    public Task<Question> WithdrawQuestionAsync(string id, CancellationToken cancel = default) =>
        ReadAsync(new Call(HttpMethod.Delete, connection.At(Questions.Segment(id)), Repeating.Safe), WireJson.Default.Question, cancel);

    /// <summary>All responders. For an admin.</summary>
    public Task<IReadOnlyList<Responder>> ListRespondersAsync(CancellationToken cancel = default) =>
        ReadAsync(Get(Responders), WireJson.Default.IReadOnlyListResponder, cancel);

    /// <summary>Registers an agent as a responder, or replaces its registration: questions of these types wait for its answer from now on. For an admin.</summary>
    public Task<Responder> RegisterResponderAsync(string agentId, IReadOnlyList<string> types, CancellationToken cancel = default) =>
        ReadAsync(
            new Call(HttpMethod.Put, connection.At(Responders.Segment(agentId)), Repeating.Safe) { Body = Bytes(new ResponderBody(types), WireJson.Default.ResponderBody) },
            WireJson.Default.Responder, cancel);

    /// <summary>Removes a responder; nothing waits for it any more. For an admin.</summary>
    public async Task RemoveResponderAsync(string agentId, CancellationToken cancel = default) =>
        await connection.SendAsync(new Call(HttpMethod.Delete, connection.At(Responders.Segment(agentId)), Repeating.OnlyIfUntouched), cancel);
}

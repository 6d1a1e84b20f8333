using Dispatch.Events;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http;
using Dispatch.Host.Http.Problems;
using Dispatch.Host.Streams;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Questions;

/// <summary>
/// Questions over HTTP: asked by anybody who has a name, answered by admins and by responders that an admin registered. Whoever neither asked a
/// question nor may answer it learns nothing of it.
/// </summary>
internal sealed class QuestionEndpoints(
    Sequencer sequencer, IStore store, QuestionDesk desk, EventEndpoints streams, LiveConfig config, TimeProvider clock, CancellationToken stopping)
{
    private const int MaxWaitMs = 60_000;
    private const int MaxLimit = 1_000;
    private const int DefaultLimit = 100;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/v1/questions", AskAsync);
        routes.MapRead("/api/v1/questions", ListAsync).Takes("status", "type", "about", "session", "limit", "cursor");
        routes.MapGet("/api/v1/questions/stream", StreamAsync).Takes("type", "about", "session");
        routes.MapRead("/api/v1/questions/{id}", GetAsync).Takes("wait_ms");
        routes.MapDelete("/api/v1/questions/{id}", WithdrawAsync);
        routes.MapPost("/api/v1/questions/{id}/answer", AnswerAsync);
        routes.MapRead("/api/v1/responders", ListRespondersAsync);
        routes.MapPut("/api/v1/responders/{id}", RegisterAsync);
        routes.MapDelete("/api/v1/responders/{id}", RemoveAsync);
    }

    private async Task AskAsync(HttpContext http)
    {
        var caller = http.Caller();
        AskQuestion command;
        using (var body = await JsonBody.ReadAsync(http))
            command = QuestionRequest.ReadQuestion(body, (long)config.Current.Questions.Timeout.TotalMilliseconds);
        var asked = await desk.AskAsync(command with { Caller = caller.Agent, ByAdmin = caller.IsAdmin })
            ?? throw new ProblemException(new Problem(ErrorCode.TooManyQuestions, $"{AskQuestion.MaxOpen} of your questions are open; no more may be.") { RetryAfterSeconds = 5 });
        http.Response.Headers.Location = "/api/v1/questions/" + asked.Question.Id;
        await http.WriteJsonAsync(StatusCodes.Status201Created, asked, QuestionWriter.Write);
    }

    private async Task ListAsync(HttpContext http)
    {
        var query = await ReadQueryAsync(http, withPage: true);
        var found = await store.ListQuestionsAsync(query with { Limit = query.Limit + 1 }, http.RequestAborted);
        if (found.Count > query.Limit)
        {
            found = found.Take(query.Limit).ToArray();
            http.Response.Headers.Link = $"<{TaskQueryReader.NextPage(http.Request, found[^1].Question.Number)}>; rel=\"next\"";
        }

        await http.WriteJsonAsync(StatusCodes.Status200OK, found, QuestionWriter.Write, isLarge: true);
    }

    private async Task StreamAsync(HttpContext http)
    {
        var query = await ReadQueryAsync(http, withPage: false);
        streams.TakePlace(http);

        // From here on; what is open now comes first. What was settled in between comes twice, the second time as it is.
        using var cursor = desk.Feed.Follow(EventSight.Owner, new EventFilter { Types = ["question.*"] }, desk.Feed.Head);
        var open = await store.ListQuestionsAsync(query with { Status = QuestionStatus.Open, Limit = int.MaxValue }, http.RequestAborted);
        EventEndpoints.BeginStream(http);
        var sink = new QuestionSink(http.Response.BodyWriter, store, async () => await WithVisibilityAsync(http, query));
        foreach (var question in open.Reverse())
            sink.Write("question.open", question);
        await streams.RunAsync(http, cursor, sink, http.RequestAborted);
    }

    private async Task GetAsync(HttpContext http)
    {
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var wait = TimeSpan.FromMilliseconds(QueryValue.Number(http.Request, "wait_ms", 0, MaxWaitMs, 0, faults));
        faults.ThrowIfAny();
        var found = await FindAsync(http);
        if (found.Question.IsOpen && wait > TimeSpan.Zero)
            found = await WaitAsync(http, found, wait);
        await http.WriteJsonAsync(StatusCodes.Status200OK, found, QuestionWriter.Write);
    }

    private async Task<StoredQuestion> WaitAsync(HttpContext http, StoredQuestion found, TimeSpan wait)
    {
        using var patience = new CancellationTokenSource(wait, clock);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, http.RequestAborted, stopping);
        try
        {
            return await desk.WaitAsync(found.Question.Id, ended.Token);
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested)
        {
            return await FindAsync(http);
        }
    }

    private async Task AnswerAsync(HttpContext http)
    {
        var caller = http.Caller();
        var found = await FindAsync(http);
        AnswerQuestion answer;
        using (var body = await JsonBody.ReadAsync(http))
            answer = QuestionRequest.ReadAnswer(body, found.Question.Id, found.Question.IsOfTask) with { Caller = caller.Agent, ByAdmin = caller.IsAdmin };

        var outcome = await desk.AnswerAsync(answer, found.Question, http.RequestAborted);
        if (outcome is AnswerOutcome.NeedsFacts)
            throw new ProblemException(new Problem(ErrorCode.Busy, "The task changed faster than it could be read. Try again.") { RetryAfterSeconds = 1 });
        await AnswerOutcomeAsync(http, outcome, answer);
    }

    private async Task AnswerOutcomeAsync(HttpContext http, AnswerOutcome outcome, AnswerQuestion answer)
    {
        if (outcome is AnswerOutcome.Forbidden)
            throw new ProblemException(new Problem(ErrorCode.Forbidden, "Only an admin, and a responder registered for the question's type, may answer it."));

        // Counted or not, it is read again: an answer that was sent twice is told what the first came to.
        var found = await FindAsync(http);
        var responder = http.Caller().IsAdmin ? "admin" : http.Caller().Agent;
        var first = found.Question.AnswerOf(responder);
        var isSame = first is not null && first.Answer == answer.Answer && first.Reason == answer.Reason && Equals(first.Replacement, answer.Replacement);
        if (outcome is not AnswerOutcome.Counted && !isSame)
        {
            throw new ProblemException(first is not null
                ? new Problem(ErrorCode.AlreadyAnswered, $"{responder} has answered question {found.Question.Id} with {QuestionWriter.Word(first.Answer)} already; that stands.")
                : new Problem(ErrorCode.QuestionClosed, $"Question {found.Question.Id} is {QuestionWriter.Word(found.Question.Status)}{(found.Question.Outcome is { } known ? $" with {QuestionWriter.Word(known)}" : "")}."));
        }

        await http.WriteJsonAsync(StatusCodes.Status200OK, found, QuestionWriter.Write);
    }

    private async Task WithdrawAsync(HttpContext http)
    {
        var caller = http.Caller();
        await JsonBody.IgnoreAsync(http);
        var found = await FindAsync(http);
        var outcome = await sequencer.ExecuteAsync(new WithdrawQuestion(found.Question.Id, $"Withdrawn by {(caller.IsAdmin ? "admin" : caller.Agent)}.") { Caller = caller.Agent, ByAdmin = caller.IsAdmin });
        if (outcome is AnswerOutcome.Forbidden)
        {
            throw new ProblemException(found.Question.IsOfTask
                ? new Problem(ErrorCode.Forbidden, $"The broker asks this about task {found.Question.About}: answer it, or cancel the task.")
                : new Problem(ErrorCode.Forbidden, "Only who asked a question, and an admin, may withdraw it."));
        }

        found = await FindAsync(http);
        if (found.Question.Status != QuestionStatus.Withdrawn)
            throw new ProblemException(new Problem(ErrorCode.QuestionClosed, $"Question {found.Question.Id} is {QuestionWriter.Word(found.Question.Status)}."));
        await http.WriteJsonAsync(StatusCodes.Status200OK, found, QuestionWriter.Write);
    }

    private async Task ListRespondersAsync(HttpContext http)
    {
        http.DemandAdmin();
        var all = await sequencer.ExecuteAsync(new ListResponders { Caller = http.Caller().Agent });
        await http.WriteJsonAsync(StatusCodes.Status200OK, all, static (json, list) =>
        {
            json.WriteStartArray();
            foreach (var responder in list)
                QuestionWriter.Write(json, responder);
            json.WriteEndArray();
        });
    }

    private async Task RegisterAsync(HttpContext http)
    {
        http.DemandAdmin();
        var id = http.PathAgent();
        RegisterResponder command;
        using (var body = await JsonBody.ReadAsync(http))
            command = QuestionRequest.ReadResponder(body, id) with { Caller = http.Caller().Agent, ByAdmin = true };
        var (responder, isNew) = await sequencer.ExecuteAsync(command);
        await http.WriteJsonAsync(isNew ? StatusCodes.Status201Created : StatusCodes.Status200OK, responder, QuestionWriter.Write);
    }

    private async Task RemoveAsync(HttpContext http)
    {
        http.DemandAdmin();
        await JsonBody.IgnoreAsync(http);
        var id = http.PathId();
        var responder = await sequencer.ExecuteAsync(new RemoveResponder(id) { Caller = http.Caller().Agent, ByAdmin = true })
            ?? throw new ProblemException(new Problem(ErrorCode.ResponderNotFound, $"There is no responder {Excerpt.Of(id, 64)}."));
        await http.WriteJsonAsync(StatusCodes.Status200OK, responder, QuestionWriter.Write);
    }

    /// <summary>The question in the path, if the caller may see it.</summary>
    private async Task<StoredQuestion> FindAsync(HttpContext http)
    {
        var id = http.PathId();
        var sight = await WithVisibilityAsync(http, new QuestionQuery());
        return await desk.FindAsync(id, http.RequestAborted) is { } found && sight.Takes(found.Question) ? found
            : throw new ProblemException(new Problem(ErrorCode.QuestionNotFound, $"There is no question {Excerpt.Of(id, 64)}."));
    }

    private async Task<QuestionQuery> ReadQueryAsync(HttpContext http, bool withPage)
    {
        var request = http.Request;
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        QuestionStatus? status = null;
        if (withPage && (TaskQueryReader.Name(request, "status", faults) ?? QuestionWriter.Word(QuestionStatus.Open)) is var word && word != "all")
        {
            var index = QuestionWriter.AllStates.ToList().IndexOf(word);
            if (index < 0)
                faults.Add("status", $"'{Excerpt.Of(word, 40)}' is no status; known are {string.Join(", ", QuestionWriter.AllStates)}, and all");
            else
                status = (QuestionStatus)index;
        }

        var query = new QuestionQuery
        {
            Status = status,
            Types = EventFilterReader.Types([.. request.Query["type"].SelectMany(text => (text ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))], "type", faults),
            About = TaskQueryReader.Name(request, "about", faults),
            Session = TaskQueryReader.Name(request, "session", faults),
            Before = withPage ? TaskQueryReader.Cursor(request, faults) : null,
            Limit = withPage ? (int)QueryValue.Number(request, "limit", 1, MaxLimit, DefaultLimit, faults) : int.MaxValue,
        };
        faults.ThrowIfAny();
        return await WithVisibilityAsync(http, query);
    }

    /// <summary>The query, narrowed to what the caller may see now: what it asked, and what it is registered to answer.</summary>
    private async Task<QuestionQuery> WithVisibilityAsync(HttpContext http, QuestionQuery query)
    {
        var caller = http.Caller();
        if (caller.IsAdmin)
            return query;
        var responders = await sequencer.ExecuteAsync(new ListResponders { Caller = caller.Agent });
        return query with { VisibleTo = caller.Agent, VisibleTypes = responders.FirstOrDefault(responder => responder.Id == caller.Agent)?.Types ?? [] };
    }
}

using Dispatch.Events;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Questions;

/// <summary>The responders inside the program: each answers what is open when the broker starts, and then what is asked.</summary>
internal sealed class ResponderRunners(QuestionDesk desk, Sequencer sequencer, IStore store, IServiceProvider services, TimeProvider clock, ILogger<ResponderRunners> logger)
{
    private static readonly TimeSpan AfterFailure = TimeSpan.FromSeconds(1);

    /// <summary>Ends when it was stopped.</summary>
    public Task Ended { get; private set; } = Task.CompletedTask;

    /// <exception cref="BrokerStartException">Two have one name.</exception>
    public async Task StartAsync(CancellationToken stop)
    {
        var all = services.GetServices<ResponderRegistration>().ToList();
        if (all.GroupBy(one => one.Id, StringComparer.Ordinal).FirstOrDefault(group => group.Count() > 1) is { Key: var twice })
            throw new BrokerStartException($"AddQuestionResponder: '{twice}' is the name of two responders.", "Give each its own.");
        foreach (var one in all)
            await sequencer.ExecuteAsync(new RegisterResponder(one.Id, one.Types) { ByAdmin = true });
        Ended = Task.WhenAll(all.Select(one => RunAsync(one, stop)));
    }

    private async Task RunAsync(ResponderRegistration registration, CancellationToken stop)
    {
        var responder = registration.Make(services);
        try
        {
            while (true)
            {
                try
                {
                    await FollowAsync(registration, responder, stop);
                }
                catch (Exception failure) when (failure is StoreException or RefusedException or EventsGoneException)
                {
                    // From the open ones on again, once the store is back.
                    logger.ResponderWaits(registration.Id, failure.Message);
                    await Task.Delay(AfterFailure, clock, stop);
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Stopped; what is open then is answered after the next start.
        }
    }

    private async Task FollowAsync(ResponderRegistration registration, IQuestionResponder responder, CancellationToken stop)
    {
        using var cursor = desk.Feed.Follow(EventSight.System, EventFilter.Type(QuestionAsked.Is.Name), desk.Feed.Head);
        var open = await store.ListQuestionsAsync(new QuestionQuery { Status = QuestionStatus.Open, Types = registration.Types, Limit = int.MaxValue }, stop);
        foreach (var question in open.Reverse())
            await AnswerAsync(registration, responder, question, stop);
        while (true)
        {
            foreach (var asked in (await cursor.ReadAsync(64, stop)).ToArray())
            {
                if (await desk.FindAsync(asked.Subject, stop) is { } question && registration.Types.Any(type => EventFilter.IsOf(type, question.Question.Type)))
                    await AnswerAsync(registration, responder, question, stop);
            }

            if (cursor.Lag == 0)
                await cursor.WaitAsync(stop);
        }
    }

    private async Task AnswerAsync(ResponderRegistration registration, IQuestionResponder responder, StoredQuestion stored, CancellationToken stop)
    {
        var question = stored.Question;
        if (!question.IsOpen || question.AnswerOf(registration.Id) is not null)
            return;

        AnswerQuestion answer;
        try
        {
            var said = await responder.AnswerAsync(stored, stop);
            answer = new AnswerQuestion(question.Id, said.Answer, said.Reason, said.Replacement is { } change && question.IsOfTask ? QuestionRequest.TaskChange(change) : said.Replacement)
            {
                Caller = registration.Id,
            };
        }
        catch (Exception failure) when (!(failure is OperationCanceledException && stop.IsCancellationRequested))
        {
            logger.ResponderFailed(failure, registration.Id, question.Id, question.Type);
            return;
        }

        // Settled meanwhile, or by another: the first answers count, and this one is not missed.
        await desk.AnswerAsync(answer, question, stop);
    }
}

internal static partial class ResponderMessages
{
    [LoggerMessage(EventId = 3401, Level = LogLevel.Error, Message = "Responder {Responder} failed on question {Question} ({Type}); it is left without its answer")]
    public static partial void ResponderFailed(this ILogger logger, Exception e, string responder, string question, string type);

    [LoggerMessage(EventId = 3402, Level = LogLevel.Warning, Message = "Responder {Responder} waits for the store: {Problem}")]
    public static partial void ResponderWaits(this ILogger logger, string responder, string problem);
}

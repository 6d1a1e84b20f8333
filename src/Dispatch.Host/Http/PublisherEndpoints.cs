using System.Text.Json;
using Dispatch.Host.Auth;
using Dispatch.Host.Bus;
using Dispatch.Host.Http.Problems;
using Dispatch.Publishing;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Http;

/// <summary>Who may add events to the log from outside, and the way they do.</summary>
/// <param name="program">Name of the program that this broker runs in, or null: nobody else can be registered by it.</param>
internal sealed class PublisherEndpoints(Sequencer sequencer, EventIntake intake, string? program)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapRead("/api/v1/publishers", ListAsync);
        routes.MapPut("/api/v1/publishers/{id}", RegisterAsync);
        routes.MapDelete("/api/v1/publishers/{id}", RemoveAsync);
        routes.MapPost("/api/v1/events", PublishAsync);
    }

    private async Task ListAsync(HttpContext http)
    {
        http.DemandAdmin();
        var all = await sequencer.ExecuteAsync(new ListPublishers { Caller = http.Caller().Agent });
        await http.WriteJsonAsync(StatusCodes.Status200OK, all, static (json, list) =>
        {
            json.WriteStartArray();
            foreach (var publisher in list)
                Write(json, publisher);
            json.WriteEndArray();
        });
    }

    private async Task RegisterAsync(HttpContext http)
    {
        http.DemandAdmin();
        var id = http.PathAgent();
        RegisterPublisher command;
        using (var body = await JsonBody.ReadAsync(http))
            command = PublisherRequest.ReadRegistration(body, id, program) with { Caller = http.Caller().Agent, ByAdmin = true };
        var (publisher, isNew) = await sequencer.ExecuteAsync(command);
        await http.WriteJsonAsync(isNew ? StatusCodes.Status201Created : StatusCodes.Status200OK, publisher, Write);
    }

    private async Task RemoveAsync(HttpContext http)
    {
        http.DemandAdmin();
        await JsonBody.IgnoreAsync(http);
        var id = http.PathId();
        var publisher = await sequencer.ExecuteAsync(new RemovePublisher(id) { Caller = http.Caller().Agent, ByAdmin = true })
            ?? throw new ProblemException(new Problem(ErrorCode.PublisherNotFound, $"There is no publisher {Excerpt.Of(id, 64)}."));
        await http.WriteJsonAsync(StatusCodes.Status200OK, publisher, Write);
    }

    private async Task PublishAsync(HttpContext http)
    {
        NewOutsideEvent[] events;
        bool isArray;
        using (var body = await JsonBody.ReadAsync(http))
        {
            if (!body.HasRoot)
                throw JsonBody.Refuse("The body is empty; send an event, or an array of events.");
            isArray = body.Root.ValueKind == JsonValueKind.Array;
            events = PublisherRequest.ReadEvents(body.Root);
        }

        // Also an admin publishes as the agent it calls itself: that is the source of the events.
        var caller = http.Caller().Agent;
        switch (await intake.PublishAsync(caller, events, areNew: false, http.RequestAborted))
        {
            case PublishOutcome.Accepted { Events: var accepted }:
                await AnswerAsync(http, accepted);
                return;
            case PublishOutcome.NotAllowed refused:
                throw Refuse(ErrorCode.Forbidden, refused.Index, refused.Member, refused.Problem, isArray);
            case PublishOutcome.Mismatch other:
                throw Refuse(ErrorCode.IdempotencyMismatch, other.Index, "id", $"was used for another event, number {other.Sequence}", isArray);
            default:
                throw new ProblemException(new Problem(ErrorCode.Forbidden, $"{caller} is not registered as a publisher."));
        }
    }

    private static Task AnswerAsync(HttpContext http, PublishedEvent[] events) =>
        http.WriteJsonAsync(events.Any(happened => happened.IsNew) ? StatusCodes.Status201Created : StatusCodes.Status200OK, events, static (json, told) =>
        {
            json.WriteStartArray();
            foreach (var happened in told)
            {
                json.WriteStartObject();
                json.WriteString("id"u8, happened.Id);
                json.WriteNumber("sequence"u8, happened.Sequence);
                json.WriteBoolean("duplicate"u8, !happened.IsNew);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        });

    private static ProblemException Refuse(ErrorCode code, int index, string member, string problem, bool isArray)
    {
        var field = isArray ? $"events[{index}].{member}" : member;
        return new ProblemException(new Problem(code, $"{field}: {problem}") { Errors = [new FieldFault(field, problem)] });
    }

    private static void Write(Utf8JsonWriter json, Publisher publisher)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, publisher.Id);
        TaskWriter.Texts(json, "types"u8, publisher.Types);
        TaskWriter.Text(json, "session"u8, publisher.Session);
        TaskWriter.Time(json, "registered_at"u8, publisher.RegisteredAt);
        json.WriteEndObject();
    }
}

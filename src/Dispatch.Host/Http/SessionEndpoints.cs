using System.Text.Json;
using Dispatch.Host.Auth;
using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Http;

/// <summary>Opens and closes sessions, and with them the log to their guests. For admins.</summary>
internal sealed class SessionEndpoints(Sequencer sequencer, SessionDirectory sessions, TimeProvider clock)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/v1/sessions", OpenAsync);
        routes.MapRead("/api/v1/sessions", ListAsync);
        routes.MapDelete("/api/v1/sessions/{id}", CloseAsync);
    }

    private async Task OpenAsync(HttpContext http)
    {
        http.DemandAdmin();
        SessionRequest wanted;
        using (var body = await JsonBody.ReadAsync(http))
            wanted = SessionRequest.Read(body);

        var id = wanted.Id ?? $"ses_{Guid.CreateVersion7(clock.GetUtcNow()):N}";
        var secret = TokenText.MakeForGuests();
        var session = await sequencer.ExecuteAsync(
            new OpenSession(id, wanted.Name, TokenHash.Of(secret).ToString(), wanted.ExpiresInMs) { Caller = http.Caller().Agent, ByAdmin = true })
            ?? throw new ProblemException(new Problem(ErrorCode.SessionExists, $"Session {Excerpt.Of(id, 64)} is open already."));

        // The directory follows the commits a moment later; whoever is answered may use the token at once.
        sessions.Open(session);
        await http.WriteJsonAsync(StatusCodes.Status201Created, (session, secret), static (json, made) => Write(json, made.session, made.secret));
    }

    private async Task ListAsync(HttpContext http)
    {
        http.DemandAdmin();
        var open = await sequencer.ExecuteAsync(new ListSessions { Caller = http.Caller().Agent });
        await http.WriteJsonAsync(StatusCodes.Status200OK, open, static (json, list) =>
        {
            json.WriteStartArray();
            foreach (var session in list)
                Write(json, session, null);
            json.WriteEndArray();
        });
    }

    private async Task CloseAsync(HttpContext http)
    {
        http.DemandAdmin();
        await JsonBody.IgnoreAsync(http);
        var id = http.PathId();
        var session = await sequencer.ExecuteAsync(new CloseSession(id) { Caller = http.Caller().Agent, ByAdmin = true })
            ?? throw new ProblemException(new Problem(ErrorCode.SessionNotFound, $"No session {Excerpt.Of(id, 64)} is open."));

        // From this answer on its guests are refused.
        sessions.Close(session);
        await http.WriteJsonAsync(StatusCodes.Status200OK, session, static (json, closed) => Write(json, closed, null));
    }

    private static void Write(Utf8JsonWriter json, Session session, string? secret)
    {
        json.WriteStartObject();
        json.WriteString("session"u8, session.Id);
        TaskWriter.Text(json, "name"u8, session.Name);
        TaskWriter.Text(json, "guest_token"u8, secret);
        TaskWriter.Time(json, "created_at"u8, session.CreatedAt);
        TaskWriter.Time(json, "expires_at"u8, session.ExpiresAt);
        json.WriteEndObject();
    }
}

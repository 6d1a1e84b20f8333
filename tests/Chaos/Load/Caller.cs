using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Dispatch.Chaos.Histories;
using Dispatch.Chaos.Wire;

namespace Dispatch.Chaos.Load;

/// <summary>What became of one operation.</summary>
/// <param name="Answer">Set when it is Ok.</param>
/// <param name="Code">Why it was refused or is unknown.</param>
public sealed record Performed(Phase End, Answer? Answer, string Code)
{
    public bool IsOk => End == Phase.Ok;

    /// <summary>The broker was too busy or about to stop; asking again later is all there is to do.</summary>
    public bool IsLater => Code is "busy" or "shutting_down" or "no_writer" or "too_many_requests";
}

/// <summary>Performs operations in the name of one actor and writes each into its history, before and after.</summary>
/// <param name="nodes">Where it asks.</param>
/// <param name="patience">Longest wait for an answer beyond the wait that was asked for; null: <see cref="Line.Patience"/>.</param>
public sealed class Caller(string actor, NodeChoice nodes, HistoryFile history, TimeSpan? patience = null) : IDisposable
{
    private readonly Line line = new(nodes);

    public string Actor => actor;

    public Task ConnectAsync(CancellationToken cancel) => line.ConnectAsync(cancel);

    /// <summary>Invokes, sends and writes down the answer.</summary>
    /// <param name="request">Method, path, and the rest as it goes over the wire.</param>
    /// <param name="read">Reads a 2xx body.</param>
    /// <exception cref="InvalidDataException">
    /// A 2xx answer whose body is not what the contract says, or an answer that no correct broker gives to a well-formed request.
    /// </exception>
    public async Task<Performed> PerformAsync(Invocation what, Sending request, Func<Reply, Answer> read, CancellationToken cancel)
    {
        await line.ConnectAsync(cancel);
        var op = history.Invoke(what);
        var reply = await line.SendAsync(request.As(actor, op), (patience ?? Line.Patience) + request.Wait, cancel);
        if (reply is null)
        {
            history.Unknown(op, "no_answer");
            return new Performed(Phase.Unknown, null, "no_answer");
        }

        if (!reply.IsSuccess)
        {
            var code = reply.Code is { Length: > 0 } given ? given : reply.Status.ToString();
            if (reply.IsRefusal)
                history.Refused(op, code);
            else
                history.Unknown(op, code);
            if (IsBreach(code))
                throw new InvalidDataException($"{op}: {request.Method} {request.Path} was answered {reply.Status} {Encoding.UTF8.GetString(reply.Body)}");
            return new Performed(reply.IsRefusal ? Phase.Refused : Phase.Unknown, null, code);
        }

        var answer = Read(op, reply, read);
        history.Ok(op, answer);
        return new Performed(Phase.Ok, answer, "");
    }

    /// <summary>Invokes, sends, and hangs up before the answer.</summary>
    public async Task HangUpAsync(Invocation what, Sending request, TimeSpan after, CancellationToken cancel)
    {
        await line.ConnectAsync(cancel);
        var op = history.Invoke(what);
        await line.HangUpAsync(request.As(actor, op), after, cancel);
        history.Unknown(op, "hung_up");
    }

    public void Dispose()
    {
        line.Dispose();
        history.Dispose();
    }

    /// <summary>Every request here is well formed, so these say that the broker thinks otherwise or fell over.</summary>
    private static bool IsBreach(string code) => code is
        "validation" or "unauthorized" or "not_found" or "method_not_allowed" or "payload_too_large" or "unsupported_media_type" or "internal"
        or "400" or "401" or "404" or "405" or "411" or "413" or "415" or "500";

    private static Answer Read(string op, Reply reply, Func<Reply, Answer> read)
    {
        try
        {
            return read(reply);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new InvalidDataException($"{op}: the answer {reply.Status} is not what the contract says: {e.Message}", e);
        }
    }
}

/// <summary>A request before it is known who sends it.</summary>
/// <param name="Name">Sent in the name of this agent instead of the actor's own: a liar.</param>
public sealed record Sending(string Method, string Path, JsonNode? Body = null, int? AttemptHeader = null, string? Name = null)
{
    /// <summary>How long the broker was asked to wait before it answers.</summary>
    public TimeSpan Wait { get; init; }

    public Request As(string actor, string op) =>
        new(Method, Path, Name ?? actor, op, Body is null ? default : JsonSerializer.SerializeToUtf8Bytes(Body), AttemptHeader);
}

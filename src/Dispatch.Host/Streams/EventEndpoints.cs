using System.Globalization;
using System.Net.WebSockets;
using Dispatch.Events;
using Dispatch.Host.Auth;
using Dispatch.Host.Http;
using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Streams;

/// <summary>The log over HTTP: by pages, as server-sent events, over a WebSocket.</summary>
internal sealed class EventEndpoints(EventFeed feed, string space, TimeProvider clock, CancellationToken stopping)
{
    /// <summary>Most streams at once; more are refused with 503.</summary>
    public const int MaxStreams = 10_000;

    private const int MaxPage = 1_000;
    private const int DefaultPage = 100;
    private const int AtOnce = 256;

    // A page looks at so many events at the most; a sparse filter then goes on from where it stopped.
    private const int LookedPerPage = 20_000;

    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(15);

    private int streams;

    /// <summary>Streams that are open.</summary>
    public int Streams => Volatile.Read(ref streams);

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapRead("/api/v1/events", PageAsync).OpenToGuests().Takes("after", "limit", "type", "source", "subject", "session");
        routes.MapGet("/api/v1/events/stream", StreamAsync).OpenToGuests().Takes("after", "type", "source", "subject", "session");
        routes.MapGet("/api/v1/events/ws", SocketAsync).OpenToGuests().Takes("after", "type", "source", "subject", "session");
    }

    private async Task PageAsync(HttpContext http)
    {
        var sight = http.Sight();
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var after = QueryValue.Number(http.Request, "after", 0, long.MaxValue - MaxPage, feed.Horizon - 1, faults);
        var limit = (int)QueryValue.Number(http.Request, "limit", 1, MaxPage, DefaultPage, faults);
        var filter = EventFilterReader.Read(http.Request, faults);
        faults.ThrowIfAny();

        using var cursor = feed.Follow(sight, filter, after);
        var page = new List<FeedEvent>();
        while (page.Count < limit && cursor.Lag > 0 && cursor.Position - after < LookedPerPage)
            page.AddRange(await ReadAsync(cursor, limit - page.Count, http.RequestAborted));

        // Its session may have ended while the page was read, and another one may have taken over its id.
        if (http.Caller().Pass is { IsValid: false })
            throw new ProblemException(Callers.BadToken);

        // A guest is told the place it has come to and not how far the log goes on.
        var head = sight.Role == EventRole.Guest ? cursor.Position : feed.Head;
        long? horizon = sight.Role == EventRole.Guest ? null : feed.Horizon;
        var warnings = sight.Role == EventRole.Owner ? EventFilterReader.Warnings(filter) : [];
        await http.WriteJsonAsync(StatusCodes.Status200OK, (page, cursor.Position, head, horizon, more: cursor.Lag > 0, warnings), (json, told) =>
        {
            json.WriteStartObject();
            json.WriteStartArray("events"u8);
            foreach (var happened in told.page)
                json.WriteRawValue(happened.CloudEvent(space), skipInputValidation: true);
            json.WriteEndArray();
            json.WriteNumber("next_after"u8, told.Position);
            json.WriteNumber("head"u8, told.head);
            if (told.horizon is { } oldest)
                json.WriteNumber("horizon"u8, oldest);
            json.WriteBoolean("more"u8, told.more);
            if (told.warnings.Count > 0)
            {
                json.WriteStartArray("warnings"u8);
                foreach (var warning in told.warnings)
                    json.WriteStringValue(warning);
                json.WriteEndArray();
            }

            json.WriteEndObject();
        }, isLarge: page.Count > DefaultPage);
    }

    private async Task StreamAsync(HttpContext http)
    {
        using var cursor = await OpenAsync(http);
        BeginStream(http);
        await RunAsync(http, cursor, new SseSink(http.Response.BodyWriter, space), http.RequestAborted);
    }

    /// <summary>Sends the head of a stream of server-sent events.</summary>
    internal static void BeginStream(HttpContext http)
    {
        var response = http.Response;
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-store";
        response.Headers["X-Accel-Buffering"] = "no";
        http.Features.Get<IHttpResponseBodyFeature>()!.DisableBuffering();
    }

    private async Task SocketAsync(HttpContext http)
    {
        if (!http.WebSockets.IsWebSocketRequest)
            throw new ProblemException(new Problem(ErrorCode.UpgradeRequired, "This route speaks WebSocket only; /api/v1/events/stream is the same over plain HTTP."));

        using var cursor = await OpenAsync(http);
        using var socket = await http.WebSockets.AcceptWebSocketAsync();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted);
        var listening = ListenAsync(socket, ended);
        await RunAsync(http, cursor, new SocketSink(socket, space), ended.Token);
        if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1), clock);
            await Quietly(socket.CloseOutputAsync(Goodbye(http), null, patience.Token));

            // Cut off before it has answered, the other side may never see the goodbye.
            await Quietly(listening.WaitAsync(patience.Token));
        }

        await ended.CancelAsync();
        await Quietly(listening);
    }

    private WebSocketCloseStatus Goodbye(HttpContext http) =>
        stopping.IsCancellationRequested ? WebSocketCloseStatus.EndpointUnavailable
        : http.Caller().Pass is { IsValid: false } ? WebSocketCloseStatus.PolicyViolation
        : WebSocketCloseStatus.NormalClosure;

    /// <summary>Reads what the other side says, which is nothing but its goodbye.</summary>
    private static async Task ListenAsync(WebSocket socket, CancellationTokenSource ended)
    {
        var ignored = new byte[512];
        try
        {
            while ((await socket.ReceiveAsync(ignored.AsMemory(), ended.Token)).MessageType != WebSocketMessageType.Close)
            {
            }
        }
        catch (Exception gone) when (gone is WebSocketException or OperationCanceledException)
        {
            // It went without one.
        }

        await ended.CancelAsync();
    }

    /// <summary>Reads the request and opens its cursor, before anything is answered.</summary>
    private async Task<EventCursor> OpenAsync(HttpContext http)
    {
        var sight = http.Sight();
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var after = QueryValue.Number(http.Request, "after", 0, long.MaxValue - MaxPage, feed.Head, faults);
        if (http.Request.Headers["Last-Event-ID"].ToString() is { Length: > 0 } last)
        {
            if (!long.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out after))
                faults.Add("Last-Event-ID", "must be the sequence number of an event, as it came in its id");
        }

        var filter = EventFilterReader.Read(http.Request, faults);
        faults.ThrowIfAny();
        TakePlace(http);

        // What is no longer kept is told with a status, while there is one to tell it with.
        using (var first = feed.Follow(sight, filter, after))
            await ReadAsync(first, 1, http.RequestAborted);
        return feed.Follow(sight, filter, after);
    }

    /// <summary>Counts a stream until its request is over.</summary>
    /// <exception cref="ProblemException">There are too many.</exception>
    internal void TakePlace(HttpContext http)
    {
        if (Interlocked.Increment(ref streams) > MaxStreams)
        {
            Interlocked.Decrement(ref streams);
            throw new ProblemException(new Problem(ErrorCode.Busy, $"{MaxStreams} streams are open already; try again later.") { RetryAfterSeconds = 5 });
        }

        http.Response.OnCompleted(() =>
        {
            Interlocked.Decrement(ref streams);
            return Task.CompletedTask;
        });
    }

    /// <summary>Sends what the cursor reads, and signs of life, until either side goes.</summary>
    internal async Task RunAsync(HttpContext http, EventCursor cursor, IEventSink sink, CancellationToken gone)
    {
        var pass = http.Caller().Pass;
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(gone, stopping, pass?.Ended ?? default);
        try
        {
            await BeatAsync();
            var beat = clock.GetTimestamp();
            while (true)
            {
                var events = await cursor.ReadAsync(AtOnce, ended.Token);
                if (pass is { IsValid: false })
                    return;
                if (events.Count > 0)
                    await sink.SendAsync(events, ended.Token);
                if (clock.GetElapsedTime(beat) >= Heartbeat)
                {
                    await BeatAsync();
                    beat = clock.GetTimestamp();
                }

                if (cursor.Lag > 0 && events.Count is 0 or AtOnce)
                    continue;

                // A thousand streams that each wake for each event would do nothing else: the more there are, the more each takes at once.
                if (events.Count > 0 && Streams > 8)
                    await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(250, Streams / 4)), clock, ended.Token);
                var rest = Heartbeat - clock.GetElapsedTime(beat);
                if (pass is not null && pass.Left < rest)
                    rest = pass.Left;
                if (rest > TimeSpan.Zero)
                    await WaitAsync(cursor, rest, ended.Token);
            }
        }
        catch (OperationCanceledException) when (ended.IsCancellationRequested)
        {
            // The reader went, or the broker stops: the reader comes back with the last id it has.
        }
        catch (Exception lost) when (lost is IOException or WebSocketException or StoreException or EventsGoneException)
        {
            // As it is: a stream can only end. The reader comes back and is told why with a status.
            if (lost is EventsGoneException or StoreException)
                http.Abort();
        }

        Task BeatAsync() => pass is null
            ? sink.HeartbeatAsync(feed.Head, cursor.Lag, feed.Horizon, ended.Token)
            : sink.HeartbeatAsync(cursor.Position, 0, null, ended.Token);
    }

    private async Task WaitAsync(EventCursor cursor, TimeSpan most, CancellationToken ended)
    {
        using var patience = new CancellationTokenSource(most, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ended, patience.Token);
        try
        {
            await cursor.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (!ended.IsCancellationRequested)
        {
            // Time for a sign of life.
        }
    }

    private static async ValueTask<IReadOnlyList<FeedEvent>> ReadAsync(EventCursor cursor, int most, CancellationToken cancel)
    {
        try
        {
            return await cursor.ReadAsync(most, cancel);
        }
        catch (EventsGoneException gone)
        {
            throw Gone(gone);
        }
        catch (StoreException)
        {
            throw new ProblemException(new Problem(ErrorCode.StoreUnavailable, "The log can't be read now; try again later.") { RetryAfterSeconds = 1 });
        }
    }

    private static ProblemException Gone(EventsGoneException gone) => new(new Problem(
        ErrorCode.EventsGone, string.Create(CultureInfo.InvariantCulture, $"The oldest event that is kept is {gone.Horizon}; ask with after={gone.Horizon - 1}."))
    {
        Horizon = gone.Horizon,
    });

    private static async Task Quietly(Task task) =>
        await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
}

/// <summary>Who a request is as a follower of the log.</summary>
internal static class SightOfRequest
{
    /// <exception cref="ProblemException">The caller may follow nothing.</exception>
    public static EventSight Sight(this HttpContext http)
    {
        if (http.Caller().Pass is { } pass)
            return EventSight.Guest(pass.Session);
        http.DemandAdmin();
        return EventSight.Owner;
    }
}

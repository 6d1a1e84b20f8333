using System.Globalization;
using System.Net;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Extensions;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Dispatch.Host.Nodes;

/// <summary>What became of handing a request on.</summary>
internal enum Forwarded
{
    /// <summary>It was answered.</summary>
    Answered,

    /// <summary>The other could not be reached, or does not write the namespace: nothing was done.</summary>
    Unreached,

    /// <summary>The connection was lost on the way: it may have been carried out.</summary>
    Lost,
}

/// <summary>
/// Hands requests on to the node that writes their namespace, as they are: who asks shows the same to that node. A mark that only nodes can make says that
/// it came from one, so that it goes no further.
/// </summary>
internal sealed class RequestForwarder : IDisposable
{
    /// <summary>The mark: seconds since 1970, and a keyed hash over them and the request's line.</summary>
    public const string Mark = "Dispatch-Forwarded";

    /// <summary>Names the namespace of a request.</summary>
    public const string Space = "Dispatch-Namespace";

    /// <summary>In the answer of a node that does not write the namespace: nothing was done, another may be asked.</summary>
    public const string NotTaken = "Dispatch-Not-Taken";

    // Bodies up to this size are kept, so that they can be sent again.
    private const int MostKept = 64 * 1024;
    private const int Buffer = 16 * 1024;
    private const int MarkSeconds = 60;
    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(2);

    // Of one hop only (RFC 9110, 7.6.1), or set by the client that sends it on.
    private static readonly HashSet<string> OwnOfHop = new(StringComparer.OrdinalIgnoreCase)
    {
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Host", Mark, Space, NotTaken,
        "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol",
    };

    private readonly byte[] key;
    private readonly TimeProvider clock;
    private readonly HttpMessageInvoker client = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        ConnectTimeout = ConnectPatience,
        PooledConnectionLifetime = TimeSpan.FromMinutes(5),
        UseCookies = false,
        UseProxy = false,
        ActivityHeadersPropagator = null,
    });

    /// <param name="secret">What nodes know each other by.</param>
    public RequestForwarder(string secret, TimeProvider clock)
    {
        key = Encoding.ASCII.GetBytes(secret);
        this.clock = clock;
    }

    /// <summary>Whether another node handed it on.</summary>
    public bool IsForwarded(HttpRequest request)
    {
        if (request.Headers[Mark] is not [{ } mark] || mark.Split(' ') is not [var time, var hash] || !long.TryParse(time, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds))
            return false;
        return Math.Abs(clock.GetUtcNow().ToUnixTimeSeconds() - seconds) <= MarkSeconds
            && CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(hash), Encoding.ASCII.GetBytes(Hash(seconds, request.Method, request.Path, request.QueryString)));
    }

    /// <summary>The body, when it is small enough to be sent more than once; else null.</summary>
    public static async Task<byte[]?> KeepAsync(HttpRequest request)
    {
        if (request.ContentLength is not (> 0 and <= MostKept and var length))
            return null;
        var kept = new byte[length];
        await request.Body.ReadExactlyAsync(kept, request.HttpContext.RequestAborted);
        return kept;
    }

    /// <summary>Hands it on, and the answer back as it comes.</summary>
    /// <param name="body">See <see cref="KeepAsync"/>.</param>
    /// <param name="moved">Another writes the namespace now: whatever that node would still answer, it does not do.</param>
    public async Task<Forwarded> ForwardAsync(HttpContext http, byte[]? body, Uri node, string space, CancellationToken moved)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, moved);
        if (http.WebSockets.IsWebSocketRequest)
            return await ForwardSocketAsync(http, node, space, over);
        using var request = new HttpRequestMessage(new HttpMethod(http.Request.Method), Target(http.Request, node));
        var isStreamed = body is null && http.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true;
        if (body is not null)
            request.Content = new ByteArrayContent(body);
        else if (isStreamed)
            request.Content = new StreamContent(http.Request.Body);
        else if (!HttpMethods.IsGet(http.Request.Method) && !HttpMethods.IsHead(http.Request.Method))
        {
            // The client below sends a request without content again when a connection ends unanswered, though it may have been carried out.
            request.Content = new ByteArrayContent([]);
        }

        CopyTo(http.Request, space, (name, values) =>
        {
            if (!request.Headers.TryAddWithoutValidation(name, values))
                request.Content?.Headers.TryAddWithoutValidation(name, values);
        });

        HttpResponseMessage answer;
        try
        {
            answer = await client.SendAsync(request, over.Token);
        }
        catch (HttpRequestException failure)
        {
            return failure.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError ? Forwarded.Unreached : Forwarded.Lost;
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested)
        {
            // Else its patience to connect was over.
            return moved.IsCancellationRequested ? Forwarded.Lost : Forwarded.Unreached;
        }

        using (answer)
        {
            if (!isStreamed && answer.Headers.NonValidated.Contains(NotTaken))
                return Forwarded.Unreached;
            http.Response.StatusCode = (int)answer.StatusCode;
            foreach (var (name, values) in answer.Headers.NonValidated.Concat(answer.Content.Headers.NonValidated))
            {
                if (!OwnOfHop.Contains(name))
                    http.Response.Headers[name] = new StringValues([.. values]);
            }

            await PumpAsync(http, await answer.Content.ReadAsStreamAsync(over.Token), over.Token);
            return Forwarded.Answered;
        }
    }

    public void Dispose() => client.Dispose();

    // What comes is passed on at once: it may be a stream that never ends.
    private static async Task PumpAsync(HttpContext http, Stream from, CancellationToken over)
    {
        await http.Response.StartAsync(over);
        var writer = http.Response.BodyWriter;
        while (true)
        {
            int read;
            try
            {
                read = await from.ReadAsync(writer.GetMemory(Buffer), over);
            }
            catch (Exception lost) when (lost is IOException or HttpRequestException or OperationCanceledException)
            {
                // The head has gone out: that it is not whole is all that can still be told.
                http.Abort();
                return;
            }

            if (read == 0)
                return;
            writer.Advance(read);
            await writer.FlushAsync(over);
        }
    }

    private async Task<Forwarded> ForwardSocketAsync(HttpContext http, Uri node, string space, CancellationTokenSource over)
    {
        using var there = new ClientWebSocket();
        foreach (var protocol in http.WebSockets.WebSocketRequestedProtocols)
            there.Options.AddSubProtocol(protocol);
        CopyTo(http.Request, space, (name, values) => there.Options.SetRequestHeader(name, string.Join(", ", values)));
        there.Options.CollectHttpResponseDetails = true;
        var target = new UriBuilder(Target(http.Request, node)) { Scheme = node.Scheme == Uri.UriSchemeHttps ? "wss" : "ws" };
        try
        {
            await there.ConnectAsync(target.Uri, client, over.Token);
        }
        catch (WebSocketException) when ((int)there.HttpStatusCode > 0)
        {
            // Refused: asked again without the upgrade the other says why, in words.
            http.Response.StatusCode = (int)there.HttpStatusCode;
            return Forwarded.Answered;
        }
        catch (WebSocketException)
        {
            return Forwarded.Unreached;
        }

        using var here = await http.WebSockets.AcceptWebSocketAsync(there.SubProtocol);
        var pumps = new[] { PumpAsync(here, there, over.Token), PumpAsync(there, here, over.Token) };
        await Task.WhenAny(pumps);
        over.CancelAfter(ConnectPatience);
        await Task.WhenAll(pumps);
        return Forwarded.Answered;
    }

    private static async Task PumpAsync(WebSocket from, WebSocket to, CancellationToken cancel)
    {
        var buffer = new byte[Buffer];
        try
        {
            while (true)
            {
                var part = await from.ReceiveAsync(buffer.AsMemory(), cancel);
                if (part.MessageType == WebSocketMessageType.Close)
                {
                    await to.CloseOutputAsync(from.CloseStatus ?? WebSocketCloseStatus.NormalClosure, from.CloseStatusDescription, cancel);
                    return;
                }

                await to.SendAsync(buffer.AsMemory(0, part.Count), part.MessageType, part.EndOfMessage, cancel);
            }
        }
        catch (Exception lost) when (lost is WebSocketException or OperationCanceledException or IOException)
        {
            // One side is gone: the other is told by the end of its connection.
        }
    }

    private static Uri Target(HttpRequest request, Uri node) => new(node, UriHelper.BuildRelative(path: request.Path, query: request.QueryString));

    private void CopyTo(HttpRequest request, string space, Action<string, string[]> add)
    {
        foreach (var (name, values) in request.Headers)
        {
            if (!OwnOfHop.Contains(name) && !name.StartsWith(':'))
                add(name, values.ToArray()!);
        }

        var seconds = clock.GetUtcNow().ToUnixTimeSeconds();
        add(Space, [space]);
        add(Mark, [string.Create(CultureInfo.InvariantCulture, $"{seconds} {Hash(seconds, request.Method, request.Path, request.QueryString)}")]);
    }

    private string Hash(long seconds, string method, PathString path, QueryString query) => Convert.ToHexStringLower(
        HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{seconds}\n{method}\n{path}{query}"))));
}

using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Dispatch.Client;

/// <summary>Carries calls to the broker: identity, time limit, repetition, and errors as exceptions.</summary>
internal sealed class BrokerConnection : IDisposable
{
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly HttpClient http;
    private readonly bool ownsHttp;
    private readonly DispatchClientOptions options;
    private readonly Backoff backoff;

    public BrokerConnection(DispatchClientOptions options, HttpClient? http)
    {
        if (string.IsNullOrWhiteSpace(options.AgentId) || options.AgentId.Length > 256)
            throw new ArgumentException("AgentId must have 1 to 256 characters.", nameof(options));
        // A line break would smuggle in another header; .NET would refuse it later with a message that names no cause.
        if (options.AgentId.Any(c => c is < ' ' or > '~') || options.Token?.Any(c => c is <= ' ' or > '~') == true)
            throw new ArgumentException("AgentId and Token must be printable ASCII.", nameof(options));
        if (options.Timeout <= TimeSpan.Zero)
            throw new ArgumentException("Timeout must be longer than zero.", nameof(options));

        this.options = options;
        ownsHttp = http is null;
        this.http = http ?? new HttpClient(new SocketsHttpHandler
        {
            ConnectTimeout = TimeSpan.FromSeconds(5),
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            AutomaticDecompression = System.Net.DecompressionMethods.All,
            AllowAutoRedirect = false,
            UseCookies = false,
        })
        { Timeout = System.Threading.Timeout.InfiniteTimeSpan };
        var server = http?.BaseAddress ?? options.Server;
        Server = server.AbsoluteUri.EndsWith('/') ? server : new Uri(server.AbsoluteUri + "/");
        backoff = new Backoff(options.RetryBase, options.RetryCap, new Random());
    }

    private BrokerConnection(BrokerConnection origin, DispatchClientOptions options)
    {
        (http, backoff, Server) = (origin.http, origin.backoff, origin.Server);
        this.options = options;
    }

    public Uri Server { get; }

    public Uri At(PathAndQuery path) => new(Server, path.ToString());

    /// <summary>The same connections under other options; disposing of it closes nothing.</summary>
    public BrokerConnection Sharing(DispatchClientOptions other) => new(this, other);

    public void Dispose()
    {
        if (ownsHttp)
            http.Dispose();
    }

    /// <summary>Sends the call, repeats it while that is safe and the time for it is not up, and reads the answer.</summary>
    public async Task<Answer<T>> SendAsync<T>(Call call, JsonTypeInfo<T> shape, CancellationToken cancel)
    {
        var answer = await SendAsync(call, cancel);
        try
        {
            var value = JsonSerializer.Deserialize(answer.Body, shape);
            if (value is not null)
                return new Answer<T>(value, answer.Status, answer.Headers, answer.Attempts);
        }
        catch (JsonException broken)
        {
            throw Unreadable(answer, broken.Message, broken);
        }
        throw Unreadable(answer, "null where a value was expected", null);
    }

    public async Task<RawAnswer> SendAsync(Call call, CancellationToken cancel)
    {
        var started = options.Clock.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            TimeSpan pause;
            try
            {
                return await SendOnceAsync(call, cancel) with { Attempts = attempt };
            }
            catch (DispatchException refused) when (MayRepeat(call, refused))
            {
                pause = backoff.Pause(attempt, refused.RetryAfter);
                if (options.Clock.GetElapsedTime(started) + pause > options.RetryFor)
                    throw;
            }
            catch (DispatchUnreachableException lost) when (call.Repeating == Repeating.Safe || (call.Repeating == Repeating.OnlyIfUntouched && lost.NeverSent))
            {
                pause = backoff.Pause(attempt);
                if (options.Clock.GetElapsedTime(started) + pause > options.RetryFor)
                    throw;
            }
            await Task.Delay(pause, options.Clock, cancel);
        }
    }

    /// <summary>The pause before an attempt, by its number.</summary>
    public TimeSpan Pause(int attempt) => backoff.Pause(attempt);

    /// <summary>Opens the call's answer and reads it line by line as it comes, to its end.</summary>
    /// <param name="silence">So long without anything means that the connection is lost.</param>
    /// <exception cref="DispatchException">The broker refuses.</exception>
    /// <exception cref="DispatchUnreachableException">It does not answer, or is lost.</exception>
    public async IAsyncEnumerable<string> StreamAsync(Call call, TimeSpan silence, [EnumeratorCancellation] CancellationToken cancel)
    {
        using var request = Request(call);
        using var limit = new CancellationTokenSource(options.Timeout, options.Clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancel);
        HttpResponseMessage? response = null;
        try
        {
            StreamReader lines;
            try
            {
                response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
                if (!response.IsSuccessStatusCode)
                    throw Refused(new RawAnswer(await response.Content.ReadAsByteArrayAsync(either.Token), (int)response.StatusCode, response.Headers, 1));
                lines = new StreamReader(await response.Content.ReadAsStreamAsync(either.Token));
            }
            catch (Exception failed) when (IsLoss(failed, cancel))
            {
                throw new DispatchUnreachableException(Server, failed.Message, neverSent: false, failed);
            }

            using (lines)
            {
                while (true)
                {
                    string? line;
                    limit.CancelAfter(silence);
                    try
                    {
                        line = await lines.ReadLineAsync(either.Token);
                    }
                    catch (Exception failed) when (IsLoss(failed, cancel))
                    {
                        throw new DispatchUnreachableException(Server, failed.Message, neverSent: false, failed);
                    }

                    if (line is null)
                        yield break;
                    yield return line;
                }
            }
        }
        finally
        {
            response?.Dispose();
        }
    }

    private static bool IsLoss(Exception failed, CancellationToken cancel) =>
        failed is HttpRequestException or IOException || (failed is OperationCanceledException && !cancel.IsCancellationRequested);

    private HttpRequestMessage Request(Call call)
    {
        var request = new HttpRequestMessage(call.Method, call.Address);
        if (options.Namespace is { } space)
            request.Headers.Add("Dispatch-Namespace", space);
        if (!call.Anonymous)
        {
            request.Headers.Add("X-Agent-ID", options.AgentId);
            if (options.Token is { } token)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }

        return request;
    }

    private async Task<RawAnswer> SendOnceAsync(Call call, CancellationToken cancel)
    {
        using var limit = new CancellationTokenSource(options.Timeout + call.Wait, options.Clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancel);
        using var request = Request(call);
        if (call.Body is { } body)
        {
            request.Content = new ByteArrayContent(body);
            request.Content.Headers.ContentType = Json;
        }

        try
        {
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseContentRead, either.Token);
            var content = await response.Content.ReadAsByteArrayAsync(either.Token);
            var answer = new RawAnswer(content, (int)response.StatusCode, response.Headers, 1);
            return response.IsSuccessStatusCode ? answer : throw Refused(answer);
        }
        catch (HttpRequestException failed)
        {
            var neverSent = failed.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError
                or HttpRequestError.SecureConnectionError or HttpRequestError.ProxyTunnelError;
            throw new DispatchUnreachableException(Server, failed.Message, neverSent, failed);
        }
        catch (IOException failed)
        {
            throw new DispatchUnreachableException(Server, failed.Message, neverSent: false, failed);
        }
        catch (OperationCanceledException late) when (!cancel.IsCancellationRequested)
        {
            throw new DispatchUnreachableException(Server, $"no answer within {(options.Timeout + call.Wait).TotalSeconds:0.###} s.", neverSent: false, late);
        }
    }

    private static bool MayRepeat(Call call, DispatchException refused) => call.Repeating switch
    {
        Repeating.Safe => refused.Status is 429 or 502 or 503 or 504,
        // These three say that the request was not even looked at.
        Repeating.OnlyIfUntouched => refused.Status == 429 || refused is { Status: 503, Code: "busy" or "shutting_down" },
        _ => false,
    };

    private DispatchException Refused(RawAnswer answer)
    {
        Problem? problem = null;
        try
        {
            problem = JsonSerializer.Deserialize(answer.Body, WireJson.Default.Problem);
        }
        catch (JsonException)
        {
            // Not the broker's own words (a proxy's page, say): the status has to do.
        }
        var detail = problem?.Detail ?? problem?.Reason ?? problem?.Title ?? $"HTTP {answer.Status} without an explanation.";
        return new DispatchException(answer.Status, problem?.Code ?? $"http_{answer.Status}", detail, problem?.Errors ?? [],
            problem?.RequestId ?? answer.RequestId, RetryAfter(answer.Headers));
    }

    private static DispatchException Unreadable(RawAnswer answer, string reason, Exception? cause) =>
        new(answer.Status, "unreadable_answer", $"The answer could not be read: {reason}", [], answer.RequestId, null, cause);

    private TimeSpan? RetryAfter(HttpResponseHeaders headers)
    {
        var asked = headers.RetryAfter?.Delta ?? (headers.RetryAfter?.Date is { } date ? date - options.Clock.GetUtcNow() : null);
        return asked < TimeSpan.Zero ? TimeSpan.Zero : asked;
    }
}

/// <summary>A successful answer before it is read.</summary>
internal sealed record RawAnswer(byte[] Body, int Status, HttpResponseHeaders Headers, int Attempts)
{
    public string? RequestId => Headers.TryGetValues("X-Request-ID", out var values) ? values.FirstOrDefault() : null;
}

internal sealed record Answer<T>(T Value, int Status, HttpResponseHeaders Headers, int Attempts)
{
    /// <summary>The cursor in the link to the next page; null on the last.</summary>
    public string? NextCursor => Headers.TryGetValues("Link", out var links) ? links.Select(Next).FirstOrDefault(cursor => cursor is not null) : null;

    // RFC 8288: <target>; parameter, <target>; parameter. A target may itself hold commas.
    private static string? Next(string header)
    {
        for (var open = header.IndexOf('<'); open >= 0;)
        {
            var close = header.IndexOf('>', open);
            if (close < 0)
                return null;
            var following = header.IndexOf('<', close);
            var parameters = header[close..(following < 0 ? header.Length : following)].Replace(" ", "");
            if (parameters.Contains("rel=\"next\"", StringComparison.OrdinalIgnoreCase) || parameters.Contains("rel=next", StringComparison.OrdinalIgnoreCase))
                return Cursor(header[(open + 1)..close]);
            open = following;
        }
        return null;
    }

    private static string? Cursor(string target)
    {
        foreach (var pair in target[(target.IndexOf('?') + 1)..].Split('&'))
        {
            if (pair.StartsWith("cursor=", StringComparison.Ordinal))
                return Uri.UnescapeDataString(pair["cursor=".Length..]);
        }
        return null;
    }
}

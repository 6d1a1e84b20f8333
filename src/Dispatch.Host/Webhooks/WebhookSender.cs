using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Dispatch.Webhooks;

namespace Dispatch.Host.Webhooks;

/// <summary>What came of one attempt.</summary>
/// <param name="Status">HTTP status; null when there was no answer.</param>
/// <param name="Error">Null when it was delivered.</param>
/// <param name="Excerpt">The beginning of the answer's body, or null.</param>
/// <param name="RetryAfterMs">What the receiver asked for, or null.</param>
internal sealed record SendResult(int? Status, string? Error, string? Excerpt, long? RetryAfterMs, long DurationMs)
{
    public bool IsDelivered => Error is null;

    /// <summary>The receiver wants no more.</summary>
    public bool IsGone => Status == StatusGone;

    private const int StatusGone = 410;
}

/// <summary>
/// Sends one event to one receiver and reads little of what it says. It connects by itself to what a name resolves to, so that no name, and none
/// that changes its mind, leads to an address that is not allowed; it follows no redirect and knows no proxy.
/// </summary>
internal sealed class WebhookSender : IDisposable
{
    /// <summary>For all of an attempt: name, connection, request, answer.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(15);

    /// <summary>Bytes of an answer that are read; the connection of one that is longer is closed.</summary>
    public const int MaxRead = 64 * 1024;

    private static readonly MediaTypeHeaderValue Json = new("application/cloudevents+json");
    private static readonly ProductInfoHeaderValue Agent = new("Dispatch", Broker.Version);

    private readonly bool allowPrivate;
    private readonly TimeProvider clock;
    private readonly HttpMessageInvoker http;

    public WebhookSender(bool allowPrivate, TimeProvider clock)
    {
        this.allowPrivate = allowPrivate;
        this.clock = clock;
        http = new HttpMessageInvoker(new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ActivityHeadersPropagator = null,
            MaxResponseHeadersLength = 16,
            MaxResponseDrainSize = 0,

            // A name may move: a connection is not kept for ever.
            PooledConnectionLifetime = TimeSpan.FromMinutes(2),
            ConnectCallback = ConnectAsync,
        });
    }

    /// <summary>One attempt; fails only when it is cancelled.</summary>
    /// <param name="id">The same for each attempt.</param>
    public async Task<SendResult> SendAsync(string url, IEnumerable<string> secrets, string id, byte[] body, CancellationToken cancel)
    {
        var began = clock.GetTimestamp();
        var seconds = clock.GetUtcNow().ToUnixTimeSeconds();
        using var patience = new CancellationTokenSource(Timeout, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancel);
        int? status = null;
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, url);
            request.Content = new ByteArrayContent(body) { Headers = { ContentType = Json } };
            request.Headers.UserAgent.Add(Agent);
            request.Headers.Add("webhook-id", id);
            request.Headers.Add("webhook-timestamp", seconds.ToString(CultureInfo.InvariantCulture));
            request.Headers.Add("webhook-signature", WebhookSignature.Of(secrets, id, seconds, body));
            using var response = await http.SendAsync(request, either.Token);
            status = (int)response.StatusCode;
            var excerpt = await ReadAsync(response, either.Token);
            return new SendResult(status, ErrorOf(response.StatusCode), excerpt, RetryAfter(response.Headers.RetryAfter), Took(began));
        }
        catch (Exception failure) when (!cancel.IsCancellationRequested && failure is HttpRequestException or IOException or OperationCanceledException)
        {
            var error = patience.IsCancellationRequested
                ? string.Create(CultureInfo.InvariantCulture, $"no complete answer within {Timeout.TotalSeconds} s")
                : Innermost(failure).Message;
            return new SendResult(status, error, null, null, Took(began));
        }
    }

    public void Dispose() => http.Dispose();

    private static string? ErrorOf(HttpStatusCode status) => (int)status switch
    {
        >= 200 and < 300 => null,
        >= 300 and < 400 => string.Create(CultureInfo.InvariantCulture, $"HTTP {(int)status}: redirects are not followed"),
        410 => "HTTP 410: the receiver wants no more events",
        var other => string.Create(CultureInfo.InvariantCulture, $"HTTP {other}"),
    };

    private static async Task<string?> ReadAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        await using var stream = await response.Content.ReadAsStreamAsync(cancel);
        var head = new byte[WebhookDelivery.MaxExcerpt];
        var rest = new byte[8192];
        var (kept, read) = (0, 0);
        while (read < MaxRead)
        {
            var place = kept < head.Length ? head.AsMemory(kept) : rest;
            var got = await stream.ReadAsync(place, cancel);
            if (got == 0)
                break;
            if (kept < head.Length)
                kept += got;
            read += got;
        }

        return kept == 0 ? null : TextOf(head.AsSpan(0, kept));
    }

    // Compressed or binary answers make no text; what is kept has no controls, for it ends in terminals.
    private static string TextOf(ReadOnlySpan<byte> bytes) =>
        string.Create(Encoding.UTF8.GetCharCount(bytes), bytes, static (text, utf8) =>
        {
            Encoding.UTF8.GetChars(utf8, text);
            foreach (ref var c in text)
            {
                if (char.IsControl(c) && c != '\n')
                    c = ' ';
            }
        });

    private long? RetryAfter(RetryConditionHeaderValue? header)
    {
        if (header is null)
            return null;
        var wait = header.Delta ?? (header.Date - clock.GetUtcNow());
        return wait is { } time ? (long)Math.Clamp(time.TotalMilliseconds, 0, RetrySchedule.RetryAfterCapMs) : null;
    }

    private static Exception Innermost(Exception failure)
    {
        while (failure is not RefusedAddressException && failure.InnerException is { } inner)
            failure = inner;
        return failure;
    }

    private long Took(long began) => (long)clock.GetElapsedTime(began).TotalMilliseconds;

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancel)
    {
        var host = context.DnsEndPoint.Host;
        var found = IPAddress.TryParse(host.Trim('[', ']'), out var literal) ? [literal] : await Dns.GetHostAddressesAsync(host, cancel);
        var allowed = allowPrivate ? found : [.. found.Where(address => PublicAddress.WhyNot(address) is null)];
        if (allowed.Length == 0)
        {
            throw new RefusedAddressException(found.Length == 0
                ? $"{host} has no address"
                : $"{host} is {found[0]}, {PublicAddress.WhyNot(found[0])}: refused unless webhooks.allow_private is true");
        }

        SocketException? last = null;
        foreach (var address in allowed)
        {
            var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(new IPEndPoint(address, context.DnsEndPoint.Port), cancel);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch (SocketException refusal)
            {
                socket.Dispose();
                last = refusal;
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }

        throw last!;
    }
}

/// <summary>The receiver's name leads where deliveries may not go.</summary>
internal sealed class RefusedAddressException(string message) : IOException(message);

using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Dispatch.Client.Tests;

/// <summary>A request as it came over the wire.</summary>
internal sealed record Received(string Method, string Path, string Query, IReadOnlyDictionary<string, string> Headers, string Body, CancellationToken Gone)
{
    public JsonElement Json => JsonElement.Parse(Body);

    public string Route => $"{Method} {Path}{Query}";

    public string? Parameter(string name) => System.Web.HttpUtility.ParseQueryString(Query)[name];
}

/// <summary>What the server does with a request.</summary>
internal sealed record Reply(int Status, string Body, string ContentType = "application/json")
{
    public Dictionary<string, string> Headers { get; init; } = [];

    /// <summary>The connection is cut instead.</summary>
    public static readonly Reply Cut = new(0, "");

    public static Reply Ok(string body) => new(200, body);

    public static Reply Problem(int status, string code, string detail = "No.", string? retryAfter = null, string more = "") =>
        new(status, $$"""{"type":"https://dispatch.dev/errors/{{code}}","title":"T","status":{{status}},"detail":"{{detail}}","error":"{{detail}}","code":"{{code}}","request_id":"req-1"{{more}}}""",
            "application/problem+json")
        {
            Headers = retryAfter is null ? [] : new() { ["Retry-After"] = retryAfter },
        };
}

/// <summary>Kestrel on a free port that does what a test says, and keeps what it received.</summary>
internal sealed class LoopbackServer : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly ConcurrentQueue<Received> received = new();

    private LoopbackServer(WebApplication app) => this.app = app;

    public Uri Address { get; private set; } = new("http://127.0.0.1");

    public IReadOnlyList<Received> Received => [.. received];

    public static async Task<LoopbackServer> StartAsync(Func<Received, Task<Reply>> answer, int port = 0, long? bodyLimit = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromMilliseconds(200));
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, port);
            kestrel.Limits.MaxRequestBodySize = bodyLimit ?? kestrel.Limits.MaxRequestBodySize;
        });
        var app = builder.Build();
        var server = new LoopbackServer(app);
        app.Run(context => server.HandleAsync(context, answer));
        await app.StartAsync();
        server.Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        return server;
    }

    /// <summary>A server that gives these replies in turn, and the last one from then on.</summary>
    public static Task<LoopbackServer> StartAsync(params Reply[] replies)
    {
        var next = -1;
        return StartAsync(_ => Task.FromResult(replies[Math.Min(Interlocked.Increment(ref next), replies.Length - 1)]));
    }

    public DispatchClient Client(Func<DispatchClientOptions, DispatchClientOptions>? change = null)
    {
        var options = new DispatchClientOptions
        {
            Server = Address,
            AgentId = "agent-1",
            RetryBase = TimeSpan.FromMilliseconds(5),
            RetryCap = TimeSpan.FromMilliseconds(50),
            RetryFor = TimeSpan.FromSeconds(20),
        };
        return new DispatchClient(change?.Invoke(options) ?? options);
    }

    public ValueTask DisposeAsync() => app.DisposeAsync();

    private async Task HandleAsync(HttpContext context, Func<Received, Task<Reply>> answer)
    {
        string body;
        try
        {
            using var reader = new StreamReader(context.Request.Body, Encoding.UTF8);
            body = await reader.ReadToEndAsync();
        }
        catch (BadHttpRequestException refused)
        {
            await WriteAsync(context, Reply.Problem(refused.StatusCode, "payload_too_large", "The body is larger than the limit."));
            return;
        }
        var headers = context.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase);
        var request = new Received(context.Request.Method, context.Request.Path.ToUriComponent(), context.Request.QueryString.Value ?? "", headers, body, context.RequestAborted);
        received.Enqueue(request);
        var reply = await answer(request);
        if (ReferenceEquals(reply, Reply.Cut))
            context.Abort();
        else
            await WriteAsync(context, reply);
    }

    private static async Task WriteAsync(HttpContext context, Reply reply)
    {
        context.Response.StatusCode = reply.Status;
        context.Response.ContentType = reply.ContentType;
        context.Response.Headers["X-Request-ID"] = "req-1";
        foreach (var (name, value) in reply.Headers)
            context.Response.Headers[name] = value;
        await context.Response.WriteAsync(reply.Body);
    }
}

using System.Collections.Concurrent;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Dispatch.Cli.Tests.Support;

/// <summary>A web server that answers as a test says: for the answers a real broker gives only on its bad days.</summary>
public sealed class BrokerStub : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly ConcurrentQueue<Request> requests = new();

    private BrokerStub(WebApplication app) => this.app = app;

    /// <summary>Where it listens.</summary>
    public string Url => app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();

    /// <summary>What was asked so far, in order.</summary>
    public IReadOnlyList<Request> Requests => [.. requests];

    /// <summary>Starts it.</summary>
    /// <param name="answer">Says what to answer.</param>
    public static async Task<BrokerStub> StartAsync(Func<Request, Answer> answer)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var app = builder.Build();
        var stub = new BrokerStub(app);
        app.Run(async context =>
        {
            using var reader = new StreamReader(context.Request.Body, Encoding.UTF8);
            var request = new Request(context.Request.Method, context.Request.Path + context.Request.QueryString, await reader.ReadToEndAsync(),
                context.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase));
            stub.requests.Enqueue(request);
            var answered = answer(request);
            context.Response.StatusCode = answered.Status;
            foreach (var (name, value) in answered.Headers)
                context.Response.Headers[name] = value;
            context.Response.ContentType = "application/json";
            await context.Response.WriteAsync(answered.Body);
        });
        await app.StartAsync();
        return stub;
    }

    public ValueTask DisposeAsync() => app.DisposeAsync();

    /// <summary>Runs the command against it.</summary>
    public Task<DispatchProcess.Outcome> RunAsync(params string[] arguments) => DispatchProcess.RunAsync([.. arguments, "--server", Url]);

    public sealed record Request(string Method, string Path, string Body, IReadOnlyDictionary<string, string> Headers);

    public sealed record Answer(int Status, string Body)
    {
        public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();

        public static Answer Ok(string body) => new(200, body);

        /// <summary>A refusal as the broker writes it.</summary>
        public static Answer Refuse(int status, string code, string detail, string more = "") =>
            new(status, $$"""{"type":"https://dispatch.dev/errors/{{code}}","title":"x","status":{{status}},"detail":"{{detail}}","error":"{{detail}}","code":"{{code}}","request_id":"r1"{{more}}}""");
    }
}

using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Api.Tests.Support;

/// <summary>One request that a receiver got.</summary>
public sealed record Received(string Path, IReadOnlyDictionary<string, string> Headers, string Body)
{
    public JsonElement Json { get; } = JsonDocument.Parse(Body).RootElement;

    public string Id => Headers["webhook-id"];

    public long Sequence => long.Parse(Id.Split('/')[1]);

    public string Type => Json.Text("type");

    /// <summary>Whether one of the signatures is this secret's, computed from the specification.</summary>
    public bool IsSignedWith(string secret)
    {
        var signed = Encoding.UTF8.GetBytes($"{Id}.{Headers["webhook-timestamp"]}.{Body}");
        var wanted = "v1," + Convert.ToBase64String(HMACSHA256.HashData(Convert.FromBase64String(secret["whsec_".Length..]), signed));
        return Headers["webhook-signature"].Split(' ').Contains(wanted);
    }
}

/// <summary>A server on 127.0.0.1 that keeps what it is sent.</summary>
public sealed class Receiver : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly ConcurrentQueue<Received> received = [];

    private Receiver(WebApplication app) => this.app = app;

    /// <summary>What it answers; null: 204.</summary>
    public Func<Received, HttpContext, Task>? Answer { get; set; }

    public int Port { get; private set; }

    public string Url => $"http://127.0.0.1:{Port}/hook";

    public IReadOnlyList<Received> All => [.. received];

    public static async Task<Receiver> StartAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        var receiver = new Receiver(app);
        app.Run(receiver.TakeAsync);
        await app.StartAsync();
        receiver.Port = new Uri(app.Urls.First()).Port;
        return receiver;
    }

    /// <summary>What it has got, once it is that many.</summary>
    public Task<IReadOnlyList<Received>> GotAsync(int count) =>
        Eventually.GetAsync(() => Task.FromResult(All), all => all.Count >= count, $"the receiver gets {count} requests");

    public async ValueTask DisposeAsync() => await app.DisposeAsync();

    private async Task TakeAsync(HttpContext http)
    {
        using var reader = new StreamReader(http.Request.Body);
        var body = await reader.ReadToEndAsync();
        var one = new Received(http.Request.Path, http.Request.Headers.ToDictionary(h => h.Key, h => h.Value.ToString(), StringComparer.OrdinalIgnoreCase), body);
        received.Enqueue(one);
        if (Answer is { } answer)
            await answer(one, http);
        else
            http.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}

using System.Net;
using System.Net.Sockets;
using System.Text;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http.Edge;
using Dispatch.Host.Http.Problems;
using Dispatch.Host.Telemetry;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Dispatch.Host.Tests;

/// <summary>The steps in front of the endpoints, composed as the broker composes them, on a real Kestrel.</summary>
internal sealed class HostUnderTest : IAsyncDisposable
{
    public const string AdminSecret = "admin-secret-for-tests";

    private readonly WebApplication app;
    private readonly LogCapture log;

    private HostUnderTest(WebApplication app, LogCapture log, TokenDirectory tokens)
    {
        this.app = app;
        this.log = log;
        Tokens = tokens;
        Url = new Uri(app.Urls.Single());
        Client = new HttpClient { BaseAddress = Url };
    }

    public Uri Url { get; }

    public HttpClient Client { get; }

    public TokenDirectory Tokens { get; }

    public IServiceProvider Services => app.Services;

    public static async Task<HostUnderTest> StartAsync(
        DispatchConfig? config = null, Action<IEndpointRouteBuilder>? map = null, TimeProvider? time = null)
    {
        config ??= new DispatchConfig();
        config = config with { Server = config.Server with { Port = 0 } };
        var log = new LogCapture();
        var tokens = new TokenDirectory(time ?? TimeProvider.System);

        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        if (time is not null)
            builder.Services.AddSingleton(time);
        builder.AddDispatchTelemetry(config, log);
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenForApi(config));

        WebApplication app = builder.Build();
        app.UseRequestIds();
        app.UseAccessLog();
        app.UseProblems();
        app.UseHostNames(config.Server);
        app.UseRouting();
        app.UseCallers(
            config.Auth,
            new AdminToken(config.Server.AdminToken ?? AdminSecret),
            tokens,
            new SessionDirectory(time ?? TimeProvider.System),
            new CallerDirectory(config.Limits, time ?? TimeProvider.System),
            app.Services.GetRequiredService<DispatchMetrics>());
        app.MapMetrics();
        app.MapGet("/api/v1/whoami", context => context.Response.WriteAsync($"{context.Caller().Agent} {context.Caller().IsAdmin}"));
        map?.Invoke(app);
        await app.StartAsync();
        return new HostUnderTest(app, log, tokens);
    }

    /// <summary>Everything logged so far.</summary>
    public string Log()
    {
        Assert.True(Services.GetRequiredService<LogOutput>().Flush(TimeSpan.FromSeconds(10)));
        return log.Text;
    }

    /// <summary>Waits for a log line that comes after the answer has reached the client.</summary>
    public async Task<string> LogLineAsync(string containing)
    {
        for (DateTime end = DateTime.UtcNow.AddSeconds(10); DateTime.UtcNow < end; await Task.Delay(5))
        {
            if (Log().Split('\n').FirstOrDefault(line => line.Contains(containing, StringComparison.Ordinal)) is { } line)
                return line;
        }

        throw new Xunit.Sdk.XunitException($"No log line holds \"{containing}\":\n{Log()}");
    }

    public Task<HttpResponseMessage> SendAsync(
        HttpMethod method, string path, string? agent = null, string? bearer = null, HttpContent? content = null, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(method, path) { Content = content };
        if (agent is not null)
            Assert.True(request.Headers.TryAddWithoutValidation("X-Agent-ID", agent));
        if (bearer is not null)
            Assert.True(request.Headers.TryAddWithoutValidation("Authorization", "Bearer " + bearer));
        foreach ((string name, string value) in headers)
            Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        return Client.SendAsync(request);
    }

    /// <summary>Sends bytes as they are and reads until the server closes.</summary>
    public async Task<string> SendRawAsync(string request, bool closeSending = false)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, Url.Port);
        await socket.SendAsync(Encoding.UTF8.GetBytes(request));
        using var stream = new NetworkStream(socket);
        if (closeSending)
            socket.Shutdown(SocketShutdown.Send);
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        using var answer = new MemoryStream();
        try
        {
            await stream.CopyToAsync(answer, timeout.Token);
        }
        catch (IOException)
        {
            // Reset by the server, which did not want the rest of the request. What it had said before is the answer.
        }

        return Encoding.UTF8.GetString(answer.ToArray());
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await app.DisposeAsync();
    }
}

/// <summary>Keeps what is written to it; may be read meanwhile.</summary>
internal sealed class LogCapture : MemoryStream
{
    private readonly Lock gate = new();

    public string Text
    {
        get
        {
            lock (gate)
                return Encoding.UTF8.GetString(GetBuffer(), 0, (int)Length);
        }
    }

    public override void Write(byte[] buffer, int offset, int count)
    {
        lock (gate)
            base.Write(buffer, offset, count);
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        lock (gate)
            base.Write(buffer);
    }
}

using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Dispatch.Bench.Targets;

/// <summary>
/// The yardstick: Kestrel with one route that reads the body and answers a small JSON document. What this machine does
/// when there is nothing to do.
/// </summary>
internal static class BareServer
{
    private static ReadOnlyMemory<byte> Answer { get; } = """{"id":"01936d3e-7a00-7000-8000-000000000000","status":"pending"}"""u8.ToArray();

    /// <summary>Serves on a free port of 127.0.0.1, written to <paramref name="portFile"/>, until it is asked to stop or standard input ends with its parent.</summary>
    public static async Task RunAsync(string portFile)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        builder.Services.AddRoutingCore();
        await using var app = builder.Build();
        app.MapPost("/api/v1/tasks", AnswerAsync);
        await app.StartAsync();

        var address = app.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.First();
        await File.WriteAllTextAsync(portFile + ".new", address);
        File.Move(portFile + ".new", portFile);

        using var input = Console.OpenStandardInput();
        await Task.WhenAny(input.CopyToAsync(Stream.Null), app.WaitForShutdownAsync());
        await app.StopAsync();
    }

    private static async Task AnswerAsync(HttpContext context)
    {
        var body = context.Request.BodyReader;
        while (true)
        {
            var read = await body.ReadAsync(context.RequestAborted);
            body.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
                break;
        }

        context.Response.StatusCode = StatusCodes.Status201Created;
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = Answer.Length;
        await context.Response.BodyWriter.WriteAsync(Answer, context.RequestAborted);
    }
}

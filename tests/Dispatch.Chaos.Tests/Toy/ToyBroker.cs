using System.Text.Json;
using System.Text.Json.Nodes;
using Dispatch.Chaos.Brokers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Dispatch.Chaos.Tests.Toy;

/// <summary>
/// The command <c>serve</c> and <c>doctor</c> of the toy broker: a real process with a journal, so that the crash test can
/// be tested on something that is really killed and really comes back. It limits nobody, and lets itself be told to.
/// </summary>
public sealed class ToyBroker : IDisposable
{
    private const int LossMs = 25;
    private readonly Lock turn = new();
    private readonly ToyState state;
    private readonly FileStream file;
    private readonly MemoryStream uncommitted = new();
    private readonly bool acknowledgesFirst;

    private ToyBroker(string journal, string? bug)
    {
        acknowledgesFirst = bug == "ack-before-commit";
        state = Replay(journal, bug);
        file = new FileStream(journal, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0);
    }

    public static async Task<int> Main(string[] args)
    {
        if (args[0] == "quota")
            return 0;
        var data = args[Array.IndexOf(args, "--data-dir") + 1];
        var journal = Path.Combine(data, "journal");
        if (args[0] == "doctor")
            return await ExamineAsync(data, Replay(journal, bug: null));

        using var broker = new ToyBroker(journal, Environment.GetEnvironmentVariable("DISPATCH_TEST_BUG"));
        await broker.ServeAsync(data, int.Parse(args[Array.IndexOf(args, "--port") + 1]));
        return 0;
    }

    public void Dispose()
    {
        file.Dispose();
        uncommitted.Dispose();
    }

    private static ToyState Replay(string journal, string? bug)
    {
        var state = new ToyState(bug);
        if (File.Exists(journal))
        {
            // The last line may have been cut off by the kill, before anybody was answered.
            var text = File.ReadAllText(journal);
            var whole = text[..(text.LastIndexOf('\n') + 1)];
            if (whole.Length < text.Length)
                File.WriteAllText(journal, whole);
            foreach (var line in whole.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                state.Handle(JsonSerializer.Deserialize<ToyRequest>(line)!);
        }

        return state;
    }

    /// <summary>Writes the log as the real broker keeps it, for whoever counts it.</summary>
    private static async Task<int> ExamineAsync(string data, ToyState state)
    {
        Console.WriteLine(new JsonObject { ["sequence"] = state.Sequence }.ToJsonString());
        if (Command.Find("sqlite3") is not { } sqlite)
            return 0;
        var sql = "create table events(sequence integer primary key); insert into events select value from generate_series(1, " + state.Sequence + ");";
        var made = await Command.RunAsync(Command.Describe(sqlite, Path.Combine(data, "dispatch.db"), sql), TimeSpan.FromSeconds(10), CancellationToken.None);
        return made.ExitCode ?? 1;
    }

    private async Task ServeAsync(string data, int port)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{port}", "http://127.0.0.1:0");
        await using var app = builder.Build();
        app.Run(AnswerAsync);
        await app.StartAsync();
        var operations = app.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses
            .Single(address => new Uri(address).Port != port);
        using var timer = new Timer(_ => Commit(), null, LossMs, LossMs);
        await File.WriteAllTextAsync(
            Path.Combine(data, "broker.json"), new JsonObject { ["pid"] = Environment.ProcessId, ["metrics_url"] = operations }.ToJsonString());
        await app.WaitForShutdownAsync();
        Commit();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        var path = context.Request.Path.Value!;
        if (path == "/ready")
            return;

        ToyAnswer answer;
        using (var reader = new StreamReader(context.Request.Body))
            answer = Turn(context, path, await reader.ReadToEndAsync(context.RequestAborted));
        context.Response.StatusCode = answer.Status;
        await context.Response.WriteAsync(answer.Body.ToJsonString());
    }

    private ToyAnswer Turn(HttpContext context, string path, string body)
    {
        var attempt = int.TryParse(context.Request.Headers["X-Task-Attempt"], out var given) ? given : (int?)null;
        var max = int.TryParse(context.Request.Query["max"], out var asked) ? asked : 1;
        lock (turn)
        {
            var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
            if (context.Request.Method == "GET")
            {
                state.Advance(now);
                return Read(path, context);
            }

            var request = new ToyRequest(now, context.Request.Method, path, context.Request.Headers["X-Agent-ID"].ToString(), attempt, body, max);
            var answer = state.Handle(request);
            if (answer.Status < 300)
                Write(request);
            return answer;
        }
    }

    private ToyAnswer Read(string path, HttpContext context)
    {
        var parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries)[2..];
        if (parts is ["tasks"])
        {
            var statuses = context.Request.Query["status"].ToString().Split(',', StringSplitOptions.RemoveEmptyEntries);
            var limit = int.Parse(context.Request.Query["limit"].ToString());
            var from = int.TryParse(context.Request.Query["cursor"], out var cursor) ? cursor : 0;
            var found = state.NewestFirst.Where(task => statuses.Length == 0 || statuses.Contains(task.Status)).Skip(from).Take(limit).ToList();
            if (found.Count == limit)
                context.Response.Headers.Link = $"</api/v1/tasks?limit={limit}&cursor={from + limit}>; rel=\"next\"";
            return new ToyAnswer(200, new JsonArray([.. found.Select(task => task.ToJson(whole: false))]));
        }

        if (parts is ["agents", var agent, "tasks"])
            return new ToyAnswer(200, state.Holdings(agent));
        if (state.Find(parts[1]) is not { } task)
            return ToyAnswer.Refuse(404, "task_not_found");
        return parts is [_, _, "events"] ? new ToyAnswer(200, new JsonArray([.. task.Events.Select(happened => happened.DeepClone())]))
            : new ToyAnswer(200, task.ToJson(whole: true));
    }

    private void Write(ToyRequest request)
    {
        var line = JsonSerializer.SerializeToUtf8Bytes(request);
        uncommitted.Write(line);
        uncommitted.WriteByte((byte)'\n');
        if (!acknowledgesFirst)
            Commit();
    }

    private void Commit()
    {
        lock (turn)
        {
            file.Write(uncommitted.GetBuffer(), 0, (int)uncommitted.Length);
            uncommitted.SetLength(0);
        }
    }
}

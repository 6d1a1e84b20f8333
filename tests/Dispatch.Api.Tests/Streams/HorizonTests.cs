using System.Net;
using System.Net.WebSockets;
using Dispatch.Api.Tests.Support;
using Dispatch.Host;
using Dispatch.Host.Configuration;
using Dispatch.Retention;
using Dispatch.Storage.Sqlite;

namespace Dispatch.Api.Tests.Streams;

/// <summary>A broker that keeps little of its log: who asks for more is told, and nothing else is lost.</summary>
public sealed class HorizonTests
{
    private static readonly RetentionSettings Little = new() { Events = TimeSpan.Zero, EventsBytes = 4_000, Sweep = TimeSpan.FromMilliseconds(20) };

    private static readonly RetentionSettings All = new() { Events = TimeSpan.Zero };

    [Fact]
    public async Task Who_asks_for_less_than_the_horizon_gets_410_with_it()
    {
        await using var broker = await TestBroker.StartAsync(config => config with { Retention = Little });
        var token = (await broker.Admin.PostAsync("/api/v1/sessions", new { session = "s-1" })).Expect(201).Text("guest_token");
        await FillAsync(broker);
        await broker.RestartAsync(config => config with { Retention = All });

        var page = (await broker.Admin.GetAsync("/api/v1/events?limit=5")).Expect(200);
        var horizon = page.GetProperty("horizon").GetInt64();
        Assert.True(horizon > 1);
        Assert.Equal($"{horizon}", page.Items("events")[0].Text("sequence"));
        Assert.Equal($"{horizon}", (await broker.Admin.GetAsync($"/api/v1/events?after={horizon - 1}&limit=1")).Expect(200).Items("events")[0].Text("sequence"));

        foreach (var after in new[] { 0, horizon - 2 })
        {
            Assert.Equal(horizon, (await broker.Admin.GetAsync($"/api/v1/events?after={after}")).ExpectProblem(410, "events_gone").GetProperty("horizon").GetInt64());
            Assert.Equal(horizon, (await broker.Admin.GetAsync($"/api/v1/events/stream?after={after}")).ExpectProblem(410, "events_gone").GetProperty("horizon").GetInt64());
            Assert.Equal(HttpStatusCode.Gone, await UpgradeAsync(broker, after));
        }

        var resumed = await broker.Admin.SendAsync(HttpMethod.Get, "/api/v1/events/stream", null, ("Last-Event-ID", "1"));
        Assert.Equal(horizon, resumed.ExpectProblem(410, "events_gone").GetProperty("horizon").GetInt64());

        var guest = broker.As(null, token);
        Assert.Equal(horizon, (await guest.GetAsync("/api/v1/events?after=0")).ExpectProblem(410, "events_gone").GetProperty("horizon").GetInt64());
        Assert.Null((await guest.GetAsync("/api/v1/events")).Expect(200).Find("horizon"));
    }

    [Fact]
    public async Task A_task_from_before_the_horizon_is_as_it_was()
    {
        await using var broker = await TestBroker.StartAsync(config => config with { Retention = Little });
        var alice = broker.As("alice");
        var worker = await broker.RegisterAsync("worker", "do");
        var body = new { title = "x", scope = "do", description = "long", context = new { a = 1 }, labels = new { team = "blue" }, idempotency_key = "k" };
        var done = (await alice.SubmitAsync(body)).Id();
        await worker.CompleteAsync(done, new { result = new { lines = 120 } });
        var failed = (await alice.SubmitAsync(new { title = "y", scope = "do", context = new { b = 2 } })).Id();
        await worker.FailAsync(failed, retryable: false);
        var waiting = (await alice.SubmitAsync(new { title = "z", required_capabilities = new[] { "nobody" }, context = new { c = 3 } })).Id();
        var before = new[] { await alice.TaskAsync(done), await alice.TaskAsync(failed), await alice.TaskAsync(waiting) };

        await FillAsync(broker);
        await Eventually.HoldsAsync(async () => (await alice.GetAsync($"/api/v1/tasks/{waiting}/events")).Expect(200).Items().Length == 0, "their events are gone");

        Assert.Equal(before.Select(task => task.GetRawText()), [(await alice.TaskAsync(done)).GetRawText(), (await alice.TaskAsync(failed)).GetRawText(), (await alice.TaskAsync(waiting)).GetRawText()]);
        Assert.Equal([done], (await alice.GetAsync("/api/v1/tasks?label=team%3Dblue")).Expect(200).Ids());
        Assert.Equal(done, (await alice.PostAsync("/api/v1/tasks", body)).Expect(200).Id());
        Assert.Empty((await alice.GetAsync($"/api/v1/tasks/{done}/events")).Expect(200).Items());

        (await alice.PatchAsync($"/api/v1/tasks/{waiting}", new { context = new { d = 4 } })).Expect(200);
        var context = (await alice.TaskAsync(waiting)).GetProperty("context");
        Assert.Equal((3, 4), (context.Number("c"), context.Number("d")));
        (await alice.PostAsync($"/api/v1/tasks/{failed}/retry")).Expect(200);
        await worker.CompleteAsync(failed, new { result = new { n = 7 } });
        Assert.Equal((2, 7), ((await alice.TaskAsync(failed)).GetProperty("context").Number("b"), (await alice.TaskAsync(failed)).GetProperty("result").Number("n")));
        var history = (await alice.GetAsync($"/api/v1/tasks/{failed}/events")).Expect(200).Items();
        Assert.True(history.Length == 0 || history[0].GetProperty("truncated").GetBoolean());
        Assert.All(history.Skip(1), happened => Assert.Null(happened.Find("truncated")));

        await broker.StopAsync();
        var report = await StoreCheck.RunAsync(broker.Config.Database.FilePath, null, default);
        Assert.True(report.IsSound, string.Join('\n', report.Findings));
        Assert.True(report.Horizon > 1);
    }

    [Fact]
    public async Task What_is_kept_replays_and_verifies_as_a_whole_log_does()
    {
        using var directory = new TemporaryDirectory();
        using var whole = new TemporaryDirectory();
        var database = Path.Combine(directory.Path, "dispatch.db");
        await using var broker = await TestBroker.StartAsync(config => config with { Retention = Little with { EventsBytes = 200_000 } }, directory.Path);
        var worker = await broker.RegisterAsync("worker", "do");
        var middle = await Eventually.GetAsync(
            async () =>
            {
                await worker.CompleteAsync((await broker.As("alice").SubmitAsync(new { title = "x", scope = "do", context = new { text = new string('x', 2_000) } })).Id(), new { result = new { n = 1 } });
                return (await ExtentAsync(database)).Bases.FirstOrDefault()?.Sequence ?? 0;
            },
            sequence => sequence > 0, "a base is taken");
        for (var n = 0; n < 10; n++)
            await worker.CompleteAsync((await broker.As("alice").SubmitAsync(new { title = "x", scope = "do", context = new { n } })).Id());
        await broker.StopAsync();
        var copy = Path.Combine(whole.Path, "dispatch.db");
        File.Copy(database, copy);
        var (all, checkpoint) = await AuditAsync(copy, []);
        Assert.Equal(1, all.Horizon);
        var early = LogCheckpoint.Sign(directory.Path, 1, new string('0', 64), DateTimeOffset.UnixEpoch);

        await broker.RestartAsync(config => config with { Retention = Little });
        await Eventually.HoldsAsync(async () => (await ExtentAsync(database)) is { Horizon: > 1, IsTrimmed: true }, "the horizon moves");
        await broker.StopAsync();
        var horizon = (await ExtentAsync(database)).Horizon;

        foreach (var to in new[] { horizon - 1, horizon, all.LastSequence }.Where(to => to <= all.LastSequence))
        {
            var before = await StoredLog.ReplayAsync(copy, to, withTasks: true, null, default);
            Assert.Equal(before.Json, (await StoredLog.ReplayAsync(database, to, withTasks: true, null, default)).Json);
        }

        var gone = await Assert.ThrowsAsync<BrokerStartException>(() => StoredLog.ReplayAsync(database, horizon - 2, withTasks: false, null, default));
        Assert.Contains($"--to {horizon - 1}", gone.Next, StringComparison.Ordinal);
        var (report, _) = await AuditAsync(database, [checkpoint, early]);
        Assert.Empty(report.Faults);
        Assert.Equal((horizon, 1, 1), (report.Horizon, report.Checkpoints, report.CheckpointsBefore));
        Assert.True(middle < horizon);

        async Task<(AuditReport Report, LogCheckpoint Checkpoint)> AuditAsync(string file, LogCheckpoint[] checkpoints)
        {
            var found = await StoredLog.VerifyAsync(file, checkpoints, null, default);
            return (found, LogCheckpoint.Sign(directory.Path, found.LastSequence, found.LastHash, DateTimeOffset.UnixEpoch));
        }
    }

    [Fact]
    public async Task A_reader_that_falls_below_the_horizon_is_cut_off_and_told_when_it_comes_back()
    {
        await using var broker = await TestBroker.StartAsync(config => config with { Retention = Little with { EventsBytes = 1 << 20 } });
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(broker.Url, "/api/v1/events/stream?after=0"));
        request.Headers.Add("X-Agent-ID", "admin");
        request.Headers.Add("Authorization", $"Bearer {TestBroker.AdminSecret}");
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);

        // More than there is room for on the way: the reader, which does not read, stands far behind.
        var text = new string('x', 500_000);
        await Eventually.HoldsAsync(
            async () =>
            {
                await broker.As("alice").SubmitAsync(new { title = "x", required_capabilities = new[] { "nobody" }, context = new { text } });
                return (await ExtentAsync(broker.Config.Database.FilePath)).Horizon > 60;
            },
            "the horizon moves");

        long last = 0;
        var cut = await Record.ExceptionAsync(async () =>
        {
            using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
            while (await reader.ReadLineAsync() is { } line)
                last = line.StartsWith("id: ", StringComparison.Ordinal) ? long.Parse(line[4..]) : last;
        });
        Assert.True(cut is null or IOException or HttpRequestException, $"{cut}");
        var horizon = (await ExtentAsync(broker.Config.Database.FilePath)).Horizon;
        Assert.InRange(last, 1, horizon - 2);
        var back = await broker.Admin.SendAsync(HttpMethod.Get, "/api/v1/events/stream", null, ("Last-Event-ID", $"{last}"));
        Assert.True(back.ExpectProblem(410, "events_gone").GetProperty("horizon").GetInt64() >= horizon);
    }

    [Fact]
    public async Task A_webhook_that_was_disabled_goes_on_at_the_horizon_and_says_so()
    {
        await using var receiver = await Receiver.StartAsync();
        await using var broker = await TestBroker.StartAsync(config => config with { Retention = Little, Webhooks = new WebhookSettings { AllowPrivate = true } });
        receiver.Answer = (_, http) =>
        {
            http.Response.StatusCode = 410;
            return Task.CompletedTask;
        };
        var webhook = (await broker.Admin.PostAsync("/api/v1/webhooks", new { url = receiver.Url, filter = new { types = new[] { "task.created" } } })).Expect(201).Id();
        await broker.As("alice").SubmitForAsync("nobody");
        await Eventually.GetAsync(
            async () => (await broker.Admin.GetAsync($"/api/v1/webhooks/{webhook}")).Expect(200), view => view.Text("status") == "disabled", "it is disabled");
        await FillAsync(broker);
        receiver.Answer = null;

        (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook}/enable")).Expect(200);

        var last = await broker.As("alice").SubmitForAsync("nobody");
        await Eventually.HoldsAsync(() => receiver.All.Any(one => one.Json.Text("subject") == last), "it is told of what comes");
        await Eventually.HoldsAsync(() => broker.Log.Contains($"Webhook {webhook} was not told of the events after", StringComparison.Ordinal), "it says so");
        Assert.True(receiver.All.Count > 1 && receiver.All[1].Sequence > receiver.All[0].Sequence + 1);
    }

    /// <summary>Makes so much happen that the log moves on, and returns when it has.</summary>
    private static async Task FillAsync(TestBroker broker)
    {
        var before = (await ExtentAsync(broker.Config.Database.FilePath)).Head;
        await Eventually.HoldsAsync(
            async () =>
            {
                await broker.As("filler").SubmitForAsync("nobody-at-all");
                return (await ExtentAsync(broker.Config.Database.FilePath)).Horizon > before;
            },
            "the horizon moves");
    }

    private static async Task<LogExtent> ExtentAsync(string database)
    {
        await using var store = SqliteStore.OpenForReading(new SqliteStoreOptions { Path = database });
        return await store.FindExtentAsync(default);
    }

    private static async Task<HttpStatusCode> UpgradeAsync(TestBroker broker, long after)
    {
        using var socket = new ClientWebSocket();
        socket.Options.CollectHttpResponseDetails = true;
        socket.Options.SetRequestHeader("X-Agent-ID", "admin");
        socket.Options.SetRequestHeader("Authorization", $"Bearer {TestBroker.AdminSecret}");
        await Assert.ThrowsAsync<WebSocketException>(() => socket.ConnectAsync(new Uri($"ws://127.0.0.1:{broker.Url.Port}/api/v1/events/ws?after={after}"), default));
        return socket.HttpStatusCode;
    }
}

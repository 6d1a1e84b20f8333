using System.Diagnostics;
using System.Text.Json;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Running;

/// <summary>The configuration file of a running broker is changed.</summary>
public sealed class ConfigReloadTests : IAsyncLifetime
{
    private const string Quiet = "logging: { access: off }\n";

    private readonly TemporaryDirectory directory = new();
    private TestBroker broker = null!;

    private string File => Path.Combine(directory.Path, "dispatch.yaml");

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        await broker.DisposeAsync();
        directory.Dispose();
    }

    [Fact]
    public async Task The_log_names_what_took_effect_and_what_waits_for_a_restart()
    {
        await StartAsync("limits: { burst: 900 }\n");
        Assert.Empty(await ReloadsAsync());

        await ChangeAsync("limits: { burst: 901, body_bytes: 2048 }\nserver: { queue_capacity: 17, admin_token: a-secret-that-is-told-to-nobody }\n");

        var told = (await ReloadsAsync()).Single();
        Assert.Equal(("dispatch.config.reloaded", "/dispatch/default/config", "config", "system"), (told.Text("type"), told.Text("source"), told.Text("subject"), told.Text("actor")));
        // The token is the command line's, whatever the file says.
        Assert.Equal("""{"applied":["limits.body_bytes","limits.burst"],"need_restart":["server.queue_capacity"]}""", told.GetProperty("data").GetRawText());
        Assert.Contains("next start: server.queue_capacity", broker.Log, StringComparison.Ordinal);
        Assert.DoesNotContain("told-to-nobody", broker.Log, StringComparison.Ordinal);
        Assert.Equal("1", await MetricAsync("dispatch_config_needs_restart"));

        await ChangeAsync("limits: { burst: 902, body_bytes: 2048 }\nserver: { queue_capacity: 17 }\n");
        Assert.Equal("""{"applied":["limits.burst"],"need_restart":["server.queue_capacity"]}""", (await ReloadsAsync())[1].GetProperty("data").GetRawText());

        await ChangeAsync("limits: { burst: 902, body_bytes: 2048 }\n");
        Assert.Equal("""{"applied":[],"need_restart":[]}""", (await ReloadsAsync())[2].GetProperty("data").GetRawText());
        Assert.Equal("0", await MetricAsync("dispatch_config_needs_restart"));
    }

    [Fact]
    public async Task Teams_and_prices_take_effect_in_the_running_broker()
    {
        await StartAsync("allowances: { teams: { core: [ana] } }\n");
        var limit = new { level = "team", target = "web", unit = "money", amount = 1_000 };
        Assert.Equal(["target"], (await broker.Admin.PutAsync("/api/v1/limits/web", limit)).ExpectFaults());

        await ChangeAsync("allowances:\n  teams: { core: [ana], web: [ben] }\n");
        (await broker.Admin.PutAsync("/api/v1/limits/web", limit)).Expect(201);
        await broker.RegisterAsync("coder", "code", owner: "ben");
        var id = (await broker.As("alice").SubmitAsync(new { title = "x", required_capabilities = new[] { "code" }, estimate = new { tokens_in = 2_000_000, tokens_out = 1, model = "small" } })).Id();
        Assert.Contains("price of model 'small' is missing", (await broker.As("alice").GetAsync($"/api/v1/tasks/{id}/explain")).Expect(200).Text("message"), StringComparison.Ordinal);
        Assert.Equal("web", (await broker.Admin.GetAsync("/api/v1/agents/coder/allowance")).Expect(200).Text("team"));

        await ChangeAsync("allowances:\n  teams: { core: [ana], web: [ben] }\n  prices: { small: { in: 100, out: 0 } }\n");

        Assert.Equal("""{"web":200}""", (await broker.As("alice").ReachesAsync(id, "assigned")).GetProperty("reserved").GetRawText());
        Assert.Equal(["allowances.prices"], (await ReloadsAsync())[1].GetProperty("data").Items("applied").Select(key => key.GetString()));
    }

    [Fact]
    public async Task What_the_environment_sets_stays_whatever_the_file_says()
    {
        await StartAsync("assignment: { default_timeout_ms: 1000 }\n", new() { ["DISPATCH__ASSIGNMENT__DEFAULT_TIMEOUT_MS"] = "7000" });

        await ChangeAsync("assignment: { default_timeout_ms: 2000, max_concurrent_per_agent: 8 }\n");

        Assert.Equal(["assignment.max_concurrent_per_agent"], (await ReloadsAsync()).Single().GetProperty("data").Items("applied").Select(key => key.GetString()));
        Assert.Equal(7000, (await broker.As("alice").SubmitAsync(new { title = "x" })).Number("timeout_ms"));
    }

    [Fact]
    public async Task A_file_with_a_fault_changes_nothing_and_the_log_says_what_is_wrong_with_it()
    {
        await StartAsync("assignment: { default_timeout_ms: 1000 }\n");
        broker.MayLogErrors = true;
        Assert.Equal("1", await MetricAsync("dispatch_config_valid"));

        await WriteAsync("assignment: { default_timeout_ms: 2000 }\nlimits:\n  burst: many\n  bursd: 1\n");

        await Eventually.HoldsAsync(() => broker.Log.Contains("is not valid", StringComparison.Ordinal), "the fault is logged");
        var line = broker.Log.Split('\n').Single(line => line.Contains("is not valid", StringComparison.Ordinal));
        Assert.Equal("error", JsonDocument.Parse(line).RootElement.Text("level"));
        foreach (var part in new[] { "limits.burst = ", "many", $"{File}:4", "a whole number from 1 to 10000000", "did you mean limits.burst?" })
            Assert.Contains(part, line, StringComparison.Ordinal);
        Assert.Equal("0", await MetricAsync("dispatch_config_valid"));
        Assert.Equal(1000, (await broker.As("alice").SubmitAsync(new { title = "x" })).Number("timeout_ms"));
        Assert.Empty(await ReloadsAsync());

        await ChangeAsync("assignment: { default_timeout_ms: 3000 }\n");
        Assert.Equal(3000, (await broker.As("alice").SubmitAsync(new { title = "x" })).Number("timeout_ms"));
        Assert.Equal("1", await MetricAsync("dispatch_config_valid"));
        Assert.Single(broker.Log.Split('\n'), line => line.Contains("is not valid", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_file_that_goes_away_changes_nothing_and_its_return_is_seen()
    {
        await StartAsync("assignment: { default_timeout_ms: 1000 }\n");

        System.IO.File.Delete(File);
        await Eventually.HoldsAsync(() => broker.Log.Contains("is not there", StringComparison.Ordinal), "it is missed");
        Assert.Equal("0", await MetricAsync("dispatch_config_valid"));
        Assert.Equal(1000, (await broker.As("alice").SubmitAsync(new { title = "x" })).Number("timeout_ms"));

        System.IO.File.WriteAllText(File, "");
        await Eventually.HoldsAsync(() => broker.Log.Contains("is empty", StringComparison.Ordinal), "an empty file is not taken for the defaults");

        await ChangeAsync("assignment: { default_timeout_ms: 2000 }\n");
        Assert.Equal(2000, (await broker.As("alice").SubmitAsync(new { title = "x" })).Number("timeout_ms"));
        Assert.Equal("1", await MetricAsync("dispatch_config_valid"));
        Assert.Single(broker.Log.Split('\n'), line => line.Contains("is not there", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_file_that_is_replaced_by_another_is_followed()
    {
        await StartAsync("limits: { burst: 1 }\n");
        var unfinished = File + "~";
        System.IO.File.WriteAllText(unfinished, Quiet + "limits: { burst: 2, requests_per_second: 0 }\n");

        System.IO.File.Move(unfinished, File, overwrite: true);

        await UntilReloadsAsync(1);
    }

    [Fact]
    public async Task A_directory_that_a_link_leads_to_is_swapped_as_Kubernetes_does()
    {
        foreach (var (version, burst) in new[] { ("..one", 1), ("..two", 2) })
        {
            Directory.CreateDirectory(Path.Combine(directory.Path, version));
            System.IO.File.WriteAllText(Path.Combine(directory.Path, version, "dispatch.yaml"), $"{Quiet}limits: {{ burst: {burst}, requests_per_second: 0 }}\n");
        }

        Directory.CreateSymbolicLink(Path.Combine(directory.Path, "..data"), "..one");
        System.IO.File.CreateSymbolicLink(File, "..data/dispatch.yaml");
        broker = await TestBroker.StartFromFileAsync(File, directory.Path);

        Directory.CreateSymbolicLink(Path.Combine(directory.Path, "..data_tmp"), "..two");
        // A link to a directory is renamed over another: .NET has no word for it.
        using (var rename = Process.Start("mv", [OperatingSystem.IsMacOS() ? "-h" : "-T", Path.Combine(directory.Path, "..data_tmp"), Path.Combine(directory.Path, "..data")]))
            await rename.WaitForExitAsync();

        await UntilReloadsAsync(1);
    }

    [Fact]
    public async Task A_change_that_changes_no_setting_is_no_event()
    {
        await StartAsync("limits: { burst: 5 }\n");

        await Eventually.HoldsAsync(() => broker.Log.Contains("are followed", StringComparison.Ordinal), "the file was looked at");
        await WriteAsync("# a comment\nlimits: {burst: 5}\n");
        await Eventually.HoldsAsync(() => broker.Log.Contains("no setting is new", StringComparison.Ordinal), "it was read");

        Assert.Empty(await ReloadsAsync());
    }

    [Fact]
    public async Task A_file_that_changed_while_the_broker_started_is_seen()
    {
        System.IO.File.WriteAllText(File, Quiet);
        broker = await TestBroker.StartFromFileAsync(File, directory.Path, beforeStart: () => System.IO.File.AppendAllText(File, "limits: { burst: 5 }\n"));

        await UntilReloadsAsync(1);
    }

    [Fact]
    public async Task Without_a_file_nothing_is_followed()
    {
        broker = await TestBroker.StartAsync();

        broker.Broker.ReadConfigAgain();

        Assert.Empty(await ReloadsAsync());
        Assert.Equal("1", await MetricAsync("dispatch_config_valid"));
    }

    [Fact]
    public async Task The_largest_body_takes_effect()
    {
        await StartAsync("limits: { body_bytes: 2000, requests_per_second: 0 }\n");
        var alice = broker.As("alice");
        var large = new { title = "x", description = new string('d', 3_000) };
        (await alice.PostAsync("/api/v1/tasks", large)).ExpectProblem(413, "payload_too_large");

        await ChangeAsync("limits: { body_bytes: 8000, requests_per_second: 0 }\n");
        var task = (await alice.PostAsync("/api/v1/tasks", large)).Expect(201);
        (await alice.PatchAsync($"/api/v1/tasks/{task.Id()}", new { context = new { text = new string('c', 3_000) } })).Expect(200);

        await ChangeAsync("limits: { body_bytes: 2000, requests_per_second: 0 }\n");
        (await alice.PostAsync("/api/v1/tasks", large)).ExpectProblem(413, "payload_too_large");
        Assert.Equal(["context"], (await alice.PatchAsync($"/api/v1/tasks/{task.Id()}", new { context = new { more = 1 } })).ExpectFaults());
    }

    [Fact]
    public async Task The_rate_of_a_caller_takes_effect()
    {
        await StartAsync("limits: { requests_per_second: 1, burst: 1000 }\n");
        var alice = broker.As("alice");
        for (var n = 0; n < 5; n++)
            (await alice.GetAsync("/api/v1/tasks")).Expect(200);

        await ChangeAsync("limits: { requests_per_second: 1, burst: 2 }\n");
        var replies = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => alice.GetAsync("/api/v1/tasks")));
        Assert.Contains(replies, reply => reply.Status == 429);

        await ChangeAsync("limits: { requests_per_second: 0 }\n");
        replies = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => alice.GetAsync("/api/v1/tasks")));
        Assert.All(replies, reply => reply.Expect(200));
    }

    [Fact]
    public async Task Level_and_access_log_take_effect()
    {
        await StartAsync("assignment: { aging_ms: 1 }\n");
        (await broker.As("alice").GetAsync("/api/v1/tasks?limit=1")).Expect(200);
        Assert.DoesNotContain("\"logger\":\"access\"", broker.Log, StringComparison.Ordinal);

        await ChangeAsync("logging: { access: all, level: warn }\n", quiet: false);
        (await broker.As("somebody").GetAsync("/api/v1/tasks?limit=1")).Expect(200);
        await Eventually.HoldsAsync(() => broker.Log.Contains("\"caller\":\"somebody\"", StringComparison.Ordinal), "the request is in the access log");

        await ChangeAsync("logging: { access: off, level: warn }\nserver: { max_connections: 99 }\n", quiet: false);
        await Eventually.HoldsAsync(() => broker.Log.Contains("next start: server.max_connections", StringComparison.Ordinal), "warnings are written");
        Assert.DoesNotContain("in force now", broker.Log, StringComparison.Ordinal);

        await ChangeAsync("logging: { access: off, level: info }\nserver: { max_connections: 99 }\n", quiet: false);
        await Eventually.HoldsAsync(() => broker.Log.Contains("in force now: logging.level", StringComparison.Ordinal), "information is written again");
    }

    [Fact]
    public async Task The_lease_takes_effect_also_for_a_worker_that_waits()
    {
        await StartAsync("agents: { lease_ms: 600000 }\n");
        var waiting = await broker.RegisterAsync("waiting", "do");
        using var leaving = new CancellationTokenSource();
        var exchange = waiting.ExchangeAsync(waitMs: 60_000, cancel: leaving.Token);

        await ChangeAsync("agents: { lease_ms: 1000 }\n");
        var late = await broker.RegisterAsync("late", "do");
        var another = late.ExchangeAsync(waitMs: 60_000, cancel: leaving.Token);
        await broker.RegisterAsync("silent", "do");
        await ReachesAsync("silent", "offline");

        Assert.Equal(["agent.registered"], (await EventsAsync("agent.*")).Where(happened => happened.Text("subject") is "waiting" or "late").Select(happened => happened.Text("type")["dispatch.".Length..]).Distinct());
        await leaving.CancelAsync();
        foreach (var ended in new[] { exchange, another })
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ended);
    }

    [Fact]
    public async Task Offline_agents_are_forgotten_after_the_new_time()
    {
        await StartAsync("agents: { lease_ms: 50 }\n");
        await broker.RegisterAsync("worker", "do");
        await ReachesAsync("worker", "offline");

        await ChangeAsync("agents: { lease_ms: 50, reap_after_ms: 100 }\n");

        await Eventually.HoldsAsync(async () => (await broker.Admin.GetAsync("/api/v1/agents/worker")).Status == 404, "the agent is forgotten");
    }

    [Fact]
    public async Task What_is_given_out_takes_effect()
    {
        await StartAsync("assignment: { owner_filter_enabled: true }\n");
        var alice = broker.As("alice");
        await broker.RegisterAsync("worker", "do", owner: "bob");
        var task = (await alice.SubmitAsync(new { title = "x", required_capabilities = new[] { "do" }, owner = "ann" })).Id();
        Assert.Equal("pending", await alice.StatusAsync(task));

        await ChangeAsync("assignment: { owner_filter_enabled: false, default_timeout_ms: 1234, max_concurrent_per_agent: 7, tick_interval_ms: 777, wake_timeout_ms: 50 }\n");

        Assert.Equal("worker", (await alice.TaskAsync(task)).Text("assignee"));
        Assert.Equal(1234, (await alice.SubmitAsync(new { title = "x" })).Number("timeout_ms"));
        (await broker.As("new").PutAsync("/api/v1/agents/new", new { capabilities = new[] { "wake" }, status = "sleeping" })).Expect(201);
        Assert.Equal(7, (await broker.Admin.GetAsync("/api/v1/agents/new")).Expect(200).Number("max_concurrent"));
        await alice.SubmitForAsync("wake");
        await Eventually.HoldsAsync(async () => (await EventsAsync("agent.wake_failed")).Length == 1, "the agent did not wake in the new time");
    }

    [Fact]
    public async Task Retries_and_retention_take_effect()
    {
        await StartAsync("retry: { base_ms: 86400000, cap_ms: 86400000 }\nretention: { sweep_ms: 86400000 }\n");
        var alice = broker.As("alice");
        var worker = await broker.RegisterAsync("worker", "do");

        await ChangeAsync("retry: { base_ms: 1, cap_ms: 1 }\nretention: { sweep_ms: 20, finished_tasks_ms: 1000 }\n");

        var task = await alice.SubmitForAsync("do");
        await worker.FailAsync((await worker.TakeAsync()).Id);
        Assert.Equal((task, 2), await worker.TakeAsync());
        await worker.CompleteAsync(task);
        await Eventually.HoldsAsync(async () => (await alice.GetAsync($"/api/v1/tasks/{task}")).Status == 404, "the task is removed");
    }

    private async Task StartAsync(string settings, Dictionary<string, string>? environment = null)
    {
        await WriteAsync(settings);
        broker = await TestBroker.StartFromFileAsync(File, directory.Path, environment);
    }

    private Task WriteAsync(string settings, bool quiet = true) => System.IO.File.WriteAllTextAsync(File, (quiet ? Quiet : "") + settings);

    /// <summary>Writes it and waits until it has been taken over.</summary>
    private async Task ChangeAsync(string settings, bool quiet = true)
    {
        var before = (await ReloadsAsync()).Length;
        await WriteAsync(settings, quiet);
        await UntilReloadsAsync(before + 1);
    }

    // The event is durable just before the edge goes by the new settings, and the metric is raised just after.
    private async Task UntilReloadsAsync(int count)
    {
        await Eventually.GetAsync(ReloadsAsync, reloads => reloads.Length == count, $"{count} reloads");
        await Eventually.HoldsAsync(async () => await MetricAsync("dispatch_config_reloads_total") == count.ToString(), "the edge goes by the new settings");
    }

    private Task<JsonElement[]> ReloadsAsync() => EventsAsync("config.reloaded");

    private async Task<JsonElement[]> EventsAsync(string type) => (await broker.Admin.GetAsync($"/api/v1/events?type={type}&limit=1000")).Expect(200).Items("events");

    private async Task<string> StatusAsync(string agent) => (await broker.Admin.GetAsync($"/api/v1/agents/{agent}")).Expect(200).Text("status");

    private Task ReachesAsync(string agent, string status) => Eventually.HoldsAsync(async () => await StatusAsync(agent) == status, $"agent {agent} is {status}");

    private async Task<string> MetricAsync(string name)
    {
        using var http = new HttpClient { BaseAddress = broker.Broker.OperationsUrl };
        return (await http.GetStringAsync("/metrics")).Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal))[(name.Length + 1)..].Trim();
    }
}

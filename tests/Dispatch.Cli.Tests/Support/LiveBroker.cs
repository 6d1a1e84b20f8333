using System.Text.Json;

namespace Dispatch.Cli.Tests.Support;

/// <summary>A real broker, started by <c>dispatch serve</c>, shared by the tests that need one.</summary>
public sealed class LiveBroker : IAsyncLifetime
{
    private readonly TemporaryDirectory directory = new();
    private DispatchProcess process = null!;

    /// <summary>Its data directory; also what makes other commands find it.</summary>
    public string Data => directory.Path;

    public async Task InitializeAsync()
    {
        var config = directory.Write("dispatch.yaml", "agents: { lease_ms: 2000 }\nretry: { base_ms: 50 }\n");
        process = DispatchProcess.Start(["serve", "--config", config, "--data-dir", Data, "--port", "0", "--metrics-port", "0"]);
        await Eventually.HoldsAsync(() => File.Exists(directory.File("broker.json")), "the broker is ready");
    }

    public async Task DisposeAsync()
    {
        await process.DisposeAsync();
        directory.Dispose();
    }

    /// <summary>Runs a command that finds this broker by its data directory.</summary>
    public Task<DispatchProcess.Outcome> RunAsync(params string[] arguments) => DispatchProcess.RunAsync([.. arguments, "--data-dir", Data]);

    /// <summary>Runs a command with --json that must succeed.</summary>
    public async Task<JsonElement> JsonAsync(params string[] arguments)
    {
        var outcome = await RunAsync([.. arguments, "--json"]);
        Assert.True(outcome.ExitCode == 0, outcome.Errors);
        return JsonElement.Parse(outcome.Output);
    }

    /// <summary>Starts a command and leaves it running.</summary>
    public DispatchProcess Start(params string[] arguments) => DispatchProcess.Start([.. arguments, "--data-dir", Data]);

    /// <summary>Waits until a task looks as it should, and returns it.</summary>
    public async Task<JsonElement> UntilAsync(string id, Func<JsonElement, bool> condition, string what)
    {
        var task = default(JsonElement);
        var waited = System.Diagnostics.Stopwatch.StartNew();
        do
        {
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(30), $"did not happen: {what}; the task is {task}");
            task = await JsonAsync("task", "show", id);
        }
        while (!condition(task));
        return task;
    }
}

[CollectionDefinition(nameof(LiveBroker))]
public sealed class LiveBrokerTests : ICollectionFixture<LiveBroker>;

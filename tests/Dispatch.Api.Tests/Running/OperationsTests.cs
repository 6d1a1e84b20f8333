using System.Text.Json;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Running;

public sealed class OperationsTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;

    [Fact]
    public async Task The_process_says_that_it_is_up_and_ready()
    {
        Assert.Equal("ok", (await GetAsync("/health")).Json.Text("status"));
        var ready = await GetAsync("/ready");
        Assert.Equal((200, "ready"), (ready.Status, ready.Json.Text("status")));
        Assert.True(ready.Json.Number("sequence") >= 0);
    }

    [Fact]
    public async Task The_metrics_tell_what_the_broker_did()
    {
        await broker.As("alice").SubmitForAsync(Unique.Name("cap"));

        var page = (await GetAsync("/metrics")).Text;

        foreach (var name in new[] { "dispatch_tasks{status=\"pending\"}", "dispatch_commit_seconds_count", "dispatch_batch_size_count", "dispatch_agents{status=" })
            Assert.Contains(name, page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_operations_port_has_nothing_else()
    {
        Assert.Equal(404, (await GetAsync("/api/v1/tasks")).Status);
        Assert.Equal(404, (await GetAsync("/")).Status);
        using var http = new HttpClient { BaseAddress = broker.Broker.OperationsUrl };
        using var posted = await http.PostAsync("/health", null);
        Assert.Equal(405, (int)posted.StatusCode);
        using var head = await http.SendAsync(new HttpRequestMessage(HttpMethod.Head, "/ready"));
        Assert.Equal(200, (int)head.StatusCode);
    }

    [Fact]
    public async Task The_api_port_has_no_operations()
    {
        (await broker.As("alice").GetAsync("/health")).ExpectProblem(404, "not_found");
        (await broker.As("alice").GetAsync("/metrics")).ExpectProblem(404, "not_found");
    }

    private async Task<(int Status, JsonElement Json, string Text)> GetAsync(string path)
    {
        using var http = new HttpClient { BaseAddress = broker.Broker.OperationsUrl };
        using var response = await http.GetAsync(path);
        var text = await response.Content.ReadAsStringAsync();
        return ((int)response.StatusCode, text.StartsWith('{') ? JsonDocument.Parse(text).RootElement : default, text);
    }
}

using System.Globalization;
using Dispatch.Api.Tests.Support;
using Dispatch.Host.Configuration;

namespace Dispatch.Api.Tests.Running;

/// <summary>The gauges that alerts are made of, on a broker to which it happens.</summary>
public sealed class GaugeTests
{
    [Fact]
    public async Task Readiness_and_free_room_are_told()
    {
        await using var broker = await TestBroker.StartAsync();

        Assert.Equal(1, await GaugeAsync(broker, "dispatch_ready"));
        Assert.True(await GaugeAsync(broker, "dispatch_disk_free_bytes") > 0);
    }

    [Fact]
    public async Task Webhooks_are_counted_by_how_they_stand()
    {
        await using var receiver = await Receiver.StartAsync();
        await using var broken = await Receiver.StartAsync();
        broken.Answer = (_, http) =>
        {
            http.Response.StatusCode = 500;
            return Task.CompletedTask;
        };
        await using var gone = await Receiver.StartAsync();
        gone.Answer = (_, http) =>
        {
            http.Response.StatusCode = 410;
            return Task.CompletedTask;
        };
        await using var broker = await TestBroker.StartAsync(config => config with { Webhooks = new WebhookSettings { AllowPrivate = true } });
        foreach (var url in new[] { receiver.Url, broken.Url, gone.Url })
            (await broker.Admin.PostAsync("/api/v1/webhooks", new { url, filter = new { types = new[] { "task.created" } } })).Expect(201);

        await broker.As("alice").SubmitForAsync("nobody");

        await Eventually.HoldsAsync(
            async () => (await WebhooksAsync("delivering"), await WebhooksAsync("failing"), await WebhooksAsync("disabled")) == (1, 1, 1), "one of each");

        Task<double> WebhooksAsync(string state) => GaugeAsync(broker, $$"""dispatch_webhooks{state="{{state}}"}""");
    }

    [Fact]
    public async Task A_limit_that_begins_to_bind_is_counted_once()
    {
        await using var broker = await TestBroker.StartAsync();
        (await broker.Admin.PutAsync("/api/v1/limits/small", new { level = "swarm", unit = "tokens_in", amount = 100 })).Expect(201);
        await broker.RegisterAsync("worker", "work");
        Assert.Equal(0, await GaugeAsync(broker, "dispatch_allowances_exceeded_total"));

        for (var n = 0; n < 2; n++)
            (await broker.As("alice").PostAsync("/api/v1/tasks", new { title = "x", required_capabilities = new[] { "work" }, estimate = new { tokens_in = 101 } })).Expect(201);

        Assert.Equal(1, await GaugeAsync(broker, "dispatch_allowances_exceeded_total"));
    }

    private static async Task<double> GaugeAsync(TestBroker broker, string sample)
    {
        using var http = new HttpClient { BaseAddress = broker.Broker.OperationsUrl };
        var page = await http.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        var line = page.Split('\n').SingleOrDefault(line => line.StartsWith(sample + " ", StringComparison.Ordinal));
        Assert.True(line is not null, $"no {sample} among\n{page}");
        return double.Parse(line[(sample.Length + 1)..], CultureInfo.InvariantCulture);
    }
}

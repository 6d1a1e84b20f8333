using Dispatch.Api.Tests.Support;
using Dispatch.Host.Configuration;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Api.Tests.Webhooks;

/// <summary>What takes seconds or a day, on a clock that leaps.</summary>
public sealed class PatienceTests
{
    private readonly LeapingTime clock = new();

    [Fact]
    public async Task A_day_of_failures_disables_the_webhook()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer = (_, http) =>
        {
            http.Response.StatusCode = 500;
            return Task.CompletedTask;
        };
        await using var broker = await StartAsync();
        var api = broker.Admin;
        var path = $"/api/v1/webhooks/{(await api.PostAsync("/api/v1/webhooks", new { url = receiver.Url, filter = new { types = new[] { "task.created" } } })).Expect(201).Id()}";
        await broker.As("alice").SubmitForAsync("nobody");
        var first = await Eventually.GetAsync(async () => (await api.GetAsync(path)).Expect(200), view => view.Find("failing_since") is not null, "it fails");

        var view = first;
        for (var leaps = 0; view.Text("status") == "enabled"; leaps++)
        {
            Assert.True(leaps < 5_000, "it goes on for ever");
            clock.Leap(TimeSpan.FromMinutes(2));
            view = (await api.GetAsync(path)).Expect(200);
        }

        Assert.StartsWith("Deliveries failed for 24 hours; the last error: ", view.Text("disabled_reason"), StringComparison.Ordinal);
        Assert.InRange((view.Time("status_at") - first.Time("failing_since")).TotalHours, 24, 25);
        Assert.Equal(first.Time("failing_since"), view.Time("failing_since"));
        Assert.InRange(receiver.All.Count, 30, 400);
        Assert.Single(receiver.All.Select(one => one.Id).Distinct());
        Assert.Equal(receiver.All.Select(one => one.Headers["webhook-timestamp"]).Distinct().Count(), receiver.All.Count);

        // A new day, from the same event on.
        receiver.Answer = null;
        var before = receiver.All.Count;
        (await api.PostAsync($"{path}/enable")).Expect(200);
        Assert.Equal(receiver.All[0].Id, (await receiver.GotAsync(before + 1))[before].Id);
        await Eventually.GetAsync(async () => (await api.GetAsync(path)).Expect(200), now => now.Find("failing_since") is null && now.Number("lag") == 0, "it has caught up");
    }

    [Fact]
    public async Task An_answer_that_takes_longer_than_15_seconds_is_a_failure()
    {
        await using var receiver = await Receiver.StartAsync();
        var asked = new TaskCompletionSource();
        receiver.Answer = async (_, http) =>
        {
            asked.TrySetResult();
            await Task.Delay(Timeout.Infinite, http.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        };
        await using var broker = await StartAsync();
        var id = (await broker.Admin.PostAsync("/api/v1/webhooks", new { url = receiver.Url, filter = new { types = new[] { "task.created" } } })).Expect(201).Id();

        var told = broker.Admin.PostAsync($"/api/v1/webhooks/{id}/test");
        await asked.Task;
        clock.Leap(TimeSpan.FromSeconds(16));

        Assert.Equal("no complete answer within 15 s", (await told).Expect(200).Text("error"));
    }

    [Fact]
    public async Task Retry_after_is_waited_for()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer = (_, http) =>
        {
            http.Response.StatusCode = StatusCodes.Status429TooManyRequests;
            http.Response.Headers.RetryAfter = "1800";
            return Task.CompletedTask;
        };
        await using var broker = await StartAsync();
        var id = (await broker.Admin.PostAsync("/api/v1/webhooks", new { url = receiver.Url, filter = new { types = new[] { "task.created" } } })).Expect(201).Id();
        await broker.As("alice").SubmitForAsync("nobody");

        var view = await Eventually.GetAsync(async () => (await broker.Admin.GetAsync($"/api/v1/webhooks/{id}")).Expect(200), view => view.Find("next_attempt_at") is not null, "it fails");

        Assert.InRange((view.Time("next_attempt_at") - view.Time("failing_since")).TotalSeconds, 1_799, 1_860);
    }

    private Task<TestBroker> StartAsync() => TestBroker.StartAsync(config => config with { Webhooks = new WebhookSettings { AllowPrivate = true } }, clock: clock);
}

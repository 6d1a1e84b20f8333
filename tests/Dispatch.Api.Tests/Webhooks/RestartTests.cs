using Dispatch.Api.Tests.Support;
using Dispatch.Host.Configuration;

namespace Dispatch.Api.Tests.Webhooks;

public sealed class RestartTests
{
    [Fact]
    public async Task After_a_restart_deliveries_go_on_from_the_cursor()
    {
        await using var receiver = await Receiver.StartAsync();
        await using var broker = await TestBroker.StartAsync(config => config with { Webhooks = new WebhookSettings { AllowPrivate = true } });
        var webhook = (await broker.Admin.PostAsync("/api/v1/webhooks", new { url = receiver.Url, filter = new { types = new[] { "task.created" } } })).Expect(201);
        for (var n = 0; n < 5; n++)
            await broker.As("alice").SubmitForAsync("nobody");
        await receiver.GotAsync(5);

        // An answer that was still on its way would have its event repeated.
        await Eventually.GetAsync(
            async () => (await broker.Admin.GetAsync($"/api/v1/webhooks/{webhook.Id()}")).Expect(200), view => view.Number("lag") == 0, "it has caught up");

        await broker.RestartAsync();
        for (var n = 0; n < 5; n++)
            await broker.As("alice").SubmitForAsync("nobody");

        var got = await receiver.GotAsync(10);
        Assert.Equal(10, got.Select(one => one.Id).Distinct().Count());
        Assert.Equal(got.Select(one => one.Sequence).Order(), got.Select(one => one.Sequence));
        Assert.All(got, one => Assert.True(one.IsSignedWith(webhook.Text("secret"))));
    }

    [Fact]
    public async Task What_was_failing_is_tried_again_after_a_restart_and_its_failure_is_remembered()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer = (_, http) =>
        {
            http.Response.StatusCode = 500;
            return Task.CompletedTask;
        };
        await using var broker = await TestBroker.StartAsync(config => config with { Webhooks = new WebhookSettings { AllowPrivate = true } });
        var id = (await broker.Admin.PostAsync("/api/v1/webhooks", new { url = receiver.Url, filter = new { types = new[] { "task.created" } } })).Expect(201).Id();
        await broker.As("alice").SubmitForAsync("nobody");
        var before = await FailingAsync();

        await broker.RestartAsync();

        await receiver.GotAsync(2);
        var after = await FailingAsync();
        Assert.Equal(before, after);
        Assert.Equal(receiver.All[0].Id, receiver.All[1].Id);

        Task<DateTimeOffset> FailingAsync() => Eventually.GetAsync(
            async () => (await broker.Admin.GetAsync($"/api/v1/webhooks/{id}")).Expect(200) is var view && view.Find("failing_since") is not null ? view.Time("failing_since") : default,
            since => since != default, "it fails");
    }
}

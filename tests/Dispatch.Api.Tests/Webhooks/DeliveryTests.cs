using System.Text.Json;
using Dispatch.Api.Tests.Support;
using Dispatch.Host.Configuration;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Api.Tests.Webhooks;

/// <summary>A broker that may deliver to this machine.</summary>
public sealed class SharedWebhookBroker : SharedBroker
{
    protected override DispatchConfig Configure(DispatchConfig config) => config with { Webhooks = new WebhookSettings { AllowPrivate = true } };
}

public sealed class DeliveryTests(SharedWebhookBroker shared) : IClassFixture<SharedWebhookBroker>, IAsyncLifetime
{
    private readonly TestBroker broker = shared.Broker;
    private Receiver receiver = null!;

    public async Task InitializeAsync() => receiver = await Receiver.StartAsync();

    public async Task DisposeAsync()
    {
        // Of no concern to the next test.
        foreach (var webhook in (await broker.Admin.GetAsync("/api/v1/webhooks")).Expect(200).Items())
            (await broker.Admin.DeleteAsync($"/api/v1/webhooks/{webhook.Id()}")).Expect(204);
        await receiver.DisposeAsync();
    }

    [Fact]
    public async Task Events_arrive_in_order_as_signed_envelopes()
    {
        var webhook = await CreateAsync(new { url = receiver.Url, filter = new { types = new[] { "task.*" } } });
        var client = broker.As("alice");
        for (var n = 0; n < 20; n++)
            await client.SubmitForAsync("nobody");

        var log = (await EventsAsync($"after={webhook.Number("cursor")}&type=task.*")).Items("events");
        var got = await receiver.GotAsync(log.Length);

        Assert.Equal(log.Select(one => one.Text("id")), got.Take(log.Length).Select(one => one.Id));
        Assert.All(got, one =>
        {
            Assert.Equal("/hook", one.Path);
            Assert.Equal("application/cloudevents+json", one.Headers["Content-Type"]);
            Assert.Equal(one.Id, one.Json.Text("id"));
            Assert.InRange(long.Parse(one.Headers["webhook-timestamp"]), DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 60, DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 1);
            Assert.True(one.IsSignedWith(webhook.Text("secret")));
        });
    }

    [Fact]
    public async Task Only_what_the_filter_takes_arrives_and_the_cursor_passes_the_rest()
    {
        var webhook = await CreateAsync(new { url = receiver.Url, filter = new { types = new[] { "dispatch.agent.registered" }, subjects = new[] { "wanted-one" } } });
        await broker.RegisterAsync("other-one", "x");
        await broker.RegisterAsync("wanted-one", "x");
        await broker.As("alice").SubmitForAsync("nobody");

        var got = await receiver.GotAsync(1);
        var view = await ViewAsync(webhook.Id(), view => view.Number("lag") == 0, "it has looked at everything");

        Assert.Equal("wanted-one", Assert.Single(got).Json.Text("subject"));
        Assert.True(view.Number("cursor") > got[0].Sequence);
    }

    [Fact]
    public async Task A_failed_delivery_is_repeated_with_the_same_id_before_the_next_event()
    {
        receiver.Answer = (_, http) =>
        {
            http.Response.StatusCode = receiver.All.Count == 1 ? 503 : 200;
            return http.Response.WriteAsync(receiver.All.Count == 1 ? "not now" : "ok");
        };
        var webhook = await CreateAsync(new { url = receiver.Url, filter = new { types = new[] { "task.created" } } });
        await broker.As("alice").SubmitForAsync("nobody");
        await broker.As("alice").SubmitForAsync("nobody");
        var failing = await ViewAsync(webhook.Id(), view => view.Find("failing_since") is not null, "it fails");
        Assert.Equal("HTTP 503", failing.Text("last_error"));
        Assert.True(failing.Time("next_attempt_at") > failing.Time("failing_since"));

        var got = await receiver.GotAsync(3);

        Assert.Equal(got[0].Id, got[1].Id);
        Assert.True(got[2].Sequence > got[1].Sequence);
        var history = await HistoryAsync(webhook.Id(), 3);
        Assert.Equal([(1, true), (2, true), (1, false)], history.Select(one => (one.Number("attempt"), one.GetProperty("delivered").GetBoolean())));
        Assert.Equal("not now", history[2].Text("response_excerpt"));
        var view = await ViewAsync(webhook.Id(), view => view.Number("lag") == 0, "it has caught up");
        Assert.Null(view.Find("failing_since"));
    }

    [Fact]
    public async Task A_redirect_is_a_failure_and_is_not_followed()
    {
        receiver.Answer = (_, http) =>
        {
            http.Response.Redirect("/elsewhere");
            return Task.CompletedTask;
        };
        var webhook = await CreateAsync(new { url = receiver.Url, filter = new { types = new[] { "task.created" } } });

        var told = (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook.Id()}/test")).Expect(200);

        Assert.False(told.GetProperty("delivered").GetBoolean());
        Assert.Equal("HTTP 302: redirects are not followed", told.Text("error"));
        Assert.All(receiver.All, one => Assert.Equal("/hook", one.Path));
    }

    [Fact]
    public async Task An_answer_that_never_ends_is_read_as_far_as_64_KiB()
    {
        long written = 0;
        var ended = new TaskCompletionSource();
        receiver.Answer = async (_, http) =>
        {
            var block = new byte[8192];
            block.AsSpan().Fill((byte)'x');
            try
            {
                for (; written < 1L << 32; written += block.Length)
                    await http.Response.Body.WriteAsync(block, http.RequestAborted);
            }
            finally
            {
                ended.TrySetResult();
            }
        };
        var webhook = await CreateAsync(new { url = receiver.Url, filter = new { types = new[] { "task.created" } } });

        var told = (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook.Id()}/test")).Expect(200);

        Assert.True(told.GetProperty("delivered").GetBoolean());
        Assert.Equal(1024, told.Text("response_excerpt").Length);
        await ended.Task.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.True(written < 1L << 28, $"{written} bytes were written");
    }

    [Fact]
    public async Task A_receiver_that_is_gone_disables_the_webhook_at_once_and_it_goes_on_when_enabled()
    {
        var isGone = true;
        receiver.Answer = (_, http) =>
        {
            http.Response.StatusCode = isGone ? 410 : 200;
            return Task.CompletedTask;
        };
        var webhook = await CreateAsync(new { url = receiver.Url, filter = new { types = new[] { "task.created" } } });
        await broker.As("alice").SubmitForAsync("nobody");
        var view = await ViewAsync(webhook.Id(), view => view.Text("status") == "disabled", "it is disabled");
        Assert.Equal("HTTP 410: the receiver wants no more events", view.Text("disabled_reason"));
        Assert.Single(receiver.All);
        var told = (await EventsAsync($"type=webhook.disabled&subject={webhook.Id()}")).Items("events");
        Assert.Equal(view.Text("disabled_reason"), Assert.Single(told).GetProperty("data").Text("reason"));

        isGone = false;
        (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook.Id()}/enable")).Expect(200);

        var got = await receiver.GotAsync(2);
        Assert.Equal(got[0].Id, got[1].Id);
    }

    [Fact]
    public async Task After_a_rotation_both_secrets_sign_and_only_the_answer_shows_the_new_one()
    {
        var webhook = await CreateAsync(new { url = receiver.Url, filter = new { types = new[] { "task.created" } } });
        var old = webhook.Text("secret");

        var rotated = (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook.Id()}/rotate-secret")).Expect(200);
        var fresh = rotated.Text("secret");
        await broker.As("alice").SubmitForAsync("nobody");
        var both = (await receiver.GotAsync(1))[0];
        Assert.Equal(2, both.Headers["webhook-signature"].Split(' ').Length);
        Assert.True(both.IsSignedWith(old) && both.IsSignedWith(fresh));

        (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook.Id()}/rotate-secret", new { overlap_ms = 0 })).Expect(200);
        await broker.As("alice").SubmitForAsync("nobody");
        var one = (await receiver.GotAsync(2))[1];
        Assert.Single(one.Headers["webhook-signature"].Split(' '));
        Assert.False(one.IsSignedWith(old) || one.IsSignedWith(fresh));

        var everything = (await EventsAsync("")).GetRawText() + (await broker.Admin.GetAsync("/api/v1/webhooks")).Text
            + (await broker.Admin.GetAsync($"/api/v1/webhooks/{webhook.Id()}")).Text + broker.Log;
        Assert.DoesNotContain("whsec_", everything, StringComparison.Ordinal);
        Assert.DoesNotContain("/hook", (await EventsAsync("")).GetRawText(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_test_is_sent_at_once_whatever_waits()
    {
        var webhook = await CreateAsync(new { url = receiver.Url, filter = new { types = new[] { "task.created" } } });

        var told = (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook.Id()}/test")).Expect(200);

        var got = Assert.Single(receiver.All);
        Assert.Equal("dispatch.webhook.test", got.Type);
        Assert.Equal(told.Text("event_id"), got.Id);
        Assert.True(got.IsSignedWith(webhook.Text("secret")));
        Assert.Equal(204, told.Number("status"));
        Assert.Empty((await broker.Admin.GetAsync($"/api/v1/webhooks/{webhook.Id()}/deliveries")).Expect(200).Items());
    }

    [Fact]
    public async Task A_change_takes_effect_at_once()
    {
        await using var second = await Receiver.StartAsync();
        receiver.Answer = (_, http) =>
        {
            http.Response.StatusCode = 500;
            return Task.CompletedTask;
        };
        var webhook = await CreateAsync(new { url = receiver.Url, filter = new { types = new[] { "task.created" } } });
        await broker.As("alice").SubmitForAsync("nobody");
        await receiver.GotAsync(1);

        (await broker.Admin.PatchAsync($"/api/v1/webhooks/{webhook.Id()}", new { url = second.Url, description = "Moved" })).Expect(200);

        var got = await second.GotAsync(1);
        Assert.Equal(receiver.All[0].Id, got[0].Id);
        (await broker.Admin.DeleteAsync($"/api/v1/webhooks/{webhook.Id()}")).Expect(204);
        (await broker.Admin.GetAsync($"/api/v1/webhooks/{webhook.Id()}")).ExpectProblem(404, "webhook_not_found");
        (await broker.Admin.DeleteAsync($"/api/v1/webhooks/{webhook.Id()}")).ExpectProblem(404, "webhook_not_found");
    }

    [Theory]
    [InlineData("{}", "url")]
    [InlineData("{\"url\":\"ftp://example.org/\"}", "url")]
    [InlineData("{\"url\":\"https://me:secret@example.org/\"}", "url")]
    [InlineData("{\"url\":\"/hook\"}", "url")]
    [InlineData("{\"url\":\"https://example.org/\",\"filter\":{\"types\":[\"ta*sk\"]}}", "filter.types")]
    [InlineData("{\"url\":\"https://example.org/\",\"filter\":{\"kinds\":[]}}", "filter.kinds")]
    [InlineData("{\"url\":\"https://example.org/\",\"secret\":\"whsec_x\"}", "secret")]
    public async Task What_can_be_no_webhook_is_refused(string body, string field) =>
        Assert.Equal([field], (await broker.Admin.PostAsync("/api/v1/webhooks", body)).ExpectFaults());

    [Fact]
    public async Task Only_an_admin_may_manage_them()
    {
        (await broker.As("alice").GetAsync("/api/v1/webhooks")).Expect(401);
        (await broker.As("alice").PostAsync("/api/v1/webhooks", new { url = receiver.Url })).Expect(401);
    }

    private async Task<JsonElement> EventsAsync(string query)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(broker.Url, $"/api/v1/events?limit=1000&{query}"));
        request.Headers.Add("X-Agent-ID", "admin");
        request.Headers.Add("Authorization", $"Bearer {TestBroker.AdminSecret}");
        using var response = await http.SendAsync(request);
        return JsonDocument.Parse(await response.EnsureSuccessStatusCode().Content.ReadAsStringAsync()).RootElement;
    }

    private async Task<JsonElement> CreateAsync(object wanted) => (await broker.Admin.PostAsync("/api/v1/webhooks", wanted)).Expect(201);

    private Task<JsonElement> ViewAsync(string id, Predicate<JsonElement> isSo, string what) =>
        Eventually.GetAsync(async () => (await broker.Admin.GetAsync($"/api/v1/webhooks/{id}")).Expect(200), isSo, what);

    private async Task<JsonElement[]> HistoryAsync(string id, int count) => await Eventually.GetAsync(
        async () => (await broker.Admin.GetAsync($"/api/v1/webhooks/{id}/deliveries")).Expect(200).Items(), found => found.Length == count, $"{count} deliveries are told");
}

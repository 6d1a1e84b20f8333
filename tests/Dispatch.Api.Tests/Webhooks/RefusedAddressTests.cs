using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Webhooks;

public sealed class RefusedAddressTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;

    [Theory]
    [InlineData("http://127.0.0.1/")]
    [InlineData("http://2130706433/")]
    [InlineData("http://0x7f.1/")]
    [InlineData("http://10.1.2.3:8080/x")]
    [InlineData("https://169.254.169.254/latest/meta-data")]
    [InlineData("http://[::1]/")]
    [InlineData("http://[::ffff:192.168.0.1]/")]
    [InlineData("http://[fe80::1]/")]
    public async Task An_address_that_is_not_public_is_refused_when_it_is_given(string url) =>
        Assert.Equal(["url"], (await broker.Admin.PostAsync("/api/v1/webhooks", new { url })).ExpectFaults());

    [Fact]
    public async Task A_name_that_leads_to_this_machine_is_refused_when_connecting()
    {
        await using var receiver = await Receiver.StartAsync();
        var webhook = (await broker.Admin.PostAsync("/api/v1/webhooks", new { url = $"http://localhost:{receiver.Port}/hook", filter = new { types = new[] { "task.created" } } })).Expect(201);

        var told = (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook.Id()}/test")).Expect(200);
        await broker.As("alice").SubmitForAsync("nobody");
        var view = await Eventually.GetAsync(
            async () => (await broker.Admin.GetAsync($"/api/v1/webhooks/{webhook.Id()}")).Expect(200), view => view.Find("failing_since") is not null, "it fails");

        Assert.False(told.GetProperty("delivered").GetBoolean());
        Assert.Contains("a loopback address: refused unless webhooks.allow_private is true", told.Text("error"), StringComparison.Ordinal);
        Assert.Equal(told.Text("error"), view.Text("last_error"));
        Assert.Empty(receiver.All);
    }
}

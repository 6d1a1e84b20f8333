using Dispatch.Events;
using Dispatch.Invariants;
using Dispatch.Sequencing;
using Dispatch.Tests.Support;
using Dispatch.Webhooks;

namespace Dispatch.Tests.Webhooks;

public sealed class ManageWebhooksTests
{
    private const string Id = "whk_1";

    private static readonly Uri Url = new("https://example.org/in?key=k");

    private readonly CoreRun run = new();

    [Fact]
    public void What_followers_see_holds_neither_secret_nor_url()
    {
        Create();
        run.Run(new UpdateWebhook(Id, new Uri("https://example.org/other"), null, null) { ByAdmin = true });
        run.Run(new RotateWebhookSecret(Id, "whsec_b", 1_000) { ByAdmin = true });

        var told = run.Store.Events.Where(happened => !happened.Data.Kind.IsInternal).Select(happened => System.Text.Encoding.UTF8.GetString(new FeedEvent(happened).CloudEvent("default"))).ToList();

        Assert.NotEmpty(told);
        Assert.All(told, text => Assert.DoesNotContain("whsec", text, StringComparison.Ordinal));
        Assert.All(told, text => Assert.DoesNotContain("https://example.org/", text, StringComparison.Ordinal));
    }

    [Fact]
    public void A_secret_is_printed_by_no_record()
    {
        var webhook = Create();

        Assert.DoesNotContain("whsec", $"{webhook} {new CreateWebhook(Id, Url, null, EventFilter.All, "whsec_a")} {new RotateWebhookSecret(Id, "whsec_a", 1)} {new WebhookSecretSet("whsec_a")}", StringComparison.Ordinal);
    }

    [Fact]
    public void The_secret_before_signs_until_its_time_is_over()
    {
        Create();

        var webhook = run.Run(new RotateWebhookSecret(Id, "whsec_b", 1_000) { ByAdmin = true })!;

        Assert.Equal(["whsec_b", "whsec_a"], webhook.SecretsAt(webhook.PreviousUntil!.Value - 1));
        Assert.Equal(["whsec_b"], webhook.SecretsAt(webhook.PreviousUntil.Value));
        Assert.Null(run.Run(new RotateWebhookSecret("whk_2", "whsec_b", 1_000)));
    }

    [Fact]
    public void Whoever_changed_meanwhile_is_not_disabled()
    {
        var seen = Create();
        run.Run(new UpdateWebhook(Id, null, "Moved", null) { ByAdmin = true });

        Assert.Null(run.Run(new DisableWebhook(Id, "It fails.", seen.LastSequence)));
        var now = run.Run(new ListWebhooks()).Single();
        Assert.Equal(WebhookStatus.Enabled, now.Status);

        Assert.Equal("It fails.", run.Run(new DisableWebhook(Id, "It fails.", now.LastSequence))!.DisabledReason);
        Assert.Null(run.Run(new DisableWebhook(Id, "Again.", now.LastSequence)));
        Assert.Null(run.Run(new EnableWebhook(Id) { ByAdmin = true })!.DisabledReason);
    }

    [Fact]
    public void An_update_leaves_what_is_not_given()
    {
        Create();

        var described = run.Run(new UpdateWebhook(Id, null, "Portal", null) { ByAdmin = true })!;
        var filtered = run.Run(new UpdateWebhook(Id, null, null, new EventFilter { Sources = ["tasks"] }) { ByAdmin = true })!;
        var bare = run.Run(new UpdateWebhook(Id, null, "", null) { ByAdmin = true })!;

        Assert.Equal(("Portal", "task.*"), (described.Description, Assert.Single(described.Filter.Types)));
        Assert.Equal(("Portal", "tasks", 0), (filtered.Description, Assert.Single(filtered.Filter.Sources), filtered.Filter.Types.Count));
        Assert.Equal((null, Url.AbsoluteUri), (bare.Description, bare.Url));
        Assert.Null(run.Run(new UpdateWebhook("whk_2", null, "x", null)));
    }

    [Fact]
    public async Task The_log_gives_the_table_again()
    {
        Create();
        run.Run(new RotateWebhookSecret(Id, "whsec_b", 1_000) { ByAdmin = true });
        run.Run(new CreateWebhook("whk_2", Url, null, EventFilter.All, "whsec_c") { ByAdmin = true });
        Assert.True(run.Run(new DeleteWebhook("whk_2") { ByAdmin = true }));
        Assert.False(run.Run(new DeleteWebhook("whk_2") { ByAdmin = true }));

        var report = await StoreCheck.RunAsync(run.Store, new StateOptions(), null, null, CancellationToken.None);

        Assert.Empty(report.Findings);
        Assert.Equal(1, report.Rows.Webhooks);
    }

    private WebhookEndpoint Create() => run.Run(new CreateWebhook(Id, Url, null, new EventFilter { Types = ["task.*"] }, "whsec_a") { ByAdmin = true });
}

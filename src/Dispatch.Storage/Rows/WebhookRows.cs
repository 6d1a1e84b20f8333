using System.Text.Json;
using Dispatch.Events;
using Dispatch.Webhooks;

namespace Dispatch.Storage.Rows;

/// <summary>A webhook to and from its row in <c>webhooks</c>.</summary>
internal static class WebhookRows
{
    internal const string Columns =
        "id, url, description, types, sources, subjects, sessions, secret, previous_secret, previous_until, status, status_at, disabled_reason, created_at, starts_after, last_sequence";

    internal static void Bind(IRowParameters row, WebhookEndpoint webhook, JsonText json)
    {
        row.Bind(1, webhook.Id);
        row.Bind(2, webhook.Url);
        row.Bind(3, webhook.Description);
        BindList(row, 4, webhook.Filter.Types, json);
        BindList(row, 5, webhook.Filter.Sources, json);
        BindList(row, 6, webhook.Filter.Subjects, json);
        BindList(row, 7, webhook.Filter.Sessions, json);
        row.Bind(8, webhook.Secret);
        row.Bind(9, webhook.PreviousSecret);
        row.Bind(10, webhook.PreviousUntil);
        row.BindText(11, Words.WebhookStatus.Word((int)webhook.Status));
        row.Bind(12, webhook.StatusAt);
        row.Bind(13, webhook.DisabledReason);
        row.Bind(14, webhook.CreatedAt);
        row.Bind(15, webhook.StartsAfter);
        row.Bind(16, webhook.LastSequence);
    }

    internal static WebhookEndpoint Read(IStoredRow row) => new(
        row.Text(0), row.Text(1), row.NullableText(2),
        new EventFilter
        {
            Types = RowTexts.Strings(row.Utf8(3)),
            Sources = RowTexts.Strings(row.Utf8(4)),
            Subjects = RowTexts.Strings(row.Utf8(5)),
            Sessions = RowTexts.Strings(row.Utf8(6)),
        },
        row.Text(7), row.NullableText(8), row.NullableInt64(9), Words.WebhookStatus.Parse(row.Utf8(10)), row.Int64(11), row.NullableText(12), row.Int64(13), row.Int64(14), row.Int64(15));

    private static void BindList(IRowParameters row, int index, IReadOnlyList<string> values, JsonText json)
    {
        JsonSerializer.Serialize(json.Start(), values.ToArray(), RowJson.Default.StringArray);
        row.BindText(index, json.End());
    }
}

/// <summary>A delivery to and from its row in <c>webhook_deliveries</c>.</summary>
internal static class DeliveryRows
{
    internal const string Columns = "webhook, sequence, attempt, at, duration_ms, status, error, response_excerpt";

    internal static void Bind(IRowParameters row, WebhookDelivery delivery)
    {
        row.Bind(1, delivery.Webhook);
        row.Bind(2, delivery.Sequence);
        row.Bind(3, (long)delivery.Attempt);
        row.Bind(4, delivery.At);
        row.Bind(5, delivery.DurationMs);
        row.Bind(6, (long?)delivery.Status);
        row.Bind(7, delivery.Error);
        row.Bind(8, delivery.Excerpt);
    }

    internal static WebhookDelivery Read(IStoredRow row) => new(
        row.Text(0), row.Int64(1), row.Int32(2), row.Int64(3), row.Int64(4), (int?)row.NullableInt64(5), row.NullableText(6), row.NullableText(7));
}

using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Dispatch.Host.Auth;
using Dispatch.Host.Http;
using Dispatch.Host.Http.Problems;
using Dispatch.Webhooks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Webhooks;

/// <summary>The endpoints by which an admin manages webhooks.</summary>
internal sealed class WebhookRoutes(WebhookTools tools, WebhookRunners runners, bool allowPrivate)
{
    private const int DefaultLimit = 100;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/v1/webhooks", CreateAsync);
        routes.MapRead("/api/v1/webhooks", ListAsync);
        routes.MapRead("/api/v1/webhooks/{id}", ReadAsync);
        routes.MapPatch("/api/v1/webhooks/{id}", UpdateAsync);
        routes.MapDelete("/api/v1/webhooks/{id}", DeleteAsync);
        routes.MapPost("/api/v1/webhooks/{id}/test", TestAsync);
        routes.MapPost("/api/v1/webhooks/{id}/rotate-secret", RotateAsync);
        routes.MapPost("/api/v1/webhooks/{id}/enable", EnableAsync);
        routes.MapRead("/api/v1/webhooks/{id}/deliveries", DeliveriesAsync).Takes("limit");
    }

    private async Task CreateAsync(HttpContext http)
    {
        http.DemandAdmin();
        WebhookRequest wanted;
        using (var body = await JsonBody.ReadAsync(http))
            wanted = WebhookRequest.Read(body, isNew: true, allowPrivate);

        var id = $"whk_{Guid.CreateVersion7(tools.Clock.GetUtcNow()):N}";
        var description = wanted.Description is { Length: 0 } ? null : wanted.Description;
        var webhook = await tools.Sequencer.ExecuteAsync(
            new CreateWebhook(id, wanted.Url!, description, wanted.Filter ?? Events.EventFilter.All, WebhookSignature.MakeSecret()) { Caller = http.Caller().Agent, ByAdmin = true });
        await http.WriteJsonAsync(StatusCodes.Status201Created, (webhook, this), static (json, made) => made.Item2.Write(json, made.webhook, withSecret: true));
    }

    private async Task ListAsync(HttpContext http)
    {
        http.DemandAdmin();
        var all = await ListAllAsync(http);
        await http.WriteJsonAsync(StatusCodes.Status200OK, all, (json, list) =>
        {
            json.WriteStartArray();
            foreach (var webhook in list)
                Write(json, webhook, withSecret: false);
            json.WriteEndArray();
        });
    }

    private async Task ReadAsync(HttpContext http)
    {
        http.DemandAdmin();
        await AnswerAsync(http, await GetAsync(http));
    }

    private async Task UpdateAsync(HttpContext http)
    {
        http.DemandAdmin();
        WebhookRequest wanted;
        using (var body = await JsonBody.ReadAsync(http))
            wanted = WebhookRequest.Read(body, isNew: false, allowPrivate);
        var id = http.PathId();
        await AnswerAsync(http, await tools.Sequencer.ExecuteAsync(
            new UpdateWebhook(id, wanted.Url, wanted.Description, wanted.Filter) { Caller = http.Caller().Agent, ByAdmin = true }) ?? throw Missing(id));
    }

    private async Task DeleteAsync(HttpContext http)
    {
        http.DemandAdmin();
        await JsonBody.IgnoreAsync(http);
        var id = http.PathId();
        if (!await tools.Sequencer.ExecuteAsync(new DeleteWebhook(id) { Caller = http.Caller().Agent, ByAdmin = true }))
            throw Missing(id);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task EnableAsync(HttpContext http)
    {
        http.DemandAdmin();
        await JsonBody.IgnoreAsync(http);
        var id = http.PathId();
        await AnswerAsync(http, await tools.Sequencer.ExecuteAsync(new EnableWebhook(id) { Caller = http.Caller().Agent, ByAdmin = true }) ?? throw Missing(id));
    }

    private async Task RotateAsync(HttpContext http)
    {
        http.DemandAdmin();
        long overlap;
        using (var body = await JsonBody.ReadAsync(http))
            overlap = RotateRequest.Read(body);
        var id = http.PathId();
        var webhook = await tools.Sequencer.ExecuteAsync(
            new RotateWebhookSecret(id, WebhookSignature.MakeSecret(), overlap) { Caller = http.Caller().Agent, ByAdmin = true }) ?? throw Missing(id);
        await http.WriteJsonAsync(StatusCodes.Status200OK, (webhook, this), static (json, made) => made.Item2.Write(json, made.webhook, withSecret: true));
    }

    /// <summary>Sends an event that never happened: at once, whatever waits, and only once.</summary>
    private async Task TestAsync(HttpContext http)
    {
        http.DemandAdmin();
        await JsonBody.IgnoreAsync(http);
        var webhook = await GetAsync(http);
        var now = tools.Clock.GetUtcNow();
        var id = $"{tools.Space}/test-{Guid.CreateVersion7(now):N}";
        var sent = await tools.Sender.SendAsync(webhook.Url, webhook.SecretsAt(now.ToUnixTimeMilliseconds()), id, TestEvent(id, webhook, now), http.RequestAborted);
        await http.WriteJsonAsync(StatusCodes.Status200OK, (id, sent), static (json, told) =>
        {
            json.WriteStartObject();
            json.WriteString("event_id"u8, told.id);
            json.WriteBoolean("delivered"u8, told.sent.IsDelivered);
            WriteAnswer(json, told.sent.DurationMs, told.sent.Status, told.sent.Error, told.sent.Excerpt);
            json.WriteEndObject();
        });
    }

    private async Task DeliveriesAsync(HttpContext http)
    {
        http.DemandAdmin();
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var limit = (int)QueryValue.Number(http.Request, "limit", 1, WebhookDelivery.Kept, DefaultLimit, faults);
        faults.ThrowIfAny();
        var webhook = await GetAsync(http);
        var found = await tools.Book.ListAsync(webhook.Id, limit, http.RequestAborted);
        await http.WriteJsonAsync(StatusCodes.Status200OK, found, (json, list) =>
        {
            json.WriteStartArray();
            foreach (var delivery in list)
            {
                json.WriteStartObject();
                json.WriteString("event_id"u8, string.Create(CultureInfo.InvariantCulture, $"{tools.Space}/{delivery.Sequence}"));
                json.WriteNumber("sequence"u8, delivery.Sequence);
                json.WriteNumber("attempt"u8, delivery.Attempt);
                TaskWriter.Time(json, "at"u8, delivery.At);
                json.WriteBoolean("delivered"u8, delivery.IsDelivered);
                WriteAnswer(json, delivery.DurationMs, delivery.Status, delivery.Error, delivery.Excerpt);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        });
    }

    private Task AnswerAsync(HttpContext http, WebhookEndpoint webhook) =>
        http.WriteJsonAsync(StatusCodes.Status200OK, (webhook, this), static (json, told) => told.Item2.Write(json, told.webhook, withSecret: false));

    private Task<IReadOnlyList<WebhookEndpoint>> ListAllAsync(HttpContext http) => tools.Sequencer.ExecuteAsync(new ListWebhooks { Caller = http.Caller().Agent });

    private async Task<WebhookEndpoint> GetAsync(HttpContext http)
    {
        var id = http.PathId();
        return (await ListAllAsync(http)).FirstOrDefault(webhook => webhook.Id == id) ?? throw Missing(id);
    }

    private static ProblemException Missing(string id) => new(new Problem(ErrorCode.WebhookNotFound, $"There is no webhook {Excerpt.Of(id, 64)}."));

    private static void WriteAnswer(Utf8JsonWriter json, long durationMs, int? status, string? error, string? excerpt)
    {
        json.WriteNumber("duration_ms"u8, durationMs);
        if (status is { } known)
            json.WriteNumber("status"u8, known);
        TaskWriter.Text(json, "error"u8, error);
        TaskWriter.Text(json, "response_excerpt"u8, excerpt);
    }

    private void Write(Utf8JsonWriter json, WebhookEndpoint webhook, bool withSecret)
    {
        var progress = runners.ProgressOf(webhook.Id);
        var cursor = tools.Book.PositionOf(webhook.Id) ?? webhook.StartsAfter;
        json.WriteStartObject();
        json.WriteString("id"u8, webhook.Id);
        json.WriteString("url"u8, webhook.Url);
        TaskWriter.Text(json, "description"u8, webhook.Description);
        json.WriteStartObject("filter"u8);
        WriteList(json, "types"u8, webhook.Filter.Types);
        WriteList(json, "sources"u8, webhook.Filter.Sources);
        WriteList(json, "subjects"u8, webhook.Filter.Subjects);
        WriteList(json, "sessions"u8, webhook.Filter.Sessions);
        json.WriteEndObject();
        if (withSecret)
            json.WriteString("secret"u8, webhook.Secret);
        if (webhook.PreviousUntil > tools.Clock.GetUtcNow().ToUnixTimeMilliseconds())
            TaskWriter.Time(json, "previous_secret_until"u8, webhook.PreviousUntil.Value);
        json.WriteString("status"u8, webhook.Status == WebhookStatus.Enabled ? "enabled"u8 : "disabled"u8);
        TaskWriter.Time(json, "status_at"u8, webhook.StatusAt);
        TaskWriter.Text(json, "disabled_reason"u8, webhook.DisabledReason);
        TaskWriter.Time(json, "created_at"u8, webhook.CreatedAt);
        json.WriteNumber("cursor"u8, cursor);
        json.WriteNumber("lag"u8, Math.Max(0, tools.Feed.Head - cursor));
        TaskWriter.Time(json, "failing_since"u8, progress.FailingSince ?? 0);
        TaskWriter.Text(json, "last_error"u8, progress.LastError);
        if (webhook.Status == WebhookStatus.Enabled)
            TaskWriter.Time(json, "next_attempt_at"u8, progress.NextAttemptAt ?? 0);
        json.WriteEndObject();
    }

    private static void WriteList(Utf8JsonWriter json, ReadOnlySpan<byte> name, IReadOnlyList<string> values)
    {
        if (values.Count == 0)
            return;
        json.WriteStartArray(name);
        foreach (var value in values)
            json.WriteStringValue(value);
        json.WriteEndArray();
    }

    private byte[] TestEvent(string id, WebhookEndpoint webhook, DateTimeOffset now)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteString("specversion"u8, "1.0"u8);
        json.WriteString("id"u8, id);
        json.WriteString("source"u8, $"/dispatch/{tools.Space}/webhooks");
        json.WriteString("type"u8, "dispatch.webhook.test"u8);
        TaskWriter.Time(json, "time"u8, now.ToUnixTimeMilliseconds());
        json.WriteString("subject"u8, webhook.Id);
        json.WriteString("datacontenttype"u8, "application/json"u8);
        json.WriteStartObject("data"u8);
        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }
}

using Dispatch.Host.Http.Problems;
using Dispatch.Host.Telemetry;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Http;

/// <summary>The port for probes and scrapers: /health, /ready, /metrics. Nobody has to say who they are.</summary>
internal sealed class OperationsEndpoints(Sequencer sequencer, Housekeeping housekeeping, PrometheusPage metrics, TimeProvider clock)
{
    /// <summary>The loop turns at least every tick; this long without a turn, it hangs in the store.</summary>
    private static readonly TimeSpan LongestTurn = TimeSpan.FromSeconds(15);

    /// <summary>What /ready says.</summary>
    public bool IsReady => WhyNotReady() is null;

    public Task AnswerAsync(HttpContext http)
    {
        var path = http.Request.Path.Value;
        if (path is not ("/health" or "/ready" or "/metrics"))
            return http.WriteProblemAsync(new Problem(ErrorCode.NotFound, $"There is no route {path} on this port; it has /health, /ready and /metrics."));
        if (!HttpMethods.IsGet(http.Request.Method) && !HttpMethods.IsHead(http.Request.Method))
        {
            http.Response.Headers.Allow = "GET, HEAD";
            return http.WriteProblemAsync(new Problem(ErrorCode.MethodNotAllowed, $"{path} takes GET."));
        }

        return path switch
        {
            "/health" => http.WriteJsonAsync(StatusCodes.Status200OK, 0, static (json, _) =>
            {
                json.WriteStartObject();
                json.WriteString("status"u8, "ok"u8);
                json.WriteEndObject();
            }),
            "/ready" => ReadyAsync(http),
            _ => MetricsAsync(http),
        };
    }

    private Task ReadyAsync(HttpContext http)
    {
        var reason = WhyNotReady();
        return http.WriteJsonAsync(
            reason is null ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable,
            (reason, sequencer.CommittedSequence),
            static (json, state) =>
            {
                json.WriteStartObject();
                json.WriteString("status"u8, state.reason is null ? "ready" : "unready");
                TaskWriter.Text(json, "reason"u8, state.reason);
                if (state.reason is null)
                    json.WriteNumber("sequence"u8, state.CommittedSequence);
                json.WriteEndObject();
            });
    }

    /// <summary>Null when it is ready.</summary>
    public string? WhyNotReady()
    {
        if (sequencer.Completion.IsFaulted)
            return "the sequencer failed";
        if (sequencer.Refusing is { } refusal)
            return refusal == Refusal.Stopping ? "the broker is stopping" : "the store does not take writes";
        var still = clock.GetElapsedTime(sequencer.LastTurn);
        return still > LongestTurn ? $"the sequencer has not turned for {(int)still.TotalSeconds} s: the store hangs" : null;
    }

    private async Task MetricsAsync(HttpContext http)
    {
        await housekeeping.RefreshAsync().WaitAsync(TimeSpan.FromSeconds(2), clock, http.RequestAborted)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await metrics.WriteAsync(http);
    }
}

/// <summary>Which local port the operations listener has; known once the server listens.</summary>
internal sealed class OperationsPort
{
    public int Value { get; set; } = -1;
}

internal static class OperationsComposition
{
    /// <summary>Takes the requests that came in on the operations port. Place it above UseCallers.</summary>
    public static void UseOperations(this IApplicationBuilder app, OperationsEndpoints endpoints, out OperationsPort port)
    {
        var listens = port = new OperationsPort();
        app.Use(next => http => http.Connection.LocalPort == listens.Value ? endpoints.AnswerAsync(http) : next(http));
    }
}

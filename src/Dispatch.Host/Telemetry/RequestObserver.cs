using System.Diagnostics;
using Dispatch.Host.Auth;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Telemetry;

/// <summary>Sees every request from its arrival to the end of its answer: access log, request metrics, request span.</summary>
internal sealed class RequestObserver(RequestDelegate next, AccessLog log, DispatchMetrics metrics, TimeProvider time)
{
    public Task InvokeAsync(HttpContext context)
    {
        long started = time.GetTimestamp();
        Activity? activity = DispatchTracing.StartRequest(context);
        Task run = next(context);
        if (!run.IsCompletedSuccessfully)
            return ObserveAsync(run, context, started, activity);

        Observe(context, started, activity);
        return Task.CompletedTask;
    }

    private async Task ObserveAsync(Task run, HttpContext context, long started, Activity? activity)
    {
        try
        {
            await run;
        }
        finally
        {
            Observe(context, started, activity);
        }
    }

    private void Observe(HttpContext context, long started, Activity? activity)
    {
        TimeSpan elapsed = time.GetElapsedTime(started);
        // Set by routing, or by whoever answers without it.
        string? route = context.GetEndpoint() switch
        {
            RouteEndpoint endpoint => endpoint.RoutePattern.RawText,
            { } endpoint => endpoint.DisplayName,
            null => null,
        };
        metrics.RecordRequest(context.Request.Method, route, context.Response.StatusCode, elapsed);
        log.Write(context, elapsed);
        if (activity is not null)
            DispatchTracing.EndRequest(activity, context, route, context.FindCaller()?.Agent);
    }
}

/// <summary>Composition.</summary>
public static class RequestObserverComposition
{
    /// <summary>Logs, counts and traces every request. Place it below UseRequestIds and above everything else.</summary>
    public static IApplicationBuilder UseAccessLog(this IApplicationBuilder app) => app.UseMiddleware<RequestObserver>();
}

using System.Diagnostics;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Telemetry;

/// <summary>
/// The one activity source, "Dispatch". While nobody listens (no OTLP endpoint) a request costs one check. The trace that a caller
/// names in <c>traceparent</c> is gone on with.
/// </summary>
public static class DispatchTracing
{
    /// <summary>Name of the source.</summary>
    public const string SourceName = "Dispatch";

    /// <summary>For spans inside a request or a loop: <c>Source.StartActivity(...)</c> is null when nobody listens.</summary>
    public static ActivitySource Source { get; } = new(SourceName);

    internal static Activity? StartRequest(HttpContext context)
    {
        if (!Source.HasListeners())
            return null;

        // A header that is none, or not well formed, begins a new trace.
        IHeaderDictionary headers = context.Request.Headers;
        if (!ActivityContext.TryParse(headers.TraceParent, headers.TraceState, isRemote: true, out ActivityContext remote))
            remote = default;
        Activity? activity = Source.StartActivity(context.Request.Method, ActivityKind.Server, remote);
        activity?.SetTag("http.request.method", context.Request.Method);
        activity?.SetTag("url.path", context.Request.Path.Value);
        return activity;
    }

    internal static void EndRequest(Activity activity, HttpContext context, string? route, string? caller)
    {
        int status = context.Response.StatusCode;
        if (route is not null)
        {
            activity.DisplayName = $"{context.Request.Method} {route}";
            activity.SetTag("http.route", route);
        }

        activity.SetTag("http.response.status_code", status);
        activity.SetTag("dispatch.request_id", context.TraceIdentifier);
        if (caller is not null)
            activity.SetTag("dispatch.caller", caller);
        if (status >= 500)
            activity.SetStatus(ActivityStatusCode.Error);
        activity.Dispose();
    }
}

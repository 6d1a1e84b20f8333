using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Http.Problems;

/// <summary>
/// Turns whatever leaves an endpoint without a body of its own into a problem: exceptions, and the bare statuses that routing
/// sets. Nothing of an exception reaches the caller but the request id to find it by.
/// </summary>
internal sealed class ProblemBoundary(RequestDelegate next, ILogger<ProblemBoundary> logger)
{
    // What nginx made known: the caller went away. Nobody reads it but the access log.
    private const int ClientClosedRequest = 499;

    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
        }
        catch (Exception e)
        {
            await AnswerAsync(context, e);
            return;
        }

        HttpResponse response = context.Response;
        if (response.StatusCode >= 400 && !response.HasStarted && response.ContentLength is null && response.ContentType is null)
            await context.WriteProblemAsync(Bare(context, response.StatusCode));
    }

    private async Task AnswerAsync(HttpContext context, Exception e)
    {
        if (context.RequestAborted.IsCancellationRequested && e is OperationCanceledException or (IOException and not BadHttpRequestException))
        {
            if (!context.Response.HasStarted)
                context.Response.StatusCode = ClientClosedRequest;
            return;
        }

        Problem problem = ToProblem(context, e);
        if (context.Response.HasStarted)
        {
            // Half an answer must not look like a whole one.
            logger.AnswerBroken(e, context.Request.Method, context.Request.Path, context.TraceIdentifier);
            context.Abort();
            return;
        }

        // What the endpoint had prepared, such as a Location or a length, is not true any more.
        string? requestId = context.Response.Headers[Edge.RequestIds.Header];
        context.Response.Clear();
        context.Response.Headers[Edge.RequestIds.Header] = requestId;
        await context.WriteProblemAsync(problem);
    }

    private Problem ToProblem(HttpContext context, Exception e)
    {
        switch (e)
        {
            case BadHttpRequestException { StatusCode: 413 }:
                long? limit = context.Features.Get<IHttpMaxRequestBodySizeFeature>()?.MaxRequestBodySize;
                return new Problem(ErrorCode.PayloadTooLarge, $"The body is larger than {limit} bytes.");
            case BadHttpRequestException { StatusCode: 408 }:
                return new Problem(ErrorCode.RequestTimeout, "The body came too slowly.");
            case BadHttpRequestException bad:
                // Kestrel's own sentences about the request ("Unexpected end of request content."): they hold none of its content.
                return new Problem(ErrorCode.ForStatus(bad.StatusCode), bad.Message);
            case StoreException store:
                logger.StoreRefused(store, context.Request.Method, context.Request.Path, context.TraceIdentifier);
                return new Problem(ErrorCode.StoreUnavailable, "The store can't be used at the moment.") { RetryAfterSeconds = 1 };
            default:
                logger.RequestFailed(e, context.Request.Method, context.Request.Path, context.TraceIdentifier);
                return new Problem(ErrorCode.Internal, "The broker failed to answer. Its log tells why, under this request id.");
        }
    }

    private static Problem Bare(HttpContext context, int status)
    {
        ErrorCode code = ErrorCode.ForStatus(status);
        string detail = status switch
        {
            404 => $"There is no route {context.Request.Method} {context.Request.Path}.",
            405 => $"{context.Request.Path} takes {context.Response.Headers.Allow}, not {context.Request.Method}.",
            _ => code.Title + ".",
        };

        // The status the endpoint chose stands, as long as the table knows it.
        return new Problem(code, detail);
    }
}

/// <summary>Composition.</summary>
public static class ProblemBoundaryComposition
{
    /// <summary>Answers every failure below this step with a problem document. Place it below the access log.</summary>
    public static IApplicationBuilder UseProblems(this IApplicationBuilder app) => app.UseMiddleware<ProblemBoundary>();
}

internal static partial class ProblemMessages
{
    [LoggerMessage(EventId = 3001, Level = LogLevel.Error, Message = "{Method} {Path} failed (request {RequestId})")]
    public static partial void RequestFailed(this ILogger logger, Exception e, string method, string path, string requestId);

    [LoggerMessage(EventId = 3002, Level = LogLevel.Error, Message = "{Method} {Path} failed after its answer had begun; the connection was closed (request {RequestId})")]
    public static partial void AnswerBroken(this ILogger logger, Exception e, string method, string path, string requestId);

    [LoggerMessage(EventId = 3003, Level = LogLevel.Warning, Message = "{Method} {Path}: the store could not be used (request {RequestId})")]
    public static partial void StoreRefused(this ILogger logger, Exception e, string method, string path, string requestId);
}

using Dispatch.Host.Configuration;
using Dispatch.Host.Http.Problems;
using Dispatch.Host.Telemetry;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace Dispatch.Host.Auth;

/// <summary>
/// Establishes who is calling on every /api/v1 request, and whether it calls too fast. Whatever is wrong with a bearer token, the
/// answer is the same: it must not tell whether a token exists or whose it is.
/// </summary>
public sealed class Callers(
    RequestDelegate next, AuthSettings auth, AdminToken adminToken, TokenDirectory tokens, CallerDirectory callers, DispatchMetrics metrics)
{
    private const string AgentHeader = "X-Agent-ID";
    private const string Scheme = "Bearer ";

    private static readonly Problem NoAgent = new(ErrorCode.Unauthorized, "The header X-Agent-ID is missing.");

    private static readonly Problem NoToken = new(
        ErrorCode.Unauthorized, "A bearer token is needed: send Authorization: Bearer and the token that was made for this agent.");

    private static readonly Problem BadToken = new(ErrorCode.Unauthorized, "The bearer token is not valid for this agent.");

    private static readonly Problem BadAgent = new(ErrorCode.Validation, "The header X-Agent-ID is not valid.")
    {
        Errors = [new FieldFault("X-Agent-ID", $"must be one name of 1 to {AgentIds.MaxLength} printable characters")],
    };

    private static readonly PathString ApiPath = new("/api/v1");

    /// <summary>The step.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        if (!context.Request.Path.StartsWithSegments(ApiPath, StringComparison.OrdinalIgnoreCase))
            return next(context);

        StringValues name = context.Request.Headers[AgentHeader];
        if (name.Count > 1)
            return context.WriteProblemAsync(BadAgent);
        string agent = name.ToString();
        if (agent.Length == 0)
            return context.WriteProblemAsync(NoAgent);

        bool isAdmin = false;
        StringValues authorization = context.Request.Headers.Authorization;
        if (authorization.Count > 0)
        {
            ReadOnlySpan<char> secret = Bearer(authorization);
            if (secret.IsEmpty)
                return context.WriteProblemAsync(BadToken);

            TokenHash hash = TokenHash.Of(secret);
            isAdmin = adminToken.IsSame(hash);
            if (!isAdmin && !tokens.IsValid(hash, agent))
                return context.WriteProblemAsync(BadToken);
        }
        else if (auth.Mode == AuthMode.Token)
        {
            return context.WriteProblemAsync(NoToken);
        }

        // Only now: somebody without a token must not push those who have one out of the directory.
        if (callers.Find(agent) is not { } entry)
            return context.WriteProblemAsync(BadAgent);

        Caller caller = isAdmin ? entry.Admin : entry.Plain;
        if (!isAdmin && callers.Take(entry) is > 0 and int seconds)
        {
            metrics.RecordRateLimited();
            return context.WriteProblemAsync(new Problem(
                ErrorCode.TooManyRequests, $"{agent} sends faster than it may; try again in {seconds} s.")
            {
                RetryAfterSeconds = seconds,
            });
        }

        context.Features.Set(caller);
        return next(context);
    }

    /// <summary>The token of the header; empty when it holds anything else.</summary>
    private static ReadOnlySpan<char> Bearer(StringValues authorization)
    {
        ReadOnlySpan<char> text = authorization.Count == 1 ? authorization[0] : default;
        return text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) && text.Length <= Scheme.Length + TokenText.MaxLength
            ? text[Scheme.Length..].Trim(' ')
            : default;
    }
}

/// <summary>Composition.</summary>
public static class CallersComposition
{
    /// <summary>Establishes the caller of every /api/v1 request; <c>HttpContext.Caller()</c> is it. Place it below UseProblems.</summary>
    public static IApplicationBuilder UseCallers(
        this IApplicationBuilder app, AuthSettings auth, AdminToken adminToken, TokenDirectory tokens, CallerDirectory callers, DispatchMetrics metrics) =>
        app.Use(next => new Callers(next, auth, adminToken, tokens, callers, metrics).InvokeAsync);
}

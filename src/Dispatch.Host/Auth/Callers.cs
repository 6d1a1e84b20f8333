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
    RequestDelegate next, AuthSettings auth, AdminToken adminToken, TokenDirectory tokens, SessionDirectory sessions, CallerDirectory callers, DispatchMetrics metrics)
{
    private const string AgentHeader = "X-Agent-ID";
    private const string Scheme = "Bearer ";

    private static readonly Problem NoAgent = new(ErrorCode.Unauthorized, "The header X-Agent-ID is missing.");

    private static readonly Problem NoToken = new(
        ErrorCode.Unauthorized, "A bearer token is needed: send Authorization: Bearer and the token that was made for this agent.");

    internal static readonly Problem BadToken = new(ErrorCode.Unauthorized, "The bearer token is not valid for this agent.");

    private static readonly Problem BadAgent = new(ErrorCode.Validation, "The header X-Agent-ID is not valid.")
    {
        Errors = [new FieldFault("X-Agent-ID", AgentIds.Fault)],
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
        StringValues authorization = context.Request.Headers.Authorization;
        ReadOnlySpan<char> secret = Bearer(authorization);
        if (TokenText.IsForGuests(secret))
            return sessions.Find(TokenHash.Of(secret)) is { } pass ? Admit(context, pass.Entry, pass.Entry.Plain) : context.WriteProblemAsync(BadToken);
        if (agent.Length == 0)
            return context.WriteProblemAsync(NoAgent);

        bool isAdmin = false;
        if (authorization.Count > 0)
        {
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

        return Admit(context, entry, isAdmin ? entry.Admin : entry.Plain);
    }

    private Task Admit(HttpContext context, CallerDirectory.Entry entry, Caller caller)
    {
        if (!caller.IsAdmin && callers.Take(entry) is > 0 and int seconds)
        {
            metrics.RecordRateLimited();
            return context.WriteProblemAsync(new Problem(
                ErrorCode.TooManyRequests, $"{caller.Agent} sends faster than it may; try again in {seconds} s.")
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
        this IApplicationBuilder app, AuthSettings auth, AdminToken adminToken, TokenDirectory tokens, SessionDirectory sessions, CallerDirectory callers, DispatchMetrics metrics) =>
        app.Use(next => new Callers(next, auth, adminToken, tokens, sessions, callers, metrics).InvokeAsync);
}

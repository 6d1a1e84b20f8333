using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Auth;

/// <summary>Who is calling. One instance per agent is shared by all its requests.</summary>
/// <param name="Agent">The id in X-Agent-ID: 1 to 256 printable characters; <c>guest:</c> and its session for a guest.</param>
/// <param name="IsAdmin">Whether the request carried the administrator's token.</param>
public sealed record Caller(string Agent, bool IsAdmin)
{
    /// <summary>A guest's pass; null for everybody else. A guest is no agent, whatever its name here says.</summary>
    internal GuestPass? Pass { get; init; }
}

/// <summary>Access to the caller of a request.</summary>
public static class CallerOfRequest
{
    /// <summary>The caller of an /api/v1 request.</summary>
    /// <exception cref="InvalidOperationException">The request did not pass <c>UseCallers</c>.</exception>
    public static Caller Caller(this HttpContext context) =>
        context.FindCaller() ?? throw new InvalidOperationException("The request was not authenticated: its path is not below /api/v1.");

    /// <summary>The caller; null before authentication and on open routes.</summary>
    public static Caller? FindCaller(this HttpContext context) => context.Features.Get<Caller>();
}
